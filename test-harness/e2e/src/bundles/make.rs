//! Policies that tell their revision in every phase of a request, as signed artifacts, good and bad.

use std::collections::BTreeMap;

use anyhow::{Context as _, Error, Result, ensure};
use bartizan_compiler::artifact::{self, SigningKey, public_pem};
use bartizan_compiler::{Compiled, compile_files};
use bartizan_engine::envelope::dsse::{PAYLOAD_TYPE, Signature, preamble};
use bartizan_engine::envelope::key::Algorithm;
use serde_json::{Value, json};

/// The bundle that is followed.
pub(crate) const NAME: &str = "edge";

/// The header in which upstream and the client are told which policy judged.
pub(crate) const MARK: &str = "x-policy";

/// A secret that no Envoy of these scenes has.
pub(crate) const MISSING_SECRET: &str = "BARTIZAN_E2E_NOT_THERE";

/// One policy.
#[derive(Debug, Clone)]
pub(crate) struct Edition {
    pub(crate) name: &'static str,
    pub(crate) revision: u64,
    /// What stands in [`MARK`], and what a body must say to be let through.
    pub(crate) mark: String,
    /// Further lines of `bundle.yaml`.
    pub(crate) more: String,
    /// Further routes, as lines.
    pub(crate) routes: String,
}

impl Edition {
    /// The policy of a revision, marked by it.
    pub(crate) fn new(revision: u64) -> Self {
        let mark = mark(revision);
        Self { name: NAME, revision, mark, more: String::new(), routes: String::new() }
    }

    /// The same policy with another mark: one that must never be seen.
    pub(crate) fn marked(mut self, mark: &str) -> Self {
        mark.clone_into(&mut self.mark);
        self
    }

    /// The same with a further line.
    pub(crate) fn with(mut self, line: &str) -> Self {
        self.more = format!("{line}\n");
        self
    }

    fn compile(&self) -> Result<Compiled> {
        let Self { name, revision, mark, more, routes } = self;
        let bundle = format!(
            "apiVersion: bartizan/v1\nname: {name}\nrevision: {revision}\n{more}routes:\n\
             \x20 - {{path: /open, methods: [GET], access: public}}\n\
             \x20 - {{path: /post, methods: [POST], access: public, body: {{max_size: 64KiB, json: {{schema: mark.json}}}}}}\n{routes}\
             headers: {{request: {{set: {{{MARK}: {mark}}}}}, response: {{set: {{{MARK}: {mark}}}}}}}\n"
        );
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
            "properties": {"mark": {"const": mark}}, "required": ["mark"], "additionalProperties": false,
        });
        let files = [("bundle.yaml", bundle), ("mark.json", schema.to_string())];
        let compiled = compile_files(BTreeMap::from(files.map(|(path, text)| (path.into(), text.into()))));
        ensure!(compiled.plan.is_some(), "{}", compiled.render(false));
        Ok(compiled)
    }

    /// What is signed.
    pub(crate) fn payload(&self) -> Result<Vec<u8>> {
        artifact::payload(&self.compile()?, None, None).map_err(Error::msg)
    }
}

/// What the policy of a revision writes into [`MARK`].
pub(crate) fn mark(revision: u64) -> String {
    format!("r{revision}")
}

/// Who signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signer {
    /// Trusted.
    First,
    /// Trusted too.
    Second,
    /// Trusted for bundles of another name.
    Elsewhere,
    /// Nobody knows this one.
    Stranger,
    /// Nor this one.
    OtherStranger,
}

/// The keys of a scene.
pub(crate) struct Maker {
    first: SigningKey,
    second: SigningKey,
    elsewhere: SigningKey,
    stranger: SigningKey,
    other_stranger: SigningKey,
}

impl Maker {
    pub(crate) fn new() -> Self {
        Self {
            first: SigningKey::generate(Algorithm::Ed25519),
            second: SigningKey::generate(Algorithm::P256),
            elsewhere: SigningKey::generate(Algorithm::Ed25519),
            stranger: SigningKey::generate(Algorithm::Ed25519),
            other_stranger: SigningKey::generate(Algorithm::P256),
        }
    }

