//! The dates of a token, and whether it is in force.

use serde_json::Value;

use crate::host::Now;

/// A `NumericDate` (RFC 7519, section 2), in nanoseconds since the Unix epoch; dates beyond the year 2554
/// count as that year.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NumericDate(u64);

impl NumericDate {
    /// A date given in whole seconds since the Unix epoch.
    pub(super) const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// Reads a JSON number. Milliseconds instead of seconds are a common mistake of issuers that makes a
    /// token last for 50,000 years; like everything after the year 9999 they are refused.
    pub(super) fn read(value: &Value) -> Result<Self, &'static str> {
        const YEAR_10000: u64 = 253_402_300_800;
        const MALFORMED: &str = "is not a date in seconds since 1970";
        let Value::Number(number) = value else { return Err(MALFORMED) };
        if let Some(seconds) = number.as_u64() {
            return if seconds < YEAR_10000 {
                Ok(Self(seconds.saturating_mul(1_000_000_000)))
            } else {
                Err(MALFORMED)
            };
        }
        match number.as_f64() {
            // The comparison is false for NaN. Below this bound whole seconds are exact in an f64, and the
            // conversion cannot lose its sign or range.
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "checked to be within 0..YEAR_10000; `as` saturates beyond the year 2554"
            )]
            Some(seconds) if seconds >= 0.0 && seconds < YEAR_10000 as f64 => {
                Ok(Self((seconds * 1e9) as u64))
            }
            _ => Err(MALFORMED),
        }
    }
}

/// Whether a token is in force, by its own dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InForce {
    Yes,
    NotYet,
    NoLonger,
}

/// RFC 7519, sections 4.1.4 and 4.1.5: valid from `nbf` on and before `exp`. Cached tokens are judged here
/// again on every request.
pub(super) fn in_force(
    expires_at: Option<NumericDate>,
    not_before: Option<NumericDate>,
    leeway_ns: u64,
    now: Now,
) -> InForce {
    if expires_at.is_some_and(|exp| now.nanos() >= exp.0.saturating_add(leeway_ns)) {
        InForce::NoLonger
    } else if not_before.is_some_and(|nbf| now.nanos().saturating_add(leeway_ns) < nbf.0) {
        InForce::NotYet
    } else {
        InForce::Yes
    }
}
