//! Makes DPoP proofs (RFC 9449).

use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::keys::{KeyName, algorithm, name_of};
use super::{forge, overlay, relative};
use crate::format::Proof;

/// What a proof is made for.
#[derive(Clone, Copy)]
pub struct For<'a> {
    /// The method of the request.
    pub method: &'a str,
    /// Its host.
    pub host: &'a str,
    /// Its path, with or without query.
    pub path: &'a str,
    /// The token that is sent along.
    pub token: &'a str,
    /// The time in seconds since 1970.
    pub now: u64,
    /// Makes the nonce of a moment.
    pub nonce: &'a dyn Fn(u64) -> Result<String, String>,
}

/// Proofs of this process, so that no two have one name.
static NUMBERS: AtomicU64 = AtomicU64::new(0);

const DEFAULT_KEY: &str = "es256-stranger";

/// Makes a proof.
///
/// # Errors
/// When there is no such key or algorithm.
pub fn make(proof: &Proof, made_for: &For<'_>) -> Result<String, String> {
    if let Some(text) = &proof.text {
        return Ok(text.clone());
    }
    let key = KeyName::parse(proof.key.as_deref().unwrap_or(DEFAULT_KEY))?;
    let shown = proof.shown.as_deref().map_or(Ok(key), KeyName::parse)?;
    let signs = proof.alg.as_deref().map_or(Ok(key.algorithm), algorithm)?;
    let mut jwk = public(&shown)?;
    overlay(&mut jwk, &proof.jwk);
    let mut header = Map::new();
    header.insert("typ".into(), json!("dpop+jwt"));
    header.insert("alg".into(), json!(name_of(signs)));
    header.insert("jwk".into(), Value::Object(jwk));
    overlay(&mut header, &proof.header);
    let For { method, host, path, token, now, nonce } = made_for;
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
    let mut claims = Map::new();
    claims.insert("jti".into(), json!(format!("proof-{}-{number}", std::process::id())));
    claims.insert("htm".into(), json!(method));
    claims.insert("htu".into(), json!(format!("https://{host}{path}")));
    claims.insert("iat".into(), json!(now));
    claims.insert("ath".into(), json!(URL_SAFE_NO_PAD.encode(hmac_sha256::Hash::hash(token.as_bytes()))));
    if let Some(made) = &proof.nonce {
        let made =
            relative(made, *now).ok_or_else(|| format!("dpop: nonce: `{made}` is no time such as -1m"))?;
        claims.insert("nonce".into(), json!(nonce(made)?));
    }
    let mut own = proof.claims.clone();
    for name in ["exp", "nbf", "iat"] {
        if let Some(Value::String(text)) = own.get(name)
            && let Some(seconds) = relative(text, *now)
        {
            own.insert(name.into(), json!(seconds));
        }
    }
    overlay(&mut claims, &own);
    let payload = Value::Object(claims).to_string();
    forge::forge(&Value::Object(header).to_string(), &payload, &proof.tamper, |message| {
        key.sign(signs, message)
    })
}

/// The `cnf` of a token that is bound to the key of a proof, if it is bound to one.
///
/// # Errors
/// When there is no such key.
pub fn confirmation(proof: &Proof) -> Result<Option<Value>, String> {
    let name = proof.bound.as_deref().or(proof.key.as_deref()).unwrap_or(DEFAULT_KEY);
    if name == "none" {
        return Ok(None);
    }
    Ok(Some(json!({"jkt": thumbprint(&KeyName::parse(name)?)?})))
}

/// The members that a public key needs, and no others.
fn public(key: &KeyName) -> Result<Map<String, Value>, String> {
    let mut jwk = key.jwk()?;
    jwk.retain(|member, _| matches!(member.as_str(), "kty" | "crv" | "x" | "y" | "n" | "e" | "k"));
    Ok(jwk)
}

/// RFC 7638: the required members in the order of their names, which is that of a map here.
fn thumbprint(key: &KeyName) -> Result<String, String> {
    let sorted: std::collections::BTreeMap<String, Value> = public(key)?.into_iter().collect();
    let json = serde_json::to_string(&sorted).map_err(|e| e.to_string())?;
    Ok(URL_SAFE_NO_PAD.encode(hmac_sha256::Hash::hash(json.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_speaks_of_its_request() {
        let nonce = |at: u64| Ok(format!("n{at}"));
        let made_for = For { method: "GET", host: "a", path: "/b?c", token: "t", now: 1000, nonce: &nonce };
        let written: Proof =
            serde_saphyr::from_str("{claims: {iat: -5s, jti: null}, nonce: -1m, header: {typ: JWT}}")
                .unwrap();
        let made = make(&written, &made_for).unwrap();
        let mut parts = made.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
        let mut json = || serde_json::from_slice::<Value>(&parts.next().unwrap()).unwrap();
        let (header, claims) = (json(), json());
        assert_eq!(
            (&header["typ"], &header["alg"], &header["jwk"]["kid"]),
            (&json!("JWT"), &json!("ES256"), &Value::Null)
        );
        assert_eq!(claims["htu"], json!("https://a/b"));
        assert_eq!(
            (&claims["iat"], &claims["jti"], &claims["nonce"]),
            (&json!(995), &Value::Null, &json!("n940"))
        );
        assert_eq!(
            make(&Proof { text: Some("x".into()), ..Proof::default() }, &made_for).as_deref(),
            Ok("x")
        );
        assert!(make(&Proof { key: Some("x".into()), ..Proof::default() }, &made_for).is_err());
        assert_eq!(confirmation(&Proof { bound: Some("none".into()), ..Proof::default() }), Ok(None));
    }
}
