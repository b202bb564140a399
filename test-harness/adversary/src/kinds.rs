//! Every kind of request that a policy can meet, and the policy that meets it.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use bartizan_cases::format::{Tamper, Token};
use bartizan_cases::mint::keys::{ALGORITHMS, KeyName, Slot, jwks, name_of};
use bartizan_host::Protocol;
use bartizan_host::pairs::Pairs;
use serde_json::json;

use crate::policy::Policy;
use crate::script::{Frame, Script};

const BUNDLE: &str = r#"
apiVersion: bartizan/v1
name: kinds
network: {deny: [203.0.113.0/24]}
authentication:
  jwt:
    - name: asymmetric
      issuer: https://a.example/
      audiences: [t]
      algorithms: [RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES256K, ES384, EdDSA]
      keys: {jwks: keys.json}
      from: [{header: authorization, scheme: Bearer}, {cookie: session}, {query: access_token}]
      map: {roles: roles}
      forward: {headers: {x-who: sub}}
    - {name: hs256, issuer: "https://256.example/", audiences: [t], algorithms: [HS256], keys: {secret: {env: A}}, map: {roles: roles}, forward: {headers: {x-who: sub}}}
    - {name: hs384, issuer: "https://384.example/", audiences: [t], algorithms: [HS384], keys: {secret: {env: B}}, map: {roles: roles}, forward: {headers: {x-who: sub}}}
    - {name: hs512, issuer: "https://512.example/", audiences: [t], algorithms: [HS512], keys: {secret: {env: C}}, map: {roles: roles}, forward: {headers: {x-who: sub}}}
roles: {reader: {permissions: ["things:read"]}}
limits:
  address: {key: client.address, rate: [1000/1m, 5000/1h]}
  subject: {key: identity.subject, rate: 1000/1m}
  once: {key: client.address, rate: 1/1h}
  once-each: {key: identity.subject, rate: 1/1h}
  everybody: {key: everybody, rate: 100000000/1m}
routes:
  - {path: /public, methods: [GET], access: public}
  - {path: "/files/{rest...}", methods: [GET], access: public}
  - {path: /me, methods: [GET], access: authenticated, limits: [address, subject, everybody]}
  - {path: "/things/{id}", methods: [GET], access: {permission: "things:read:{id}"}}
  - {path: /once, methods: [GET], access: public, limits: [once]}
  - {path: /once-each, methods: [GET], access: authenticated, limits: [once-each]}
  - {path: /json, methods: [POST], access: public, body: {max_size: 1KiB, json: {schema: item.json}}}
  - {path: /my-json, methods: [POST], access: authenticated, body: {max_size: 1KiB, json: {schema: item.json}}}
  - {path: /form, methods: [POST], access: public, body: {form: {}}}
  - {path: /raw, methods: [POST], access: public, body: {max_size: 1KiB, opaque: [application/octet-stream]}}
headers:
  profile: strict
  request: {remove: [x-debug], set: {x-gateway: bartizan}, add: {x-via: bartizan}}
  response: {remove: [x-secret], set: {x-policy: kinds}, add: {x-also: kinds}}
"#;

const SCHEMA: &str = r#"{
  "type": "object", "required": ["id"], "additionalProperties": false,
  "properties": {"id": {"type": "string", "pattern": "^[a-z0-9]{1,20}$"}, "text": {"type": "string", "maxLength": 100}}
}"#;

/// What is called until a token is verified.
const VERIFYING: &[&str] = &[
    "proxy_call_foreign_function",
    "proxy_get_current_time_nanoseconds",
    "proxy_get_header_map_pairs",
    "proxy_get_property",
    "proxy_get_shared_data",
    "proxy_set_shared_data",
];

/// What stands for whatever makes one request differ from another of its kind: subject, parts of paths and bodies.
const MARK: &str = "n0000000";

/// Where the token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Header,
    Cookie,
    Query,
}

/// A kind of request.
#[derive(Debug, Clone)]
pub struct Kind {
    /// What it is called in reports.
    pub name: String,
    /// The functions that fail on it; all, if there are none. Other kinds differ from this one in these alone.
    pub functions: &'static [&'static str],
    /// Whether the policy lets it through.
    pub allowed: bool,
    /// How often the same request is sent before it counts: budgets are used up then, and tokens known.
    pub before: usize,
    method: &'static str,
    path: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    token: Option<(Token, Place)>,
    body: Vec<&'static str>,
    trailers: Vec<(&'static str, &'static str)>,
    protocol: Protocol,
    denied: bool,
    response: Answer,
}

