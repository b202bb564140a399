//! Permissions, as roles grant them and routes require them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use super::{Problem, checked_text, refuse_unless, text_type};

checked_text! {
    /// A permission that is granted: `*`, `type:*`, `type:action` or `type:action:resource`.
    Grant, "bartizan-grant", "^(\\*|[^:\\s]+(:[^:\\s]+){1,2})$", ["device:read", "telemetry:*", "*"], |text| {
        if text == "*" {
            return Ok(());
        }
        let parts: Vec<&str> = text.split(':').collect();
        if let Some(part) = parts.iter().find(|part| part.contains('*') && **part != "*") {
            return Err(Problem::new(
                format!("`{part}` in the permission `{text}` is only partly a wildcard"),
                "`*` stands for a whole part: `device:*`, `device:read:*`",
            ));
        }
        if text.contains(['{', '}']) {
            return Err(Problem::new(
                format!("the granted permission `{text}` has a parameter"),
                "parameters belong in what a route requires; grant `type:action` or a certain resource",
            ));
        }
        permission(text, &parts, |part| part == "*" || is_permission_word(part))
    }
}

checked_text! {
    /// A permission that a route requires: `type:action` or `type:action:resource`, where the resource may
    /// have a `{parameter}` of the path.
    Requirement, "bartizan-requirement", "^[^:\\s*]+(:[^:\\s*]+){1,2}$", ["device:read", "device:read:{id}"], |text| {
        let parts: Vec<&str> = text.split(':').collect();
        if text.contains('*') {
            return Err(Problem::new(
                format!("the required permission `{text}` has a wildcard"),
                "name the one permission that is needed; wildcards belong in what roles grant",
            ));
        }
        for part in parts.iter().take(2) {
            if part.contains(['{', '}']) {
                return Err(Problem::new(
                    format!("the required permission `{text}` has a parameter outside its resource"),
                    "a client would choose its own permission; parameters stand only in the third part: `device:read:{id}`",
                ));
            }
        }
        permission(text, &parts, |part| placeholders(part).is_some())
    }
}

impl Requirement {
    /// The parameters in the resource, in order.
    #[must_use]
    pub fn parameters(&self) -> Vec<&str> {
        self.0.split(':').nth(2).and_then(placeholders).unwrap_or_default()
    }
}

fn permission(text: &str, parts: &[&str], good: impl Fn(&str) -> bool) -> Result<(), Problem> {
    let shape = (2..=3).contains(&parts.len()) && text.len() <= 256;
    refuse_unless(shape && parts.iter().all(|part| good(part)), || {
        Problem::new(
            format!("{text:?} is not a permission"),
            "write `type:action` or `type:action:resource` with letters, digits and `_ - . / @`: `device:read`",
        )
    })
}

fn is_permission_word(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./@".contains(&b))
}

/// The names of the `{parameters}` in a part, or nothing if the part is malformed.
fn placeholders(part: &str) -> Option<Vec<&str>> {
    if part.is_empty() {
        return None;
    }
    let mut names = Vec::new();
    let mut rest = part;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, tail) = after.split_once('}')?;
        let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
        if !plain || !(before.is_empty() || is_permission_word(before)) {
            return None;
        }
        names.push(name);
        rest = tail;
    }
    (rest.is_empty() || is_permission_word(rest)).then_some(names)
}
