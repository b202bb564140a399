use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Signer as _;
use serde_json::json;

use super::*;
use crate::host::testing::TestHost;

/// RFC 9449, section 7.1, figure 12: a proof for a protected resource.
const PROOF: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
const TOKEN: &[u8] = b"Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
const JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
const MADE: u64 = 1_562_262_618;

fn rules() -> Rules {
    Rules {
        algorithms: vec![Algorithm::ES256, Algorithm::EdDSA],
        max_age_ns: 60_000_000_000,
        leeway_ns: 5_000_000_000,
    }
}

fn judge(proof: &str, change: impl FnOnce(&mut Shown<'_>)) -> Result<Proof, Wrong> {
    let origins = [Origin::read("https://resource.example.org").unwrap()];
    let jkt = binding::thumbprint(JKT).unwrap();
    judge_with(proof, jkt, &origins, change)
}

fn judge_with(
    proof: &str,
    jkt: Thumbprint,
    origins: &[Origin],
    change: impl FnOnce(&mut Shown<'_>),
) -> Result<Proof, Wrong> {
    let mut shown = Shown {
        method: "GET",
        origins,
        path: "/protectedresource",
        token: TOKEN,
        jkt,
        now: Now::from_secs(MADE + 1),
    };
    change(&mut shown);
    rules().judge(proof.as_bytes(), &shown, &mut TestHost::default())
}

#[test]
fn rfc_9449_section_7_1() {
    let proof = judge(PROOF, |_| ()).unwrap();
    assert_eq!((proof.jti.as_str(), proof.nonce), ("e1j3V_bKic8-LAEB", None));
    assert_eq!(proof.issued_at.nanos(), MADE * 1_000_000_000);
}

#[test]
fn rfc_9449_section_4_3_what_a_proof_is_held_against() {
    let wrong = |change: fn(&mut Shown<'_>), text: &str| {
        let problem = judge(PROOF, change).unwrap_err();
        assert!(problem.contains(text), "{problem}");
    };
    wrong(|s| s.method = "POST", "`htm`");
    wrong(|s| s.path = "/protectedresource/", "`htu`");
    wrong(|s| s.origins = &[], "`htu`");
    wrong(|s| s.now = Now::from_secs(MADE + 61), "too old");
    wrong(|s| s.now = Now::from_secs(MADE - 6), "future");
    wrong(|s| s.token = b"another", "`ath`");
    wrong(|s| s.jkt = [0; 32], "another key");
    // The nearest that are fine.
    assert!(judge(PROOF, |s| s.now = Now::from_secs(MADE + 60)).is_ok());
    assert!(judge(PROOF, |s| s.now = Now::from_secs(MADE - 5)).is_ok());
}

#[test]
fn the_example_of_section_4_1_has_no_token() {
    let proof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";
    let origins = [Origin::read("https://server.example.com").unwrap()];
    let problem = judge_with(proof, binding::thumbprint(JKT).unwrap(), &origins, |s| {
        (s.method, s.path) = ("POST", "/token");
    });
    assert_eq!(problem, Err("the proof has no `ath`"));
}

/// Makes proofs with a key of the test's own.
struct Maker {
    key: p256::ecdsa::SigningKey,
    header: Value,
    claims: Value,
}

impl Maker {
    fn new() -> Self {
        let key = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
        let point = key.verifying_key().to_sec1_point(false);
        let (x, y) = (point.x().unwrap(), point.y().unwrap());
        let jwk = json!({"kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y)});
        Self {
            key,
            header: json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk}),
            claims: json!({"jti": "a", "htm": "GET", "htu": "https://resource.example.org/protectedresource",
                           "iat": MADE, "ath": URL_SAFE_NO_PAD.encode(Hash::hash(TOKEN))}),
        }
    }

    fn judge(&self) -> Result<Proof, Wrong> {
        let own = Self::new();
        let jkt = thumbprint::of(own.header["jwk"].as_object().unwrap()).unwrap();
        let origins = [Origin::read("https://resource.example.org").unwrap()];
        judge_with(&self.proof(), jkt, &origins, |_| ())
    }

    fn proof(&self) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&self.header), part(&self.claims));
        let signature: p256::ecdsa::Signature = self.key.sign(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    fn with(header: Option<(&str, Value)>, claim: Option<(&str, Value)>) -> Result<Proof, Wrong> {
        let mut maker = Self::new();
        for (map, change) in [(&mut maker.header, header), (&mut maker.claims, claim)] {
            match (change, map.as_object_mut()) {
                (Some((name, Value::Null)), Some(map)) => drop(map.remove(name)),
                (Some((name, value)), Some(map)) => drop(map.insert(name.to_owned(), value)),
                _ => {}
            }
        }
        maker.judge()
    }
}

#[test]
fn section_4_2_every_member_counts() {
    assert!(Maker::with(None, None).is_ok());
    let key = Maker::new().header["jwk"].clone();
    let with = |member: &str, value: Value| {
        let mut key = key.clone();
        key[member] = value;
        key
    };
    for (member, value) in [
        ("typ", json!(null)),
        ("typ", json!("JWT")),
        ("typ", json!("application/dpop+jwt")),
        ("alg", json!("none")),
        ("alg", json!("HS256")),
        ("alg", json!("ES384")),
        ("alg", json!("EdDSA")),
        ("crit", json!(["a"])),
        ("jwk", json!(null)),
        ("jwk", json!("a")),
        ("jwk", json!({})),
        ("jwk", json!({"kty": "oct", "k": "AAAA"})),
        ("jwk", with("d", json!("AAAA"))),
        ("jwk", with("p", json!("AAAA"))),
        ("jwk", with("crv", json!("P-384"))),
        ("jwk", with("x", key["y"].clone())),
        ("jwk", with("use", json!("enc"))),
        ("jwk", with("key_ops", json!(["sign"]))),
        ("jwk", with("alg", json!("ES384"))),
    ] {
        assert!(Maker::with(Some((member, value.clone())), None).is_err(), "{member}: {value}");
    }
    // What says nothing wrong: the key's name and purpose are no part of its thumbprint.
    assert!(Maker::with(Some(("jwk", with("kid", json!("k")))), None).is_ok());
    assert!(Maker::with(Some(("jwk", with("use", json!("sig")))), None).is_ok());
    for (claim, value) in [
        ("jti", json!(null)),
        ("jti", json!(1)),
        ("jti", json!("")),
        ("jti", json!("j".repeat(257))),
        ("htm", json!(null)),
        ("htm", json!("get")),
        ("htm", json!(["GET"])),
        ("htu", json!(null)),
        ("htu", json!("/protectedresource")),
        ("htu", json!("http://resource.example.org/protectedresource")),
        ("htu", json!("https://resource.example.org:444/protectedresource")),
        ("iat", json!(null)),
        ("iat", json!("now")),
        ("iat", json!(MADE * 1000)),
        ("ath", json!(null)),
        ("ath", json!("")),
        ("ath", json!("fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo=")),
        ("nonce", json!(1)),
        ("exp", json!(MADE)),
        ("nbf", json!(MADE + 60)),
    ] {
        assert!(Maker::with(None, Some((claim, value.clone()))).is_err(), "{claim}: {value}");
    }
    for (claim, value) in [
        ("htu", json!("HTTPS://Resource.example.org:443/protectedresource?a=b#c")),
        ("exp", json!(MADE + 10)),
        ("nbf", json!(MADE)),
        ("other", json!([1])),
        ("nonce", json!("n")),
    ] {
        assert!(Maker::with(None, Some((claim, value.clone()))).is_ok(), "{claim}: {value}");
    }
}

#[test]
fn another_key_signs_for_nobody() {
    // The key in the header is the one of the token, but another one signed.
    let mut maker = Maker::new();
    maker.key = p256::ecdsa::SigningKey::from_slice(&[8; 32]).unwrap();
    assert_eq!(maker.judge(), Err("the signature of the proof does not verify"));
    // The key that signed stands in the header, and the token is bound to another.
    let mut thief = Maker::new();
    thief.key = p256::ecdsa::SigningKey::from_slice(&[8; 32]).unwrap();
    let point = thief.key.verifying_key().to_sec1_point(false);
    thief.header["jwk"]["x"] = json!(URL_SAFE_NO_PAD.encode(point.x().unwrap()));
    thief.header["jwk"]["y"] = json!(URL_SAFE_NO_PAD.encode(point.y().unwrap()));
    assert_eq!(thief.judge(), Err("the token is bound to another key than that of the proof"));
}

#[test]
fn a_proof_has_one_spelling() {
    let good = Maker::new().proof();
    for bad in [
        format!("{good}="),
        format!(" {good}"),
        format!("{good}, {good}"),
        good.replacen('.', "..", 1),
        "x".repeat(8193),
    ] {
        assert!(judge(&bad, |_| ()).is_err(), "{bad}");
    }
}
