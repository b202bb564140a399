//! DPoP (RFC 9449): whoever shows a token also signs the request with the key that the token is bound to.
//!
//! A proof is judged by itself (`proof`), against the request's method and URI (`target`), the token, and the key in
//! the token's `cnf`. Then its nonce (`nonce`), where the policy wants one, and at last whether it is new: a proof is
//! good for one request, on whatever worker that arrives.

mod nonce;
pub mod plan;
mod proof;
mod target;
pub(super) mod thumbprint;

use self::nonce::Nonces;
use self::plan::DpopPlan;
use self::proof::{Rules, Shown};
use self::target::Origin;
use super::binding::Thumbprint;
use super::method::{Kind, Once};
use super::plan::Algorithm;
use super::replay::{Replay, Used};
use crate::host::{Host, Now};
use crate::intake::request::Request;
use crate::pipeline::Surroundings;
use crate::plan::PlanError;
use crate::reason::Reason;

pub use target::is_origin;

/// A clock that is off by more than this, or a proof that is older, is none to rely on.
const MAX_AGE_S: u64 = 3_600;
/// As long as a worker may run without anybody looking.
const MAX_NONCE_S: u64 = 86_400;
/// A key of a nonce has as many bits as its hash is strong.
const MIN_KEY_BYTES: usize = 32;

/// Why a proof is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProofError {
    /// There is none, there are several, or it is wrong; the text is for the operator.
    Invalid(&'static str),
    /// It was used before, or is so old that nobody knows any more.
    Replayed(&'static str),
    /// It has no nonce, or not a good one. The client is to come again with this one.
    Nonce(String),
    /// Nobody can tell whether it was used before.
    Failed,
}

impl std::fmt::Display for ProofError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Invalid(why) | Self::Replayed(why) => why,
            Self::Nonce(_) => "the proof has no nonce that is good now",
            Self::Failed => "whether the proof was used before cannot be read or written",
        })
    }
}

/// The header in which proofs are.
pub(super) const HEADER: &str = "dpop";

/// The scheme with which tokens are sent that a proof goes with (RFC 9449, section 7.1).
pub(super) const SCHEME: &str = "DPoP";

/// The nonce that a filter with this key gives out at this moment: for tests of whatever makes proofs.
#[must_use]
pub fn nonce(key: &[u8], lifetime_s: u64, now: Now) -> String {
    Nonces::new(key.to_vec(), lifetime_s).current(now)
}

/// Judges the proofs of one issuer's tokens.
#[derive(Debug)]
pub(super) struct Dpop {
    rules: Rules,
    /// Empty: by `https` and the authority of the request.
    origins: Vec<Origin>,
    nonces: Option<Nonces>,
    replay: Replay,
    /// The names of the algorithms, for challenges.
    algs: String,
}

impl Dpop {
    /// Makes ready what a plan says. `issuer` is the name in the policy, and tells one memory of used proofs from others.
    pub(super) fn load(
        plan: &DpopPlan,
        issuer: &str,
        place: &str,
        surroundings: &Surroundings<'_>,
    ) -> Result<Self, PlanError> {
        let Surroundings { seed, secret, .. } = *surroundings;
        let wrong = |member: &str, problem: String| PlanError::new(format!("{place}.{member}"), problem);
        let symmetric = |a: &Algorithm| matches!(a, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512);
        if plan.algorithms.is_empty() || plan.algorithms.iter().any(symmetric) {
            return Err(wrong(
                "algorithms",
                "empty, or with a symmetric one; proofs are signed with asymmetric keys".into(),
            ));
        }
        if plan.max_age_s == 0 || plan.max_age_s > MAX_AGE_S {
            return Err(wrong("max_age_s", format!("not 1 to {MAX_AGE_S} s")));
        }
        if plan.leeway_s > MAX_AGE_S {
            return Err(wrong("leeway_s", format!("more than {MAX_AGE_S} s; set the clocks instead")));
        }
        let origins = plan.origins.iter().enumerate().map(|(index, origin)| {
            let problem =
                || format!("`{origin}` is not a scheme and an authority, as in https://api.example.com");
            Origin::read(origin).ok_or_else(|| wrong(&format!("origins[{index}]"), problem()))
        });
        let nonces = plan.nonce.as_ref().map(|nonce| {
            if nonce.lifetime_s == 0 || nonce.lifetime_s > MAX_NONCE_S {
                return Err(wrong("nonce.lifetime_s", format!("not 1 to {MAX_NONCE_S} s")));
            }
            let key = match &nonce.key_env {
                None => seed.iter().flat_map(|half| half.to_be_bytes()).collect(),
                Some(env) => secret(env).ok_or_else(|| {
                    wrong("nonce.key_env", format!("the environment variable `{env}` is not set for the filter; set it in `environment_variables` of the VM configuration"))
                })?,
            };
            if nonce.key_env.is_some() && key.len() < MIN_KEY_BYTES {
                let problem = format!("the key has {} bytes; it needs at least {MIN_KEY_BYTES}", key.len());
                return Err(wrong("nonce.key_env", problem));
            }
            Ok(Nonces::new(key, nonce.lifetime_s))
        });
        let replay = Replay::load(&format!("dpop/{issuer}"), plan.replay_entries, seed)
            .map_err(|problem| wrong("replay_entries", problem))?;
        let nanos = |seconds: u64| seconds.saturating_mul(1_000_000_000);
        let names: Vec<&str> = plan.algorithms.iter().map(|a| a.name()).collect();
        Ok(Self {
            rules: Rules {
                algorithms: plan.algorithms.clone(),
                max_age_ns: nanos(plan.max_age_s),
                leeway_ns: nanos(plan.leeway_s),
            },
            origins: origins.collect::<Result<_, _>>()?,
            nonces: nonces.transpose()?,
            replay,
            algs: names.join(" "),
        })
    }

