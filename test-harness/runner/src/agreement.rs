//! Whether two places gave the same answer, also where no case looks.
//!
//! What a run alone has (its subject, its addresses, its tokens), what framing adds and what only a connection manager
//! writes are put aside first. Everything else counts: status, reason, every header and the body that the client gets, and
//! the whole request that upstream sees.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_json::Value;

use crate::deployment::Signatures;
use crate::expand::Run;
use crate::format::{Expect, Http};
use crate::judge::answered_by_proxy;
use crate::wire::{self, Lines, Observed, Wire};

/// Headers of framing and of the connection, which differ with the protocol and say nothing of the policy.
const FRAMING: [&str; 6] =
    ["connection", "content-length", "date", "host", "keep-alive", "transfer-encoding"];

/// Headers that count time: their numbers agree only where the clock is the same.
const CLOCKS: [&str; 6] = [
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
];

/// A header that is made of the time, and so says something else from moment to moment: only that it is there can agree.
const OF_THE_TIME: &str = "the header dpop-nonce";

/// Header values longer than this may have a token in them.
const LONG: usize = 40;

/// What matters of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// The proxy answered before the filter, as the case allows: there is nothing to compare.
    pub by_proxy: bool,
    /// What matters, by name.
    parts: BTreeMap<String, String>,
}

impl Sight {
    /// Takes from an observation what matters.
    #[must_use]
    pub fn of(wire: &Wire, expect: &Expect, observed: &Observed) -> Self {
        let mut parts = BTreeMap::new();
        let own = Own::of(wire);
        parts.insert("the status".into(), observed.status.to_string());
        let problem: Option<Value> = serde_json::from_slice(&observed.body).ok();
        if let Some(reason) = problem.as_ref().and_then(|problem| problem.get("reason")?.as_str()) {
            parts.insert("the reason".into(), reason.to_owned());
        }
        parts.insert("the body".into(), own.body(&observed.body, &wire.answer.body));
        own.headers("the header", &observed.headers, &mut parts);
        if let Some(seen) = &observed.upstream {
            let mut text = |name: &str, value: &[u8]| {
                parts.insert(format!("upstream's {name}"), own.value(value));
            };
            text("method", seen.method.as_bytes());
            text("path", &seen.path);
            text("host", &seen.host);
            parts.insert("upstream's body".into(), own.body(&seen.body, &wire.whole_body()));
            own.headers("upstream's header", &seen.headers, &mut parts);
            own.headers("upstream's trailer", &seen.trailers, &mut parts);
        }
        Self { by_proxy: answered_by_proxy(expect, observed), parts }
    }

    /// In what two answers differ, as sentences. `clocks` says that both places have the same clock.
    #[must_use]
    pub fn differences(&self, other: &Self, clocks: bool) -> Vec<String> {
        if self.by_proxy || other.by_proxy {
            return Vec::new();
        }
        let names: std::collections::BTreeSet<&String> =
            self.parts.keys().chain(other.parts.keys()).collect();
        let mut differences = Vec::new();
        for name in names {
            let counts = CLOCKS.iter().any(|clock| name.strip_prefix("the header ") == Some(clock));
            let value = |sight: &Self| {
                let value = sight.parts.get(name)?;
                Some(match (clocks, counts) {
                    (false, true) => without_numbers(value),
                    (false, false) if name == OF_THE_TIME => format!("{} bytes", value.len()),
                    _ => value.clone(),
                })
            };
            let (left, right) = (value(self), value(other));
            if left != right {
                let show =
                    |value: Option<String>| value.map_or("nothing".into(), |value| format!("`{value}`"));
                differences.push(format!("{name} is {} and {}", show(left), show(right)));
            }
        }
        differences
    }
}

/// What came back in one place, run by run.
#[derive(Debug, Clone, Default)]
pub struct Record {
    runs: BTreeMap<Key, Vec<Sight>>,
    /// Why a run is not there.
    left_out: BTreeMap<Key, String>,
    /// Runs that cannot be told from another one, so that only one of them is compared.
    twins: Vec<String>,
}

/// A run by its label, the version of HTTP and the signature path; natively there is neither.
type Key = (String, Option<Http>, Option<Signatures>);

/// Two records, compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Agreement {
    /// Runs that both have.
    pub runs: usize,
    /// Requests that were compared.
    pub requests: usize,
    /// Requests that the proxy answered itself, before the filter, as their case allows.
    pub by_proxy: usize,
    /// How many runs only one of both has, by the reason that the other one gives.
    pub one_sided: BTreeMap<String, usize>,
    /// In what they differ; a run that one of them lacks without a reason is a difference.
    pub disagreements: Vec<String>,
}

