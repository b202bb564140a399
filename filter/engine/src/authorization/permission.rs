//! Permissions: what is granted, what is required, and when one covers the other.

use crate::intake::percent::{Plus, decode_text};

/// A permission as it is granted: `*`, `type:*`, `type:action`, `type:action:resource`.
///
/// `*` stands for a whole segment and nothing less. A grant without a resource covers every resource; a
/// grant with a resource covers that one only, and not a requirement that names none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    kind: Option<Box<str>>,
    action: Option<Box<str>>,
    resource: Option<Box<str>>,
}

impl Grant {
    /// Reads a grant.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self { kind: None, action: None, resource: None });
        }
        let (kind, action, resource) = split(text)?;
        let action = action.ok_or_else(|| {
            format!("`{text}`: a permission is `*`, `type:action` or `type:action:resource`")
        })?;
        let some = |segment: &str| (segment != "*").then(|| segment.into());
        Ok(Self { kind: some(kind), action: some(action), resource: resource.and_then(some) })
    }

    /// Whether kind and action are covered.
    fn covers_operation(&self, requirement: &Requirement) -> bool {
        let fits =
            |granted: &Option<Box<str>>, required: &str| granted.as_deref().is_none_or(|g| g == required);
        fits(&self.kind, &requirement.kind) && fits(&self.action, &requirement.action)
    }

    /// How a requirement is covered: not at all, whatever the resource, or for one resource.
    pub(super) fn cover(&self, requirement: &Requirement) -> Cover<'_> {
        match (&self.resource, &requirement.resource) {
            _ if !self.covers_operation(requirement) => Cover::No,
            (None, _) => Cover::Always,
            (Some(resource), Some(_)) => Cover::Resource(resource),
            (Some(_), None) => Cover::No,
        }
    }
}

/// How a grant covers a requirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cover<'g> {
    No,
    Always,
    Resource(&'g str),
}

/// A permission as a route requires it: `type:action`, or `type:action:resource` where the resource may
/// have `{parameter}` of the route in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    kind: Box<str>,
    action: Box<str>,
    resource: Option<Vec<Piece>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    Parameter(Box<str>),
}

impl Requirement {
    /// Reads a requirement.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (kind, action, resource) = split(text)?;
        let action = action.ok_or_else(|| {
            format!("`{text}`: a required permission is `type:action` or `type:action:resource`")
        })?;
        if [kind, action].iter().any(|s| s.contains(['{', '}', '*']))
            || resource.is_some_and(|r| r.contains('*'))
        {
            return Err(format!(
                "`{text}`: a required permission has no `*`, and `{{parameter}}` only in the resource"
            ));
        }
        let resource = resource.map(|r| pieces(text, r)).transpose()?;
        Ok(Self { kind: kind.into(), action: action.into(), resource })
    }

    /// The route parameters that the resource needs.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.resource.iter().flatten().filter_map(|p| match p {
            Piece::Parameter(name) => Some(&**name),
            Piece::Text(_) => None,
        })
    }

    /// The resource of one request: parameters filled in, decoded. `None` if the requirement has no resource
    /// or a parameter has no value, and then no resource is covered.
    pub(super) fn resource<'p>(&self, parameter: impl Fn(&str) -> Option<&'p str>) -> Option<String> {
        let mut filled = String::new();
        for piece in self.resource.as_ref()? {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Parameter(name) => filled.push_str(&decode_text(parameter(name)?, Plus::Plus)?),
            }
        }
        Some(filled)
    }
}

/// Type, action and resource. The resource may have colons of its own.
fn split(text: &str) -> Result<(&str, Option<&str>, Option<&str>), String> {
    let mut parts = text.splitn(3, ':');
    let segments = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    let fine = |s: &str| !s.is_empty() && !s.bytes().any(|b| b.is_ascii_whitespace() || b.is_ascii_control());
    if !fine(segments.0) || ![segments.1, segments.2].into_iter().flatten().all(fine) {
        return Err(format!("`{text}`: a permission's segments are not empty and have no spaces"));
    }
    Ok(segments)
}

fn pieces(text: &str, resource: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = resource;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, tail)) = after.split_once('}') else {
            return Err(format!("`{text}`: `{{` without `}}`"));
        };
        if before.contains('}')
            || name.is_empty()
            || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        {
            return Err(format!("`{text}`: a parameter's name is letters, digits and `_`"));
        }
        if !before.is_empty() {
            pieces.push(Piece::Text(before.into()));
        }
        pieces.push(Piece::Parameter(name.into()));
        rest = tail;
    }
    if rest.contains('}') {
        return Err(format!("`{text}`: `}}` without `{{`"));
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.into()));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(grant: &str, requirement: &str) -> bool {
        let (grant, requirement) = (Grant::parse(grant).unwrap(), Requirement::parse(requirement).unwrap());
        match grant.cover(&requirement) {
            Cover::No => false,
            Cover::Always => true,
            Cover::Resource(resource) => requirement.resource(|_| Some("7")).as_deref() == Some(resource),
        }
    }

    #[test]
    fn what_covers_what() {
        for (grant, requirement) in [
            ("*", "device:read"),
            ("*", "device:read:{id}"),
            ("device:*", "device:read"),
            ("device:*", "device:read:{id}"),
            ("*:read", "device:read"),
            ("device:read", "device:read"),
            ("device:read", "device:read:{id}"),
            ("device:read:*", "device:read:{id}"),
            ("device:read:*", "device:read"),
            ("device:read:7", "device:read:{id}"),
            ("device:*:7", "device:read:{id}"),
            ("device:read:a:7", "device:read:a:{id}"),
        ] {
            assert!(covers(grant, requirement), "{grant} covers {requirement}");
        }
        for (grant, requirement) in [
            ("device:write", "device:read"),
            ("devices:*", "device:read"),
            ("device:read:7", "device:read"),
            ("device:read:8", "device:read:{id}"),
            ("device:read:77", "device:read:{id}"),
            ("*:read:8", "device:read:{id}"),
            ("Device:read", "device:read"),
            ("device:rea", "device:read"),
            ("device:read*", "device:read"),
        ] {
            assert!(!covers(grant, requirement), "{grant} does not cover {requirement}");
        }
    }

    #[test]
    fn what_is_no_permission() {
        for bad in ["", "device", ":", "a:", ":b", "a::c", "a:b:", "a b:c"] {
            assert!(Grant::parse(bad).is_err(), "{bad}");
        }
        for bad in ["*", "a:*", "{x}:read", "a:b:*", "a:b:{", "a:b:}", "a:b:{}", "a:b:{x y}", "a:b:{{x}}"] {
            assert!(Requirement::parse(bad).is_err(), "{bad}");
        }
        let requirement = Requirement::parse("order:read:{org}/{id}").unwrap();
        assert_eq!(requirement.parameters().collect::<Vec<_>>(), ["org", "id"]);
    }

    #[test]
    fn a_parameter_is_compared_decoded() {
        let requirement = Requirement::parse("a:b:{id}").unwrap();
        assert_eq!(requirement.resource(|_| Some("caf%C3%A9")).as_deref(), Some("café"));
        assert_eq!(requirement.resource(|_| None), None);
    }
}
