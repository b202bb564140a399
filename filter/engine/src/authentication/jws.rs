//! The compact serialisation of a JSON Web Signature (RFC 7515, section 7.1), read strictly.
//!
//! One token has exactly one spelling here: three parts, canonical base64url without padding, nothing
//! around it. A second spelling of a good token would be a second cache entry, a way around a revocation
//! list, and a sign that somebody is looking for a gap. Sizes are checked before anything is decoded.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::error::{TokenError, excerpt};
use super::plan::Algorithm;
use crate::strict_json::{self, Bounds};

/// The most bytes of a token. Header values are capped at 16 KiB by intake as well.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// A header may carry a certificate chain (`x5c`), which is ignored but must fit.
const HEADER: Bounds = Bounds { max_bytes: 8 * 1024, max_depth: 8 };
const PAYLOAD: Bounds = Bounds { max_bytes: MAX_TOKEN_BYTES, max_depth: 16 };

/// A token whose form is right. Nothing in it is verified.
#[derive(Debug)]
pub struct Jws<'t> {
    /// The members of the header that matter.
    pub header: Header,
    /// What was signed: the first two parts and the dot between, as they came.
    pub signing_input: &'t [u8],
    /// The decoded payload, which for a JWT should be a JSON object.
    pub payload: Vec<u8>,
    /// The decoded signature.
    pub signature: Vec<u8>,
}

/// The members of a header that matter (RFC 7515, section 4.1). `jku`, `jwk`, `x5u`, `x5c` and their
/// thumbprints are not among them: keys come from the policy, never from the token (RFC 8725, section 3.10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The algorithm the token claims to be signed with.
    pub algorithm: Algorithm,
    /// The name of the key.
    pub kid: Option<String>,
    /// The type of the token.
    pub typ: Option<String>,
}

impl<'t> Jws<'t> {
    /// Reads a token.
    ///
    /// # Errors
    /// When its form is wrong in any way: size, parts, base64url, header.
    pub fn parse(token: &'t [u8]) -> Result<Self, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLarge { bytes: token.len() });
        }
        let mut parts = token.splitn(4, |byte| *byte == b'.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenError::NotThreeParts);
        };
        let signed_len = header.len() + 1 + payload.len();
        let signing_input = token.get(..signed_len).ok_or(TokenError::NotThreeParts)?;
        Ok(Self {
            header: Header::parse(&decode(header, "header")?)?,
            signing_input,
            payload: decode(payload, "payload")?,
            signature: decode(signature, "signature")?,
        })
    }

    /// The payload as a set of claims (RFC 7519, section 4).
    ///
    /// # Errors
    /// When it is not a JSON object, or not a strict one.
    pub fn claims(&self) -> Result<Map<String, Value>, TokenError> {
        strict_json::parse_object(&self.payload, PAYLOAD)
            .map_err(|problem| TokenError::NotStrictJson { part: "payload", problem })
    }
}

/// Decodes base64url. The engine refuses padding, white space, other alphabets, and last symbols whose
/// unused bits are not zero, so that every byte string has one spelling.
fn decode(part: &[u8], name: &'static str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::NotBase64Url { part: name })
}

impl Header {
    fn parse(json: &[u8]) -> Result<Self, TokenError> {
        let members = strict_json::parse_object(json, HEADER)
            .map_err(|problem| TokenError::NotStrictJson { part: "header", problem })?;
        // `crit` names extensions that a verifier must understand or refuse (RFC 7515, section 4.1.11).
        // None is understood here, and an empty or malformed list is refused by the same clause.
        refuse(&members, "crit", "names extensions, and none is supported")?;
        // RFC 7797 changes what is signed; without `crit` it would be read in two ways.
        if members.get("b64").is_some_and(|b64| *b64 != Value::Bool(true)) {
            return Err(TokenError::Header { member: "b64", problem: "asks for an unencoded payload" });
        }
        // `zip` and `enc` belong to encrypted tokens (RFC 7516, section 4.1).
        refuse(&members, "zip", "asks for compression, which signed tokens do not have")?;
        refuse(&members, "enc", "says that the token is encrypted, which is not supported")?;
        let alg =
            string(&members, "alg")?.ok_or(TokenError::Header { member: "alg", problem: "is missing" })?;
        let algorithm =
            Algorithm::named(&alg).ok_or_else(|| TokenError::AlgorithmUnknown { alg: excerpt(&alg) })?;
        Ok(Self { algorithm, kid: string(&members, "kid")?, typ: string(&members, "typ")? })
    }
}

fn refuse(
    members: &Map<String, Value>,
    member: &'static str,
    problem: &'static str,
) -> Result<(), TokenError> {
    if members.contains_key(member) { Err(TokenError::Header { member, problem }) } else { Ok(()) }
}