impl Record {
    /// Keeps a run.
    pub fn add(&mut self, run: &Run, http: Option<Http>, signatures: Option<Signatures>, sights: Vec<Sight>) {
        self.keep((run.label(), http, signatures), sights);
    }

    fn keep(&mut self, key: Key, sights: Vec<Sight>) {
        let label = key.0.clone();
        if self.runs.insert(key, sights).is_some() {
            self.twins.push(label);
        }
    }

    /// Keeps why a run is not there.
    pub fn leave_out(&mut self, run: &Run, http: Option<Http>, signatures: Option<Signatures>, why: &str) {
        self.left_out.insert((run.label(), http, signatures), why.to_owned());
    }

    /// Takes over the runs of another record.
    pub fn merge(&mut self, other: Self) {
        self.left_out.extend(other.left_out);
        self.twins.extend(other.twins);
        for (key, sights) in other.runs {
            self.keep(key, sights);
        }
    }

    /// What there is for a run of another place: of the same way, or of the one way that runs natively.
    fn of<'a, T>(all: &'a BTreeMap<Key, T>, key: &Key) -> Option<&'a T> {
        let natively = (key.0.clone(), None, None);
        all.get(key).or_else(|| all.get(&natively)).or_else(|| {
            // For the one way that runs natively any other will do.
            let mut any = all.range(natively.clone()..).take_while(|((label, ..), _)| *label == key.0);
            any.next().filter(|_| *key == natively).map(|(_, value)| value)
        })
    }

    /// Counts a run that this place does not have and another one has.
    fn misses(&self, key: &Key, agreement: &mut Agreement) {
        match Self::of(&self.left_out, key).filter(|why| !why.trim().is_empty()) {
            Some(why) => *agreement.one_sided.entry(why.clone()).or_default() += 1,
            None => {
                let what = format!("{}{}: ran in one place only, and nothing says why", key.0, way(key));
                agreement.disagreements.push(what);
            }
        }
    }

    /// Compares this place with another one, which ran the same cases in the same ways. Natively there are neither protocols
    /// nor signature paths, so one native run is compared with each of the other place. `clocks` says that both have
    /// the same clock. Runs that only one has are counted with their reason.
    #[must_use]
    pub fn compare(&self, other: &Self, clocks: bool) -> Agreement {
        let mut agreement = Agreement::default();
        let twins: std::collections::BTreeSet<_> = self.twins.iter().chain(&other.twins).collect();
        let twins = twins.into_iter().map(|label| format!("{label}: two runs are called so; rename one"));
        agreement.disagreements.extend(twins);
        for (key, theirs) in &other.runs {
            let Some(ours) = Self::of(&self.runs, key) else {
                self.misses(key, &mut agreement);
                continue;
            };
            agreement.runs += 1;
            let (label, way) = (&key.0, way(key));
            if ours.len() != theirs.len() {
                let counts = format!("{} requests and {}", ours.len(), theirs.len());
                agreement.disagreements.push(format!("{label}{way}: {counts}"));
            }
            for (number, (left, right)) in (1..).zip(ours.iter().zip(theirs)) {
                if left.by_proxy || right.by_proxy {
                    agreement.by_proxy += 1;
                    continue;
                }
                agreement.requests += 1;
                let differences = left.differences(right, clocks).into_iter();
                agreement
                    .disagreements
                    .extend(differences.map(|what| format!("{label}{way}, request {number}: {what}")));
            }
        }
        for key in self.runs.keys().filter(|key| Self::of(&other.runs, key).is_none()) {
            other.misses(key, &mut agreement);
        }
        agreement
    }
}

/// In which way a run was done, for messages.
fn way((_, http, signatures): &Key) -> String {
    let parts = [http.map(|http| http.to_string()), signatures.map(|by| format!("signatures {by}"))];
    let parts = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    if parts.is_empty() { " (natively)".into() } else { format!(" ({parts})") }
}

