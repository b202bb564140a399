//! From method, host and path to the route, in time that does not depend on how many routes there are.
//!
//! A tree with one level per path segment. A literal segment beats a parameter, a parameter beats a rest.
//! Among routes of one template that take the method, a host named in full beats a wildcard, a wildcard
//! beats any host, and a route with methods beats one without; what counts is the pattern that the
//! request's host matched, not the best one of the route. Two routes that none of this tells apart are refused:
//! the order in which they stand in a plan means nothing. The tree has at most as many levels as the
//! longest template, so a request cannot make the walk deep.
//!
//! Many servers serve `/admin/` as `/admin`. A catch-all (`{rest...}`) therefore does not take a path that
//! with or without a slash at its end belongs to a stricter route: who writes both means to guard both.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use super::percent::{Plus, decode_text};
use crate::plan::{AccessPlan, PlanError, RoutePlan};

/// The most segments a template may have.
pub const MAX_SEGMENTS: usize = 64;

/// The most tree nodes one walk visits. Literal and parameter branches can both match, so a policy made for
/// the purpose could make a walk long; real policies need a handful.
const MAX_VISITS: usize = 4096;

/// The most different methods that the routes of a plan may name. The registry of HTTP has about forty.
const MAX_METHODS: usize = 63;

/// One segment of a path template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// A segment that must be exactly this, once decoded.
    Literal(String),
    /// `{name}`: any one segment that is not empty.
    Parameter(String),
    /// `{name...}`: everything that is left, at least one segment. Last only.
    Rest(String),
}

/// Reads a path template.
///
/// # Errors
/// A sentence for the operator.
pub fn parse_template(template: &str) -> Result<Vec<Segment>, String> {
    let Some(body) = template.strip_prefix('/') else {
        return Err("a path begins with `/`".into());
    };
    let mut segments = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    for part in body.split('/') {
        if matches!(segments.last(), Some(Segment::Rest(_))) {
            return Err("nothing may follow a `{name...}`".into());
        }
        let segment = match part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) {
            Some(name) => {
                let (name, rest) = name.strip_suffix("...").map_or((name, false), |n| (n, true));
                let fine = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
                if !fine {
                    return Err(format!("`{part}`: a parameter's name is letters, digits and `_`"));
                }
                if names.contains(&name) {
                    return Err(format!("the parameter `{name}` is there twice"));
                }
                names.push(name);
                if rest { Segment::Rest(name.to_owned()) } else { Segment::Parameter(name.to_owned()) }
            }
            None if part.contains(['{', '}']) => {
                return Err(format!("`{part}`: a parameter takes a whole segment, as in `/a/{{id}}/b`"));
            }
            None => Segment::Literal(literal(part)?),
        };
        segments.push(segment);
        if segments.len() > MAX_SEGMENTS {
            return Err(format!("more than {MAX_SEGMENTS} segments"));
        }
    }
    // A last empty segment is a trailing slash; anywhere else it could match no canonical path.
    let last = segments.len().saturating_sub(1);
    if segments.iter().take(last).any(|s| *s == Segment::Literal(String::new())) {
        return Err("an empty segment (`//`) matches no request, for doubled slashes are merged first".into());
    }
    Ok(segments)
}

/// A literal as requests will be compared with it: decoded, and with a canonical form at all.
fn literal(part: &str) -> Result<String, String> {
    let path = format!("/{part}");
    let canonical = super::path::canonical(path.as_bytes())
        .map_err(|_| format!("`{part}` is not a path segment that a request can have"))?;
    if !part.is_empty() && canonical == "/" {
        return Err(format!("`{part}` is a dot segment, which no request has"));
    }
    let segment = canonical.get(1..).unwrap_or_default();
    decode_text(segment, Plus::Plus)
        .map(std::borrow::Cow::into_owned)
        .ok_or_else(|| format!("`{part}` is not UTF-8"))
}

/// FNV-1a (draft-eastlake-fnv-17). The keys of the maps are the policy's, so a client cannot make them collide:
/// a keyed hash would cost a request more and protect nothing.
#[derive(Debug)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        // The table takes the top bits for its tags, and FNV mixes those least.
        self.0 ^ self.0.rotate_left(32)
    }
}

#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, usize, BuildHasherDefault<Fnv>>,
    parameter: Option<usize>,
    /// Routes whose template ends here, in the order they were written.
    ends: Vec<usize>,
    /// Routes whose template goes on with a rest.
    rests: Vec<usize>,
}

/// Where a template ends in the tree: the number of a node, and whether it goes on from there with a rest.
type End = (usize, bool);

/// Which methods of which hosts are taken where templates end. If two routes took the same requests and nothing but
/// their order told which of them holds, a reader of the plan who looks at the other one would see another policy.
#[derive(Debug, Default)]
struct Taken<'p> {
    /// The methods that routes name. The one with number `n` has bit `n + 1`; bit 0 is that of any method.
    methods: Vec<&'p str>,
    /// By end and host, which is empty for any: the methods of each route. No two of them have a bit in common.
    slots: BTreeMap<(End, &'p str), Vec<(u64, usize)>>,
}