    fn key(&self, signer: Signer) -> &SigningKey {
        match signer {
            Signer::First => &self.first,
            Signer::Second => &self.second,
            Signer::Elsewhere => &self.elsewhere,
            Signer::Stranger => &self.stranger,
            Signer::OtherStranger => &self.other_stranger,
        }
    }

    /// The trust in the first two keys, so many of which must have signed, and in a third one for other bundles.
    pub(crate) fn trust(&self, threshold: usize) -> Result<Value> {
        let pem = |signer| self.key(signer).public().map(|key| public_pem(&key)).map_err(Error::msg);
        Ok(json!({"name": NAME, "threshold": threshold, "keys": [
            {"pem": pem(Signer::First)?}, {"pem": pem(Signer::Second)?},
            {"pem": pem(Signer::Elsewhere)?, "bundles": ["elsewhere"]}]}))
    }

    /// The trust in these keys.
    pub(crate) fn trust_in(&self, signers: &[Signer], threshold: usize) -> Result<Value> {
        let mut keys = Vec::new();
        for &signer in signers {
            let key = self.key(signer).public().map_err(Error::msg)?;
            keys.push(json!({"pem": public_pem(&key)}));
        }
        Ok(json!({"name": NAME, "threshold": threshold, "keys": keys}))
    }

    /// An artifact of any payload, signed by these.
    pub(crate) fn sign(&self, payload: &[u8], signers: &[Signer]) -> Result<Vec<u8>> {
        let message = [preamble(PAYLOAD_TYPE, payload).as_bytes(), payload].concat();
        let mut signatures = Vec::new();
        for &signer in signers {
            let key = self.key(signer);
            let keyid = key.public().map_err(Error::msg)?.id().to_owned();
            signatures.push(Signature { keyid, sig: key.sign(&message).map_err(Error::msg)? });
        }
        artifact::envelope(payload, &signatures).map_err(Error::msg)
    }

    /// The artifact of a policy, signed by the first two keys.
    pub(crate) fn artifact(&self, edition: &Edition) -> Result<Vec<u8>> {
        self.sign(&edition.payload()?, &[Signer::First, Signer::Second])
    }

    /// The artifact of a policy that ends at a second since 1970.
    pub(crate) fn expiring(&self, edition: &Edition, expires: u64) -> Result<Vec<u8>> {
        let mut edition = edition.clone();
        edition.more.push_str("expires: 2200-01-01T00:00:00Z\n");
        self.altered(&edition, "\"expires\":7258118400", &format!("\"expires\":{expires}"))
    }

    /// The same with a text of the payload replaced before it is signed.
    pub(crate) fn altered(&self, edition: &Edition, from: &str, to: &str) -> Result<Vec<u8>> {
        let payload = String::from_utf8(edition.payload()?)?;
        ensure!(payload.contains(from), "the payload has no {from} any more");
        self.sign(payload.replacen(from, to, 1).as_bytes(), &[Signer::First, Signer::Second])
    }
}

/// An artifact as JSON, to stand in a configuration.
pub(crate) fn value(artifact: &[u8]) -> Result<Value> {
    serde_json::from_slice(artifact).context("an artifact is JSON")
}

#[cfg(test)]
mod tests {
    use bartizan_engine::envelope::{Kind, Trust, admit};

    use super::*;

    #[test]
    fn what_is_meant_to_be_good_is_admitted_and_the_rest_is_not() {
        let maker = Maker::new();
        let trust: bartizan_engine::envelope::trust::TrustPlan =
            serde_json::from_value(maker.trust(1).unwrap()).unwrap();
        let trust = Trust::load(&trust).unwrap();
        let edition = Edition::new(7);
        let judge = |bytes: &[u8]| admit(bytes, &trust, 1_800_000_000, None);
        assert_eq!(judge(&maker.artifact(&edition).unwrap()).unwrap().plan().revision, 7);
        let payload = edition.payload().unwrap();
        for (signer, kind) in
            [(Signer::Stranger, Kind::TooFewSignatures), (Signer::Elsewhere, Kind::KeyNotForBundle)]
        {
            assert_eq!(judge(&maker.sign(&payload, &[signer]).unwrap()).unwrap_err().kind, kind);
        }
        let blank = maker.altered(&edition, "{", "{ ").unwrap();
        assert_eq!(judge(&blank).unwrap_err().kind, Kind::NotCanonical);
    }
}
