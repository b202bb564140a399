//! Makes tokens: good ones that satisfy an issuer's rules, and every kind of bad one.
//!
//! Keys are fixed test keys (see `keys/README.md`), told apart by algorithm and slot: `rs256-0` belongs to
//! the first issuer of a plan, `rs256-1` to the second, and no issuer has `rs256-stranger`.

pub mod certificate;
mod forge;
pub mod keys;
pub mod own;
pub mod proof;
pub(crate) mod sign;

use std::collections::BTreeMap;

use bartizan_engine::authentication::plan::{Algorithm, ClaimType, JwtPlan};
use bartizan_engine::authentication::signed::plan::SignedRequestsPlan;
use bartizan_engine::host::Now;
use bartizan_engine::plan::Plan;
use serde_json::{Map, Value, json};

use crate::format::Token;
use keys::{KeyName, Slot};
use own::OwnKey;

/// Seconds until a token expires that does not say.
const LIFETIME_S: u64 = 300;

/// Makes tokens for the issuers of one plan.
#[derive(Debug, Clone)]
pub struct Mint {
    issuers: Vec<JwtPlan>,
    signed: Vec<SignedRequestsPlan>,
}

impl Mint {
    /// A mint that knows the issuers of a plan.
    #[must_use]
    pub fn for_plan(plan: &Plan) -> Self {
        Self { issuers: plan.authentication.jwt.clone(), signed: plan.authentication.signed_requests.clone() }
    }

    /// A mint that knows these issuers.
    #[must_use]
    pub fn for_issuers(issuers: Vec<JwtPlan>) -> Self {
        Self { issuers, signed: Vec::new() }
    }

    /// Makes a token that somebody's own key signs, under this name if it has one.
    ///
    /// # Errors
    /// If the token cannot be made as written: no such issuer, or not an algorithm for this key.
    pub fn signed_by(
        &self,
        key: &OwnKey,
        kid: Option<&str>,
        token: &Token,
        now: u64,
        subject: &str,
    ) -> Result<String, String> {
        let (_, issuer) = self.issuer(token.issuer.as_deref())?;
        let algorithm = self.algorithm_for(key, token)?;
        let mut header = token.clone();
        if let Some(kid) = kid {
            header.header.entry("kid".to_owned()).or_insert_with(|| json!(kid));
        }
        let header = self::header(&header, issuer, algorithm, &Signer::Nobody);
        let payload = Value::Object(claims(token, issuer, now, subject)?).to_string();
        forge::forge(&header, &payload, &[], |message| key.sign(algorithm, message))
    }

    /// What a key signs with: what the token says, or the first that it can and the issuer accepts.
    fn algorithm_for(&self, key: &OwnKey, token: &Token) -> Result<Algorithm, String> {
        let (_, issuer) = self.issuer(token.issuer.as_deref())?;
        let can = key.algorithms();
        if let Some(name) = &token.alg {
            return keys::algorithm(name);
        }
        let accepted = issuer.algorithms.iter().copied().find(|algorithm| can.contains(algorithm));
        let names = |algorithms: &[Algorithm]| {
            algorithms.iter().map(|algorithm| algorithm.name()).collect::<Vec<_>>().join(", ")
        };
        accepted.ok_or_else(|| {
            format!(
                "the issuer `{}` accepts {}, and this key signs with {}; take another key",
                issuer.name,
                names(&issuer.algorithms),
                names(can)
            )
        })
    }

    /// Makes a token. `now` is in seconds; `subject` stands in `sub` unless the token says otherwise.
    ///
    /// # Errors
    /// If the token cannot be made as written: no such issuer, algorithm or key.
    pub fn token(&self, token: &Token, now: u64, subject: &str) -> Result<String, String> {
        if let Some(text) = &token.text {
            return Ok(text.clone());
        }
        let (slot, issuer) = self.issuer(token.issuer.as_deref())?;
        let algorithm = match &token.alg {
            Some(name) => keys::algorithm(name)?,
            None => *issuer.algorithms.first().ok_or("the issuer accepts no algorithm")?,
        };
        let signer = Signer::parse(token.key.as_deref(), algorithm, slot)?;
        let header = match &token.raw_header {
            Some(text) => text.clone(),
            None => header(token, issuer, algorithm, &signer),
        };
        let payload = match &token.raw_payload {
            Some(text) => text.clone(),
            None => Value::Object(claims(token, issuer, now, subject)?).to_string(),
        };
        forge::forge(&header, &payload, &token.tamper, |message| signer.sign(algorithm, message))
    }