impl<'p> Taken<'p> {
    fn take(&mut self, route: &'p RoutePlan, index: usize, end: End) -> Result<(), PlanError> {
        let Some(methods) = self.bits(&route.methods) else {
            let problem =
                format!("the routes name more than {MAX_METHODS} methods; name those that are used");
            return Err(PlanError::new(format!("routes[{index}].methods"), problem));
        };
        let any = route.hosts.is_empty().then_some("");
        for host in route.hosts.iter().map(String::as_str).chain(any) {
            let slot = self.slots.entry((end, host)).or_default();
            // A route that names a host or a method twice says nothing else than once.
            if slot.last().is_some_and(|(_, last)| *last == index) {
                continue;
            }
            if let Some((_, other)) = slot.iter().find(|(theirs, _)| *theirs & methods != 0) {
                let problem = format!(
                    "takes requests that routes[{other}] takes too, and only their order tells which of them holds; \
                     merge the two, or tell them apart by `methods` or `hosts`"
                );
                return Err(PlanError::new(format!("routes[{index}].path"), problem));
            }
            slot.push((methods, index));
        }
        Ok(())
    }

    /// A bit for each method; none if there are too many.
    fn bits(&mut self, methods: &'p [String]) -> Option<u64> {
        let mut bits = u64::from(methods.is_empty());
        for method in methods {
            let known = self.methods.iter().position(|known| known == method);
            let number = known.unwrap_or(self.methods.len());
            if known.is_none() {
                self.methods.push(method);
            }
            bits |= 1_u64.checked_shl(u32::try_from(number.saturating_add(1)).ok()?)?;
        }
        Some(bits)
    }
}

#[derive(Debug)]
struct Candidate {
    hosts: Vec<HostPattern>,
    methods: Vec<Box<str>>,
    access: AccessPlan,
}

impl Candidate {
    /// How specifically this route names the host, if it takes it at all.
    fn takes_host(&self, host: &str) -> Option<usize> {
        if self.hosts.is_empty() {
            return Some(0);
        }
        self.hosts.iter().filter(|pattern| pattern.matches(host)).map(HostPattern::rank).max()
    }

    /// Any method does not mean TRACE, which makes a server send back what it got: the identity headers
    /// that were added, and cookies that scripts may not read (RFC 9110, section 9.3.8).
    fn takes_method(&self, method: &str) -> bool {
        if self.methods.is_empty() { method != "TRACE" } else { self.methods.iter().any(|m| **m == *method) }
    }

    /// Whether this route lets in somebody whom the other one would not.
    fn is_laxer_than(&self, other: &Self) -> bool {
        match (&self.access, &other.access) {
            (_, AccessPlan::Public) | (AccessPlan::Permitted { .. }, AccessPlan::Authenticated) => false,
            (mine, theirs) => mine != theirs,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum HostPattern {
    /// `.example.com`: any host that ends so and has more before it.
    Suffix(Box<str>),
    Exact(Box<str>),
}

impl HostPattern {
    fn parse(pattern: &str) -> Self {
        match pattern.strip_prefix('*') {
            Some(suffix) => Self::Suffix(suffix.into()),
            None => Self::Exact(pattern.into()),
        }
    }

    fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(exact) => host == &**exact,
            Self::Suffix(suffix) => host.len() > suffix.len() && host.ends_with(&**suffix),
        }
    }

    /// Higher is more specific.
    fn rank(&self) -> usize {
        match self {
            Self::Exact(_) => usize::MAX,
            Self::Suffix(suffix) => suffix.len(),
        }
    }
}

/// What the table says of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// The index of the route.
    Route(usize),
    /// The path is known, the method is not; these are, in the form of an `Allow` header.
    OtherMethods(String),
    /// A catch-all takes it, but for a slash at its end it is a stricter route's.
    Shadowed,
    /// No route.
    Nothing,
}

/// The routing table.
#[derive(Debug)]
pub struct Routes {
    nodes: Vec<Node>,
    candidates: Vec<Candidate>,
}

impl Routes {
    /// Builds the table.
    ///
    /// # Errors
    /// When a template, host or method is not what the compiler would have written, or two routes take the same
    /// requests and neither does so more specifically.
    pub fn build(routes: &[RoutePlan]) -> Result<Self, PlanError> {
        let mut table = Self { nodes: vec![Node::default()], candidates: Vec::with_capacity(routes.len()) };
        let mut taken = Taken::default();
        for (index, route) in routes.iter().enumerate() {
            let place = |field: &str| format!("routes[{index}].{field}");
            let segments = parse_template(&route.path).map_err(|e| PlanError::new(place("path"), e))?;
            for host in &route.hosts {
                let name = host.strip_prefix("*.").unwrap_or(host);
                if name.is_empty() || name.contains('*') || name.bytes().any(|b| b.is_ascii_uppercase()) {
                    return Err(PlanError::new(place("hosts"), format!("`{host}` is not a host pattern")));
                }
            }
            if let Some(bad) =
                route.methods.iter().find(|m| m.is_empty() || m.bytes().any(|b| b.is_ascii_lowercase()))
            {
                return Err(PlanError::new(place("methods"), format!("`{bad}` is not a method")));
            }
            table.candidates.push(Candidate {
                hosts: route.hosts.iter().map(|h| HostPattern::parse(h)).collect(),
                methods: route.methods.iter().map(|m| m.as_str().into()).collect(),
                access: route.access.clone(),
            });
            if let Some(end) = table.insert(&segments, index) {
                taken.take(route, index, end)?;
            }
        }
        Ok(table)
    }

