//! Whom an operator trusts to sign bundles.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::dsse::{Envelope, PAYLOAD_TYPE, preamble};
use super::key::{Message, PublicKey};
use super::payload::is_bundle_name;
use super::refused::{Kind, Refused};
use crate::plan::PlanError;

/// The most keys of a trust.
pub const MAX_KEYS: usize = 16;

/// The most verifications of one artifact.
const MAX_TRIES: usize = 64;

/// About the most bytes that are hashed to verify one artifact. Ed25519 hashes all of them again for each try, and whoever
/// writes an artifact chooses how many tries it takes.
const MAX_HASHED: usize = 32 * 1024 * 1024;

/// How often signatures may be wrongly said to be of one key: twice, for a signature that was made anew.
const MAX_MISNAMED: usize = 2;

/// Whom to trust, as it is written in a configuration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustPlan {
    /// The keys, all different.
    pub keys: Vec<TrustedKey>,
    /// How many of them must have signed; one, if nothing is said.
    #[serde(default = "one")]
    pub threshold: usize,
    /// The name that a bundle must have; any, if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// One key, in one of two forms.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedKey {
    /// A `PUBLIC KEY` in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pem: Option<String>,
    /// A JSON Web Key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwk: Option<Map<String, Value>>,
    /// The names of the bundles that it may sign; all, if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundles: Option<Vec<String>>,
}

fn one() -> usize {
    1
}

/// A trust that makes sense: its keys are good and different, and there are as many as it asks for.
#[derive(Debug, Clone)]
pub struct Trust {
    keys: Vec<Key>,
    threshold: usize,
    name: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
struct Key {
    key: PublicKey,
    bundles: Option<Vec<String>>,
}

impl Key {
    fn may_sign(&self, name: &str) -> bool {
        self.bundles.as_ref().is_none_or(|bundles| bundles.iter().any(|bundle| bundle == name))
    }
}

/// How many keys may sign the bundle that most of them may sign.
fn most_for_one_bundle(keys: &[Key]) -> usize {
    let mut named: BTreeMap<&str, usize> = BTreeMap::new();
    for key in keys {
        let names: BTreeSet<&str> = key.bundles.iter().flatten().map(String::as_str).collect();
        for name in names {
            let count = named.entry(name).or_default();
            *count = count.saturating_add(1);
        }
    }
    let any = keys.iter().filter(|key| key.bundles.is_none()).count();
    named.into_values().max().unwrap_or(0).saturating_add(any)
}

/// Takes one try, if there is one.
fn take(tries: &mut usize, ran_out: &mut bool) -> bool {
    let left = tries.checked_sub(1);
    *ran_out |= left.is_none();
    *tries = left.unwrap_or(0);
    left.is_some()
}

impl Trust {
    /// Whether keys with these identifiers are enough for a bundle of this name, if they have signed it.
    #[must_use]
    pub fn is_met_by(&self, ids: &[String], bundle: &str) -> bool {
        let able = |key: &&Key| key.may_sign(bundle) && ids.iter().any(|id| id == key.key.id());
        self.name.as_deref().is_none_or(|name| name == bundle)
            && self.keys.iter().filter(able).count() >= self.threshold
    }

