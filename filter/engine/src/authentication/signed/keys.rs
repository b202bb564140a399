//! The keys of clients.

use std::collections::HashMap;

use super::plan::{KeyMaterial, KeyPlan, SignatureAlgorithm};
use super::problem::Problem;
use crate::authentication::keys::{Key, KeySet};
use crate::authentication::plan::Algorithm;
use crate::authentication::sealed::Sealed;
use crate::host::Now;
use crate::plan::PlanError;

/// The most keys of a method.
pub const MAX_KEYS: usize = 1_000;

/// A key, ready to verify with.
#[derive(Debug)]
pub(super) struct ClientKey {
    pub(super) id: String,
    pub(super) client: String,
    pub(super) roles: Vec<String>,
    pub(super) permissions: Vec<String>,
    pub(super) algorithm: SignatureAlgorithm,
    pub(super) key: Key,
    not_before: Option<u64>,
    expires: Option<u64>,
}

impl ClientKey {
    /// Whether the key counts now.
    pub(super) fn in_force(&self, now: Now) -> Result<(), Problem> {
        if self.not_before.is_some_and(|from| now.secs() < from) {
            Err(Problem::invalid("the key does not count yet"))
        } else if self.expires.is_some_and(|until| now.secs() >= until) {
            Err(Problem::invalid("the key counts no longer"))
        } else {
            Ok(())
        }
    }
}

/// The keys of one method, by their ids.
#[derive(Debug, Default)]
pub(super) struct Keys(HashMap<String, ClientKey>);

impl Keys {
    /// Makes ready what a plan says; `owner` is the bundle's and the method's name, which secrets are sealed for.
    pub(super) fn load(
        plans: &[KeyPlan],
        (bundle, method): (&str, &str),
        place: &str,
        secret: &dyn Fn(&str) -> Option<Vec<u8>>,
    ) -> Result<Self, PlanError> {
        if plans.is_empty() || plans.len() > MAX_KEYS {
            return Err(PlanError::new(place, format!("{} keys; give 1 to {MAX_KEYS}", plans.len())));
        }
        let mut keys = HashMap::with_capacity(plans.len());
        for (index, plan) in plans.iter().enumerate() {
            let place = format!("{place}[{index}]");
            let wrong = |problem: String| PlanError::new(place.clone(), problem);
            let fine = |text: &str| {
                !text.is_empty() && text.len() <= 256 && text.bytes().all(|b| (0x20..0x7f).contains(&b))
            };
            if !fine(&plan.id) || !fine(&plan.client) {
                return Err(wrong("the id and the client are 1 to 256 printable ASCII characters".into()));
            }
            let variable = |env: &str| {
                secret(env).ok_or_else(|| {
                    wrong(format!(
                        "the environment variable `{env}` is not set for the filter; set it in `environment_variables` of the VM configuration"
                    ))
                })
            };
            let algorithm = jose(plan.algorithm);
            let shared = plan.algorithm == SignatureAlgorithm::HmacSha256;
            let set = match &plan.material {
                KeyMaterial::Jwks(json) if !shared => KeySet::from_jwks(json, &[algorithm]),
                KeyMaterial::Secret { env } if shared => KeySet::from_secret(&variable(env)?, &[algorithm]),
                KeyMaterial::Sealed { jwe, key_env } if shared => {
                    let sealed = Sealed::read(jwe, bundle, method)
                        .map_err(|error| wrong(format!("the sealed secret: {error}")))?;
                    let opened = sealed.open(&variable(key_env)?);
                    let value = opened.map_err(|error| {
                        wrong(format!("the sealed secret and the key in `{key_env}`: {error}"))
                    })?;
                    KeySet::from_secret(&value, &[algorithm])
                }
                _ => {
                    return Err(wrong(format!(
                        "{} does not go with this kind of key",
                        plan.algorithm.name()
                    )));
                }
            };
            let mut all = set.map_err(|error| wrong(error.to_string()))?.into_keys();
            let (Some(key), true) = (all.pop(), all.is_empty()) else {
                return Err(wrong("not exactly one key; give each key an entry of its own".into()));
            };
            let KeyPlan { id, client, roles, permissions, algorithm, not_before, expires, .. } = plan.clone();
            let entry =
                ClientKey { id: id.clone(), client, roles, permissions, algorithm, key, not_before, expires };
            if keys.insert(id, entry).is_some() {
                return Err(wrong("another key has this id; signatures name keys by it".into()));
            }
        }
        Ok(Self(keys))
    }

    pub(super) fn get(&self, id: &str) -> Option<&ClientKey> {
        self.0.get(id)
    }
}

/// The same algorithm by its name in RFC 7518.
const fn jose(algorithm: SignatureAlgorithm) -> Algorithm {
    match algorithm {
        SignatureAlgorithm::HmacSha256 => Algorithm::HS256,
        SignatureAlgorithm::Ed25519 => Algorithm::EdDSA,
        SignatureAlgorithm::EcdsaP256Sha256 => Algorithm::ES256,
        SignatureAlgorithm::RsaPssSha512 => Algorithm::PS512,
        SignatureAlgorithm::RsaV15Sha256 => Algorithm::RS256,
    }
}
