//! Requests, and an engine that judges them.
#![expect(clippy::unwrap_used, reason = "what helps a test may fail as a test does")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use bartizan_compiler::Compiled;
use bartizan_engine::host::{Digest, Host, Loaded, Now, Stored};
use bartizan_engine::intake::path::canonical;
use bartizan_engine::pipeline::{Engine, Exchange, Step, Surroundings};
use bartizan_engine::trace::Trace;
use jwt_simple::prelude::{Claims, HS256Key, MACLike};
use serde_json::json;

const SECRET: [u8; 32] = [7; 32];

/// Numbers that are the same each time.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below another.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(end).unwrap()).unwrap()
    }

    pub(crate) fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    pub(crate) fn of<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts.get(self.below(texts.len())).copied().unwrap()
    }
}

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) host: &'static str,
    pub(crate) path: &'static str,
    pub(crate) token: Option<String>,
    /// Its content type and text.
    pub(crate) body: Option<(&'static str, &'static str)>,
}

const BODIES: [(&str, &str); 4] = [
    ("application/json", "[1]"),
    ("application/json", "[[[[1]]]]"),
    ("text/plain", "q"),
    ("application/x-www-form-urlencoded", "q=1"),
];

/// Requests to everything that a part could want.
pub(crate) fn requests() -> Vec<Request> {
    let paths = [
        "/",
        "/healthz",
        "/healthz/",
        "/devices",
        "/devices/x",
        "/shop",
        "/shop/",
        "/shop/x",
        "/shop/x/x",
        "/shop/admin",
        "/shop/admin/",
        "/shop/Admin",
        "/Shop",
        "/SHOP/x",
        "/shop/export",
        "/Shop/export",
        "/x/export",
        "/%73hop/x",
        "/shop%20/x",
        "/shop/../devices",
        "/shop//x",
        "/shop/%40",
        "/shop/%2e%2e/devices",
        "/open/shop",
        "/open/shop/x",
        "/open/x",
        "/open/Shop/x",
        "/blog/news",
        "/blog/shop",
        "/shopping",
        "/shop;x/y",
        "/shop/x?q=1",
        "/devices?/shop",
    ];
    let hosts = ["shop.test", "eu.shop.test", "other.test", "shop.test.other.test"];
    let roles: [Option<&[&str]>; 6] = [
        None,
        Some(&[]),
        Some(&["viewer", "shop/b"]),
        Some(&["operator"]),
        Some(&["shop/a", "shop", "shop/b"]),
        Some(&["admin"]),
    ];
    let tokens: Vec<Option<String>> = roles.iter().map(|roles| roles.map(token)).collect();
    let mut all = Vec::new();
    for path in paths {
        for host in hosts {
            for method in ["GET", "POST", "DELETE"] {
                let request =
                    |token: &Option<String>| Request { method, host, path, token: token.clone(), body: None };
                all.extend(tokens.iter().map(request));
            }
            for body in BODIES {
                let token = tokens.get(all.len() % 2 * 5).cloned().flatten();
                all.push(Request { method: "POST", host, path, token, body: Some(body) });
            }
        }
    }
    all
}

fn token(roles: &[&str]) -> String {
    let claims =
        Claims::with_custom_claims(json!({"roles": roles}), jwt_simple::prelude::Duration::from_days(1))
            .with_issuer("corp")
            .with_audience("api")
            .with_subject("anna");
    HS256Key::from_bytes(&SECRET).authenticate(claims).unwrap()
}

