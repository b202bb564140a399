//! The keys of clients.

use std::collections::HashMap;

use serde_json::Value;
use superboring::reexports::hmac_sha256::Hash;

use super::plan::{KeyMaterial, KeyPlan, SignatureAlgorithm};
use super::problem::Problem;
use crate::authentication::dpop::thumbprint;
use crate::authentication::keys::{Key, KeySet};
use crate::authentication::plan::Algorithm;
use crate::authentication::sealed::Sealed;
use crate::host::Now;
use crate::plan::PlanError;
use crate::strict_json::{self, Bounds};

/// The most keys of a method.
pub const MAX_KEYS: usize = 1_000;

/// The file of one key.
const KEY: Bounds = Bounds { max_bytes: 512 * 1024, max_depth: 8 };

/// A key, ready to verify with.
#[derive(Debug)]
pub(super) struct ClientKey {
    pub(super) id: String,
    pub(super) client: String,
    pub(super) roles: Vec<String>,
    pub(super) permissions: Vec<String>,
    pub(super) algorithm: SignatureAlgorithm,
    pub(super) key: Key,
    pub(super) material: Material,
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

/// What tells a key from others, however the policy calls it: a digest.
pub(super) struct Material(pub(super) [u8; 32]);

// By hand, for a weak secret could be guessed from its digest.
impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Material")
    }
}

impl Material {
    /// Of a secret. HMAC (RFC 2104, section 2) fills it up with zeros, and takes the digest of one that is longer than
    /// its blocks: what is one key to it is one here.
    fn of_secret(secret: &[u8]) -> Self {
        let digest = Hash::hash(secret);
        let key = if secret.len() > 64 { &digest } else { secret };
        let mut block = [0; 64];
        block.iter_mut().zip(key).for_each(|(into, byte)| *into = *byte);
        Self(Hash::hash(&block))
    }

    /// Of a set of one public key.
    fn of_jwks(json: &str) -> Option<Self> {
        let set = strict_json::parse_object(json.as_bytes(), KEY).ok()?;
        match set.get("keys")?.as_array()?.as_slice() {
            [Value::Object(jwk)] => thumbprint::of(jwk).map(Self),
            _ => None,
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
            let of_secret =
                |value: &[u8]| (KeySet::from_secret(value, &[algorithm]), Some(Material::of_secret(value)));
            let (set, material) = match &plan.material {
                KeyMaterial::Jwks(json) if !shared => {
                    (KeySet::from_jwks(json, &[algorithm]), Material::of_jwks(json))
                }
                KeyMaterial::Secret { env } if shared => of_secret(&variable(env)?),
                KeyMaterial::Sealed { jwe, key_env } if shared => {
                    let sealed = Sealed::read(jwe, bundle, method)
                        .map_err(|error| wrong(format!("the sealed secret: {error}")))?;
                    let opened = sealed.open(&variable(key_env)?);
                    let value = opened.map_err(|error| {
                        wrong(format!("the sealed secret and the key in `{key_env}`: {error}"))
                    })?;
                    of_secret(&value)
                }
                _ => {
                    return Err(wrong(format!(
                        "{} does not go with this kind of key",
                        plan.algorithm.name()
                    )));
                }
            };
            let mut all = set.map_err(|error| wrong(error.to_string()))?.into_keys();
            let (Some(key), Some(material), true) = (all.pop(), material, all.is_empty()) else {
                return Err(wrong("not exactly one key; give each key an entry of its own".into()));
            };
            let KeyPlan { id, client, roles, permissions, algorithm, not_before, expires, .. } = plan.clone();
            let entry = ClientKey {
                id: id.clone(),
                client,
                roles,
                permissions,
                algorithm,
                key,
                material,
                not_before,
                expires,
            };
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
