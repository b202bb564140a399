//! The last room: which headers upstream gets, and which ones the client.
//!
//! Everything that does not depend on the request is laid out when the plan is loaded; a request adds its
//! own edits (the canonical path, the verified identity, its rate limit) behind it.

mod aliases;
pub mod plan;

use std::rc::Rc;

use crate::plan::PlanError;
pub(crate) use aliases::{Aliases, reads_as};
use plan::{EditsPlan, HeadersPlan};

/// Headers by which some frameworks take another path than the one in the request line, and so than the one
/// that was judged.
pub(crate) const OTHER_PATHS: [&str; 2] = ["x-original-url", "x-rewrite-url"];

/// Headers by which an application may take another host than the one that routes were chosen by. Without a
/// trusted hop in front, only clients can have written them.
pub(crate) const OTHER_HOSTS: [&str; 2] = ["forwarded", "x-forwarded-host"];

/// One change of a header map. Names are lower-case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit<Text = Rc<str>> {
    /// Takes every value away.
    Remove(Text),
    /// Makes this the only value.
    Set(Text, Text),
    /// Adds a value to those that are there.
    Add(Text, Text),
}

impl Edit {
    /// The same, borrowed.
    #[must_use]
    pub fn borrowed(&self) -> Edit<&str> {
        match self {
            Self::Remove(name) => Edit::Remove(name),
            Self::Set(name, value) => Edit::Set(name, value),
            Self::Add(name, value) => Edit::Add(name, value),
        }
    }
}

/// The room, loaded.
#[derive(Debug)]
pub struct HeaderEdits {
    request: Vec<Edit>,
    response: Vec<Edit>,
}

/// Headers that belong to one hop or to the framing of a message: whoever edits them changes what the
/// message is.
const FRAMING: [&str; 9] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl HeaderEdits {
    /// Loads the room. `spoofable` are the headers in which a verified identity travels upstream: no
    /// client's copy ever gets there, on public routes neither.
    ///
    /// # Errors
    /// When a name or value is not one.
    pub fn load<'n>(plan: &HeadersPlan, spoofable: impl Iterator<Item = &'n str>) -> Result<Self, PlanError> {
        let mut request: Vec<Edit> = spoofable.map(|name| Edit::Remove(name.into())).collect();
        lay_out(&plan.request, "headers.request", &mut request)?;
        let mut response = Vec::new();
        lay_out(&plan.response, "headers.response", &mut response)?;
        Ok(Self { request, response })
    }

    /// Edits that every request gets.
    #[must_use]
    pub fn request(&self) -> &[Edit] {
        &self.request
    }

    /// The names that edits of requests speak of.
    pub(crate) fn named(&self) -> impl Iterator<Item = &str> {
        self.request.iter().map(|edit| match edit {
            Edit::Remove(name) | Edit::Set(name, _) | Edit::Add(name, _) => &**name,
        })
    }

    /// Edits that every response gets.
    #[must_use]
    pub fn response(&self) -> &[Edit] {
        &self.response
    }
}

fn lay_out(plan: &EditsPlan, place: &str, into: &mut Vec<Edit>) -> Result<(), PlanError> {
    let check = |name: &str, value: &str| match problem(name, value) {
        Some(problem) => Err(PlanError::new(place, format!("`{name}`: {problem}"))),
        None => Ok(()),
    };
    for name in &plan.remove {
        check(name, "")?;
        into.push(Edit::Remove(name.as_str().into()));
    }
    for (name, value) in &plan.set {
        check(name, value)?;
        into.push(Edit::Set(name.as_str().into(), value.as_str().into()));
    }
    for (name, value) in &plan.add {
        check(name, value)?;
        into.push(Edit::Add(name.as_str().into(), value.as_str().into()));
    }
    Ok(())
}

/// Why a policy may not edit this header so, if it may not.
#[must_use]
pub fn problem(name: &str, value: &str) -> Option<&'static str> {
    // A token (RFC 9110, section 5.1), in lower case.
    let token = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        return Some("not a header name in lower case");
    }
    if FRAMING.contains(&name) {
        return Some("this header belongs to the framing of the message");
    }
    if value.bytes().any(|b| (b < 0x20 && b != b'\t') || b >= 0x7f) {
        return Some("a header value has visible ASCII characters only");
    }
    (value.trim() != value).then_some("a header value has no spaces at its ends")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removals_come_first_so_that_a_set_value_stays() {
        let plan = HeadersPlan {
            request: EditsPlan {
                remove: vec!["x-a".into()],
                set: vec![("x-a".into(), "1".into())],
                add: vec![("x-b".into(), "2".into())],
            },
            response: EditsPlan::default(),
        };
        let edits = HeaderEdits::load(&plan, ["x-user"].into_iter()).unwrap();
        assert_eq!(
            edits.request(),
            [
                Edit::Remove("x-user".into()),
                Edit::Remove("x-a".into()),
                Edit::Set("x-a".into(), "1".into()),
                Edit::Add("x-b".into(), "2".into()),
            ]
        );
    }

    #[test]
    fn what_no_policy_may_edit() {
        for name in ["", "X-A", "x a", ":path", "content-length", "transfer-encoding", "host", "x\n"] {
            assert!(problem(name, "v").is_some(), "{name}");
        }
        for value in ["a\r\nb", "a\0", "é", " a", "a "] {
            assert!(problem("x-a", value).is_some(), "{value}");
        }
        assert_eq!(problem("x-a", "a b; c=\"d\""), None);
    }
}