    /// The challenge of RFC 9449, section 7.1: of a request without a token, or of one that is refused.
    pub(super) fn challenge(&self, refused: Option<Reason>) -> String {
        let error = match refused {
            None => String::new(),
            Some(Reason::ProofNonce) => r#", error="use_dpop_nonce""#.to_owned(),
            Some(Reason::ProofInvalid | Reason::ProofReplayed) => {
                r#", error="invalid_dpop_proof""#.to_owned()
            }
            Some(reason @ (Reason::TokenInvalid | Reason::TokenExpired)) => {
                format!(r#", error="invalid_token", error_description="{}""#, reason.title())
            }
            Some(_) => String::new(),
        };
        format!(r#"DPoP realm="api"{error}, algs="{}""#, self.algs)
    }

    /// Judges the proof of a request for a token that is bound to the key `jkt`, and says what is to be used up.
    pub(super) fn judge(
        &self,
        request: &Request<'_>,
        token: &[u8],
        jkt: Thumbprint,
        now: Now,
        host: &mut dyn Host,
    ) -> Result<Once, ProofError> {
        let headers = request.headers();
        // Point 1. Lines that a proxy joined are no JWT any more.
        let mut proofs = headers.all("dpop");
        let proof = match (proofs.next(), proofs.next()) {
            (Some(proof), None) => proof,
            (None, _) => return Err(ProofError::Invalid("the request has no proof")),
            (Some(_), Some(_)) => return Err(ProofError::Invalid("the request has two proofs")),
        };
        let own;
        let origins = if self.origins.is_empty() {
            let authority = headers.get(":authority").unwrap_or_default();
            own = Origin::of_authority(authority)
                .ok_or(ProofError::Invalid("the request has no plain authority"))?;
            std::slice::from_ref(&own)
        } else {
            &self.origins
        };
        let shown = Shown { method: request.method(), origins, path: request.path(), token, jkt, now };
        let proof = self.rules.judge(proof, &shown, host).map_err(ProofError::Invalid)?;
        // Point 10. A good proof comes first: nonces are for those who have a key.
        if let Some(nonces) = &self.nonces
            && !proof.nonce.is_some_and(|nonce| nonces.knows(&nonce, now))
        {
            return Err(ProofError::Nonce(nonces.current(now)));
        }
        // Whoever has the key may make as many proofs as there are names for them: one key's are strangers to another's.
        Ok(Once {
            kind: Kind::Jwt,
            method: 0,
            owner: jkt,
            what: "proof",
            name: proof.jti.as_bytes().to_vec(),
            made: Now::from_nanos(proof.issued_at.nanos()),
        })
    }

    /// Uses up a proof.
    ///
    /// # Errors
    /// If it was used before.
    pub(super) fn settle(&mut self, proof: &Once, host: &mut dyn Host) -> Result<(), ProofError> {
        match proof.note(&mut self.replay, host) {
            Used::First => Ok(()),
            Used::Again => Err(ProofError::Replayed("the proof was used before")),
            Used::TooOld => Err(ProofError::Replayed("the proof is older than what is remembered")),
            Used::Failed => Err(ProofError::Failed),
        }
    }
}

#[cfg(test)]
mod tests;
