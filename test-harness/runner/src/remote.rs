//! The servers behind the clusters of a policy, as a suite describes them, for the drivers that have no network.

use std::collections::BTreeMap;

use bartizan_engine::feeds::{Arrived, Outcome, Request};
use bartizan_engine::host::Now;
use bartizan_engine::host::testing::TestHost;
use bartizan_engine::pipeline::Engine;
use serde_json::{Value, json};

use crate::format::{JwkEntry, RemoteAnswer, Remotes};
use crate::mint::keys::KeyName;
use crate::wire::Lines;

/// How often the filter looks whether it is time to ask, in milliseconds.
pub(crate) const TICK_MS: u64 = 500;

/// An answer as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Headers, with `:status`.
    pub headers: Lines,
    /// The body.
    pub body: Vec<u8>,
}

/// Servers, by cluster and path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Servers {
    answers: BTreeMap<String, BTreeMap<String, Vec<Answered>>>,
    asked: BTreeMap<(String, String), usize>,
}

impl Servers {
    /// The servers that a suite describes.
    ///
    /// # Errors
    /// If an answer names no test key, or has two bodies.
    pub fn new(remotes: &Remotes) -> Result<Self, String> {
        let mut answers = BTreeMap::<_, BTreeMap<_, _>>::new();
        for (cluster, paths) in remotes {
            let of = answers.entry(cluster.clone()).or_default();
            for (path, written) in paths {
                let list = written.iter().map(answered).collect::<Result<Vec<_>, String>>()?;
                of.insert(path.clone(), list);
            }
        }
        Ok(Self { answers, asked: BTreeMap::new() })
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// The names of the clusters.
    pub fn clusters(&self) -> impl Iterator<Item = &str> {
        self.answers.keys().map(String::as_str)
    }

    /// What is answered now; nothing if there is no such cluster.
    pub fn ask(&mut self, cluster: &str, path: &str) -> Option<Answered> {
        let answers = self.answers.get(cluster)?.get(path).map(Vec::as_slice).unwrap_or_default();
        let asked = self.asked.entry((cluster.to_owned(), path.to_owned())).or_default();
        let answer = answers.get(*asked).or(answers.last());
        *asked = asked.saturating_add(1);
        let nothing = || Answered { headers: vec![(b":status".to_vec(), b"404".to_vec())], body: Vec::new() };
        Some(answer.cloned().unwrap_or_else(nothing))
    }

    /// Does for an engine what the filter does at a tick, with answers that come at once.
    pub(crate) fn tick(&mut self, engine: &mut Engine, host: &mut TestHost, now: Now) {
        for feed in 0..engine.feeds().len() {
            engine.look(feed, host);
            let mut next = engine.poll(feed, host, now);
            while let Some(request) = next.take() {
                next = match self.answer(engine, feed, host, now, &request) {
                    Outcome::Ask(request) => Some(request),
                    _ => None,
                };
            }
        }
    }

    fn answer(
        &mut self,
        engine: &mut Engine,
        feed: usize,
        host: &mut TestHost,
        now: Now,
        request: &Request,
    ) -> Outcome {
        const TOKEN: u32 = 4;
        let path = request.headers.iter().find(|(name, _)| *name == ":path").map_or("", |(_, path)| path);
        let Some(Answered { headers, body }) = self.ask(&request.cluster, path) else {
            return engine.not_sent(feed, host, now, 2);
        };
        engine.sent(feed, TOKEN);
        let headers: Vec<(&[u8], &[u8])> =
            headers.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
        let arrived = Arrived { headers: &headers, size: body.len(), body: &mut || Some(body.clone()) };
        engine.answered(feed, host, now, TOKEN, arrived)
    }
}

fn answered(written: &RemoteAnswer) -> Result<Answered, String> {
    let set = written.jwks.as_deref().map(jwks).transpose()?;
    let bodies = [set, written.json.as_ref().map(Value::to_string), written.text.clone()];
    if bodies.iter().flatten().count() > 1 {
        return Err("an answer of `remote` has two bodies; give one of `jwks`, `json` and `text`".to_owned());
    }
    let body = bodies.into_iter().flatten().next();
    let mut headers = vec![(b":status".to_vec(), written.status.to_string().into_bytes())];
    let typed = written.headers.keys().any(|name| name.eq_ignore_ascii_case("content-type"));
    if body.is_some() && !typed {
        headers.push((b"content-type".to_vec(), b"application/json".to_vec()));
    }
    headers.extend(
        written
            .headers
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase().into_bytes(), value.clone().into_bytes())),
    );
    Ok(Answered { headers, body: body.unwrap_or_default().into_bytes() })
}

/// A JWK set of test keys.
///
/// # Errors
/// If there is no such key.
pub(crate) fn jwks(entries: &[JwkEntry]) -> Result<String, String> {
    let mut keys = Vec::new();
    for entry in entries {
        let mut jwk = KeyName::parse(&entry.key)?.jwk()?;
        for (member, value) in &entry.with {
            if value.is_null() {
                jwk.remove(member);
            } else {
                jwk.insert(member.clone(), value.clone());
            }
        }
        keys.push(Value::Object(jwk));
    }
    Ok(json!({ "keys": keys }).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_in_their_order_and_the_last_stays() {
        let remotes: Remotes =
            serde_json::from_value(json!({"idp": {"/k": [{"status": 503}, {"jwks": [{"key": "es256-0"}]}]}}))
                .unwrap();
        let mut servers = Servers::new(&remotes).unwrap();
        let mut status = |path: &str| {
            let answer = servers.ask("idp", path).unwrap();
            (String::from_utf8(answer.headers[0].1.clone()).unwrap(), answer.body.is_empty())
        };
        assert_eq!(status("/k"), ("503".into(), true));
        assert_eq!((status("/k"), status("/k")), (("200".into(), false), ("200".into(), false)));
        assert_eq!(status("/other"), ("404".into(), true));
        assert_eq!(servers.ask("nobody", "/k"), None);
        let two = json!({"idp": {"/k": [{"text": "a", "json": 1}]}});
        assert!(Servers::new(&serde_json::from_value(two).unwrap()).is_err());
    }
}