/// Whether a request is inside of a root, as somebody would say who knows nothing of the compiler. A host that begins
/// with a dot stands for those that end with it.
pub(crate) fn inside(request: &Request, roots: &[&str], hosts: Option<&[&str]>) -> bool {
    let path = request.path.split('?').next().unwrap();
    let Ok(path) = canonical(path.as_bytes()) else { return false };
    let below = |root: &&str| path == **root || path.starts_with(&format!("{root}/"));
    let known = |host: &&str| match host.starts_with('.') {
        true => request.host.ends_with(host),
        false => request.host == *host,
    };
    roots.iter().any(below) && hosts.is_none_or(|hosts| hosts.iter().any(known))
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It passed, by the route that was written here.
    Passed(String),
    /// It was refused, for this reason.
    Refused(&'static str),
}

/// An engine with a proxy around it that is not there.
pub(crate) struct Judge {
    engine: Engine,
    host: NoHost,
}

impl Judge {
    pub(crate) fn new(compiled: &Compiled) -> Self {
        let plan = compiled.plan.clone().unwrap();
        let secret = |_: &str| Some(SECRET.to_vec());
        let surroundings =
            Surroundings { secret: &secret, seed: [1, 2], peer_appended: false, peer_verified: true };
        Self { engine: Engine::load(plan, &surroundings).unwrap(), host: NoHost::default() }
    }

    pub(crate) fn judge(&mut self, request: &Request) -> Answer {
        let bearer = request.token.as_ref().map(|token| format!("Bearer {token}"));
        let mut pairs: Vec<(&[u8], &[u8])> = vec![
            (b":method", request.method.as_bytes()),
            (b":scheme", b"https"),
            (b":path", request.path.as_bytes()),
            (b":authority", request.host.as_bytes()),
        ];
        pairs.extend(bearer.iter().map(|bearer| (&b"authorization"[..], bearer.as_bytes())));
        let length = request.body.map(|(_, text)| text.len().to_string());
        pairs.extend(length.iter().map(|length| (&b"content-length"[..], length.as_bytes())));
        pairs.extend(request.body.map(|(name, _)| (&b"content-type"[..], name.as_bytes())));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let now = Now::from_nanos(u64::try_from(now.as_nanos()).unwrap());
        let (mut exchange, mut trace) = (Exchange::default(), Trace::off());
        let engine = &mut self.engine;
        let alone = request.body.is_none();
        let mut step = engine.request_head(&mut exchange, &pairs, alone, now, &mut self.host, &mut trace);
        if let (false, Some((_, text))) = (matches!(step, Step::Refuse(_)), request.body) {
            let size = u64::try_from(text.len()).unwrap();
            let mut bytes = || Some(text.as_bytes().to_vec());
            step = engine.request_body(&mut exchange, size, true, &mut bytes, &mut trace);
        }
        match step {
            Step::Refuse(refusal) => Answer::Refused(refusal.reason.code()),
            Step::Continue | Step::Hold | Step::Wait(_) => {
                let name = exchange.route().and_then(|index| engine.route_name(index));
                Answer::Passed(name.map(|(_, at)| at.to_owned()).unwrap_or_default())
            }
        }
    }
}

#[derive(Default)]
struct NoHost {
    slots: BTreeMap<String, (u32, Vec<u8>)>,
}

impl Host for NoHost {
    fn peer_address(&mut self) -> Option<IpAddr> {
        Some(Ipv4Addr::LOCALHOST.into())
    }

    fn load(&mut self, slot: &str, into: &mut Vec<u8>) -> Loaded {
        into.clear();
        match self.slots.get(slot) {
            Some((version, value)) => {
                into.extend_from_slice(value);
                Loaded::Present(*version)
            }
            None => Loaded::Absent,
        }
    }

    fn store(&mut self, slot: &str, value: &[u8], version: Option<u32>) -> Stored {
        let present = self.slots.get(slot).map(|(version, _)| *version);
        if present != version {
            return Stored::Conflict;
        }
        self.slots.insert(slot.to_owned(), (present.unwrap_or(0).wrapping_add(1), value.to_vec()));
        Stored::Yes
    }

    fn verify_signature(&mut self, _: Digest, _: &[u8], _: &[u8], _: &[u8]) -> Option<bool> {
        None
    }
}