    /// Reads a trust.
    ///
    /// # Errors
    /// When a key or a name is malformed, a key comes twice, or the threshold cannot be met.
    pub fn load(plan: &TrustPlan) -> Result<Self, PlanError> {
        if plan.keys.is_empty() || plan.keys.len() > MAX_KEYS {
            return Err(PlanError::new("keys", format!("{} keys; give 1 to {MAX_KEYS}", plan.keys.len())));
        }
        let name = |place: String, name: &str| {
            if is_bundle_name(name) {
                Ok(())
            } else {
                Err(PlanError::new(place, format!("{name:?} is not the name of a bundle; correct it")))
            }
        };
        let mut keys: Vec<Key> = Vec::new();
        for (index, written) in plan.keys.iter().enumerate() {
            let place = format!("keys[{index}]");
            let (key, form) = match (&written.pem, &written.jwk) {
                (Some(pem), None) => (PublicKey::from_pem(pem), "pem"),
                (None, Some(jwk)) => (PublicKey::from_jwk(jwk), "jwk"),
                _ => return Err(PlanError::new(place, "give either `pem` or `jwk`")),
            };
            let key = key.map_err(|problem| PlanError::new(format!("{place}.{form}"), problem))?;
            if keys.iter().any(|other| other.key == key) {
                return Err(PlanError::new(place, "the same key again; name each key once"));
            }
            if written.bundles.as_ref().is_some_and(Vec::is_empty) {
                let problem = "a key that may sign no bundle; name some, or leave `bundles` out for all";
                return Err(PlanError::new(format!("{place}.bundles"), problem));
            }
            for (number, bundle) in written.bundles.iter().flatten().enumerate() {
                name(format!("{place}.bundles[{number}]"), bundle)?;
            }
            keys.push(Key { key, bundles: written.bundles.clone() });
        }
        if plan.threshold == 0 || plan.threshold > keys.len() {
            let problem = format!("{} of {} keys; ask for 1 to {}", plan.threshold, keys.len(), keys.len());
            return Err(PlanError::new("threshold", problem));
        }
        if let Some(wanted) = &plan.name {
            name("name".into(), wanted)?;
        }
        let able = |bundle: &str| keys.iter().filter(|key| key.may_sign(bundle)).count();
        match &plan.name {
            Some(wanted) if able(wanted) < plan.threshold => {
                let problem = format!(
                    "{} of the keys may sign `{wanted}`, and {} are needed; add the name to `bundles` of more keys",
                    able(wanted),
                    plan.threshold
                );
                return Err(PlanError::new("keys", problem));
            }
            None if most_for_one_bundle(&keys) < plan.threshold => {
                let problem = format!(
                    "no bundle may be signed by {} of the keys; add its name to `bundles` of more keys",
                    plan.threshold
                );
                return Err(PlanError::new("keys", problem));
            }
            _ => {}
        }
        Ok(Self { keys, threshold: plan.threshold, name: plan.name.clone() })
    }

    /// The identifiers of the keys that have signed this envelope, each once. The payload is not read.
    ///
    /// # Errors
    /// When they are fewer than are asked for.
    pub(super) fn signers(&self, envelope: &Envelope) -> Result<Signers<'_>, Refused> {
        let preamble = preamble(PAYLOAD_TYPE, &envelope.payload);
        let message = Message::new([preamble.as_bytes(), &envelope.payload]);
        let mut signers: Vec<&Key> = Vec::new();
        let hashed = MAX_HASHED.checked_div(envelope.payload.len()).unwrap_or(MAX_TRIES);
        let mut tries = hashed.clamp(self.keys.len(), MAX_TRIES);
        let mut ran_out = false;
        // The name of a key only says which one to try: whoever wrote the envelope wrote it. Those with a name cost little
        // and come first.
        let (unnamed, named): (Vec<_>, Vec<_>) =
            envelope.signatures.iter().partition(|signature| signature.keyid.is_empty());
        for key in &self.keys {
            for signature in named.iter().filter(|s| s.keyid == key.key.id()).take(MAX_MISNAMED) {
                // A key counts once, however often it signs.
                if !signers.contains(&key)
                    && take(&mut tries, &mut ran_out)
                    && key.key.verify(&message, &signature.sig)
                {
                    signers.push(key);
                }
            }
        }
        for signature in unnamed {
            let signed = self
                .keys
                .iter()
                .filter(|key| !signers.contains(key))
                .find(|key| take(&mut tries, &mut ran_out) && key.key.verify(&message, &signature.sig));
            signers.extend(signed);
        }
        if signers.len() < self.threshold {
            let detail = format!(
                "{} of {} signatures are good and by distinct trusted keys; {} are needed{}",
                signers.len(),
                envelope.signatures.len(),
                self.threshold,
                if ran_out { "; not all were tried, let each signature name its key" } else { "" }
            );
            return Err(Refused::new(Kind::TooFewSignatures, detail));
        }
        Ok(Signers { trust: self, keys: signers })
    }
}

/// The keys that have signed an envelope, at least as many as the trust asks for. Only [`Trust::signers`] makes one.
pub(super) struct Signers<'t> {
    trust: &'t Trust,
    keys: Vec<&'t Key>,
}

impl Signers<'_> {
    /// Whether they may sign a bundle of this name: the identifiers of those that may.
    pub(super) fn for_bundle(&self, name: &str) -> Result<Vec<String>, Refused> {
        if let Some(wanted) = self.trust.name.as_deref().filter(|wanted| *wanted != name) {
            let detail = format!("the bundle is `{name}`; expected `{wanted}`");
            return Err(Refused::new(Kind::WrongName, detail));
        }
        let able: Vec<String> =
            self.keys.iter().filter(|key| key.may_sign(name)).map(|key| key.key.id().to_owned()).collect();
        if able.len() < self.trust.threshold {
            let (found, needed) = (able.len(), self.trust.threshold);
            let detail = format!("{found} of the keys that signed may sign `{name}`; {needed} are needed");
            return Err(Refused::new(Kind::KeyNotForBundle, detail));
        }
        Ok(able)
    }
}
