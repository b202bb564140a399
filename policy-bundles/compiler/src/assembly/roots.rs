//! Roots: what belongs to which part.
//!
//! Paths are compared segment by segment as the engine compares them, decoded. Two roots that differ only in the case
//! of letters overlap all the same: many servers do not see the difference.

use bartizan_engine::intake::routes::{Segment, parse_template};
use bartizan_spec::bundle::Bundle;
use bartizan_spec::parts::{PartOfBundle, Root};
use bartizan_spec::routes::Route;
use bartizan_spec::text::Host;

use crate::diagnostic::Report;
use crate::suggest;
use crate::yaml::Cursor;

/// The segments of a path; none for `/`, and none for one that the engine cannot read, which it refuses itself.
pub(super) fn segments(path: &str) -> Vec<Segment> {
    let segments = parse_template(path).unwrap_or_default();
    if segments == [Segment::Literal(String::new())] { Vec::new() } else { segments }
}

/// Checks what the bundle says of its parts. Whether all of it can be relied upon.
pub(super) fn check(bundle: &Bundle, at: Cursor<'_>, report: &mut Report) -> bool {
    let parts = &bundle.parts;
    let mut sound = true;
    for (index, part) in parts.iter().enumerate() {
        let here = at.item(index);
        let before = parts.get(..index).unwrap_or_default();
        if before.iter().any(|other| other.name == part.name) {
            let message = format!("there are two parts named `{}`", part.name);
            report.error("part-twice", here.get("name").span(), message, "give each a name of its own");
            sound = false;
        }
        for (index, word) in part.allow.iter().enumerate() {
            if part.allow.iter().take(index).any(|other| other == word) {
                let span = here.get("allow").item(index).span();
                report.error("listed-twice", span, "this is listed twice", "remove one of them");
            }
        }
        for (index, name) in part.limits.iter().enumerate() {
            let span = here.get("limits").item(index).span();
            if !bundle.limits.0.contains_key(name) {
                let known = bundle.limits.0.keys().map(|name| name.as_str());
                let help = suggest::remedy(name.as_str(), known, "limits");
                report.error(
                    "unknown-limit",
                    span,
                    format!("there is no limit `{name}` in the bundle"),
                    help,
                );
            } else if part.limits.iter().take(index).any(|other| other == name) {
                report.error("listed-twice", span, "this is listed twice", "remove one of them");
            }
        }
        let root = here.get("root");
        for (index, path) in part.root.paths.iter().enumerate() {
            let span = root.get("paths").item(index).span();
            let segments = segments(path.as_str());
            if segments.iter().any(|segment| !matches!(segment, Segment::Literal(_))) {
                report.error(
                    "root-template",
                    span,
                    format!("the root `{path}` has a parameter"),
                    "a root is a plain path, and everything below it belongs to it: `/shop`",
                );
                sound = false;
            } else if segments.last() == Some(&Segment::Literal(String::new())) {
                report.error(
                    "root-template",
                    span,
                    format!("the root `{path}` ends with a slash"),
                    format!(
                        "write `{}`, which stands for itself and everything below it",
                        path.as_str().trim_end_matches('/')
                    ),
                );
                sound = false;
            }
            if let Some((other, theirs)) = overlap(before, &part.root, path.as_str()) {
                let same = theirs == path.as_str();
                let message = match same {
                    true => format!("the root `{path}` belongs to the part `{other}` already"),
                    false => format!("the roots `{path}` and `{theirs}` (of the part `{other}`) overlap"),
                };
                report.error(
                    "roots-overlap",
                    span,
                    message,
                    "give each part paths of its own, or tell the two apart by `hosts`; case does not tell paths apart here",
                );
                sound = false;
            }
        }
    }
    sound
}

/// The part, and its path, with which this path of a root overlaps.
fn overlap<'p>(others: &'p [PartOfBundle], root: &Root, path: &str) -> Option<(&'p str, &'p str)> {
    let mine = folded(path);
    others.iter().filter(|other| hosts_meet(hosts(&other.root.hosts), hosts(&root.hosts))).find_map(|other| {
        let meets = |theirs: &str| {
            let theirs = folded(theirs);
            mine.iter().zip(&theirs).all(|(a, b)| a == b)
        };
        let path = other.root.paths.iter().find(|theirs| meets(theirs.as_str()))?;
        Some((other.name.as_str(), path.as_str()))
    })
}

