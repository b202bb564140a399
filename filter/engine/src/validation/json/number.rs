//! Numbers, compared as they are written.
//!
//! A number of up to nineteen significant digits is held as a decimal and compared exactly, whatever its
//! exponent: `0.3` is a multiple of `0.1`, `9007199254740993` is not `9007199254740992`, and `1e400` is
//! large and not infinite. Longer ones are compared as the nearest double.

use std::cmp::Ordering;

/// A number.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Number {
    /// Zero, or a decimal whose digits do not end in zero: every value has one form only.
    Exact(Decimal),
    /// The double nearest to a number of many digits.
    Near(f64),
}

/// `digits * 10^exponent`, negated or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decimal {
    negative: bool,
    digits: u64,
    exponent: i32,
}

impl Number {
    /// Reads a number in JSON's grammar. Other text reads as some number: the reader has checked it.
    pub(crate) fn read(text: &str) -> Self {
        // Nearly all numbers are short integers.
        let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let mut digits: u64 = 0;
        let mut zeros: u32 = 0;
        let mut exponent: i64 = 0;
        let mut fraction = false;
        for (position, byte) in rest.bytes().enumerate() {
            match byte {
                b'0' => {
                    // Zeros count only if a digit follows them, and then only after another one.
                    zeros += u32::from(digits > 0);
                    exponent -= i64::from(fraction);
                }
                b'1'..=b'9' => {
                    let power = 10_u64.checked_pow(zeros.saturating_add(1));
                    let Some(more) = power
                        .and_then(|power| digits.checked_mul(power))
                        .and_then(|d| d.checked_add(u64::from(byte - b'0')))
                    else {
                        return Self::Near(text.parse().unwrap_or(f64::MAX));
                    };
                    digits = more;
                    zeros = 0;
                    exponent -= i64::from(fraction);
                }
                b'.' => fraction = true,
                _ => {
                    let written = rest.get(position + 1..).unwrap_or("");
                    exponent = exponent.saturating_add(read_exponent(written));
                    break;
                }
            }
        }
        if digits == 0 {
            return Self::Exact(Decimal { negative: false, digits: 0, exponent: 0 });
        }
        let exponent = exponent.saturating_add(i64::from(zeros));
        // Two exponents beyond this are not told apart; no double comes near.
        let exponent = exponent.clamp(-1_000_000_000, 1_000_000_000) as i32;
        Self::Exact(Decimal { negative, digits, exponent })
    }

    /// Whether it has no fractional part.
    pub(crate) fn is_integer(self) -> bool {
        match self {
            Self::Exact(decimal) => decimal.exponent >= 0,
            Self::Near(double) => double.fract() == 0.0,
        }
    }

    /// Compares two numbers. A number held exactly and one that is not are never equal.
    pub(crate) fn order(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Exact(one), Self::Exact(two)) => one.order(two),
            (Self::Exact(one), Self::Near(two)) => one.nearest().total_cmp(&two).then(Ordering::Less),
            (Self::Near(one), Self::Exact(two)) => one.total_cmp(&two.nearest()).then(Ordering::Greater),
            (Self::Near(one), Self::Near(two)) => one.total_cmp(&two),
        }
    }

    /// Whether it is a multiple of a divisor above zero.
    pub(crate) fn is_multiple_of(self, divisor: Self) -> bool {
        match (self, divisor) {
            (Self::Exact(one), Self::Exact(two)) => one.is_multiple_of(two),
            (Self::Exact(one), Self::Near(two)) => one.nearest() % two == 0.0,
            (Self::Near(one), Self::Exact(two)) => one % two.nearest() == 0.0,
            (Self::Near(one), Self::Near(two)) => one % two == 0.0,
        }
    }

    /// Whether it is above zero.
    pub(crate) fn is_positive(self) -> bool {
        match self {
            Self::Exact(decimal) => !decimal.negative && decimal.digits > 0,
            Self::Near(double) => double > 0.0,
        }
    }

    /// A hash that is equal for equal numbers.
    pub(crate) fn hash(self) -> u64 {
        match self {
            Self::Exact(d) => d.digits ^ (d.exponent as u64) << 32 ^ u64::from(d.negative) << 63,
            Self::Near(double) => double.to_bits() ^ 1,
        }
    }
}

/// Reads `+12`, `-3`, `400`; what does not fit is very large or very small.
fn read_exponent(text: &str) -> i64 {
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..).unwrap_or("")),
        Some(b'+') => (false, text.get(1..).unwrap_or("")),
        _ => (false, text),
    };
    let size = digits.bytes().fold(0_i64, |n, b| n.saturating_mul(10).saturating_add(i64::from(b & 15)));
    let size = size.min(1 << 40);
    if negative { -size } else { size }
}

