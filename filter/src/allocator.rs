//! The module's allocator: small blocks from free lists, everything else from the standard library's.
//!
//! A request makes some twenty small allocations and frees them all. The general allocator searches, splits
//! and merges for each; here taking and giving back a block is a handful of instructions.
//!
//! Blocks have the sizes of a few classes. A block that is freed goes to the list of its class and stays
//! there, so memory is bounded by the most that each class ever had in use at once. Nothing a client does makes
//! that grow without end: what is kept for longer than a request has caps of its own.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr::null_mut;

/// Classes are the powers of two from 16 to 4096 bytes.
const SMALLEST: u32 = 4;
const CLASSES: usize = 9;
const LARGEST: usize = 1 << (SMALLEST as usize + CLASSES - 1);
/// Every block is aligned to this, as those of the general allocator are on wasm.
const ALIGN: usize = 8;

/// See the module.
pub(crate) struct Pool {
    /// The first free block of each class; each block begins with a pointer to the next.
    free: UnsafeCell<[*mut u8; CLASSES]>,
}

// SAFETY: a proxy-wasm module has one thread.
unsafe impl Sync for Pool {}

impl Pool {
    pub(crate) const fn new() -> Self {
        Self { free: UnsafeCell::new([null_mut(); CLASSES]) }
    }

    /// The list of a class.
    #[inline]
    fn list(&self, class: usize) -> *mut *mut u8 {
        // SAFETY: `class_of` gives numbers below `CLASSES` only.
        unsafe { self.free.get().cast::<*mut u8>().add(class) }
    }
}

/// The class whose blocks hold this layout, if it is small.
#[inline]
const fn class_of(layout: Layout) -> Option<usize> {
    let (size, align) = (layout.size(), layout.align());
    if size > LARGEST || align > ALIGN {
        return None;
    }
    let bits = usize::BITS - (size.saturating_sub(1) | ((1 << SMALLEST) - 1)).leading_zeros();
    Some((bits - SMALLEST) as usize)
}

/// How large and how aligned the blocks of a class are.
const fn block(class: usize) -> Layout {
    // SAFETY: the alignment is a power of two, and the size far from the end of memory.
    unsafe { Layout::from_size_align_unchecked(1 << (class + SMALLEST as usize), ALIGN) }
}

// SAFETY: blocks come from `System` with at least the size and alignment of the layout they are given out for, and
// are in a list only while nobody has them.
unsafe impl GlobalAlloc for Pool {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(class) = class_of(layout) else {
            // SAFETY: the caller's promise is passed on.
            return unsafe { System.alloc(layout) };
        };
        let list = self.list(class);
        // SAFETY: a list is null, or points to a free block that begins with the next one.
        unsafe {
            let first = *list;
            if first.is_null() {
                return System.alloc(block(class));
            }
            *list = *first.cast::<*mut u8>();
            first
        }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, data: *mut u8, layout: Layout) {
        let Some(class) = class_of(layout) else {
            // SAFETY: the caller's promise is passed on; `alloc` gave blocks of this layout from `System`.
            return unsafe { System.dealloc(data, layout) };
        };
        let list = self.list(class);
        // SAFETY: the block has room for a pointer and its alignment, and belongs to nobody now.
        unsafe {
            *data.cast::<*mut u8>() = *list;
            *list = data;
        }
    }

    #[inline(never)]
    unsafe fn realloc(&self, data: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises a size that makes a layout.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (class_of(layout), class_of(wanted)) {
            (Some(before), Some(after)) if before == after => data,
            // SAFETY: neither block is one of ours.
            (None, None) => unsafe { System.realloc(data, layout, size) },
            // SAFETY: the new block is another one, and both hold what is copied.
            _ => unsafe {
                let fresh = self.alloc(wanted);
                if !fresh.is_null() {
                    fresh.copy_from_nonoverlapping(data, layout.size().min(size));
                    self.dealloc(data, layout);
                }
                fresh
            },
        }
    }
}