    /// Puts a route where its template ends.
    fn insert(&mut self, segments: &[Segment], route: usize) -> Option<End> {
        let mut at = 0;
        for segment in segments {
            let fresh = self.nodes.len();
            let node = self.nodes.get_mut(at)?;
            at = match segment {
                Segment::Literal(text) => *node.literals.entry(text.as_str().into()).or_insert(fresh),
                Segment::Parameter(_) => *node.parameter.get_or_insert(fresh),
                Segment::Rest(_) => {
                    node.rests.push(route);
                    return Some((at, true));
                }
            };
            if at == fresh {
                self.nodes.push(Node::default());
            }
        }
        self.nodes.get_mut(at)?.ends.push(route);
        Some((at, false))
    }

    /// Finds the route for a canonical path.
    #[must_use]
    pub fn find(&self, method: &str, host: &str, path: &str) -> Found {
        let (found, by_rest) = self.walk(method, host, path);
        let Found::Route(route) = found else { return found };
        if !by_rest || path == "/" {
            return found;
        }
        let other = match path.strip_suffix('/') {
            Some(bare) => self.walk(method, host, bare),
            None => self.walk(method, host, &format!("{path}/")),
        };
        let shadowed = match other {
            (Found::Route(other), false) => {
                let pair = self.candidates.get(route).zip(self.candidates.get(other));
                pair.is_none_or(|(found, other)| found.is_laxer_than(other))
            }
            (Found::OtherMethods(_), false) => true,
            _ => false,
        };
        if shadowed { Found::Shadowed } else { found }
    }

    /// What the table says of a path, and whether a catch-all said it.
    fn walk(&self, method: &str, host: &str, path: &str) -> (Found, bool) {
        let mut walk = Walk { table: self, method, host, visits: 0, by_rest: false };
        let found = walk.descend(0, path.strip_prefix('/'));
        // A walk that was cut off may have left out a route that is stricter than what it found.
        if walk.visits > MAX_VISITS {
            return (Found::Nothing, false);
        }
        (found.unwrap_or(Found::Nothing), walk.by_rest)
    }
}

struct Walk<'t> {
    table: &'t Routes,
    method: &'t str,
    host: &'t str,
    visits: usize,
    by_rest: bool,
}

impl Walk<'_> {
    /// Tries the branches of a node, the most specific first. `rest` is what of the path is left, without
    /// its leading slash; `None` when nothing is.
    fn descend(&mut self, at: usize, rest: Option<&str>) -> Option<Found> {
        self.visits += 1;
        if self.visits > MAX_VISITS {
            return None;
        }
        let node = self.table.nodes.get(at)?;
        let Some(rest) = rest else { return self.choose(&node.ends) };
        let (segment, deeper) = match rest.split_once('/') {
            Some((segment, deeper)) => (segment, Some(deeper)),
            None => (rest, None),
        };
        if !node.literals.is_empty() {
            // INVARIANT: intake proved that every triplet is well-formed and decodes to UTF-8.
            let decoded = decode_text(segment, Plus::Plus)?;
            let found = node.literals.get(&*decoded).and_then(|next| self.descend(*next, deeper));
            if found.is_some() {
                return found;
            }
        }
        if let Some(next) = node.parameter.filter(|_| !segment.is_empty()) {
            let found = self.descend(next, deeper);
            if found.is_some() {
                return found;
            }
        }
        let found = self.choose(&node.rests);
        self.by_rest = found.is_some();
        found
    }

    /// Of the routes that take host and method, the one that names the host most specifically.
    fn choose(&self, routes: &[usize]) -> Option<Found> {
        let mut best: Option<((usize, bool), usize)> = None;
        let mut others: Vec<&str> = Vec::new();
        for &route in routes {
            let Some(candidate) = self.table.candidates.get(route) else { continue };
            let Some(rank) = candidate.takes_host(self.host) else { continue };
            if !candidate.takes_method(self.method) {
                others.extend(candidate.methods.iter().map(|m| &**m));
                continue;
            }
            let rank = (rank, !candidate.methods.is_empty());
            if best.is_none_or(|(before, _)| rank > before) {
                best = Some((rank, route));
            }
        }
        if let Some((_, route)) = best {
            return Some(Found::Route(route));
        }
        if others.is_empty() {
            return None;
        }
        others.sort_unstable();
        others.dedup();
        Some(Found::OtherMethods(others.join(", ")))
    }
}

#[cfg(test)]
#[path = "routes_tests.rs"]
mod tests;