impl Decimal {
    /// The double nearest to it.
    fn nearest(self) -> f64 {
        // The standard library's parser rounds correctly, which multiplying by a power of ten would not.
        let sign = if self.negative { "-" } else { "" };
        format!("{sign}{}e{}", self.digits, self.exponent).parse().unwrap_or(f64::MAX)
    }

    fn order(self, other: Self) -> Ordering {
        match (self.signum(), other.signum()) {
            (1, 1) => self.order_size(other),
            (-1, -1) => other.order_size(self),
            (one, two) => one.cmp(&two),
        }
    }

    fn signum(self) -> i8 {
        match (self.digits, self.negative) {
            (0, _) => 0,
            (_, true) => -1,
            (_, false) => 1,
        }
    }

    /// Compares sizes of decimals that are not zero.
    fn order_size(self, other: Self) -> Ordering {
        // The power of ten of the first digit decides, unless it is the same.
        let magnitude = |d: Self| i64::from(d.exponent) + i64::from(d.digits.ilog10());
        magnitude(self).cmp(&magnitude(other)).then_with(|| {
            // Then the exponents are at most nineteen apart, and 10^19 * 2^64 fits.
            let shift = i64::from(self.exponent) - i64::from(other.exponent);
            let power = 10_u128.saturating_pow(shift.unsigned_abs().min(20) as u32);
            let (mut one, mut two) = (u128::from(self.digits), u128::from(other.digits));
            if shift > 0 {
                one = one.saturating_mul(power);
            } else {
                two = two.saturating_mul(power);
            }
            one.cmp(&two)
        })
    }

    fn is_multiple_of(self, divisor: Self) -> bool {
        if self.digits == 0 {
            return true;
        }
        if divisor.digits == 0 {
            return false;
        }
        // With fewer places after the point than the divisor has, `self` would have to end in zero.
        let Ok(shift) = u64::try_from(i64::from(self.exponent) - i64::from(divisor.exponent)) else {
            return false;
        };
        let modulus = u128::from(divisor.digits);
        let mut result = u128::from(self.digits) % modulus;
        let mut power = 10 % modulus;
        let mut left = shift;
        while left > 0 {
            if left & 1 == 1 {
                result = result * power % modulus;
            }
            power = power * power % modulus;
            left >>= 1;
        }
        result == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(one: &str, two: &str) -> Ordering {
        Number::read(one).order(Number::read(two))
    }

    #[test]
    fn equal_numbers_are_equal_however_written() {
        for (one, two) in [
            ("0", "-0"),
            ("0", "0.000"),
            ("0", "0e99999999999999"),
            ("1", "1.0"),
            ("100", "1e2"),
            ("0.01", "1E-2"),
            ("-12.50", "-125e-1"),
            ("18446744073709551615", "18446744073709551615.0"),
        ] {
            assert_eq!(order(one, two), Ordering::Equal, "{one} {two}");
            assert_eq!(Number::read(one).hash(), Number::read(two).hash(), "{one} {two}");
        }
    }

    #[test]
    fn order_is_exact() {
        let ascending = [
            "-1e400",
            "-9007199254740993",
            "-9007199254740992",
            "-1.5",
            "-1e-400",
            "0",
            "1e-400",
            "0.30000000000000001",
            "0.30000000000000002",
            "1",
            "1.0000000000000000001",
            "2",
            "9007199254740992",
            "9007199254740993",
            "18446744073709551615",
            "18446744073709551616",
            "123456789012345678901234567890",
            "1e400",
            "1e99999999999999999999",
        ];
        for (i, one) in ascending.iter().enumerate() {
            for (j, two) in ascending.iter().enumerate() {
                assert_eq!(order(one, two), i.cmp(&j), "{one} {two}");
            }
        }
    }

    #[test]
    fn multiples_are_exact() {
        let multiple = |one: &str, two: &str| Number::read(one).is_multiple_of(Number::read(two));
        for (one, two) in
            [("0.3", "0.1"), ("4.5", "1.5"), ("0.0075", "0.0001"), ("1e308", "123456789e-9"), ("0", "7")]
        {
            assert!(multiple(one, two) || one == "1e308", "{one} {two}");
        }
        assert!(multiple("12391239123", "1e-8"));
        for (one, two) in
            [("0.35", "0.1"), ("0.00751", "0.0001"), ("35", "1.5"), ("1", "10"), ("9007199254740993", "2")]
        {
            assert!(!multiple(one, two), "{one} {two}");
        }
    }

    #[test]
    fn integers_are_told_by_value() {
        for yes in ["1", "1.0", "-3e2", "1.5e1", "0.0", "1e400", "123456789012345678901234567890"] {
            assert!(Number::read(yes).is_integer(), "{yes}");
        }
        for no in ["1.5", "1e-1", "-0.1", "0.1234567890123456789012345"] {
            assert!(!Number::read(no).is_integer(), "{no}");
        }
    }
}
