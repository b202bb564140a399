//! Arithmetic modulo an RSA modulus: just what a check with the exponent 65537 needs.
//!
//! It is made for wasm, which has no multiplication that gives 128 bits: the libraries' limbs of 64 bits are
//! multiplied there by a call to a function for each product, and that was most of a verification. Limbs of
//! 27 bits leave room in a `u64` for the sum of all products of a column, so the inner loop has no carry, and
//! the compiler makes vectors of it.
//!
//! Everything here is public (modulus, signature), so nothing hides how long it takes.

/// Bits of a limb. A column of [`Modulus::multiply`] sums up two products per limb of the modulus, with 4096
/// bits 304 of them, and one carry: less than 2^(54 + 9) and so far from 2^64.
const BITS: usize = 27;
const MASK: u32 = (1 << BITS) - 1;

/// Limbs are looked at in fours, so numbers have a multiple of four.
const STEP: usize = 4;

/// The longest modulus, by which the room in a column is reckoned.
pub(super) const MAX_BYTES: usize = 512;

/// An odd modulus N, made ready. Numbers are little-endian limbs, as many as the modulus has here, and with
/// R = 2^(27 * limbs) there are at least two bits to spare: 4N < R, so that what [`Modulus::multiply`] gives of
/// numbers below 2N is below 2N again (Montgomery's multiplication without the last subtraction).
pub(super) struct Modulus {
    limbs: Vec<u32>,
    /// -1/N modulo 2^27.
    inverse: u32,
    /// R^2 modulo N: what takes a number into Montgomery's form.
    square: Vec<u32>,
}

impl Modulus {
    /// From big-endian bytes without leading zeros. `None` if it is even, too long, or one.
    pub(super) fn new(bytes: &[u8]) -> Option<Self> {
        let (first, last) = (*bytes.first()?, *bytes.last()?);
        if first == 0 || last & 1 == 0 || bytes == [1] || bytes.len() > MAX_BYTES {
            return None;
        }
        let bits = bytes.len() * 8;
        let limbs = limbs(bytes, (bits + 2).div_ceil(BITS).next_multiple_of(STEP));
        let inverse = inverse(*limbs.first()?);
        let mut modulus = Self { square: vec![0; limbs.len()], limbs, inverse };
        modulus.square = modulus.r_squared();
        Some(modulus)
    }

    /// `base` to the power of 65537, as long as `base`, which is below the modulus. Both are big-endian.
    pub(super) fn power_65537(&self, base: &[u8]) -> Vec<u8> {
        let plain = limbs(base, self.limbs.len());
        let mut columns = vec![0; 2 * self.limbs.len()];
        let mut power = vec![0; self.limbs.len()];
        self.multiply(&plain, &self.square, &mut columns, &mut power);
        for _ in 0..16 {
            let base = power.clone();
            self.multiply(&base, &base, &mut columns, &mut power);
        }
        // One factor in Montgomery's form and one without give a product without.
        let last = power.clone();
        self.multiply(&last, &plain, &mut columns, &mut power);
        self.reduce(&mut power);
        bytes(&power, base.len())
    }

    /// `into` = `a * b / R` modulo N, below 2N if both factors are.
    fn multiply(&self, a: &[u32], b: &[u32], columns: &mut [u64], into: &mut [u32]) {
        columns.fill(0);
        for (row, a) in a.iter().enumerate() {
            let Some(window) = columns.get_mut(row..) else { return };
            let (Some(lowest), Some(b_lowest)) = (window.first(), b.first()) else { return };
            // The multiple of N that makes the lowest column divisible by 2^27.
            let fill = low(lowest + product(*a, *b_lowest)).wrapping_mul(self.inverse) & MASK;
            for ((column, b), n) in window.iter_mut().zip(b).zip(&self.limbs) {
                *column += product(*a, *b) + product(fill, *n);
            }
            if let [lowest, next, ..] = window {
                *next += *lowest >> BITS;
            }
        }
        let mut carry = 0;
        let upper = columns.iter().skip(self.limbs.len());
        for (limb, column) in into.iter_mut().zip(upper) {
            let sum = column + carry;
            *limb = low(sum) & MASK;
            carry = sum >> BITS;
        }
    }

