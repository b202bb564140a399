//! A number of percent that somebody asks for: as it is written, and compared exactly.

use std::fmt;
use std::str::FromStr;

use bartizan_cases::coverage::Share;

/// Digits behind the point that are taken at most.
const DIGITS: usize = 6;

/// What 100 % is in the unit that is kept.
const WHOLE: u128 = 100_000_000;

/// From 0 to 100 %, in millionths of a percent: no fraction is rounded on its way to a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Percent {
    written: String,
    millionths: u128,
}

impl Percent {
    /// Whether a share is less than this.
    pub(super) fn is_above(&self, share: Share) -> bool {
        let wide = |n: usize| u128::try_from(n).unwrap_or(u128::MAX);
        // Of nothing everything was met.
        share.of > 0 && wide(share.met).saturating_mul(WHOLE) < wide(share.of).saturating_mul(self.millionths)
    }

    /// For programs.
    pub(super) fn number(&self) -> f64 {
        self.written.parse().unwrap_or_default()
    }
}

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a number from 0 to 100 such as `90` or `99.5`");
        let written = text.trim().trim_end_matches('%').trim_end();
        let (whole, part) = written.split_once('.').unwrap_or((written, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(part) || part.len() > DIGITS {
            return Err(wrong());
        }
        let millionths: u128 = format!("{whole}{part:0<DIGITS$}").parse().map_err(|_| wrong())?;
        if millionths > WHOLE {
            return Err(wrong());
        }
        Ok(Self { written: written.to_owned(), millionths })
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_compared_exactly() {
        let least = |text: &str| text.parse::<Percent>().unwrap();
        let share = |met, of| Share { met, of };
        assert!(least("100").is_above(share(1999, 2000)), "99.95 is not 100");
        assert!(!least("99.95").is_above(share(1999, 2000)));
        assert!(least("99.950001").is_above(share(1999, 2000)));
        assert!(!least("57.3 %").is_above(share(573, 1000)));
        assert!(least("33.333334").is_above(share(1, 3)) && !least("33.333333").is_above(share(1, 3)));
        assert!(!least("100").is_above(share(0, 0)));
        assert_eq!(least("90%").to_string(), "90 %");
    }

    #[test]
    fn what_is_no_percentage_is_refused() {
        for text in ["", "%", "x", "-1", "100.1", "101", "1e1", "NaN", "1.", ".5", "0.1234567", "1.-2"] {
            assert!(text.parse::<Percent>().is_err(), "{text}");
        }
    }
}
