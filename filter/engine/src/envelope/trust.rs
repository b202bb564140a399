//! Whom an operator trusts to sign bundles.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::dsse::{Envelope, PAYLOAD_TYPE, preamble};
use super::key::{Message, PublicKey};
use super::payload::is_bundle_name;
use super::refused::{Kind, Refused};
use crate::plan::PlanError;

/// The most keys of a trust.
pub const MAX_KEYS: usize = 16;

/// The most verifications of one artifact. Signatures that name their key cost one each.
const MAX_TRIES: usize = 32;

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

#[derive(Debug, Clone)]
struct Key {
    key: PublicKey,
    bundles: Option<Vec<String>>,
}

impl Trust {
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
        let mut tries = 0usize;
        for signature in &envelope.signatures {
            // The name of a key only says which one to try: whoever wrote the envelope wrote it.
            let named = |key: &&Key| signature.keyid.is_empty() || signature.keyid == key.key.id();
            for key in self.keys.iter().filter(named) {
                // A key counts once, however often it signs.
                if signers.iter().any(|signer| signer.key == key.key) {
                    continue;
                }
                tries = tries.saturating_add(1);
                if tries <= MAX_TRIES && key.key.verify(&message, &signature.sig) {
                    signers.push(key);
                    break;
                }
            }
        }
        if signers.len() < self.threshold {
            let detail = format!(
                "{} of {} signatures are good and by distinct trusted keys; {} are needed",
                signers.len(),
                envelope.signatures.len(),
                self.threshold
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
        let may = |key: &&&Key| key.bundles.as_ref().is_none_or(|bundles| bundles.iter().any(|b| b == name));
        let able: Vec<String> = self.keys.iter().filter(may).map(|key| key.key.id().to_owned()).collect();
        if able.len() < self.trust.threshold {
            let (found, needed) = (able.len(), self.trust.threshold);
            let detail = format!("{found} of the keys that signed may sign `{name}`; {needed} are needed");
            return Err(Refused::new(Kind::KeyNotForBundle, detail));
        }
        Ok(able)
    }
}
