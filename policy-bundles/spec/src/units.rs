//! Durations, sizes and rates, written as people write them.

use std::fmt;
use std::str::FromStr;

use crate::text::{Problem, text_type};

/// The longest duration: ten years.
const MAX_MS: u64 = 3650 * 24 * 3600 * 1000;

/// The largest size: 1 GiB.
const MAX_BYTES: u64 = 1 << 30;

/// The units of a duration, longest first, in milliseconds.
const DURATION_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The units of a size, in bytes. The binary ones come first so that they are preferred for writing.
const SIZE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// Splits `250ms` into 250 and `ms`. Only plain decimal digits: no sign, fraction, exponent or blank.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(end)?;
    if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    // More digits than fit in a number are still a number, one that is too large.
    Some((digits.parse().unwrap_or(u64::MAX), unit))
}

text_type! {
    /// A duration: a whole number and a unit out of `ms`, `s`, `m`, `h`, `d`.
    Duration, "bartizan-duration", r"^(0|[1-9][0-9]*)(ms|s|m|h|d)$", ["250ms", "10s", "1m", "24h", "7d"]
}

/// A duration in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration {
    ms: u64,
}

impl Duration {
    /// A duration that is known to be none too long.
    #[must_use]
    pub(crate) const fn from_millis(ms: u64) -> Self {
        Self { ms }
    }

    /// A duration of so many seconds.
    #[must_use]
    pub const fn seconds(seconds: u32) -> Self {
        Self { ms: seconds as u64 * 1000 }
    }

    /// The duration in milliseconds.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.ms
    }

    /// The duration in whole seconds, if it is one.
    #[must_use]
    pub fn whole_seconds(self) -> Option<u64> {
        self.ms.is_multiple_of(1000).then_some(self.ms / 1000)
    }
}

impl FromStr for Duration {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let Some((number, unit)) = number_and_unit(text) else {
            return Err(Problem::new(
                format!("`{text}` is not a duration"),
                "write a whole number and a unit, such as `250ms`, `10s`, `1m`, `24h` or `7d`",
            ));
        };
        let Some((_, factor)) = DURATION_UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(if unit.is_empty() {
                Problem::new(
                    format!("the duration `{text}` has no unit"),
                    format!("write `{text}s` for seconds, or use `ms`, `m`, `h`, `d`"),
                )
            } else {
                Problem::new(
                    format!("`{unit}` is not a unit of time"),
                    "use one of `ms`, `s`, `m`, `h`, `d`, and one only: `90m` instead of `1h30m`",
                )
            });
        };
        match number.checked_mul(*factor) {
            Some(ms) if ms <= MAX_MS => Ok(Self { ms }),
            _ => Err(Problem::new(
                format!("the duration `{text}` is too long"),
                "the longest duration is `3650d`",
            )),
        }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ms == 0 {
            return f.write_str("0s");
        }
        let unit = DURATION_UNITS.iter().find(|(_, factor)| self.ms.is_multiple_of(*factor));
        let (name, factor) = unit.copied().unwrap_or(("ms", 1));
        write!(f, "{}{name}", self.ms / factor)
    }
}

text_type! {
    /// A size: a whole number and a unit out of `B`, `KiB`, `MiB`, `GiB` (1024-based), `KB`, `MB`, `GB` (1000-based).
    Size, "bartizan-size", r"^(0|[1-9][0-9]*)(B|KiB|MiB|GiB|KB|MB|GB)$", ["512B", "64KiB", "10MiB"]
}

/// A size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size {
    bytes: u64,
}

impl Size {
    /// A size of so many KiB.
    #[must_use]
    pub const fn kib(kib: u32) -> Self {
        Self { bytes: kib as u64 * 1024 }
    }

    /// A size of so many bytes.
    #[must_use]
    pub const fn bytes_of(bytes: u32) -> Self {
        Self { bytes: bytes as u64 }
    }

    /// The size in bytes, at most 1 GiB.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.bytes
    }

    /// The size in bytes, at most 1 GiB.
    #[must_use]
    pub fn bytes_u32(self) -> u32 {
        u32::try_from(self.bytes).unwrap_or(u32::MAX)
    }
}

