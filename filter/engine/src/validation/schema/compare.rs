//! Equality of JSON values as JSON Schema means it: numbers by value, objects without regard to order.

use super::super::json::number::Number;
use super::super::json::parse::hash;
use super::super::json::tape::{Kind, View};

/// Counts steps down; whoever is out of steps must refuse.
#[derive(Debug)]
pub(super) struct Budget {
    left: u64,
}

impl Budget {
    pub(super) fn new(steps: u64) -> Self {
        Self { left: steps }
    }

    /// Pays for some steps; false once the budget is used up, and for ever after.
    #[inline]
    pub(super) fn pay(&mut self, steps: u64) -> bool {
        match self.left.checked_sub(steps) {
            Some(left) => {
                self.left = left;
                true
            }
            None => {
                self.left = 0;
                false
            }
        }
    }

    pub(super) fn is_used_up(&self) -> bool {
        self.left == 0
    }
}

/// Whether two values are equal. Out of budget, they are not. Recursion is as deep as the values are,
/// which the reader has bounded.
pub(super) fn equal(one: View<'_>, a: u32, two: View<'_>, b: u32, budget: &mut Budget) -> bool {
    if !budget.pay(1) {
        return false;
    }
    let (left, right) = (one.entry(a), two.entry(b));
    if left.kind != right.kind {
        return false;
    }
    match left.kind {
        Kind::Null | Kind::True | Kind::False => true,
        Kind::String => one.text(left) == two.text(right),
        Kind::Number => Number::read(one.text(left)).order(Number::read(two.text(right))).is_eq(),
        Kind::Array => {
            left.extra == right.extra
                && one.elements(a).zip(two.elements(b)).all(|(x, y)| equal(one, x, two, y, budget))
        }
        Kind::Object => {
            // Names are unique on both sides, so one inclusion and equal counts are enough.
            left.extra == right.extra
                && one.members(a).all(|(name, value)| {
                    if !budget.pay(u64::from(right.extra) / 4) {
                        return false;
                    }
                    let wanted = one.entry(name);
                    let found = two.members(b).find(|(other, _)| {
                        let other = two.entry(*other);
                        other.extra == wanted.extra && two.text(other) == one.text(wanted)
                    });
                    found.is_some_and(|(_, other)| equal(one, value, two, other, budget))
                })
        }
    }
}

/// A hash that is equal for equal values.
fn hash_value(view: View<'_>, index: u32) -> u64 {
    const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
    let entry = view.entry(index);
    match entry.kind {
        Kind::Null => 1,
        Kind::True => 2,
        Kind::False => 3,
        Kind::Number => Number::read(view.text(entry)).hash().wrapping_mul(MIX) ^ 4,
        Kind::String => u64::from(hash(view.text(entry).as_bytes())).wrapping_mul(MIX) ^ 5,
        Kind::Array => view
            .elements(index)
            .fold(6_u64, |all, element| (all.rotate_left(5) ^ hash_value(view, element)).wrapping_mul(MIX)),
        // A sum, for members have no order.
        Kind::Object => view.members(index).fold(7_u64, |all, (name, value)| {
            let member = (u64::from(view.entry(name).extra) << 8 ^ hash_value(view, value)).wrapping_mul(MIX);
            all.wrapping_add(member ^ member >> 29)
        }),
    }
}

/// Whether an array has two equal elements. Elements whose hashes collide are compared one by one, which
/// the budget bounds.
pub(super) fn has_equal_elements(view: View<'_>, array: u32, budget: &mut Budget) -> bool {
    if view.entry(array).extra < 2 {
        return false;
    }
    let size = view.entry(array).next.saturating_sub(array);
    if !budget.pay(u64::from(size)) {
        return true;
    }
    let mut hashed: Vec<(u64, u32)> = view.elements(array).map(|e| (hash_value(view, e), e)).collect();
    hashed.sort_unstable();
    let same_hash = hashed.chunk_by(|(one, _), (two, _)| one == two);
    for group in same_hash {
        for (position, (_, one)) in group.iter().enumerate() {
            for (_, two) in group.iter().skip(position + 1) {
                if equal(view, *one, view, *two, budget) || budget.is_used_up() {
                    return true;
                }
            }
        }
    }
    false
}