    /// The nonce for DPoP proofs that the filter gives out at a moment, in seconds since 1970.
    ///
    /// # Errors
    /// When no issuer wants nonces whose key is in the environment.
    pub fn nonce(&self, at: u64) -> Result<String, String> {
        let wanted = self.issuers.iter().find_map(|issuer| {
            let nonce = issuer.binding.dpop.as_ref()?.nonce.as_ref()?;
            nonce.key_env.as_ref().map(|_| nonce.lifetime_s)
        });
        let lifetime_s =
            wanted.ok_or("no issuer wants nonces with a key of the environment: take `nonce` away")?;
        let key = keys::secret(Slot::First);
        Ok(bartizan_engine::authentication::dpop::nonce(key.as_bytes(), lifetime_s, Now::from_secs(at)))
    }

    /// Names of the issuers, in the order of the plan.
    pub fn issuers(&self) -> impl Iterator<Item = &str> {
        self.issuers.iter().map(|i| i.name.as_str())
    }

    fn issuer(&self, name: Option<&str>) -> Result<(Slot, &JwtPlan), String> {
        let mut numbered = self.issuers.iter().enumerate();
        let found = match name {
            None => numbered.next(),
            Some(name) => numbered.find(|(_, issuer)| issuer.name == name),
        };
        let (index, issuer) = found.ok_or_else(|| match name {
            None => "the bundle has no issuer: take `token` away".to_owned(),
            Some(name) => {
                format!("no issuer is called `{name}`; there are {:?}", self.issuers().collect::<Vec<_>>())
            }
        })?;
        Ok((Slot::of_issuer(index), issuer))
    }
}

/// Who signs.
enum Signer {
    Key(KeyName),
    /// HMAC keyed with the issuer's public RSA key as PEM: what a confused verifier would compute.
    PublicAsSecret(Slot),
    Nobody,
}

impl Signer {
    fn parse(key: Option<&str>, algorithm: Algorithm, slot: Slot) -> Result<Self, String> {
        Ok(match key {
            None | Some("own") => Self::Key(KeyName { algorithm, slot }),
            Some("stranger") => Self::Key(KeyName { algorithm, slot: Slot::Stranger }),
            Some("public-as-secret") => Self::PublicAsSecret(slot),
            Some("none") => Self::Nobody,
            Some(name) => Self::Key(KeyName::parse(name)?),
        })
    }

    fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, String> {
        match self {
            Self::Nobody => Ok(Vec::new()),
            Self::Key(key) => key.sign(algorithm, message),
            Self::PublicAsSecret(slot) => {
                let pem = keys::public_pem(*slot)?;
                keys::hmac(algorithm, pem.as_bytes(), message)
            }
        }
    }
}

fn header(token: &Token, issuer: &JwtPlan, algorithm: Algorithm, signer: &Signer) -> String {
    let mut header = Map::new();
    header.insert("alg".into(), json!(keys::name_of(algorithm)));
    header.insert("typ".into(), json!(issuer.require_type.as_deref().unwrap_or("JWT")));
    if let Signer::Key(key) = signer {
        header.insert("kid".into(), json!(key.to_string()));
    }
    overlay(&mut header, &token.header);
    Value::Object(header).to_string()
}

fn claims(token: &Token, issuer: &JwtPlan, now: u64, subject: &str) -> Result<Map<String, Value>, String> {
    let mut claims = Map::new();
    claims.insert("iss".into(), json!(issuer.issuer));
    if let Some(audience) = issuer.audiences.first() {
        claims.insert("aud".into(), json!(audience));
    }
    claims.insert("iat".into(), json!(now));
    claims.insert("exp".into(), json!(now.saturating_add(LIFETIME_S)));
    put(&mut claims, &issuer.subject, json!(subject));
    for (path, kind) in &issuer.require_types {
        put(&mut claims, path, sample(*kind));
    }
    for (path, value) in &issuer.require_claims {
        let one = value.as_array().and_then(|several| several.first()).unwrap_or(value);
        put(&mut claims, path, one.clone());
    }
    for (what, value, paths) in
        [("roles", &token.roles, &issuer.roles), ("permissions", &token.permissions, &issuer.permissions)]
    {
        if let Some(value) = value {
            let path = paths.first().ok_or_else(|| format!("this issuer's tokens carry no {what}"))?;
            put(&mut claims, path, value.clone());
        }
    }
    let mut own = token.claims.clone();
    for name in ["exp", "nbf", "iat", "auth_time"] {
        if let Some(Value::String(text)) = own.get(name)
            && let Some(seconds) = relative(text, now)
        {
            own.insert(name.into(), json!(seconds));
        }
    }
    overlay(&mut claims, &own);
    Ok(claims)
}

fn overlay(map: &mut Map<String, Value>, over: &BTreeMap<String, Value>) {
    for (name, value) in over {
        if value.is_null() {
            map.remove(name);
        } else {
            map.insert(name.clone(), value.clone());
        }
    }
}

