mod appendix_b;
mod much;
mod replays;
mod simple;

use super::plan::{KeyMaterial, KeyPlan};
use super::*;
use crate::host::testing::TestHost;
use crate::intake::admit;
use crate::intake::plan::IntakePlan;
use crate::reason::Reason;
use crate::trace::Trace;
use proptest::prelude::*;

/// RFC 9421, appendix B.1.5.
const SECRET: &str =
    "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
/// When the examples of appendix B were made.
const CREATED: u64 = 1_618_884_473;
const DIGEST: &str =
    "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:";

fn secrets(name: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    (name == "SECRET").then(|| base64::engine::general_purpose::STANDARD.decode(SECRET).unwrap())
}

fn key(id: &str, algorithm: SignatureAlgorithm, material: KeyMaterial) -> KeyPlan {
    KeyPlan {
        id: id.into(),
        client: format!("client of {id}"),
        roles: vec!["partner".into()],
        permissions: vec!["hooks.write".into()],
        algorithm,
        material,
        not_before: None,
        expires: None,
    }
}

/// The keys of RFC 9421, appendix B.1.
fn keys() -> Vec<KeyPlan> {
    use SignatureAlgorithm as A;
    let jwks = |jwk: &str| KeyMaterial::Jwks(format!(r#"{{"keys": [{jwk}]}}"#));
    let rsa = r#"{"kty": "RSA", "e": "AQAB", "n": "r4tmm3r20Wd_PbqvP1s2-QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct-Lh1GH45x28Rw3Ry53mm-oAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHqgDsznjPFmTOtCEcN2Z1FpWgchwuYLPL-Wokqltd11nqqzi-bJ9cvSKADYdUAAN5WUtzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4aOT9v6d-nb4bnNkQVklLQ3fVAvJm-xdDOp9LCNCN48V2pnDOkFV6-U9nV5oyc6XI2w"}"#;
    let p256 = r#"{"kty": "EC", "crv": "P-256", "x": "qIVYZVLCrPZHGHjP17CTW0_-D9Lfw0EkjqF7xB4FivA", "y": "Mc4nN9LTDOBhfoUeg8Ye9WedFRhnZXZJA12Qp0zZ6F0"}"#;
    let ed25519 = r#"{"kty": "OKP", "crv": "Ed25519", "x": "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"}"#;
    vec![
        key("test-key-rsa-pss", A::RsaPssSha512, jwks(rsa)),
        key("test-key-ecc-p256", A::EcdsaP256Sha256, jwks(p256)),
        key("test-key-ed25519", A::Ed25519, jwks(ed25519)),
        key("test-shared-secret", A::HmacSha256, KeyMaterial::Secret { env: "SECRET".into() }),
    ]
}

fn method(form: FormPlan, keys: Vec<KeyPlan>) -> SignedRequestsPlan {
    SignedRequestsPlan {
        name: "hooks".into(),
        at: "bundle.yaml:1".into(),
        form,
        keys,
        window_s: 300,
        ahead_s: 60,
        forward_signature: false,
        forward_claims: vec![("x-client".into(), "client".into())],
    }
}

fn messages(cover: &[&str]) -> SignedRequestsPlan {
    let cover = cover.iter().map(|name| (*name).to_owned()).collect();
    method(FormPlan::MessageSignatures { label: None, tag: None, cover, scheme: None, offer: true }, keys())
}

fn names() -> HmacHeaders {
    HmacHeaders {
        key: "x-signature-key".into(),
        timestamp: "x-signature-timestamp".into(),
        nonce: "x-signature-nonce".into(),
        digest: "x-content-sha256".into(),
        signature: "x-signature".into(),
    }
}

fn simple() -> SignedRequestsPlan {
    method(FormPlan::Hmac { headers: names() }, keys().split_off(3))
}

fn load(plans: &[SignedRequestsPlan]) -> SignedRequests {
    SignedRequests::load(plans, "edge", [1, 2], &secrets).unwrap()
}

type Pairs<'a> = Vec<(&'a str, &'a str)>;

/// Judges a request as the pipeline does.
fn judge(
    signed: &mut SignedRequests,
    pairs: &Pairs<'_>,
    now: u64,
    host: &mut TestHost,
) -> Result<Option<Rc<Identity>>, (Reason, String)> {
    let pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
    let admission = admit(&IntakePlan::default(), Headers::new(&pairs)).map_err(|r| (r.reason, r.detail))?;
    let sources = super::super::sources::Sources::new(&[]).unwrap().0;
    let trace = &mut Trace::off();
    let request = &admission.request;
    let now = Now::from_secs(now);
    let mut attempt = Attempt { request, sources: &sources, now, host, trace, once: Vec::new() };
    let identity = signed.identify(u64::MAX, &mut attempt).map_err(|r| (r.reason, r.detail))?;
    for used in std::mem::take(&mut attempt.once) {
        signed.settle(&used, attempt.host, attempt.trace).map_err(|r| (r.reason, r.detail))?;
    }
    Ok(identity)
}

/// RFC 9421, appendix B.2: `test-request`.
fn test_request<'a>(input: &'a str, signature: &'a str) -> Pairs<'a> {
    vec![
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", "/foo?param=Value&Pet=dog"),
        ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("content-type", "application/json"),
        ("content-digest", DIGEST),
        ("content-length", "18"),
        ("signature-input", input),
        ("signature", signature),
    ]
}

/// Signs as a client would, with the shared secret; what is covered is written out by hand.
fn hmac(base: &str) -> [u8; 32] {
    hmac_sha256::HMAC::mac(base.as_bytes(), secrets("SECRET").unwrap())
}

fn signature(base: &str) -> String {
    use base64::Engine as _;
    format!("sig1=:{}:", base64::engine::general_purpose::STANDARD.encode(hmac(base)))
}

/// A request with these components covered, whose lines are given.
fn signed_request(target: &str, lines: &[(&str, &str)], parameters: &str) -> (String, String) {
    let _ = target;
    let names: Vec<&str> = lines.iter().map(|(identifier, _)| *identifier).collect();
    let params = format!("({}){parameters}", names.join(" "));
    let mut base: String =
        lines.iter().map(|(identifier, value)| format!("{identifier}: {value}\n")).collect();
    base.push_str(&format!("\"@signature-params\": {params}"));
    (format!("sig1={params}"), signature(&base))
}

const PARAMETERS: &str = ";created=1618884473;keyid=\"test-shared-secret\"";

/// Judges a GET of `target` with some headers and this signature.
fn get(
    plan: &SignedRequestsPlan,
    target: &str,
    extra: &Pairs<'_>,
    input: &str,
    signature: &str,
    now: u64,
) -> Result<Option<Rc<Identity>>, (Reason, String)> {
    let mut pairs =
        vec![(":method", "GET"), (":scheme", "http"), (":authority", "api.example"), (":path", target)];
    pairs.extend(extra);
    pairs.extend([("signature-input", input), ("signature", signature)]);
    judge(&mut load(std::slice::from_ref(plan)), &pairs, now, &mut TestHost::default())
}

#[test]
fn derived_components_are_those_of_the_bytes_that_were_sent() {
    let target = "/a/../b//c%41?q=%c3%bc+x&e&n=1";
    for (identifier, value) in [
        ("\"@method\"", "GET"),
        ("\"@scheme\"", "http"),
        ("\"@authority\"", "api.example"),
        ("\"@path\"", "/a/../b//c%41"),
        ("\"@query\"", "?q=%c3%bc+x&e&n=1"),
        ("\"@request-target\"", target),
        ("\"@target-uri\"", "http://api.example/a/../b//c%41?q=%c3%bc+x&e&n=1"),
        ("\"@query-param\";name=\"q\"", "%C3%BC%20x"),
        ("\"@query-param\";name=\"e\"", ""),
        ("\"host\"", "api.example"),
        ("\"x-a\"", "one, two"),
        ("\"x-a\";bs", ":b25l:, :dHdv:"),
        ("\"x-d\";key=\"b\"", "(1 2);x"),
        ("\"priority\";sf", "u=1, i"),
    ] {
        let (input, signature) = signed_request(target, &[(identifier, value)], PARAMETERS);
        let extra =
            vec![("x-a", " one"), ("x-a", "two "), ("x-d", "a=1,b=( 1 2 ); x"), ("priority", "u=1,i")];
        let answer = get(&messages(&[]), target, &extra, &input, &signature, CREATED);
        assert!(answer.is_ok(), "{identifier}: {answer:?}");
        let answer = get(&messages(&[]), target, &vec![], &input, &signature, CREATED);
        assert_eq!(answer.is_ok(), identifier.contains('@') || identifier.contains("host"), "{identifier}");
    }
}

#[test]
fn what_cannot_be_covered_is_refused_though_the_key_signed_it() {
    for identifier in [
        "\"@status\"",
        "\"@signature-params\"",
        "\"@query-param\"",
        "\"@query-param\";name=\"twice\"",
        "\"@query-param\";name=\"none\"",
        "\"@method\";req",
        "\"x-a\";tr",
        "\"x-a\";req",
        "\"x-a\";sf",
        "\"x-a\";sf;bs",
        "\"x-a\";key=\"b\";bs",
        "\"x-a\";unknown",
        "\"X-A\"",
        "\"x a\"",
        "\"\"",
        "x-a",
        "1",
        "\"absent\"",
        "\"x-u\"",
    ] {
        let (input, signature) = signed_request("", &[(identifier, "a=1")], PARAMETERS);
        let extra = vec![("x-a", "a=1"), ("x-u", "é")];
        let answer = get(&messages(&[]), "/?twice=1&twice=2", &extra, &input, &signature, CREATED);
        assert_eq!(
            answer.map_err(|(reason, _)| reason).unwrap_err(),
            Reason::SignatureInvalid,
            "{identifier}"
        );
    }
    let twice = signed_request("", &[("\"@method\"", "GET"), ("\"@method\"", "GET")], PARAMETERS);
    assert!(get(&messages(&[]), "/", &vec![], &twice.0, &twice.1, CREATED).is_err());
}

#[test]
fn what_the_policy_wants_must_be_covered_whole() {
    let plan = messages(&["@method", "@authority", "@path", "@query", "x-a"]);
    let x_a = ("\"x-a\"", "a=1");
    let method = ("\"@method\"", "GET");
    for (lines, good) in [
        (vec![method, x_a, ("\"@target-uri\"", "http://api.example/p?q")], true),
        (vec![method, x_a, ("\"host\"", "api.example"), ("\"@request-target\"", "/p?q")], true),
        (
            vec![method, x_a, ("\"@authority\"", "api.example"), ("\"@path\"", "/p"), ("\"@query\"", "?q")],
            true,
        ),
        (vec![method, ("\"@target-uri\"", "http://api.example/p?q")], false),
        (vec![x_a, ("\"@target-uri\"", "http://api.example/p?q")], false),
        (vec![method, x_a, ("\"@request-target\"", "/p?q")], false),
        (vec![method, x_a, ("\"@authority\"", "api.example"), ("\"@path\"", "/p")], false),
        (vec![method, ("\"x-a\";key=\"a\"", "1"), ("\"@target-uri\"", "http://api.example/p?q")], false),
    ] {
        let (input, signature) = signed_request("", &lines, PARAMETERS);
        let answer = get(&plan, "/p?q", &vec![("x-a", "a=1")], &input, &signature, CREATED);
        assert_eq!(answer.is_ok(), good, "{lines:?}: {answer:?}");
    }
}

#[test]
fn times() {
    let line = [("\"@method\"", "GET")];
    let plan = messages(&[]);
    for (parameters, now, wanted) in [
        (";created=1000", 1000, None),
        (";created=1000", 1300, None),
        (";created=1000", 1301, Some(Reason::SignatureExpired)),
        (";created=1000", 940, None),
        (";created=1000", 939, Some(Reason::SignatureInvalid)),
        (";created=1000;expires=1100", 1099, None),
        (";created=1000;expires=1100", 1100, Some(Reason::SignatureExpired)),
        (";created=-1", 1, Some(Reason::SignatureInvalid)),
        (";created=1000.0", 1000, Some(Reason::SignatureInvalid)),
        (";created=\"1000\"", 1000, Some(Reason::SignatureInvalid)),
        ("", 1000, Some(Reason::SignatureInvalid)),
        (";created=1000;unknown", 1000, Some(Reason::SignatureInvalid)),
        (";created=1000;nonce=\"\"", 1000, Some(Reason::SignatureInvalid)),
        (";created=1000;alg=\"hmac-sha256\"", 1000, None),
        (";created=1000;alg=\"ed25519\"", 1000, Some(Reason::SignatureInvalid)),
        (";created=1000;alg=\"none\"", 1000, Some(Reason::SignatureInvalid)),
    ] {
        let parameters = format!("{parameters};keyid=\"test-shared-secret\"");
        let (input, signature) = signed_request("", &line, &parameters);
        let answer = get(&plan, "/", &vec![], &input, &signature, now);
        assert_eq!(answer.err().map(|(reason, _)| reason), wanted, "{parameters} at {now}");
    }
}

#[test]
fn keys_count_from_and_until() {
    let mut plan = messages(&[]);
    plan.keys[3].not_before = Some(2000);
    plan.keys[3].expires = Some(2100);
    for (now, good) in [(1999, false), (2000, true), (2099, true), (2100, false)] {
        let parameters = format!(";created={now};keyid=\"test-shared-secret\"");
        let (input, signature) = signed_request("", &[("\"@method\"", "GET")], &parameters);
        assert_eq!(get(&plan, "/", &vec![], &input, &signature, now).is_ok(), good, "{now}");
    }
}

#[test]
fn labels_tags_and_repetitions() {
    let both = |a: &str, b: &str| format!("{a}, {b}");
    let (input, signature) =
        signed_request("", &[("\"@method\"", "GET")], &format!("{PARAMETERS};tag=\"app\""));
    let (other, other_signature) =
        (input.replace("sig1=", "sig2=").replace("app", "web"), signature.replace("sig1=", "sig2="));
    let plan = |label: Option<&str>, tag: Option<&str>| {
        let form = FormPlan::MessageSignatures {
            label: label.map(str::to_owned),
            tag: tag.map(str::to_owned),
            cover: Vec::new(),
            scheme: None,
            offer: false,
        };
        method(form, keys())
    };
    let reason = |plan: &SignedRequestsPlan, input: &str, signature: &str| {
        get(plan, "/", &vec![], input, signature, CREATED)
            .map(|id| id.is_some())
            .map_err(|(reason, _)| reason)
    };
    assert_eq!(reason(&plan(None, None), &input, &signature), Ok(true));
    assert_eq!(
        reason(&plan(Some("sig1"), None), &both(&input, &other), &both(&signature, &other_signature)),
        Ok(true)
    );
    assert_eq!(
        reason(&plan(None, Some("app")), &both(&input, &other), &both(&signature, &other_signature)),
        Ok(true)
    );
    let invalid = Err(Reason::SignatureInvalid);
    for plan in [plan(Some("sig3"), None), plan(None, Some("api"))] {
        let (theirs, not_ours) = (input.replace("test-shared", "other"), "somebody else's signature");
        assert_eq!(reason(&plan, &theirs, &signature), Ok(false), "{not_ours}");
        assert_eq!(reason(&plan, &input, &signature), invalid, "ours, by the key that it names");
    }
    assert_eq!(reason(&plan(Some("sig1"), Some("web")), &input, &signature), Err(Reason::SignatureInvalid));
    let ambiguous = Err(Reason::SignatureAmbiguous);
    assert_eq!(
        reason(&plan(None, None), &both(&input, &other), &both(&signature, &other_signature)),
        ambiguous
    );
    assert_eq!(reason(&plan(None, None), &both(&input, &input), &signature), ambiguous);
    assert_eq!(reason(&plan(None, None), &input, &both(&signature, &signature)), ambiguous);
    assert_eq!(reason(&plan(None, None), &format!("{input};created=1"), &signature), ambiguous);
    for (input, signature) in [
        ("", signature.as_str()),
        (input.as_str(), ""),
        (input.as_str(), "sig1=1"),
        (input.as_str(), "sig1=:AAAA:"),
        (input.as_str(), "sig1=:AAA:"),
        ("sig1", signature.as_str()),
        ("sig1=\"x\"", signature.as_str()),
        ("=", signature.as_str()),
        (&input.replace("test-shared-secret", "nobody"), signature.as_str()),
        (&input.replace("1618884473", "1618884474"), signature.as_str()),
    ] {
        assert_eq!(reason(&plan(None, None), input, signature), invalid, "{input} {signature}");
    }
}

#[test]
fn a_body_that_is_not_covered_must_not_be_there() {
    let plan = messages(&["@method", "content-digest"]);
    let (input, signature) = signed_request("", &[("\"@method\"", "GET")], PARAMETERS);
    let identity = get(&plan, "/", &vec![], &input, &signature, CREATED).unwrap().unwrap();
    assert!(identity.body().unwrap().fits(b"") && !identity.body().unwrap().fits(b"x"));
    let lines = [("\"@method\"", "GET"), ("\"content-digest\"", DIGEST)];
    let (input, signature) = signed_request("", &lines, PARAMETERS);
    let extra = vec![("content-digest", DIGEST)];
    let identity = get(&plan, "/", &extra, &input, &signature, CREATED).unwrap().unwrap();
    assert!(identity.body().unwrap().fits(br#"{"hello": "world"}"#) && !identity.body().unwrap().fits(b""));
    let unknown = vec![("content-digest", "sha=:AAAA:")];
    let lines = [("\"@method\"", "GET"), ("\"content-digest\"", "sha=:AAAA:")];
    let (input, signature) = signed_request("", &lines, PARAMETERS);
    let (reason, _) = get(&plan, "/", &unknown, &input, &signature, CREATED).unwrap_err();
    assert_eq!(reason, Reason::DigestMismatch);
    assert_eq!(
        get(&plan, "/", &unknown, &input, "sig1=:AAAA:", CREATED).unwrap_err().0,
        Reason::SignatureInvalid,
        "the key first"
    );
}

#[test]
fn a_digest_that_is_covered_in_part_is_compared_too() {
    let digests = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:, md5=:AAAA:";
    let judge = |cover: &[&str], member: &str, value: &str| {
        let identifier = format!("\"content-digest\";key=\"{member}\"");
        let (input, signature) = signed_request("", &[(&identifier, value)], PARAMETERS);
        let extra = vec![("content-digest", digests)];
        let answer = get(&messages(cover), "/", &extra, &input, &signature, CREATED);
        answer.map(|identity| identity.unwrap().body().cloned()).map_err(|(reason, _)| reason)
    };
    for cover in [&[][..], &["content-digest"]] {
        let body =
            judge(cover, "sha-256", ":47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:").unwrap().unwrap();
        assert!(body.fits(b"") && !body.fits(b"x"), "{cover:?}");
        assert_eq!(judge(cover, "md5", ":AAAA:"), Err(Reason::DigestMismatch), "{cover:?}");
    }
}

#[test]
fn plans_that_cannot_be() {
    let wrong = |change: &dyn Fn(&mut SignedRequestsPlan)| {
        let mut plan = messages(&[]);
        change(&mut plan);
        SignedRequests::load(&[plan], "edge", [1, 2], &secrets).unwrap_err()
    };
    wrong(&|plan| plan.keys.clear());
    wrong(&|plan| plan.window_s = 0);
    wrong(&|plan| plan.window_s = 100_000);
    wrong(&|plan| plan.ahead_s = 301);
    wrong(&|plan| (plan.window_s, plan.ahead_s) = (86_400, 601));
    wrong(&|plan| plan.keys[1].id = plan.keys[0].id.clone());
    wrong(&|plan| plan.keys[0].client.clear());
    wrong(&|plan| plan.keys[3].material = KeyMaterial::Secret { env: "OTHER".into() });
    wrong(&|plan| plan.keys[0].material = KeyMaterial::Secret { env: "SECRET".into() });
    wrong(&|plan| plan.keys[3].material = plan.keys[0].material.clone());
    wrong(&|plan| plan.keys[0].algorithm = SignatureAlgorithm::Ed25519);
    wrong(&|plan| plan.form = FormPlan::Hmac { headers: names() });
    wrong(&|plan| plan.forward_claims = vec![("x-a".into(), "secret".into())]);
    wrong(&|plan| plan.forward_claims = vec![("host".into(), "client".into())]);
    let cover = |name: &str| FormPlan::MessageSignatures {
        label: None,
        tag: None,
        cover: vec![name.into()],
        scheme: None,
        offer: false,
    };
    wrong(&|plan| plan.form = cover("@status"));
    wrong(&|plan| plan.form = cover("X-A"));
    let mut twice = simple();
    twice.form = FormPlan::Hmac { headers: HmacHeaders { nonce: names().key, ..names() } };
    assert!(SignedRequests::load(&[twice], "edge", [1, 2], &secrets).is_err());
}

proptest! {
    /// What is judged is made of what is signed: two targets that intake reads as different ones never pass under
    /// one signature.
    #[test]
    fn one_signature_has_one_meaning(
        path in "/[a-c./%2eE~-]{0,12}", query in proptest::option::of("[a=&%41+]{0,8}"),
        other in "/[a-c./%2eE~-]{0,12}", other_query in proptest::option::of("[a=&%41+]{0,8}"),
    ) {
        let target = |path: &str, query: &Option<String>| match query {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        let (signed, sent) = (target(&path, &query), target(&other, &other_query));
        let (input, signature) = signed_request("", &[("\"@request-target\"", &signed)], PARAMETERS);
        let plan = messages(&["@path", "@query"]);
        let passes = |target: &str| get(&plan, target, &vec![], &input, &signature, CREATED).is_ok();
        let plain = vec![(&b":method"[..], &b"GET"[..]), (b":authority", b"a"), (b":path", signed.as_bytes())];
        prop_assert_eq!(passes(&signed), admit(&IntakePlan::default(), Headers::new(&plain)).is_ok());
        prop_assert!(signed == sent || !passes(&sent), "{} passes as {}", sent, signed);
    }

    #[test]
    fn no_bytes_panic(input in "[ -~]{0,60}", signature in "[ -~]{0,60}") {
        let _ = get(&messages(&["content-digest"]), "/", &vec![], &input, &signature, CREATED);
        let _ = get(&messages(&[]), "/", &vec![], &format!("sig1=({input}){PARAMETERS}"), &signature, CREATED);
    }
}
