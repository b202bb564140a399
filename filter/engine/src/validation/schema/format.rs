//! The values of `format` that are checked, each by the letter of its standard.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::program::Format;

/// Whether a text is in a format.
pub(super) fn is(format: Format, text: &str) -> bool {
    match format {
        Format::DateTime => is_date_time(text),
        Format::Date => is_date(text),
        Format::Time => is_time(text),
        Format::Duration => is_duration(text),
        Format::Email => is_email(text),
        Format::Hostname => is_hostname(text),
        Format::Ipv4 => text.parse::<Ipv4Addr>().is_ok(),
        Format::Ipv6 => text.parse::<Ipv6Addr>().is_ok(),
        Format::Uri => is_uri(text, true),
        Format::UriReference => is_uri(text, false),
        Format::Uuid => is_uuid(text),
        Format::JsonPointer => is_json_pointer(text),
        Format::RelativeJsonPointer => is_relative_json_pointer(text),
        Format::Byte => is_base64(text),
    }
}

/// The name of a format, as schemas write it.
pub(super) const fn name(format: Format) -> &'static str {
    match format {
        Format::DateTime => "date-time",
        Format::Date => "date",
        Format::Time => "time",
        Format::Duration => "duration",
        Format::Email => "email",
        Format::Hostname => "hostname",
        Format::Ipv4 => "ipv4",
        Format::Ipv6 => "ipv6",
        Format::Uri => "uri",
        Format::UriReference => "uri-reference",
        Format::Uuid => "uuid",
        Format::JsonPointer => "json-pointer",
        Format::RelativeJsonPointer => "relative-json-pointer",
        Format::Byte => "byte",
    }
}

/// Takes a number of exactly so many digits from the front.
fn digits(text: &str, count: usize) -> Option<(u32, &str)> {
    let head = text.get(..count)?;
    if !head.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((head.parse().ok()?, text.get(count..)?))
}

/// RFC 3339, `full-date`, with the days each month has.
fn date(text: &str) -> Option<&str> {
    let (year, rest) = digits(text, 4)?;
    let (month, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let (day, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    (1..=days).contains(&day).then_some(rest)
}

fn is_date(text: &str) -> bool {
    date(text) == Some("")
}

/// RFC 3339, `full-time`. A 61st second is one only at the end of a UTC day (section 5.7).
fn is_time(text: &str) -> bool {
    let parse = || {
        let (hour, rest) = digits(text, 2)?;
        let (minute, rest) = digits(rest.strip_prefix(':')?, 2)?;
        let (second, rest) = digits(rest.strip_prefix(':')?, 2)?;
        let rest = match rest.strip_prefix('.') {
            None => rest,
            Some(fraction) => {
                let end = fraction.bytes().take_while(u8::is_ascii_digit).count();
                if end == 0 {
                    return None;
                }
                fraction.get(end..)?
            }
        };
        let offset = match rest.as_bytes().first()? {
            b'z' | b'Z' if rest.len() == 1 => 0,
            sign @ (b'+' | b'-') => {
                let (hours, rest) = digits(rest.get(1..)?, 2)?;
                let (minutes, rest) = digits(rest.strip_prefix(':')?, 2)?;
                if hours > 23 || minutes > 59 || !rest.is_empty() {
                    return None;
                }
                let offset = i64::from(hours * 60 + minutes);
                if *sign == b'+' { offset } else { -offset }
            }
            _ => return None,
        };
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let utc = (i64::from(hour * 60 + minute) - offset).rem_euclid(24 * 60);
        (second < 60 || utc == 24 * 60 - 1).then_some(())
    };
    parse().is_some()
}

fn is_date_time(text: &str) -> bool {
    date(text).and_then(|rest| rest.strip_prefix(['T', 't'])).is_some_and(is_time)
}

/// RFC 3339, appendix A: units in order, none left out in between, weeks alone.
fn is_duration(text: &str) -> bool {
    fn units(text: &str, names: &str) -> Option<usize> {
        let mut rest = text;
        let mut last = None;
        let mut count = 0;
        while !rest.is_empty() {
            let end = rest.bytes().take_while(u8::is_ascii_digit).count();
            if end == 0 {
                return None;
            }
            let unit = rest.get(end..)?.chars().next()?;
            let position = names.find(unit)?;
            if last.is_some_and(|last| position != last + 1) {
                return None;
            }
            last = Some(position);
            rest = rest.get(end + 1..)?;
            count += 1;
        }
        Some(count)
    }
    let Some(rest) = text.strip_prefix('P') else { return false };
    if rest.ends_with('W') {
        return units(rest, "W") == Some(1);
    }
    match rest.split_once('T') {
        None => units(rest, "YMD").is_some_and(|n| n > 0),
        Some((date, time)) => units(date, "YMD").is_some() && units(time, "HMS").is_some_and(|n| n > 0),
    }
}

/// RFC 5321, `Mailbox`.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let local_ok = match local.strip_prefix('"').and_then(|l| l.strip_suffix('"')) {
        Some(quoted) => is_quoted(quoted),
        None => {
            let atom = |a: &str| {
                !a.is_empty()
                    && a.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b))
            };
            local.split('.').all(atom)
        }
    };
    let domain_ok = match domain.strip_prefix('[').and_then(|d| d.strip_suffix(']')) {
        Some(literal) => match literal.strip_prefix("IPv6:") {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => literal.parse::<Ipv4Addr>().is_ok(),
        },
        None => is_hostname(domain),
    };
    local.len() <= 64 && local_ok && domain_ok
}