    /// Subtracts the modulus as often as it goes, which for numbers below 4N is three times at most.
    fn reduce(&self, number: &mut [u32]) {
        while number.iter().rev().ge(self.limbs.iter().rev()) {
            let mut borrow = 0;
            for (limb, n) in number.iter_mut().zip(&self.limbs) {
                let difference = limb.wrapping_sub(n + borrow);
                borrow = difference >> 31;
                *limb = difference & MASK;
            }
        }
    }

    /// R^2 modulo N: two to the power of R's bits, in Montgomery's form.
    fn r_squared(&self) -> Vec<u32> {
        // R modulo N stands for one. Two to the power of N's bits less one is below N, and then doubled.
        let bits = BITS * self.limbs.len();
        let mut power = vec![0; self.limbs.len()];
        let top = self.top_bit();
        if let Some(limb) = power.get_mut(top / BITS) {
            *limb = 1 << (top % BITS);
        }
        for _ in top..bits {
            self.double(&mut power);
        }
        let mut columns = vec![0; 2 * self.limbs.len()];
        for bit in (0..usize::BITS - bits.leading_zeros()).rev() {
            let half = power.clone();
            self.multiply(&half, &half, &mut columns, &mut power);
            if bits >> bit & 1 == 1 {
                self.double(&mut power);
            }
        }
        self.reduce(&mut power);
        power
    }

    /// Of a number below 2N; the result is below N.
    fn double(&self, number: &mut [u32]) {
        let mut carry = 0;
        for limb in &mut *number {
            let doubled = (*limb << 1) | carry;
            *limb = doubled & MASK;
            carry = doubled >> BITS;
        }
        self.reduce(number);
    }

    /// The place of the highest bit.
    fn top_bit(&self) -> usize {
        self.limbs
            .iter()
            .enumerate()
            .rev()
            .find(|(_, limb)| **limb != 0)
            .map_or(0, |(at, limb)| at * BITS + limb.ilog2() as usize)
    }
}

fn product(a: u32, b: u32) -> u64 {
    u64::from(a) * u64::from(b)
}

#[expect(clippy::cast_possible_truncation, reason = "the low bits are what is asked for")]
const fn low(number: u64) -> u32 {
    number as u32
}

/// -1/`odd` modulo 2^27: each step of Newton's doubles the bits that are right, of which there are three.
fn inverse(odd: u32) -> u32 {
    let inverse = (0..4)
        .fold(odd, |inverse: u32, _| inverse.wrapping_mul(2u32.wrapping_sub(odd.wrapping_mul(inverse))));
    inverse.wrapping_neg() & MASK
}

/// Big-endian bytes as so many limbs; what does not fit is left out.
fn limbs(bytes: &[u8], count: usize) -> Vec<u32> {
    let mut limbs = Vec::with_capacity(count);
    let (mut held, mut bits) = (0u64, 0);
    for byte in bytes.iter().rev() {
        held |= u64::from(*byte) << bits;
        bits += 8;
        if bits >= BITS {
            limbs.push(low(held) & MASK);
            held >>= BITS;
            bits -= BITS;
        }
    }
    limbs.push(low(held));
    limbs.resize(count, 0);
    limbs
}

/// Limbs as so many big-endian bytes.
fn bytes(limbs: &[u32], count: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(count + 4);
    let (mut held, mut bits) = (0u64, 0);
    for limb in limbs {
        held |= u64::from(*limb) << bits;
        bits += BITS;
        while bits >= 8 {
            bytes.push((held & 0xff) as u8);
            held >>= 8;
            bits -= 8;
        }
    }
    bytes.resize(count, 0);
    bytes.reverse();
    bytes
}

#[cfg(test)]
#[path = "modulus_tests.rs"]
mod tests;