fn string(members: &Map<String, Value>, member: &'static str) -> Result<Option<String>, TokenError> {
    match members.get(member) {
        None => Ok(None),
        Some(Value::String(value)) => Ok(Some(value.clone())),
        Some(_) => Err(TokenError::Header { member, problem: "is not a string" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strict_json::StrictJsonError;

    fn token(header: &str) -> String {
        format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(header))
    }

    fn header(json: &str) -> Result<Header, TokenError> {
        Jws::parse(token(json).as_bytes()).map(|jws| jws.header)
    }

    #[test]
    fn a_plain_token_is_read() {
        let token = token(r#"{"alg":"RS256","kid":"k1","typ":"JWT","x5c":["MII"],"jku":7,"jwk":{}}"#);
        let jws = Jws::parse(token.as_bytes()).unwrap();
        assert_eq!(
            jws.header,
            Header { algorithm: Algorithm::RS256, kid: Some("k1".into()), typ: Some("JWT".into()) }
        );
        assert_eq!(jws.payload, b"{}");
        assert_eq!(jws.signature, [0, 0, 0]);
        assert_eq!(jws.signing_input, token.strip_suffix(".AAAA").unwrap().as_bytes());
        assert!(jws.claims().unwrap().is_empty());
    }

    #[test]
    fn only_three_parts() {
        for bad in ["", ".", "a", "a.b", "e30.e30.e30.", ".e30.e30.e30", "e30.e30.e30.e30", "a.b.c.d.e"] {
            assert_eq!(Jws::parse(bad.as_bytes()).unwrap_err(), TokenError::NotThreeParts, "{bad}");
        }
    }

    #[test]
    fn only_one_spelling() {
        let good = token(r#"{"alg":"HS256"}"#);
        assert!(Jws::parse(good.as_bytes()).is_ok());
        let (head, _) = good.split_once('.').unwrap();
        for bad in [
            format!("{good}="),
            format!("{good} "),
            format!(" {good}"),
            format!("{good}\n"),
            format!("{head}=.e30.AAAA"),
            format!("{head}.e30=.AAAA"),
            format!("{head}.e3 0.AAAA"),
            format!("{head}.e30.AAA?"),
            format!("{head}.e30.AA+A"),
            format!("{head}.e30.AA/A"),
            // Stray bits in the last symbol: decodes to the same bytes elsewhere.
            format!("{head}.e31.AAAA"),
            format!("{head}.e30.AB"),
            format!("{head}.e30.A"),
        ] {
            assert!(
                matches!(Jws::parse(bad.as_bytes()), Err(TokenError::NotBase64Url { .. })),
                "{bad}: {:?}",
                Jws::parse(bad.as_bytes())
            );
        }
    }

    #[test]
    fn extensions_are_refused() {
        for (json, member) in [
            (r#"{"alg":"RS256","crit":["exp"],"exp":1}"#, "crit"),
            (r#"{"alg":"RS256","crit":[]}"#, "crit"),
            (r#"{"alg":"RS256","crit":["b64"],"b64":true}"#, "crit"),
            (r#"{"alg":"RS256","b64":false}"#, "b64"),
            (r#"{"alg":"RS256","b64":"false"}"#, "b64"),
            (r#"{"alg":"RS256","zip":"DEF"}"#, "zip"),
            (r#"{"alg":"RS256","enc":"A128GCM"}"#, "enc"),
            (r#"{"alg":"RS256","kid":1}"#, "kid"),
            (r#"{"alg":"RS256","typ":null}"#, "typ"),
            (r#"{"alg":["RS256"]}"#, "alg"),
            (r#"{"kid":"k"}"#, "alg"),
        ] {
            assert!(
                matches!(header(json), Err(TokenError::Header { member: m, .. }) if m == member),
                "{json}"
            );
        }
        assert!(header(r#"{"alg":"RS256","b64":true}"#).is_ok());
    }

    #[test]
    fn none_is_not_an_algorithm() {
        for alg in ["none", "None", "NONE", "nOnE", "", "rs256", "HS256 ", "RS1", "ES512", "RSA-OAEP", "dir"]
        {
            let json = format!(r#"{{"alg":"{alg}"}}"#);
            assert!(matches!(header(&json), Err(TokenError::AlgorithmUnknown { .. })), "{alg}");
        }
    }

    #[test]
    fn headers_are_strict_json() {
        let refused = |json, problem| {
            assert_eq!(header(json), Err(TokenError::NotStrictJson { part: "header", problem }), "{json}");
        };
        refused(r#"["RS256"]"#, StrictJsonError::NotAnObject);
        refused(r#"{"alg":"RS256","alg":"RS256"}"#, StrictJsonError::DuplicateMember { line: 1, column: 20 });
        let long = format!(r#"{{"alg":"RS256","x":"{}"}}"#, "x".repeat(8 * 1024));
        refused(&long, StrictJsonError::TooLarge { max: 8 * 1024 });
    }

    #[test]
    fn size_comes_first() {
        let large = vec![b'.'; MAX_TOKEN_BYTES + 1];
        assert_eq!(Jws::parse(&large).unwrap_err(), TokenError::TooLarge { bytes: MAX_TOKEN_BYTES + 1 });
    }
}
