//! An issuer with keys and a server for them, and what can be seen of a proxy that fetches them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow, bail, ensure};
use bartizan_cases::format::Token;
use bartizan_cases::mint::keys::KeyName;
use bartizan_engine::authentication::plan::Algorithm;
use bartizan_host::clusters::{Answer, Call};
use bartizan_host::{Module, Outcome, Proxy, Request};
use serde_json::{Map, Value, json};

use crate::policy::{Policy, usual};

pub(super) const WORKERS: usize = 3;
pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
const CLUSTER: &str = "idp";

/// An issuer.
pub(super) struct Idp {
    served: Arc<Mutex<Served>>,
    is_discovered: bool,
}

/// What its server answers.
struct Served {
    keys: Vec<u8>,
    document: Map<String, Value>,
    /// What it answers instead.
    instead: Option<Answer>,
    delay: Duration,
    asked: u64,
}

impl Idp {
    /// With these keys at a place of its own.
    pub(super) fn new(keys: &[u8]) -> Self {
        let document = [("issuer", "https://issuer.test/"), ("jwks_uri", "https://issuer.test/keys")];
        let document = document.into_iter().map(|(name, text)| (name.to_owned(), json!(text))).collect();
        let served = Served { keys: keys.to_vec(), document, instead: None, delay: Duration::ZERO, asked: 0 };
        Self { served: Arc::new(Mutex::new(served)), is_discovered: false }
    }

    /// The same, and it says itself where they are.
    pub(super) fn discovered(keys: &[u8]) -> Self {
        Self { is_discovered: true, ..Self::new(keys) }
    }

    /// A proxy reaches its server.
    pub(super) fn at(&self, proxy: &Proxy) {
        let served = self.served.clone();
        let give = move |call: &Call| served.lock().unwrap_or_else(PoisonError::into_inner).give(call);
        proxy.clusters().add(CLUSTER, give);
    }

    fn lock(&self) -> MutexGuard<'_, Served> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has these keys from now on, and answers well.
    pub(super) fn serve(&self, keys: &[u8]) {
        let mut served = self.lock();
        (served.keys, served.instead) = (keys.to_vec(), None);
    }

    /// Answers this from now on.
    pub(super) fn answer(&self, answer: Answer) {
        self.lock().instead = Some(answer);
    }

    /// Takes so long.
    pub(super) fn delay(&self, delay: Duration) {
        self.lock().delay = delay;
    }

    /// Says something else in its document; the rest is good.
    pub(super) fn say(&self, member: &str, value: &str) {
        let good = Self::new(&[]).lock().document.clone();
        let mut served = self.lock();
        served.document = good;
        served.document.insert(member.to_owned(), json!(value));
    }

    /// How many requests came.
    pub(super) fn asked(&self) -> u64 {
        self.lock().asked
    }

    /// A request with a token that this key has signed.
    pub(super) fn request(&self, proxy: &Proxy, key: u8) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let token = Token { key: Some(format!("es256-{key}")), ..Token::default() };
        self.with(proxy, &token)
    }

    /// A request with a token that nobody has signed, of a key that nobody has.
    pub(super) fn unknown(&self, proxy: &Proxy, kid: &str) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let header = BTreeMap::from([("kid".to_owned(), json!(kid))]);
        let token = Token { key: Some("none".to_owned()), header, ..Token::default() };
        self.with(proxy, &token)
    }

    fn with(&self, proxy: &Proxy, token: &Token) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let token = self.policy(600, "edge")?.token(token, proxy.now().as_secs(), "alice")?;
        let headers = [
            (":method", "GET".to_owned()),
            (":scheme", "http".to_owned()),
            (":path", "/".to_owned()),
            (":authority", "api.test".to_owned()),
            ("authorization", format!("Bearer {token}")),
        ];
        Ok(headers.map(|(name, value)| (name.as_bytes().to_vec(), value.into_bytes())).to_vec())
    }

    pub(super) fn policy(&self, refresh: u64, name: &str) -> Result<Policy> {
        let keys = if self.is_discovered {
            format!("discovery: {{cluster: {CLUSTER}, refresh: {refresh}s}}")
        } else {
            format!("remote: {{cluster: {CLUSTER}, uri: 'https://issuer.test/keys', refresh: {refresh}s}}")
        };
        Policy::compile(
            &format!(
                "apiVersion: bartizan/v1\nname: {name}\n\
                 authentication: {{jwt: [{{name: corp, issuer: 'https://issuer.test/', audiences: [t], algorithms: [ES256], keys: {{{keys}}}}}]}}\n\
                 routes:\n\
                 \x20 - {{path: /, access: authenticated, methods: [GET]}}\n\
                 \x20 - {{path: /json, access: authenticated, methods: [POST], body: {{json: {{}}}}}}\n\
                 \x20 - {{path: /upload, access: authenticated, methods: [POST], body: {{max_size: 10MiB, opaque: ['application/octet-stream']}}}}\n\
                 \x20 - {{path: /open, access: public}}\n"
            ),
            &[],
        )
    }
}