fn is_quoted(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let good = match byte {
            b'\\' => bytes.next().is_some_and(|b| (b' '..=b'~').contains(&b)),
            b'"' => false,
            other => (b' '..=b'~').contains(&other),
        };
        if !good {
            return false;
        }
    }
    true
}

/// RFC 1123, section 2.1. A label with hyphens in its third and fourth place is an A-label (RFC 5891) and
/// must at least look like one.
fn is_hostname(text: &str) -> bool {
    let label = |label: &str| {
        let plain = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let edges = !label.starts_with('-') && !label.ends_with('-');
        let reserved = label.get(2..4) == Some("--")
            && !(label.get(..4).is_some_and(|p| p.eq_ignore_ascii_case("xn--")) && label.len() > 5);
        (1..=63).contains(&label.len()) && plain && edges && !reserved
    };
    text.len() <= 253 && text.split('.').all(label)
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(position, byte)| match position {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn is_json_pointer(text: &str) -> bool {
    if !text.is_empty() && !text.starts_with('/') {
        return false;
    }
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'~' && !matches!(bytes.next(), Some(b'0' | b'1')) {
            return false;
        }
    }
    true
}

fn is_relative_json_pointer(text: &str) -> bool {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    let (Some(up), Some(rest)) = (text.get(..end), text.get(end..)) else { return false };
    let number = up == "0" || (!up.is_empty() && !up.starts_with('0'));
    number && (rest == "#" || is_json_pointer(rest))
}

/// RFC 4648, section 4, padded: what OpenAPI calls `byte`.
fn is_base64(text: &str) -> bool {
    let digits = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
    text.len().is_multiple_of(4)
        && digits.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
}

/// RFC 3986: a URI, or with `absolute` false a relative reference too.
fn is_uri(text: &str, absolute: bool) -> bool {
    let (rest, fragment) = split_first(text, '#');
    let (rest, query) = split_first(rest, '?');
    let scheme = rest.split_once(':').filter(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    });
    let hierarchy = match scheme {
        Some((_, rest)) => rest,
        None if absolute => return false,
        // A relative path may not have a colon in its first segment, or it would read as a scheme.
        None if rest.split('/').next().is_some_and(|first| first.contains(':')) => return false,
        None => rest,
    };
    let path = match hierarchy.strip_prefix("//") {
        None => hierarchy,
        Some(after) => {
            let end = after.find('/').unwrap_or(after.len());
            let (Some(authority), Some(path)) = (after.get(..end), after.get(end..)) else { return false };
            if !is_authority(authority) {
                return false;
            }
            path
        }
    };
    is_encoded(path, b":@/")
        && query.is_none_or(|q| is_encoded(q, b":@/?"))
        && fragment.is_none_or(|f| is_encoded(f, b":@/?"))
}