/// The literals of a path, without case.
fn folded(path: &str) -> Vec<String> {
    let literals = segments(path).into_iter().filter_map(|segment| match segment {
        Segment::Literal(text) => Some(text.to_lowercase()),
        Segment::Parameter(_) | Segment::Rest(_) => None,
    });
    literals.collect()
}

pub(super) fn hosts(hosts: &Option<Vec<Host>>) -> &[Host] {
    hosts.as_deref().unwrap_or_default()
}

/// Whether there is a host that both take. None stands for any.
pub(super) fn hosts_meet(a: &[Host], b: &[Host]) -> bool {
    let meet = |a: &Host, b: &Host| covers(a, b) || covers(b, a);
    a.is_empty() || b.is_empty() || a.iter().any(|a| b.iter().any(|b| meet(a, b)))
}

/// Whether the first takes every host that the second takes.
fn covers(outer: &Host, inner: &Host) -> bool {
    match outer.as_str().strip_prefix('*') {
        // `*.example.com` takes `a.example.com` and `*.a.example.com`, and not `example.com`.
        Some(suffix) => {
            let inner = inner.as_str().trim_start_matches('*');
            outer.as_str().len() <= inner.len().saturating_add(1) && inner.ends_with(suffix)
        }
        None => outer == inner,
    }
}

/// Whether a route lies inside of the root of its part. Reported if not.
pub(super) fn contains(part: &PartOfBundle, route: &Route, at: Cursor<'_>, report: &mut Report) -> bool {
    let path = segments(route.path.as_str());
    let inside = part.root.paths.iter().any(|root| path.starts_with(&segments(root.as_str())));
    let roots: Vec<&str> = part.root.paths.iter().map(|path| path.as_str()).collect();
    if !inside {
        let near = |root: &&str| {
            let root = folded(root);
            let start: Vec<Option<String>> = path
                .iter()
                .take(root.len())
                .map(|segment| match segment {
                    Segment::Literal(text) => Some(text.to_lowercase()),
                    Segment::Parameter(_) | Segment::Rest(_) => None,
                })
                .collect();
            (start.iter().flatten().cloned().collect::<Vec<_>>() == root, start.contains(&None))
        };
        let (case, template) = roots.iter().map(near).fold((false, false), |a, b| (a.0 | b.0, a.1 | b.1));
        let why = match (case, template) {
            (true, _) => ": paths are compared letter by letter",
            (_, true) => ": a parameter stands where the root does, and would match paths of others",
            _ => "",
        };
        report.error(
            "part-outside",
            at.get("path").span(),
            format!("the path `{}` is outside of the root of the part `{}`{why}", route.path, part.name),
            format!(
                "its paths begin with {}; what lies elsewhere belongs to the bundle",
                suggest::list(&roots)
            ),
        );
    }
    let allowed = hosts(&part.root.hosts);
    let mut sound = inside;
    for (index, host) in hosts(&route.hosts).iter().enumerate() {
        if !allowed.is_empty() && !allowed.iter().any(|root| covers(root, host)) {
            let known: Vec<&str> = allowed.iter().map(|host| host.as_str()).collect();
            report.error(
                "part-outside",
                at.get("hosts").item(index).span(),
                format!("the host `{host}` is outside of the root of the part `{}`", part.name),
                format!("its hosts are {}", suggest::list(&known)),
            );
            sound = false;
        }
    }
    sound
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Host {
        text.parse().unwrap()
    }

    #[test]
    fn a_wildcard_takes_subdomains_and_nothing_else() {
        for (outer, inner, expected) in [
            ("a.com", "a.com", true),
            ("a.com", "b.a.com", false),
            ("*.a.com", "b.a.com", true),
            ("*.a.com", "c.b.a.com", true),
            ("*.a.com", "*.a.com", true),
            ("*.a.com", "*.b.a.com", true),
            ("*.b.a.com", "*.a.com", false),
            ("*.a.com", "a.com", false),
            ("*.a.com", "ba.com", false),
            ("b.a.com", "*.a.com", false),
        ] {
            assert_eq!(covers(&host(outer), &host(inner)), expected, "{outer} {inner}");
        }
        assert!(hosts_meet(&[host("*.a.com")], &[host("b.a.com")]));
        assert!(hosts_meet(&[host("b.a.com")], &[host("*.a.com")]));
        assert!(!hosts_meet(&[host("*.a.com")], &[host("a.com"), host("b.com")]));
        assert!(hosts_meet(&[], &[host("a.com")]));
    }
}
