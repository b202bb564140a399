//! One DPoP proof (RFC 9449, section 4.3), judged by itself: what it is shown with comes in as arguments.

use serde_json::{Map, Value};
use superboring::reexports::hmac_sha256::Hash;

use super::target::{self, Origin};
use super::thumbprint;
use crate::authentication::binding::{self, Thumbprint};
use crate::authentication::dates::NumericDate;
use crate::authentication::jwk::Jwk;
use crate::authentication::jws::Jws;
use crate::authentication::keys::Key;
use crate::authentication::plan::Algorithm;
use crate::host::{Host, Now};
use crate::strict_json::{self, Bounds};

/// A proof has a key, a signature and a handful of claims: with RSA keys of 4,096 bits some 2,500 bytes.
const MAX_PROOF_BYTES: usize = 8 * 1024;
/// The most bytes of a `jti`; RFC 9449, section 4.2, suggests 96 bits of chance or a UUID.
const MAX_JTI_BYTES: usize = 256;

/// What a proof is held against.
#[derive(Debug)]
pub(super) struct Shown<'a> {
    pub(super) method: &'a str,
    /// Origins by which this service is called, and the one of this request.
    pub(super) origins: &'a [Origin],
    /// The canonical path.
    pub(super) path: &'a str,
    pub(super) token: &'a [u8],
    pub(super) jkt: Thumbprint,
    pub(super) now: Now,
}

/// What proofs are accepted.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) max_age_ns: u64,
    pub(super) leeway_ns: u64,
}

/// What is left to be judged of a proof whose signature and claims are good: whether it is new.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Proof {
    pub(super) jti: String,
    pub(super) issued_at: NumericDate,
    pub(super) nonce: Option<String>,
}

/// Why a proof is not accepted, as a sentence for the operator. It repeats nothing that the client wrote.
pub(super) type Wrong = &'static str;

impl Rules {
    /// Judges a proof. The points are those of RFC 9449, section 4.3.
    pub(super) fn judge(&self, proof: &[u8], shown: &Shown<'_>, host: &mut dyn Host) -> Result<Proof, Wrong> {
        // Points 2 and 5: a well-formed JWT, with an algorithm that exists here.
        if proof.len() > MAX_PROOF_BYTES {
            return Err("the proof is larger than a proof can be");
        }
        let jws = Jws::parse(proof).map_err(|_| "the proof is not a well-formed JWT")?;
        // Point 4. A media type is compared in any case (RFC 6838, section 4.2), but this one has one spelling in
        // the RFC, and everybody uses it.
        if jws.header.typ.as_deref() != Some("dpop+jwt") {
            return Err("the proof is not of the type `dpop+jwt`");
        }
        if !self.algorithms.contains(&jws.header.algorithm) {
            return Err("the policy does not accept the algorithm of the proof");
        }
        // Points 6 and 7.
        let (key, jkt) = key(proof, jws.header.algorithm)?;
        // The claims, before the signature: reading them costs little, and most bad proofs end here.
        let claims = jws.claims().map_err(|_| "the claims of the proof are not a strict JSON object")?;
        let claims = Claims(&claims);
        let jti = claims.string("jti")?.ok_or("the proof has no `jti`")?;
        if jti.is_empty() || jti.len() > MAX_JTI_BYTES {
            return Err("`jti` of the proof is empty or too long");
        }
        // Point 8.
        if claims.string("htm")? != Some(shown.method) {
            return Err("`htm` of the proof is not the method of the request");
        }
        // Point 9.
        let htu = claims.string("htu")?.ok_or("the proof has no `htu`")?;
        let (origin, path) = target::read(htu).ok_or("`htu` of the proof is not a plain absolute URI")?;
        if path != shown.path || !shown.origins.contains(&origin) {
            return Err("`htu` of the proof is not the URI of the request");
        }
        // Point 11.
        let issued_at = claims.0.get("iat").ok_or("the proof has no `iat`")?;
        let issued_at = NumericDate::read(issued_at).map_err(|_| "`iat` of the proof is not a date")?;
        let now = shown.now.nanos();
        if issued_at.nanos() > now.saturating_add(self.leeway_ns) {
            return Err("`iat` of the proof is in the future");
        }
        if issued_at.nanos().saturating_add(self.max_age_ns) < now {
            return Err("the proof is too old");
        }
        // Nobody asks for these, but whoever sets them means them.
        for (claim, wrong) in [("exp", "the proof has expired"), ("nbf", "the proof is not in force yet")] {
            if let Some(date) = claims.0.get(claim) {
                let date = NumericDate::read(date).map_err(|_| "a date of the proof is not one")?;
                let over = if claim == "exp" {
                    now >= date.nanos()
                } else {
                    now.saturating_add(self.leeway_ns) < date.nanos()
                };
                if over {
                    return Err(wrong);
                }
            }
        }
        // Point 12: this token, and the key that it is bound to.
        let ath = claims.string("ath")?.ok_or("the proof has no `ath`")?;
        if binding::thumbprint(ath) != Some(Hash::hash(shown.token)) {
            return Err("`ath` of the proof is not the hash of the token");
        }
        if jkt != shown.jkt {
            return Err("the token is bound to another key than that of the proof");
        }
        // Point 6.
        if !key.verify(jws.signing_input, &jws.signature, host) {
            return Err("the signature of the proof does not verify");
        }
        Ok(Proof { jti: jti.to_owned(), issued_at, nonce: claims.string("nonce")?.map(str::to_owned) })
    }
}

/// The key in the header of a proof, and its thumbprint.
fn key(proof: &[u8], algorithm: Algorithm) -> Result<(Key, Thumbprint), Wrong> {
    const HEADER: Bounds = Bounds { max_bytes: MAX_PROOF_BYTES, max_depth: 8 };
    const MALFORMED: Wrong = "`jwk` of the proof is not a public key for its algorithm";
    let header = proof.split(|byte| *byte == b'.').next().unwrap_or_default();
    let members = binding::decoded(header)
        .and_then(|header| strict_json::parse_object(&header, HEADER).ok())
        .ok_or("the header of the proof is not a strict JSON object")?;
    let jwk = members.get("jwk").ok_or("the proof has no `jwk`")?;
    // A secret is no public key. It is said here, for a set of keys may hold secrets.
    if jwk.get("kty").and_then(Value::as_str).is_none_or(|kty| kty == "oct") {
        return Err(MALFORMED);
    }
    let key = Jwk::new(0, jwk)
        .and_then(|jwk| jwk.key(&[algorithm]))
        .map_err(|_| MALFORMED)?
        .map_err(|_| MALFORMED)?;
    let thumbprint = jwk.as_object().and_then(thumbprint::of).ok_or(MALFORMED)?;
    Ok((key, thumbprint))
}

struct Claims<'c>(&'c Map<String, Value>);

impl<'c> Claims<'c> {
    fn string(&self, claim: &str) -> Result<Option<&'c str>, Wrong> {
        match self.0.get(claim) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err("a claim of the proof is not a string"),
        }
    }
}

#[cfg(test)]
#[path = "proof_tests.rs"]
mod tests;
