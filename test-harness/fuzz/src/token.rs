//! Tokens: who gets in has a token that a second, simpler reader believes too.
//!
//! An input that begins with `{` is the header and, in its second line, the payload of a token that is signed here; a
//! third line is its signature then, as text. Any other input is a whole token.

use std::cell::RefCell;

use bartizan_engine::intake::percent::{Plus, decode};
use bartizan_engine::pipeline::Engine;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::fixture::{self, NOW_S, SECRET};

thread_local! {
    static ENGINE: RefCell<Engine> = RefCell::new(fixture::engine());
}

/// Any bytes as a token.
pub fn run(data: &[u8]) -> bool {
    let token = token(data);
    let mut accepted = false;
    for (name, prefix) in [("authorization", &b"Bearer "[..]), ("cookie", b"session="), ("x-token", b"")] {
        let mut head = fixture::line("GET", b"/me");
        head.push((name.into(), [prefix, &token].concat()));
        let judged = ENGINE.with_borrow_mut(|engine| fixture::send(engine, &head, &[], false));
        let Ok(upstream) = judged.outcome else { continue };
        let subject = believe(&token).unwrap_or_else(|why| panic!("let in by {name}: {why}"));
        assert_ne!(name, "x-token", "a token of `local` was taken where only `corp` has its own");
        let told = fixture::value(&upstream, "x-user").and_then(|value| decode(value, Plus::Plus));
        assert_eq!(told.as_deref(), Some(subject.as_bytes()), "another subject goes upstream");
        assert!(fixture::value(&upstream, name).is_none(), "the token goes upstream");
        accepted = true;
    }
    accepted
}

fn token(data: &[u8]) -> Vec<u8> {
    if data.first() != Some(&b'{') {
        return data.to_vec();
    }
    let mut lines = data.splitn(3, |b| *b == b'\n');
    let (header, payload) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let token = fixture::signed(header, payload);
    match (lines.next(), token.iter().rposition(|b| *b == b'.')) {
        (Some(signature), Some(dot)) if !signature.is_empty() => {
            [token.get(..=dot).unwrap_or_default(), signature].concat()
        }
        _ => token,
    }
}

/// The subject, if the token is one that the issuer `local` would have made.
fn believe(token: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(token).map_err(|e| e.to_string())?;
    let [header, payload, signature] = text.split('.').collect::<Vec<_>>()[..] else {
        return Err("not three parts".into());
    };
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|e| e.to_string());
    let object = |part: &str| serde_json::from_slice::<Value>(&decode(part)?).map_err(|e| e.to_string());
    let mac = hmac_sha256::HMAC::mac(format!("{header}.{payload}").as_bytes(), SECRET.1);
    if decode(signature)? != mac {
        return Err("the signature is not the issuer's".into());
    }
    let (header, claims) = (object(header)?, object(payload)?);
    let wrong = |what: &str| Err(format!("{what}: {header} {claims}"));
    if header.get("alg").and_then(Value::as_str) != Some("HS256") || header.get("crit").is_some() {
        return wrong("the header");
    }
    if claims.get("iss").and_then(Value::as_str) != Some("https://local.example/") {
        return wrong("the issuer");
    }
    let audience = match claims.get("aud") {
        Some(Value::Array(all)) => all.iter().any(|one| one == "fuzz"),
        Some(one) => one == "fuzz",
        None => false,
    };
    if !audience {
        return wrong("the audience");
    }
    let time = |name: &str| claims.get(name).map(|time| time.as_f64().unwrap_or(f64::NAN));
    // Written so that what is no number is wrong.
    let (now, leeway) = (NOW_S as f64, 60.0);
    if !time("exp").is_some_and(|exp| exp + leeway > now)
        || !time("nbf").is_none_or(|nbf| nbf <= now + leeway)
    {
        return wrong("the time");
    }
    claims
        .get("sub")
        .and_then(Value::as_str)
        .map(str::to_owned)
        .ok_or_else(|| format!("no subject: {claims}"))
}
