//! Tokens that are bound to a key (RFC 7800): whoever shows one must also show that the key is theirs.
//!
//! `cnf` says which key: `jkt`, the thumbprint of the key of DPoP proofs (RFC 9449, section 6.1), or
//! `x5t#S256`, that of a client certificate (RFC 8705, section 3.1). A member that is not known here binds the
//! token in a way that nobody could check, so the token is refused: as a bearer token it would be worth more
//! to a thief than its issuer wanted.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::certificates;
use super::dpop::Dpop;
use super::error::TokenError;
use super::method::Once;
use super::plan::{CertificateSource, JwtPlan};
use crate::host::{Host, Now};
use crate::intake::request::Request;
use crate::pipeline::Surroundings;
use crate::plan::PlanError;

/// A SHA-256 digest of a key or of a certificate.
pub(super) type Thumbprint = [u8; 32];

/// The key that the bearer of a token must hold. With both members, both keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Confirmation {
    /// The thumbprint (RFC 7638) of the key that signs DPoP proofs.
    pub(super) jkt: Option<Thumbprint>,
    /// The digest of the client certificate.
    pub(super) x5t_s256: Option<Thumbprint>,
}

impl Confirmation {
    /// Reads `cnf` from claims whose signature is good.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence.
    pub(super) fn read(claims: &Map<String, Value>) -> Result<Self, &'static str> {
        let Some(cnf) = claims.get("cnf") else { return Ok(Self::default()) };
        let cnf = cnf.as_object().ok_or("is not an object")?;
        if cnf.is_empty() {
            return Err("is empty");
        }
        let mut found = Self::default();
        for (member, value) in cnf {
            let place = match member.as_str() {
                "jkt" => &mut found.jkt,
                "x5t#S256" => &mut found.x5t_s256,
                _ => return Err("binds the token in a way that is not supported"),
            };
            *place = Some(value.as_str().and_then(thumbprint).ok_or("has a thumbprint that is not SHA-256")?);
        }
        Ok(found)
    }

    /// Whether the token is bound to any key.
    pub(super) fn is_bound(&self) -> bool {
        self.jkt.is_some() || self.x5t_s256.is_some()
    }
}

/// What one issuer's tokens are held to.
#[derive(Debug)]
pub(super) struct Binding {
    required: bool,
    pub(super) certificate: CertificateSource,
    pub(super) dpop: Option<Dpop>,
}

impl Binding {
    /// Makes ready what a plan says of an issuer.
    pub(super) fn load(
        jwt: &JwtPlan,
        place: &str,
        surroundings: &Surroundings<'_>,
    ) -> Result<Self, PlanError> {
        let plan = &jwt.binding;
        let place = format!("{place}.binding");
        let certificate = plan.certificate.unwrap_or(CertificateSource::Connection);
        certificates::check_source(certificate, &format!("{place}.certificate"))?;
        let load = |plan| Dpop::load(plan, &jwt.name, &format!("{place}.dpop"), surroundings);
        Ok(Self { required: plan.required, certificate, dpop: plan.dpop.as_ref().map(load).transpose()? })
    }

    /// Judges whether whoever shows a token has the keys that it is bound to, and says what showed it that works once.
    /// `by_dpop` says that it was sent with the scheme `DPoP`.
    pub(super) fn hold(
        &self,
        bound: &Confirmation,
        token: &[u8],
        by_dpop: bool,
        request: &Request<'_>,
        now: Now,
        host: &mut dyn Host,
    ) -> Result<Option<Once>, TokenError> {
        let refused = |why| Err(TokenError::Binding(why));
        if !bound.is_bound() && self.required {
            return refused("the token is bound to no key, and the policy wants it to be");
        }
        if let Some(wanted) = bound.x5t_s256 {
            match certificates::fingerprint(self.certificate, request.headers(), host) {
                Ok(Some(presented)) if presented == wanted => {}
                Ok(Some(_)) => return refused("the token is bound to another certificate than the client's"),
                Ok(None) => return refused("the token is bound to a certificate, and the client has none"),
                Err(why) => return refused(why),
            }
        }
        match (bound.jkt, by_dpop, &self.dpop) {
            (None, false, _) => Ok(None),
            // RFC 9449, section 7.1: the scheme promises a binding, and there is nothing to hold a proof against.
            (None, true, _) => refused("the token came as a DPoP token and is bound to no key"),
            // Section 7.2: a token that was stolen is not to be worth anything by another scheme.
            (Some(_), false, _) => {
                refused("the token is bound to a DPoP key and did not come as a DPoP token")
            }
            (Some(_), true, None) => {
                refused("the token is bound to a DPoP key, and the policy takes no proofs")
            }
            (Some(jkt), true, Some(dpop)) => {
                dpop.judge(request, token, jkt, now, host).map(Some).map_err(TokenError::Proof)
            }
        }
    }
}

/// A digest in canonical base64url.
pub(super) fn thumbprint(text: &str) -> Option<Thumbprint> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

/// Bytes in canonical base64url without padding.
pub(super) fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// The other way round.
pub(super) fn written(thumbprint: &Thumbprint) -> String {
    URL_SAFE_NO_PAD.encode(thumbprint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(cnf: Value) -> Result<Confirmation, &'static str> {
        let Value::Object(claims) = json!({"sub": "a", "cnf": cnf}) else { panic!() };
        Confirmation::read(&claims)
    }

    #[test]
    fn bound_tokens() {
        // RFC 8705, section 3.1, and RFC 9449, section 6.1.
        let certificate = "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2";
        let key = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
        // The example of RFC 8705 has a last symbol whose unused bits are not zero; section 3.1 there asks for
        // base64url, and RFC 7515, section 2, for one spelling.
        assert!(read(json!({"x5t#S256": certificate})).is_err());
        let certificate = "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg0";
        let found = read(json!({"x5t#S256": certificate, "jkt": key})).unwrap();
        assert_eq!(found.x5t_s256.map(|t| written(&t)).as_deref(), Some(certificate));
        assert_eq!(found.jkt.map(|t| written(&t)).as_deref(), Some(key));
        assert!(found.is_bound());
        assert_eq!(Confirmation::read(&Map::new()), Ok(Confirmation::default()));
        assert!(!Confirmation::default().is_bound());
    }

    #[test]
    fn what_cannot_be_checked_is_refused() {
        let key = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
        for bad in [
            json!(null),
            json!("jkt"),
            json!([]),
            json!({}),
            json!({"kid": "a"}),
            json!({"jwk": {"kty": "EC"}}),
            json!({"jkt": key, "jku": "https://a/"}),
            json!({"jkt": null}),
            json!({"jkt": 1}),
            json!({"jkt": ""}),
            json!({"jkt": format!("{key}=")}),
            json!({"jkt": "AAAA"}),
            json!({"x5t": key}),
            json!({"x5t#s256": key}),
            json!({"x5t#S256": [key]}),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }
}