impl Served {
    fn give(&mut self, call: &Call) -> Answer {
        self.asked += 1;
        if let Some(answer) = &self.instead {
            return answer.clone();
        }
        let path = call.headers.get(":path").unwrap_or_default();
        let body = if path.starts_with(b"/.well-known/") {
            Value::Object(self.document.clone()).to_string()
        } else {
            jwks(&self.keys)
        };
        let answer = Answer::status(200).header("content-type", "application/json").body(body);
        answer.after(self.delay)
    }
}

/// A key set.
pub(super) fn jwks(keys: &[u8]) -> String {
    let keys = keys.iter().filter_map(|key| {
        let name = KeyName::parse(&format!("es256-{key}")).ok()?;
        debug_assert_eq!(name.algorithm, Algorithm::ES256);
        name.jwk().ok()
    });
    json!({"keys": keys.collect::<Vec<_>>()}).to_string()
}

/// A proxy that fetches the keys of an issuer, as often as every so many minutes.
pub(super) fn start(module: &Module, idp: &Idp, minutes: u64) -> Result<Proxy> {
    let policy = idp.policy(minutes * 60, "edge")?;
    let proxy = policy.proxy(module, &usual()).workers(WORKERS).start().map_err(|why| anyhow!("{why}"))?;
    idp.at(&proxy);
    Ok(proxy)
}

/// The configuration of another bundle with the same issuer.
pub(super) fn again(idp: &Idp, minutes: u64, name: &str) -> Result<String> {
    Ok(idp.policy(minutes * 60, name)?.configuration(&usual()))
}

/// Checks what every worker says to a token of this key.
pub(super) fn all(proxy: &Proxy, idp: &Idp, key: u8, wanted: u16) -> Result<()> {
    for number in 0..WORKERS {
        let worker = proxy.worker(number);
        let answer = worker.send(Request::of(idp.request(proxy, key)?));
        if let Some(failure) = worker.failure() {
            bail!("trap in worker {number}: {failure}");
        }
        ensure!(answer.outcome() == Outcome::Complete, "worker {number} leaves a request hanging");
        ensure!(
            answer.status() == wanted,
            "worker {number} answers {} and not {wanted} to key {key}; the log: {}",
            answer.status(),
            log(proxy)
        );
        ensure!((answer.status() == 200) == answer.upstream().is_some(), "BREAK-IN: {}", answer.status());
    }
    Ok(())
}

/// The same after as long as a request may wait.
pub(super) fn in_the_end(proxy: &Proxy, idp: &Idp, key: u8, wanted: u16) -> Result<()> {
    let mut streams = Vec::new();
    for number in 0..WORKERS {
        let mut stream = proxy.worker(number).open();
        stream.request_headers(&idp.request(proxy, key)?.into_iter().collect(), true);
        streams.push(stream);
    }
    proxy.advance(6 * SECOND);
    for (number, stream) in streams.iter_mut().enumerate() {
        if let Some(failure) = proxy.worker(number).failure() {
            bail!("trap in worker {number}: {failure}");
        }
        if stream.answer().upstream().is_some_and(|seen| seen.complete) {
            let status = (b":status".to_vec(), b"200".to_vec());
            stream.response_headers(&[status].into_iter().collect(), true);
        }
        let answer = stream.answer();
        ensure!(answer.outcome() == Outcome::Complete, "worker {number} leaves a request hanging");
        ensure!(
            answer.status() == wanted,
            "worker {number} answers {} and not {wanted} to key {key}; the log: {}",
            answer.status(),
            log(proxy)
        );
        ensure!((answer.status() == 200) == answer.upstream().is_some(), "BREAK-IN: {}", answer.status());
    }
    Ok(())
}

pub(super) fn log(proxy: &Proxy) -> String {
    proxy.log().into_iter().map(|line| line.message).collect::<Vec<_>>().join(" | ")
}

/// Sets a header, or adds it.
pub(super) fn set(headers: &mut Vec<(Vec<u8>, Vec<u8>)>, name: &str, value: &str) {
    headers.retain(|(known, _)| known != name.as_bytes());
    headers.push((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
}