fn split_first(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

fn is_authority(text: &str) -> bool {
    let (user, host) = match text.rsplit_once('@') {
        Some((user, host)) => (user, host),
        None => ("", text),
    };
    let (host, port) = match host.strip_prefix('[') {
        Some(literal) => {
            let Some((address, after)) = literal.split_once(']') else { return false };
            let future =
                address.strip_prefix(['v', 'V']).and_then(|f| f.split_once('.')).is_some_and(|(v, rest)| {
                    !v.is_empty()
                        && v.bytes().all(|b| b.is_ascii_hexdigit())
                        && !rest.is_empty()
                        && is_encoded(rest, b":")
                        && !rest.contains('%')
                });
            if address.parse::<Ipv6Addr>().is_err() && !future {
                return false;
            }
            match after.strip_prefix(':') {
                Some(port) => ("", port),
                None if after.is_empty() => ("", ""),
                None => return false,
            }
        }
        None => host.split_once(':').unwrap_or((host, "")),
    };
    is_encoded(user, b":") && is_encoded(host, b"") && port.bytes().all(|b| b.is_ascii_digit())
}

/// Whether a text is made of unreserved characters, sub-delimiters, percent-encodings and `more`.
fn is_encoded(text: &str, more: &[u8]) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let good = match byte {
            b'%' => [bytes.next(), bytes.next()].iter().all(|b| b.is_some_and(|b| b.is_ascii_hexdigit())),
            other => {
                other.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&other) || more.contains(&other)
            }
        };
        if !good {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_has_its_nearest_miss() {
        use Format::{
            Byte, Date, DateTime, Duration, Email, Hostname, Ipv4, Ipv6, JsonPointer, RelativeJsonPointer,
            Time, Uri, UriReference, Uuid,
        };
        for (format, good, bad) in [
            (DateTime, "2026-11-20T18:44:32Z", "2026-11-20T18:44:32"),
            (DateTime, "2026-11-20t18:44:32.123456+01:00", "2026-11-20 18:44:32Z"),
            (DateTime, "1998-12-31T23:59:60Z", "1998-12-31T22:59:60Z"),
            (DateTime, "1998-12-31T15:59:60-08:00", "1998-12-31T15:59:60-07:00"),
            (Date, "2024-02-29", "2023-02-29"),
            (Date, "2000-02-29", "1900-02-29"),
            (Date, "2026-04-30", "2026-04-31"),
            (Date, "2026-12-01", "2026-13-01"),
            (Date, "2026-12-01", "2026-12-1"),
            (Time, "23:59:59z", "24:00:00Z"),
            (Time, "10:00:00.5Z", "10:00:00.Z"),
            (Duration, "P1Y2M3DT4H5M6S", "P1YT"),
            (Duration, "P4W", "P4W1D"),
            (Duration, "PT1H", "P1H"),
            (Duration, "P1Y2M", "P1Y3D"),
            (Email, "o'brien+tag@example.com", "o'brien@"),
            (Email, "\"a b\"@example.com", "a b@example.com"),
            (Email, "a@[127.0.0.1]", "a@[127.0.0.256]"),
            (Email, "a.b@example.com", "a..b@example.com"),
            (Hostname, "a-b.example.com", "a-.example.com"),
            (Hostname, "xn--4gbwdl.xn--wgbh1c", "ab--c"),
            (Ipv4, "127.0.0.1", "127.0.0.01"),
            (Ipv6, "::1", ":::1"),
            (Ipv6, "::ffff:1.2.3.4", "fe80::1%eth0"),
            (Uri, "https://u@[::1]:80/a%20b?c=d#e", "/relative"),
            (Uri, "urn:isbn:12", "http://a b"),
            (UriReference, "a/b?c#d", "1:a"),
            (UriReference, "", "\\a"),
            (Uuid, "2EB8AA08-aa98-11ea-b4aa-73b441d16380", "2eb8aa08aa98-11ea-b4aa-73b441d16380-"),
            (JsonPointer, "/a~0~1/b", "/a~2"),
            (RelativeJsonPointer, "0#", "01"),
            (RelativeJsonPointer, "2/a", "-1/a"),
            (Byte, "aGVsbG8=", "aGVsbG8"),
        ] {
            assert!(is(format, good), "{} {good}", name(format));
            assert!(!is(format, bad), "{} {bad}", name(format));
        }
    }
}
