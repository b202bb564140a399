//! Moments, written as RFC 3339 writes them, in UTC.

use std::fmt;
use std::str::FromStr;

use crate::text::{Problem, text_type};

/// 1 January 10000, in seconds since 1970.
const END: u64 = 253_402_300_800;

const DAY: u64 = 86_400;

text_type! {
    /// A moment in UTC, to the second (RFC 3339): `2027-01-31T12:00:00Z`.
    Moment, "bartizan-moment", r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$", ["2027-01-31T12:00:00Z"]
}

/// A moment from 1970 to 9999, in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    seconds: u64,
}

impl Moment {
    /// A moment by its seconds since 1970, if it is before the year 10000.
    #[must_use]
    pub const fn of_seconds(seconds: u64) -> Option<Self> {
        if seconds < END { Some(Self { seconds }) } else { None }
    }

    /// The seconds since 1970, without leap seconds.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.seconds
    }
}

impl FromStr for Moment {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let shape = || {
            Problem::new(
                format!("`{text}` is not a moment"),
                "write it in UTC, to the second: `2027-01-31T12:00:00Z`",
            )
        };
        let (date, time) = text.strip_suffix('Z').and_then(|text| text.split_once('T')).ok_or_else(shape)?;
        let [year, month, day] = numbers(date, '-', [4, 2, 2]).ok_or_else(shape)?;
        let [hour, minute, second] = numbers(time, ':', [2, 2, 2]).ok_or_else(shape)?;
        let exists = (1970..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_in(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        if !exists {
            return Err(Problem::new(
                format!("there is no moment `{text}`"),
                "use a date of the calendar from 1970 on, and a time of day up to 23:59:59",
            ));
        }
        let days = days_before(year, month).saturating_add(day.saturating_sub(1));
        Ok(Self { seconds: days * DAY + hour * 3600 + minute * 60 + second })
    }
}

/// Three numbers of so many digits each.
fn numbers(text: &str, between: char, lengths: [usize; 3]) -> Option<[u64; 3]> {
    let mut found = text.split(between).zip(lengths).map(|(part, length)| {
        let good = part.len() == length && part.bytes().all(|b| b.is_ascii_digit());
        good.then(|| part.parse().ok()).flatten()
    });
    let three = [found.next()??, found.next()??, found.next()??];
    (text.split(between).count() == 3).then_some(three)
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn days_in(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The days from 1970 to the first of a month.
fn days_before(year: u64, month: u64) -> u64 {
    let years = year.saturating_sub(1970);
    // The leap years from 1970 up to a year: every fourth, without the centuries but those that 400 divides.
    let leaps = |year: u64| year / 4 - year / 100 + year / 400;
    let before = years * 365 + leaps(year.saturating_sub(1)).saturating_sub(leaps(1969));
    (1..month).fold(before, |days, month| days + days_in(year, month))
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut days, time) = (self.seconds / DAY, self.seconds % DAY);
        let mut year = 1970 + days / 366;
        while days_before(year.saturating_add(1), 1) <= days {
            year = year.saturating_add(1);
        }
        days = days.saturating_sub(days_before(year, 1));
        let mut month = 1;
        while days >= days_in(year, month) && month < 12 {
            days = days.saturating_sub(days_in(year, month));
            month = month.saturating_add(1);
        }
        let day = days.saturating_add(1);
        let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_counted_as_everybody_counts_them() {
        // date -u -d @SECONDS +%FT%TZ
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59Z", 951_868_799),
            ("2000-03-01T00:00:00Z", 951_868_800),
            ("2027-01-15T08:00:00Z", 1_800_000_000),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
            ("9999-12-31T23:59:59Z", END - 1),
        ] {
            assert_eq!(text.parse::<Moment>().map(Moment::seconds), Ok(seconds), "{text}");
            assert_eq!(Moment::of_seconds(seconds).unwrap().to_string(), text);
        }
        assert_eq!(Moment::of_seconds(END), None);
    }

    #[test]
    fn every_day_is_written_and_read_back() {
        for day in 0..END / DAY {
            let moment = Moment::of_seconds(day * DAY + day % DAY).unwrap();
            assert_eq!(moment.to_string().parse(), Ok(moment));
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "Z",
            "T",
            "2027-01-31",
            "2027-01-31T12:00Z",
            "2027-01-31T12:00:00",
            "2027-01-31T12:00:00+01:00",
            "2027-01-31t12:00:00Z",
            "2027-01-31T12:00:00.5Z",
            "2027-1-31T12:00:00Z",
            "2027-01-31T12:00:00ZZ",
            "2027-02-29T12:00:00Z",
            "2027-13-01T12:00:00Z",
            "2027-00-01T12:00:00Z",
            "2027-01-00T12:00:00Z",
            "2027-01-31T24:00:00Z",
            "2027-01-31T12:60:00Z",
            "2016-12-31T23:59:60Z",
            "1969-12-31T23:59:59Z",
            "+027-01-31T12:00:00Z",
            "2027-01-31-01T12:00:00Z",
            "2027-01-31T12:00:00:00Z",
            "２027-01-31T12:00:00Z",
        ] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }
}