impl FromStr for Size {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let Some((number, unit)) = number_and_unit(text) else {
            return Err(Problem::new(
                format!("`{text}` is not a size"),
                "write a whole number and a unit, such as `512B`, `64KiB` or `10MiB`",
            ));
        };
        let Some((_, factor)) = SIZE_UNITS.iter().find(|(name, _)| *name == unit) else {
            let meant = SIZE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
            return Err(match meant {
                Some((name, _)) => {
                    Problem::new(format!("`{unit}` is not a unit of size"), format!("write `{number}{name}`"))
                }
                None if unit.is_empty() => Problem::new(
                    format!("the size `{text}` has no unit"),
                    format!("write `{text}B` for bytes, or use `KiB`, `MiB`"),
                ),
                None => Problem::new(
                    format!("`{unit}` is not a unit of size"),
                    "use one of `B`, `KiB`, `MiB` (1024-based), `KB`, `MB` (1000-based)",
                ),
            });
        };
        match number.checked_mul(*factor) {
            Some(bytes) if bytes <= MAX_BYTES => Ok(Self { bytes }),
            _ => Err(Problem::new(format!("the size `{text}` is too large"), "the largest size is `1GiB`")),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bytes == 0 {
            return f.write_str("0B");
        }
        let unit = SIZE_UNITS.iter().find(|(_, factor)| self.bytes.is_multiple_of(*factor));
        let (name, factor) = unit.copied().unwrap_or(("B", 1));
        write!(f, "{}{name}", self.bytes / factor)
    }
}

text_type! {
    /// A rate: a number of requests, a slash, and a duration. `100/m` is short for `100/1m`.
    Rate, "bartizan-rate", r"^[1-9][0-9]*/([1-9][0-9]*)?(ms|s|m|h|d)$", ["10/1s", "100/1m", "1000/1h", "5/5m"]
}

/// So many requests in so much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The number of requests, at least one.
    pub count: u32,
    /// The time, at least one millisecond.
    pub period: Duration,
}

/// The largest number of requests in a rate.
const MAX_COUNT: u64 = 1_000_000_000;

/// The longest period of a rate: 31 days.
const MAX_PERIOD_MS: u64 = 31 * 86_400_000;

impl FromStr for Rate {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let shape = || {
            Problem::new(
                format!("`{text}` is not a rate"),
                "write a number of requests and a duration, such as `100/1m`, `10/1s` or `1000/1h`",
            )
        };
        let (count, period) = text.split_once('/').ok_or_else(shape)?;
        let (count, rest) = number_and_unit(count).ok_or_else(shape)?;
        if !rest.is_empty() {
            return Err(shape());
        }
        let bare_unit = DURATION_UNITS.iter().any(|(name, _)| *name == period);
        let period: Duration = if bare_unit { format!("1{period}").parse()? } else { period.parse()? };
        if count == 0 {
            return Err(Problem::new(
                format!("the rate `{text}` admits nothing"),
                "the least is one request; to close a route, remove it",
            ));
        }
        if count > MAX_COUNT {
            return Err(Problem::new(
                format!("the rate `{text}` is too large"),
                format!("the most is {MAX_COUNT} requests per period"),
            ));
        }
        if period.millis() == 0 || period.millis() > MAX_PERIOD_MS {
            return Err(Problem::new(
                format!("the period of the rate `{text}` is out of range"),
                "a period is from `1ms` to `31d`",
            ));
        }
        Ok(Self { count: u32::try_from(count).unwrap_or(u32::MAX), period })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, ms) in
            [("0s", 0), ("250ms", 250), ("10s", 10_000), ("24h", 86_400_000), ("7d", 604_800_000)]
        {
            assert_eq!(text.parse::<Duration>().unwrap().millis(), ms, "{text}");
        }
        assert_eq!("60s".parse::<Duration>().unwrap().to_string(), "1m");
        assert_eq!("90s".parse::<Duration>().unwrap().to_string(), "90s");
    }

    #[test]
    fn what_is_not_a_duration_is_refused_with_a_remedy() {
        for text in ["", "s", "10", "-1s", "1.5h", "1h30m", "10 s", "010s", "1e3s", "٣s", "10S", "4000d"] {
            let problem = text.parse::<Duration>().unwrap_err();
            assert!(!problem.help.is_empty(), "{text}");
        }
        let huge = "999999999999999999999999s".parse::<Duration>().unwrap_err();
        assert!(huge.message.contains("too long"), "{huge}");
    }

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes) in [("0B", 0), ("512B", 512), ("64KiB", 65_536), ("10MB", 10_000_000)] {
            assert_eq!(text.parse::<Size>().unwrap().bytes(), bytes, "{text}");
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
        assert_eq!("64kib".parse::<Size>().unwrap_err().help, "write `64KiB`");
        assert!("2GiB".parse::<Size>().is_err());
        assert!("1GiB".parse::<Size>().is_ok());
    }

    #[test]
    fn rates_are_read_and_written() {
        assert_eq!("100/m".parse::<Rate>().unwrap(), "100/1m".parse::<Rate>().unwrap());
        assert_eq!("5/5m".parse::<Rate>().unwrap().period.millis(), 300_000);
        assert_eq!("1000/1h".parse::<Rate>().unwrap().to_string(), "1000/1h");
        for text in
            ["", "100", "0/1m", "100/", "100/0s", "100/32d", "1.5/1s", "100/1m/1m", "-1/s", "9999999999/s"]
        {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