/// How upstream answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Empty,
    Body,
    Trailers,
    Error,
}

impl Kind {
    fn new(name: impl Into<String>, method: &'static str, path: &'static str) -> Self {
        Self {
            name: name.into(),
            functions: &[],
            allowed: true,
            before: 0,
            method,
            path,
            headers: Vec::new(),
            token: None,
            body: Vec::new(),
            trailers: Vec::new(),
            protocol: Protocol::Http1,
            denied: false,
            response: Answer::Body,
        }
    }

    fn only(mut self, functions: &'static [&'static str]) -> Self {
        self.functions = functions;
        self
    }

    fn refused(mut self) -> Self {
        self.allowed = false;
        self
    }

    fn before(mut self, times: usize) -> Self {
        self.before = times;
        self
    }

    fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    fn token(self, token: Token) -> Self {
        self.token_in(Place::Header, token)
    }

    fn token_in(mut self, place: Place, token: Token) -> Self {
        self.token = Some((token, place));
        self
    }

    fn json(self, pieces: &[&'static str]) -> Self {
        self.header("content-type", "application/json").body(pieces)
    }

    fn body(mut self, pieces: &[&'static str]) -> Self {
        self.body = pieces.to_vec();
        self
    }

    fn trailer(mut self, name: &'static str, value: &'static str) -> Self {
        self.trailers.push((name, value));
        self
    }

    fn http2(mut self) -> Self {
        self.protocol = Protocol::Http2;
        self
    }

    fn denied(mut self) -> Self {
        self.denied = true;
        self.refused()
    }

    fn answered(mut self, response: Answer) -> Self {
        self.response = response;
        self
    }

    /// Whether it has a token.
    #[must_use]
    pub const fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Whether it has a body.
    #[must_use]
    pub const fn has_body(&self) -> bool {
        !self.body.is_empty()
    }

    /// The nth request of this kind: with an address and a subject of its own, so that no budget was touched by
    /// another, and a token that no cache knows.
    ///
    /// # Errors
    /// When the token cannot be made.
    pub fn script(&self, policy: &Policy, number: u32, now: u64) -> Result<Script> {
        let mark = mark(number);
        let mut path = self.path.replace(MARK, &mark);
        let mut headers: Pairs = Vec::new();
        let mut add = |name: &str, value: String| headers.push((name.into(), value.into_bytes()));
        let token = self.token.as_ref().map(|(token, _)| policy.token(token, now, &mark)).transpose()?;
        let place = self.token.as_ref().map(|(_, place)| *place);
        if let (Some(token), Some(Place::Query)) = (&token, place) {
            path = format!("{path}?a=1&access_token={token}&b=2");
        }
        add(":authority", "api.example.com".into());
        add(":path", path);
        add(":method", self.method.into());
        add(":scheme", "http".into());
        for (name, value) in &self.headers {
            add(name, value.replace(MARK, &mark));
        }
        match (token, place) {
            (Some(token), Some(Place::Header)) => add("authorization", format!("Bearer {token}")),
            (Some(token), Some(Place::Cookie)) => {
                add("cookie", format!("theme=dark; session={token}; lang=en"))
            }
            _ => {}
        }
        // What no client may say: the filter takes them away, or writes its own.
        add("x-who", "mallory".into());
        add("x-debug", "1".into());
        add("x-gateway", "mallory".into());
        add("x-original-url", "/admin".into());
        add("x-request-id", mark.clone());

        let [_, high, middle, low] = number.to_be_bytes();
        let address =
            if self.denied { Ipv4Addr::new(203, 0, 113, low) } else { Ipv4Addr::new(10, high, middle, low) };
        let bodiless = self.body.is_empty() && self.trailers.is_empty();
        let mut frames = vec![Frame::RequestHeaders(headers, bodiless)];
        let pieces = self.body.iter().map(|piece| piece.replace(MARK, &mark).into_bytes()).collect();
        frames.extend(
            body(pieces, self.protocol, !self.trailers.is_empty()).map(|(p, end)| Frame::RequestBody(p, end)),
        );
        if !self.trailers.is_empty() {
            frames.push(Frame::RequestTrailers(pairs(&self.trailers)));
        }
        frames.extend(self.response.frames(self.protocol));
        Ok(Script { number, peer: SocketAddr::from((address, 50_000)), protocol: self.protocol, frames })
    }
}

impl Answer {
    fn frames(self, protocol: Protocol) -> Vec<Frame> {
        let status = if self == Self::Error { "502" } else { "200" };
        let headers = pairs(&[
            (":status", status),
            ("server", "upstream/1.2.3"),
            ("x-secret", "inside"),
            ("x-policy", "upstream"),
            ("x-also", "upstream"),
        ]);
        let mut frames = vec![Frame::ResponseHeaders(headers, self == Self::Empty)];
        let pieces = || vec![b"hello ".to_vec(), b"world".to_vec()];
        let trailing = self == Self::Trailers;
        if self != Self::Empty {
            frames.extend(
                body(pieces(), protocol, trailing).map(|(piece, end)| Frame::ResponseBody(piece, end)),
            );
        }
        if trailing {
            frames.push(Frame::ResponseTrailers(pairs(&[("grpc-status", "0")])));
        }
        frames
    }
}

/// The pieces of a body, with the mark of its end where the protocol puts it.
fn body(
    mut pieces: Vec<Vec<u8>>,
    protocol: Protocol,
    trailers: bool,
) -> impl Iterator<Item = (Vec<u8>, bool)> {
    if protocol == Protocol::Http1 && !pieces.is_empty() && !trailers {
        pieces.push(Vec::new());
    }
    let last = pieces.len().saturating_sub(1);
    pieces.into_iter().enumerate().map(move |(index, piece)| (piece, !trailers && index == last))
}

fn pairs(list: &[(&str, &str)]) -> Pairs {
    list.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

/// What stands in the place of [`MARK`] in the nth request.
fn mark(number: u32) -> String {
    format!("n{number:07}")
}

/// Text with the mark of the nth request taken out, to compare requests of one kind.
#[must_use]
pub fn unmarked(bytes: &[u8], number: u32) -> String {
    String::from_utf8_lossy(bytes).replace(&mark(number), MARK)
}

/// The policy for all kinds.
///
/// # Errors
/// When it does not compile.
pub fn policy() -> Result<Policy> {
    let asymmetric = ALGORITHMS.into_iter().filter(|algorithm| !name_of(*algorithm).starts_with("HS"));
    let names: Vec<_> = asymmetric.map(|algorithm| KeyName { algorithm, slot: Slot::First }).collect();
    let keys = jwks(&names).map_err(anyhow::Error::msg)?;
    Policy::compile(BUNDLE, &[("keys.json", keys), ("item.json", SCHEMA.to_owned())])
}

/// A token that is good, signed with this algorithm.
fn good(algorithm: &str) -> Token {
    let issuer = if algorithm.starts_with("HS") { algorithm.to_lowercase() } else { "asymmetric".to_owned() };
    Token {
        issuer: Some(issuer),
        alg: Some(algorithm.into()),
        roles: Some(json!(["reader"])),
        ..Token::default()
    }
}

/// A token that expired long ago.
fn expired() -> Token {
    Token { claims: [("exp".to_owned(), json!("-1h"))].into(), ..good("ES256") }
}

/// All kinds.
#[must_use]
pub fn all() -> Vec<Kind> {
    let mut kinds = public();
    kinds.extend(ALGORITHMS.into_iter().map(name_of).flat_map(|name| {
        let forged = Token { tamper: vec![Tamper::FlipSignature], ..good(name) };
        let kinds = [
            Kind::new(format!("{name} token"), "GET", "/me").token(good(name)),
            Kind::new(format!("{name} token, forged"), "GET", "/me").token(forged).refused(),
        ];
        kinds.map(|kind| if name == "ES256" { kind } else { kind.only(VERIFYING) })
    }));
    kinds.extend(tokens());
    kinds.extend(bodies());
    kinds
}

fn public() -> Vec<Kind> {
    vec![
        Kind::new("public", "GET", "/public"),
        Kind::new("public, over HTTP/2, with trailers in the response", "GET", "/public")
            .http2()
            .answered(Answer::Trailers),
        Kind::new("public, error of upstream", "GET", "/public").answered(Answer::Error),
        Kind::new("path that is brought to its one form", "GET", "/files/%6e0000000/./a/../%62?q=1")
            .answered(Answer::Empty),
        Kind::new("names that servers confuse", "GET", "/public")
            .header("x_who", "mallory")
            .header("X-Debug", "2"),
        Kind::new("no such route", "GET", "/nothing").refused(),
        Kind::new("path with two meanings", "GET", "/files/%2e%2e%2fetc").refused(),
        Kind::new("no such method", "DELETE", "/public").refused(),
        Kind::new("address that is denied", "GET", "/public").denied(),
        Kind::new("attack in the query", "GET", "/public?q=1%27%20OR%20%271%27=%271").refused(),
        Kind::new("limit by address", "GET", "/once"),
        Kind::new("limit by address, used up", "GET", "/once").before(1).refused(),
    ]
}

fn tokens() -> Vec<Kind> {
    let stranger = Token { roles: Some(json!(["nobody"])), ..good("ES256") };
    vec![
        Kind::new("token that was seen before", "GET", "/me").token(good("ES256")).before(1),
        Kind::new("token that was seen before, HS256", "GET", "/me").token(good("HS256")).before(1),
        Kind::new("token in a cookie", "GET", "/me").token_in(Place::Cookie, good("EdDSA")),
        Kind::new("token in the query", "GET", "/me").token_in(Place::Query, good("EdDSA")),
        Kind::new("no token", "GET", "/me").refused(),
        Kind::new("expired token", "GET", "/me").token(expired()).refused(),
        Kind::new("permission", "GET", "/things/n0000000").token(good("ES256")),
        Kind::new("no permission", "GET", "/things/n0000000").token(stranger).refused(),
        Kind::new("limit by subject", "GET", "/once-each").token(good("HS256")),
        Kind::new("limit by subject, used up", "GET", "/once-each").token(good("HS256")).before(1).refused(),
    ]
}

fn bodies() -> Vec<Kind> {
    let post = |name: &str, path| Kind::new(name, "POST", path);
    let (good_pieces, bad_pieces) =
        ([r#"{"id":"n00"#, r#"00000","text":"a"}"#], [r#"{"id":"n00"#, r#"00000","txt":"a"}"#]);
    let opaque = |kind: Kind| kind.header("content-type", "application/octet-stream");
    const LARGE: &str = concat!(
        "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
        "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
        "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
    );
    vec![
        post("body", "/json").json(&good_pieces),
        post("body over HTTP/2", "/json").json(&good_pieces).http2(),
        post("body and trailers", "/json")
            .json(&good_pieces)
            .trailer("x-who", "mallory")
            .trailer("x-other", "1"),
        post("body and trailers over HTTP/2", "/json").json(&good_pieces).trailer("x-who", "mallory").http2(),
        post("body and token", "/my-json").json(&good_pieces).token(good("ES256")),
        post("bad body", "/json").json(&bad_pieces).refused(),
        post("bad body over HTTP/2", "/json").json(&bad_pieces).http2().refused(),
        post("bad body and trailers", "/json").json(&bad_pieces).trailer("x-who", "mallory").refused(),
        post("body that breaks off", "/json").json(&[r#"{"id":"#]).refused(),
        post("body that is too large", "/json").json(&[LARGE, LARGE, LARGE, LARGE]).refused(),
        post("body with an attack", "/json")
            .json(&[r#"{"id":"n0000000","text":"<script>alert(1)</script>"}"#])
            .refused(),
        post("body of no known type", "/json").header("content-type", "text/plain").body(&["a"]).refused(),
        post("no body", "/json").header("content-type", "application/json").refused(),
        post("form", "/form")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(&["a=n0000000", "&b=2"]),
        opaque(post("body that passes unread", "/raw")).body(&["abc", "def"]),
        opaque(post("body that passes unread, and trailers", "/raw"))
            .body(&["abc"])
            .trailer("x-who", "mallory"),
        opaque(post("body that passes unread and is too large", "/raw"))
            .body(&[LARGE, LARGE, LARGE, LARGE])
            .refused(),
    ]
}