/// What a run alone has.
struct Own<'a> {
    wire: &'a Wire,
    names: [(&'static str, String); 3],
}

impl<'a> Own<'a> {
    fn of(wire: &'a Wire) -> Self {
        let names = [
            ("subject", format!("case-{}", wire.number)),
            ("client", wire::peer_of(wire.number).to_string()),
            ("visitor", wire::visitor_of(wire.number).to_string()),
        ];
        Self { wire, names }
    }

    /// A value as any run would have it.
    fn value(&self, value: &[u8]) -> String {
        if value == self.wire.path {
            return "${sent as path}".into();
        }
        let mut text = value.escape_ascii().to_string();
        // A token differs from run to run; that it arrives as it was sent is what counts.
        for (name, sent) in self.wire.headers.iter().filter(|(_, sent)| sent.len() > LONG) {
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            text = text.replace(&sent.escape_ascii().to_string(), &format!("${{sent as {name}}}"));
        }
        for (name, own) in &self.names {
            text = text.replace(own, &format!("${{{name}}}"));
        }
        text
    }

    fn body(&self, body: &[u8], whole: &[u8]) -> String {
        if body == whole { "${as sent}".into() } else { self.value(body) }
    }

    fn headers(&self, what: &str, lines: &Lines, parts: &mut BTreeMap<String, String>) {
        for (name, value) in lines {
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            if FRAMING.contains(&name.as_str()) {
                continue;
            }
            // Drawn anew each time; that there is one is what counts.
            let drawn = name == "x-request-id" || name == wire::RUN_HEADER;
            let value = if drawn { "${drawn}".into() } else { self.value(value) };
            // White space around a value, or around a comma in a list, is no part of it, and codecs trim some of it. Lines of one
            // name and one line with commas are the same (RFC 9110, section 5.2 and 5.6.1); Envoy joins some.
            let value = value.split(',').map(str::trim).collect::<Vec<_>>().join(",");
            match parts.entry(format!("{what} {name}")) {
                Entry::Vacant(first) => drop(first.insert(value)),
                Entry::Occupied(mut all) => {
                    let all = all.get_mut();
                    all.push(',');
                    all.push_str(&value);
                }
            }
        }
    }
}

/// Each run of digits becomes one `#`.
fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        if !letter.is_ascii_digit() {
            out.push(letter);
        } else if !out.ends_with('#') {
            out.push('#');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Expect, Request};
    use crate::wire::Seen;

    fn sight(number: u32, change: impl Fn(&mut Observed)) -> Sight {
        let request = Request::parse("{path: /a, headers: {x-token: 'abc', x: 'y'}}", "t").unwrap();
        let wire = {
            let token = Some(format!("{}.o.{number}", "t".repeat(LONG)));
            crate::wire::render(&request, number, crate::wire::Credentials { token, ..Default::default() })
                .unwrap()
        };
        let mut headers = wire.headers.clone();
        headers.push((b"x-auth-subject".to_vec(), format!("case-{number}").into_bytes()));
        headers.push((b"x-forwarded-for".to_vec(), wire.peer.to_string().into_bytes()));
        headers.push((b"x-request-id".to_vec(), number.to_string().into_bytes()));
        let seen = Seen { method: "GET".into(), path: b"/a".to_vec(), headers, ..Seen::default() };
        let headers = vec![(b"ratelimit".to_vec(), format!("\"a\";r={number};t=1").into_bytes())];
        let mut observed = Observed {
            status: 200,
            body: b"ok".to_vec(),
            headers,
            upstream: Some(seen),
            ..Observed::default()
        };
        change(&mut observed);
        Sight::of(&wire, &Expect::default(), &observed)
    }

    #[test]
    fn what_a_run_alone_has_is_no_difference() {
        assert_eq!(sight(1, |_| ()).differences(&sight(2, |_| ()), false), Vec::<String>::new());
        // But the numbers of a limit are one where the clock is the same.
        assert_eq!(sight(1, |_| ()).differences(&sight(2, |_| ()), true).len(), 1);
    }

    #[test]
    fn what_is_made_of_the_time_agrees_if_it_is_there() {
        let nonce = |number, value: &'static [u8]| {
            sight(number, move |o: &mut Observed| o.headers.push((b"dpop-nonce".to_vec(), value.to_vec())))
        };
        let one = nonce(1, b"abcd");
        assert!(one.differences(&nonce(2, b"efgh"), false).is_empty());
        for other in [nonce(2, b"efg"), sight(2, |_| ())] {
            assert_eq!(one.differences(&other, false).len(), 1);
        }
        assert_eq!(
            one.differences(&nonce(2, b"efgh"), true).len(),
            1 + sight(1, |_| ()).differences(&sight(2, |_| ()), true).len()
        );
    }

    #[test]
    fn everything_else_is() {
        let changes: [fn(&mut Observed); 10] = [
            |o| o.headers.insert(0, (b"ratelimit".to_vec(), Vec::new())),
            |o| o.status = 201,
            |o| o.body = b"no".to_vec(),
            |o| o.headers.push((b"server".to_vec(), b"envoy".to_vec())),
            |o| o.headers.clear(),
            |o| o.upstream = None,
            |o| o.upstream.as_mut().unwrap().path = b"/b".to_vec(),
            |o| o.upstream.as_mut().unwrap().headers.push((b"x".to_vec(), b"z".to_vec())),
            |o| o.upstream.as_mut().unwrap().trailers.push((b"x".to_vec(), b"z".to_vec())),
            |o| o.upstream.as_mut().unwrap().body = b"z".to_vec(),
        ];
        for (number, change) in changes.iter().enumerate() {
            assert!(!sight(1, |_| ()).differences(&sight(2, change), false).is_empty(), "{number}");
        }
    }

    #[test]
    fn runs_that_one_place_lacks_are_counted_or_wrong() {
        let text =
            "bundle: x\ncases: [{name: a, expect: route-unknown}, {name: ab, expect: route-unknown}]\n";
        let (_, runs) = crate::suite::parse(text, "s").unwrap();
        let (http, by) = ([Some(Http::V1), Some(Http::V2)], Some(Signatures::Auto));
        let sights = || vec![sight(1, |_| ())];
        let (mut native, mut proxy) = (Record::default(), Record::default());
        for run in &runs {
            native.add(run, None, None, sights());
            http.iter().for_each(|http| proxy.add(run, *http, by, sights()));
        }
        let both = native.compare(&proxy, true);
        assert_eq!((both.runs, both.one_sided.len(), both.disagreements.len()), (4, 0, 0), "{both:?}");
        let (mut less, mut none) = (Record::default(), Record::default());
        http.iter().for_each(|http| less.add(&runs[1], *http, by, sights()));
        less.add(&runs[0], http[0], by, sights());
        none.add(&runs[1], None, None, sights());
        // Which of both lacks it makes no difference.
        for agreement in [proxy.compare(&less, true), less.compare(&proxy, true)] {
            assert_eq!(agreement.runs, 3);
            let [one] = agreement.disagreements.as_slice() else { panic!("{agreement:?}") };
            assert_eq!(one, "s: a (HTTP/2, signatures auto): ran in one place only, and nothing says why");
        }
        assert_eq!(none.compare(&proxy, true).disagreements.len(), 2, "one for each version of HTTP");
        assert_eq!(proxy.compare(&none, true).disagreements.len(), 2);
        assert_eq!(native.compare(&none, true).disagreements.len(), 1);
        less.leave_out(&runs[0], http[1], by, "no way to say it");
        none.leave_out(&runs[0], None, None, "not here");
        for (left, right, why, count) in [
            (&proxy, &less, "no way to say it", 1),
            (&less, &proxy, "no way to say it", 1),
            (&none, &proxy, "not here", 2),
            (&proxy, &none, "not here", 2),
        ] {
            let agreement = left.compare(right, true);
            assert!(agreement.disagreements.is_empty(), "{agreement:?}");
            assert_eq!(agreement.one_sided.get(why), Some(&count), "{agreement:?}");
        }
        less.leave_out(&runs[0], http[1], by, " ");
        assert_eq!(proxy.compare(&less, true).disagreements.len(), 1, "an empty reason is none");
    }

    #[test]
    fn runs_of_one_name_are_a_disagreement() {
        let (_, runs) = crate::suite::parse("bundle: x\ncases: [{name: a}]\n", "s").unwrap();
        let mut once = Record::default();
        once.add(&runs[0], None, None, vec![sight(1, |_| ())]);
        assert_eq!(once.compare(&once.clone(), true).disagreements, Vec::<String>::new());
        let mut twice = once.clone();
        twice.merge(once.clone());
        for (left, right) in [(&once, &twice), (&twice, &once)] {
            let [twins] = left.compare(right, true).disagreements.try_into().unwrap();
            assert!(twins.starts_with("s: a: two runs"), "{twins}");
        }
    }

    #[test]
    fn an_answer_of_the_proxy_itself_is_not_compared() {
        let mut by_proxy = sight(1, |o| o.status = 400);
        by_proxy.by_proxy = true;
        assert!(by_proxy.differences(&sight(2, |_| ()), false).is_empty());
    }
}