/// Puts a value at a dotted path, making the objects on the way.
/// Something of a type.
fn sample(kind: ClaimType) -> Value {
    match kind {
        ClaimType::String => json!("text"),
        ClaimType::Number => json!(7),
        ClaimType::Boolean => json!(true),
        ClaimType::Strings => json!(["a", "b"]),
        ClaimType::List => json!([]),
        ClaimType::Object => json!({}),
    }
}

/// Puts a value where a path of the policy finds it; a list of values where the path goes through a list of objects.
fn put(map: &mut Map<String, Value>, path: &str, value: Value) {
    if let Some((name, rest)) = path.split_once("[].") {
        let values = match value {
            Value::Array(values) => values,
            one => vec![one],
        };
        let objects = values.into_iter().map(|value| {
            let mut object = Map::new();
            put(&mut object, rest, value);
            Value::Object(object)
        });
        let objects = objects.collect();
        put(map, name, objects);
        return;
    }
    match path.split_once('.') {
        None => {
            map.insert(path.to_owned(), value);
        }
        Some((first, rest)) => {
            let inner = map.entry(first.to_owned()).or_insert_with(|| json!({}));
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

/// `now`, `+1h`, `-1s`, `now+60`: seconds since the epoch, if it is one of these.
#[must_use]
pub fn relative(text: &str, now: u64) -> Option<u64> {
    let rest = text.strip_prefix("now").unwrap_or(text);
    if rest.is_empty() {
        return text.starts_with("now").then_some(now);
    }
    if let Some(span) = rest.strip_prefix('+') {
        Some(now.saturating_add(seconds(span)?))
    } else {
        Some(now.saturating_sub(seconds(rest.strip_prefix('-')?)?))
    }
}

fn seconds(span: &str) -> Option<u64> {
    let unit = span.trim_start_matches(|c: char| c.is_ascii_digit());
    let number: u64 = span.strip_suffix(unit)?.parse().ok()?;
    let factor = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    number.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::sample_plan;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    fn parts(token: &str) -> (Value, Value) {
        let mut parts = token.split('.').map(|p| URL_SAFE_NO_PAD.decode(p).unwrap());
        let mut json = || serde_json::from_slice(&parts.next().unwrap()).unwrap();
        (json(), json())
    }

    #[test]
    fn a_plain_token_satisfies_its_issuer() {
        let mint = Mint::for_plan(&sample_plan());
        let token = Token { roles: Some(json!(["viewer"])), ..Token::default() };
        let (header, claims) = parts(&mint.token(&token, 1000, "case-1").unwrap());
        assert_eq!(header, json!({"alg": "RS256", "kid": "rs256-0", "typ": "at+jwt"}));
        assert_eq!(
            claims,
            json!({"iss": "https://login.example.com/", "aud": "iot-api", "sub": "case-1", "iat": 1000,
                   "exp": 1300, "type": "access", "realm_access": {"roles": ["viewer"]}})
        );
    }

    #[test]
    fn claims_and_header_are_laid_over_and_taken_away() {
        let mint = Mint::for_plan(&sample_plan());
        let token: Token = serde_saphyr::from_str(
            "{header: {kid: null, crit: [x]}, claims: {exp: -1s, sub: null, aud: [a, b], nbf: tomorrow}}",
        )
        .unwrap();
        let (header, claims) = parts(&mint.token(&token, 1000, "case-1").unwrap());
        assert_eq!(header, json!({"alg": "RS256", "crit": ["x"], "typ": "at+jwt"}));
        assert_eq!(claims.get("exp"), Some(&json!(999)));
        assert_eq!(claims.get("sub"), None);
        assert_eq!(claims.get("nbf"), Some(&json!("tomorrow")));
    }

    #[test]
    fn what_cannot_be_made_is_an_error() {
        let mint = Mint::for_plan(&sample_plan());
        for yaml in [
            "{issuer: nobody}",
            "{alg: RS999}",
            "{key: rs256-9}",
            "{permissions: [a]}",
            "{alg: ES256, key: rs256-0}",
        ] {
            let token: Token = serde_saphyr::from_str(yaml).unwrap();
            assert!(mint.token(&token, 1000, "s").is_err(), "{yaml}");
        }
    }

    #[test]
    fn relative_times() {
        for (text, seconds) in [
            ("now", Some(1000)),
            ("+1m", Some(1060)),
            ("-10", Some(990)),
            ("now+1s", Some(1001)),
            ("1h", None),
            ("+x", None),
        ] {
            assert_eq!(relative(text, 1000), seconds, "{text}");
        }
    }
}
