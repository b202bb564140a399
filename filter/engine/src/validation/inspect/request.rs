//! Inspection of everything in a request but its body.

use std::borrow::Cow;

use super::classes::Classes;
use super::{Looking, judge};
use crate::intake::percent::{self, Plus};
use crate::intake::request::Request;
use crate::pipeline::Room;
use crate::refusal::Refusal;
use crate::trace::Trace;
use crate::validation::plan::InspectionPlan;

impl From<&InspectionPlan> for Looking {
    fn from(plan: &InspectionPlan) -> Self {
        Self { sqli: plan.sqli, xss: plan.xss, traversal: plan.traversal }
    }
}

/// Inspects path, query, cookies and headers, as far as the plan says.
///
/// # Errors
/// The first attack found, with the place in the detail and never the value.
pub fn inspect_request(
    plan: &InspectionPlan,
    request: &Request<'_>,
    trace: &mut Trace,
) -> Result<(), Refusal> {
    let inspector = Inspector { looking: Looking::from(plan) };
    if !inspector.looking.for_anything() {
        trace.note(Room::Validation, "", || "nothing is inspected on this route".into());
        return Ok(());
    }
    if plan.path {
        inspector.path(request.path())?;
    }
    if plan.query {
        inspector.query(request.query().unwrap_or(""))?;
    }
    let mut headers = 0;
    for (name, value) in request.headers().iter() {
        if plan.cookies && name == b"cookie" {
            inspector.cookies(value)?;
        }
        if plan.headers.iter().any(|wanted| wanted.as_bytes() == name) {
            headers += 1;
            if name == b"referer" && inspector.referer(value)? {
                continue;
            }
            inspector.judge(value, || format!("header `{}`", String::from_utf8_lossy(name)))?;
        }
    }
    trace.note(Room::Validation, "", || {
        let places = [(plan.path, "path"), (plan.query, "query"), (plan.cookies, "cookies")];
        let places: Vec<_> = places.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
        format!("inspected {} and {headers} header(s): no attack", places.join(", "))
    });
    Ok(())
}

struct Inspector {
    looking: Looking,
}

impl Inspector {
    fn judge(&self, value: &[u8], place: impl FnOnce() -> String) -> Result<(), Refusal> {
        match judge(value, Classes::of(value), &self.looking) {
            None => Ok(()),
            Some(attack) => Err(Refusal::new(attack.reason(), format!("{} in {}", attack.name(), place()))),
        }
    }

    /// Each decoded segment, and the decoded path as a whole: an attack may span segments.
    fn path(&self, path: &str) -> Result<(), Refusal> {
        if path.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'-' | b'_' | b'.')) {
            // The canonical path has no dot segments left: only a system file can be named in it.
            return self.judge_path(path.as_bytes());
        }
        for (position, segment) in path.split('/').enumerate().skip(1) {
            let decoded = percent_decoded(segment, Plus::Plus);
            self.judge(&decoded, || format!("path segment {position}"))?;
        }
        self.judge_path(&percent_decoded(path, Plus::Plus))
    }

    fn judge_path(&self, path: &[u8]) -> Result<(), Refusal> {
        // A path as a whole is judged for files only: its slashes would read as SQL division.
        let looking = Looking { traversal: self.looking.traversal, ..Looking::default() };
        Inspector { looking }.judge(path, || "the path".into())
    }

    fn query(&self, query: &str) -> Result<(), Refusal> {
        for (position, parameter) in query.split('&').enumerate() {
            let (name, value) = match parameter.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (parameter, None),
            };
            self.judge(&percent_decoded(name, Plus::Space), || {
                format!("the name of query parameter {}", position + 1)
            })?;
            if let Some(value) = value {
                self.judge(&percent_decoded(value, Plus::Space), || {
                    format!("query parameter {} ({})", position + 1, shown(name.as_bytes()))
                })?;
            }
        }
        Ok(())
    }

    /// A referer is a URL, whose parts are judged one by one: faster than the whole, and nearer to what
    /// whoever parses it will see. False if it is no URL.
    fn referer(&self, value: &[u8]) -> Result<bool, Refusal> {
        let Some(url) = std::str::from_utf8(value).ok().filter(|v| v.is_ascii()) else { return Ok(false) };
        let Some((scheme, rest)) = url.split_once("://") else { return Ok(false) };
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:%/+,@".contains(&b);
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        if !scheme.bytes().all(|b| b.is_ascii_alphabetic()) || !address.bytes().all(plain) {
            return Ok(false);
        }
        self.judge_path(&percent_decoded(address, Plus::Plus))?;
        for segment in address.split('/') {
            self.judge(&percent_decoded(segment, Plus::Plus), || "header `referer`".into())?;
        }
        for part in query.split(['&', '=', '#']) {
            self.judge(&percent_decoded(part, Plus::Space), || "header `referer`".into())?;
        }
        Ok(true)
    }

    fn cookies(&self, header: &[u8]) -> Result<(), Refusal> {
        for (position, cookie) in header.split(|b| *b == b';').enumerate() {
            let cookie = cookie.trim_ascii();
            let at = cookie.iter().position(|b| *b == b'=');
            let name = cookie.get(..at.unwrap_or(cookie.len())).unwrap_or(b"");
            self.judge(name, || format!("the name of cookie {}", position + 1))?;
            if let Some(value) = at.and_then(|at| cookie.get(at + 1..)) {
                self.judge(value, || format!("cookie {} ({})", position + 1, shown(name)))?;
            }
        }
        Ok(())
    }
}

/// A name as operators may see it: short, and nothing in it that could forge a log line.
fn shown(name: &[u8]) -> String {
    let plain = name.iter().all(|b| b.is_ascii_alphanumeric() || b"_-.[]".contains(b));
    if plain && name.len() <= 64 { String::from_utf8_lossy(name).into_owned() } else { "odd name".into() }
}

/// Decodes percent-encoding once; `+` is a space in queries. Intake has refused malformed encodings.
fn percent_decoded(text: &str, plus: Plus) -> Cow<'_, [u8]> {
    percent::decode(text.as_bytes(), plus).unwrap_or(Cow::Borrowed(text.as_bytes()))
}
