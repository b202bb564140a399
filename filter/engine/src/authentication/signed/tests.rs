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
    let mut attempt = Attempt { request, sources: &sources, now: Now::from_secs(now), host, trace };
    let identity = signed.identify(u64::MAX, &mut attempt).map_err(|r| (r.reason, r.detail))?;
    signed.settle(host).map_err(|r| (r.reason, r.detail))?;
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

const B21: (&str, &str) = (
    r#"sig-b21=();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd""#,
    "sig-b21=:d2pmTvmbncD3xQm8E9ZV2828BjQWGgiwAaw5bAkgibUopemLJcWDy/lkbbHAve4cRAtx31Iq786U7it++wgGxbtRxf8Udx7zFZsckzXaJMkA7ChG52eSkFxykJeNqsrWH5S+oxNFlD4dzVuwe8DhTSja8xxbR/Z2cOGdCbzR72rgFWhzx2VjBqJzsPLMIQKhO4DGezXehhWwE56YCE+O6c0mKZsfxVrogUvA4HELjVKWmAvtl6UnCh8jYzuVG5WSb/QEVPnP5TmcAnLH1g+s++v6d4s8m0gCw1fV5/SITLq9mhho8K3+7EPYTU8IU1bLhdxO5Nyt8C8ssinQ98Xw9Q==:",
);
const B22: (&str, &str) = (
    r#"sig-b22=("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss";tag="header-example""#,
    "sig-b22=:LjbtqUbfmvjj5C5kr1Ugj4PmLYvx9wVjZvD9GsTT4F7GrcQEdJzgI9qHxICagShLRiLMlAJjtq6N4CDfKtjvuJyE5qH7KT8UCMkSowOB4+ECxCmT8rtAmj/0PIXxi0A0nxKyB09RNrCQibbUjsLS/2YyFYXEu4TRJQzRw1rLEuEfY17SARYhpTlaqwZVtR8NV7+4UKkjqpcAoFqWFQh62s7Cl+H2fjBSpqfZUJcsIk4N6wiKYd4je2U/lankenQ99PZfB4jY3I5rSV2DSBVkSFsURIjYErOs0tFTQosMTAoxk//0RoKUqiYY8Bh0aaUEb0rQl3/XaVe4bXTugEjHSw==:",
);
const B23: (&str, &str) = (
    r#"sig-b23=("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss""#,
    "sig-b23=:bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yBiMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683+qRpRRU5p2voTp768ZrCUb38K0fUxN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsLNmvKiLJH1pFkh/aYA2HXXZzNBXmIkoQoLd7YfW91kE9o/CCoC1xMy7JA1ipwvKvfrs65ldmlu9bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5ZJzSRxpJyoEZAFL2FUo5fTIztsDZKEgM4cUA==:",
);
const B24: (&str, &str) = (
    r#"sig-b24=("@status" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-ecc-p256""#,
    "sig-b24=:wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==:",
);
const B25: (&str, &str) = (
    r#"sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret""#,
    "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:",
);
const B26: (&str, &str) = (
    r#"sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#,
    "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:",
);

#[test]
fn appendix_b_2_of_rfc_9421() {
    for (section, (input, signature), client) in [
        ("B.2.1", B21, "client of test-key-rsa-pss"),
        ("B.2.2", B22, "client of test-key-rsa-pss"),
        ("B.2.3", B23, "client of test-key-rsa-pss"),
        ("B.2.5", B25, "client of test-shared-secret"),
        ("B.2.6", B26, "client of test-key-ed25519"),
    ] {
        let host = &mut TestHost::default();
        let mut signed = load(&[messages(&[])]);
        let request = test_request(input, signature);
        let identity = judge(&mut signed, &request, CREATED + 1, host).unwrap().unwrap();
        assert_eq!(identity.subject(), client, "{section}");
        assert_eq!(identity.body().is_some(), input.contains("content-digest"), "{section}");
        assert!(identity.body().is_none_or(|digest| digest.fits(br#"{"hello": "world"}"#)), "{section}");
        // Any covered value that changes refuses it.
        for (place, (name, value)) in request.iter().enumerate() {
            let covered = match *name {
                ":path" => input.contains("@path") || input.contains("@query"),
                ":authority" | ":method" => input.contains(&name.replace(':', "@")),
                name => input.contains(&format!("\"{name}\"")),
            };
            let other = match *name {
                ":method" => "PUT".to_owned(),
                ":path" => "/fop?param=Value&Pet=cat".to_owned(),
                "content-digest" => value.replace("sha-512", "sha-513"),
                "signature" | "signature-input" | ":scheme" => continue,
                "content-length" => "19".to_owned(),
                _ => format!("{value}x"),
            };
            let mut changed = request.clone();
            changed[place].1 = &other;
            let answer = judge(&mut load(&[messages(&[])]), &changed, CREATED + 1, &mut TestHost::default());
            assert_eq!(answer.is_err(), covered, "{section}: {name}");
        }
    }
}

/// B.2.4 signs a response; of it only the key and the form of its signature can be shown here.
#[test]
fn appendix_b_2_4_is_no_signature_of_a_request() {
    let (reason, detail) =
        judge(&mut load(&[messages(&[])]), &test_request(B24.0, B24.1), CREATED, &mut TestHost::default())
            .unwrap_err();
    assert_eq!(reason, Reason::SignatureInvalid);
    assert!(detail.contains("@status"), "{detail}");
    let base = "\"@status\": 200\n\"content-type\": application/json\n\"content-digest\": sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:\n\"content-length\": 23\n\"@signature-params\": (\"@status\" \"content-type\" \"content-digest\" \"content-length\");created=1618884473;keyid=\"test-key-ecc-p256\"";
    let keys = Keys::load(&keys(), ("edge", "hooks"), "", &secrets).unwrap();
    let parsed = crate::structured::dictionary(B24.1.as_bytes()).unwrap().value;
    let crate::structured::Member::Item(item) = &parsed[0].1 else { panic!("no item") };
    let key = &keys.get("test-key-ecc-p256").unwrap().key;
    assert!(key.verify(base.as_bytes(), item.value.as_bytes().unwrap(), &mut TestHost::default()));
}

/// B.3: a proxy that ends TLS signs with ECDSA what it saw. B.4: a message that was transformed on its way.
#[test]
fn appendices_b_3_and_b_4_of_rfc_9421() {
    let certificate = ":MIIBqDCCAU6gAwIBAgIBBzAKBggqhkjOPQQDAjA6MRswGQYDVQQKDBJMZXQncyBBdXRoZW50aWNhdGUxGzAZBgNVBAMMEkxBIEludGVybWVkaWF0ZSBDQTAeFw0yMDAxMTQyMjU1MzNaFw0yMTAxMjMyMjU1MzNaMA0xCzAJBgNVBAMMAkJDMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8YnXXfaUgmnMtOXU/IncWalRhebrXmckC8vdgJ1p5Be5F/3YC8OthxM4+k1M6aEAEFcGzkJiNy6J84y7uzo9M6NyMHAwCQYDVR0TBAIwADAfBgNVHSMEGDAWgBRm3WjLa38lbEYCuiCPct0ZaSED2DAOBgNVHQ8BAf8EBAMCBsAwEwYDVR0lBAwwCgYIKwYBBQUHAwIwHQYDVR0RAQH/BBMwEYEPYmRjQGV4YW1wbGUuY29tMAoGCCqGSM49BAMCA0gAMEUCIBHda/r1vaL6G3VliL4/Di6YK0Q6bMjeSkC3dFCOOB8TAiEAx/kHSB4urmiZ0NX5r5XarmPk0wmuydBVoU4hBVZ1yhk=:";
    let proxied = vec![
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "service.internal.example"),
        (":path", "/foo?param=Value&Pet=dog"),
        ("client-cert", certificate),
        (
            "signature-input",
            r#"ttrp=("@path" "@query" "@method" "@authority" "client-cert");created=1618884473;keyid="test-key-ecc-p256""#,
        ),
        (
            "signature",
            "ttrp=:xVMHVpawaAC/0SbHrKRs9i8I3eOs5RtTMGCWXm/9nvZzoHsIg6Mce9315T6xoklyy0yzhD9ah4JHRwMLOgmizw==:",
        ),
    ];
    assert!(judge(&mut load(&[messages(&[])]), &proxied, CREATED, &mut TestHost::default()).is_ok());
    let transform = |authority, method, path, accept: &[&'static str]| {
        let mut pairs =
            vec![(":method", method), (":scheme", "https"), (":authority", authority), (":path", path)];
        pairs.extend(accept.iter().map(|accept| ("accept", *accept)));
        pairs.push(("signature-input", r#"transform=("@method" "@path" "@authority" "accept");created=1618884473;keyid="test-key-ed25519""#));
        pairs.push(("signature", "transform=:ZT1kooQsEHpZ0I1IjCqtQppOmIqlJPeo7DHR3SoMn0s5JZ1eRGS0A+vyYP9t/LXlh5QMFFQ6cpLt2m0pmj3NDA==:"));
        judge(&mut load(&[messages(&[])]), &pairs, CREATED, &mut TestHost::default()).is_ok()
    };
    let two: &[&str] = &["application/json", "*/*"];
    assert!(transform("example.org", "GET", "/demo?name1=Value1&Name2=value2", two));
    assert!(
        transform("example.org", "GET", "/demo?name1=Value1&Name2=value2&param=added", two),
        "the query is not covered"
    );
    assert!(
        transform("example.org", "GET", "/demo?name1=Value1", &["application/json, */*"]),
        "lines are joined"
    );
    assert!(transform("EXAMPLE.org:443", "GET", "/demo", two), "one authority");
    assert!(!transform("example.org", "POST", "/demo?name1=Value1&Name2=value2", two));
    assert!(!transform("example.com", "GET", "/demo?name1=Value1&Name2=value2", two));
    assert!(!transform(
        "example.org",
        "GET",
        "/demo?name1=Value1&Name2=value2",
        &["*/*", "application/json"]
    ));
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
fn a_signature_is_used_once_on_all_workers_and_a_nonce_too() {
    let host = TestHost::default();
    let plan = [messages(&[])];
    let send = |parameters: &str, path: &str| {
        let parameters = format!("{parameters};keyid=\"test-shared-secret\"");
        let (input, signature) = signed_request("", &[("\"@path\"", path)], &parameters);
        let pairs = vec![
            (":method", "GET"),
            (":authority", "a"),
            (":path", path),
            ("signature-input", &input),
            ("signature", &signature),
        ];

        // Another worker each time: only what is shared is shared.
        judge(&mut load(&plan), &pairs, 1000, &mut host.clone()).map_err(|(reason, _)| reason).map(drop)
    };
    let replayed = Err(Reason::SignatureReplayed);
    assert_eq!(send(";created=1000", "/a"), Ok(()));
    assert_eq!(send(";created=1000", "/a"), replayed);
    assert_eq!(send(";created=1000", "/b"), Ok(()));
    assert_eq!(send(";created=1001", "/a"), Ok(()));
    assert_eq!(send(";created=1000;nonce=\"n\"", "/a"), Ok(()));
    assert_eq!(send(";created=1000;nonce=\"m\"", "/a"), Ok(()));
    assert_eq!(send(";created=1000;nonce=\"n\"", "/c"), replayed, "the nonce of another request");
    let broken = &mut TestHost { broken: true, ..TestHost::default() };
    let (input, signature) = signed_request("", &[], PARAMETERS);
    let pairs = test_request(&input, &signature);
    let (reason, _) = judge(&mut load(&plan), &pairs, CREATED, broken).unwrap_err();
    assert_eq!(reason, Reason::LimitsUnavailable);
}

#[test]
fn the_second_signature_that_ecdsa_has_is_a_replay() {
    let host = &mut TestHost::default();
    let input = r#"ttrp=();created=1618884473;keyid="test-key-ecc-p256""#;
    let key = p256::ecdsa::SigningKey::from_slice(
        &[
            0x52, 0x9b, 0x85, 0xf3, 0x59, 0x7e, 0x90, 0xec, 0x5b, 0x8d, 0xfe, 0xd3, 0xe2, 0x63, 0x52, 0xbf,
            0x4a, 0xf9, 0xb4, 0xde, 0xbb, 0x1a, 0x29, 0xbb, 0xae, 0x6e, 0xf7, 0xfa, 0x10, 0x5a, 0x5c, 0x60,
            0x3b,
        ][..32],
    );
    let Ok(key) = key else { return };
    use base64::Engine as _;
    use p256::ecdsa::signature::Signer as _;
    let base = "\"@signature-params\": ();created=1618884473;keyid=\"test-key-ecc-p256\"";
    let first: p256::ecdsa::Signature = key.sign(base.as_bytes());
    let (r, s) = first.split_scalars();
    let second = p256::ecdsa::Signature::from_scalars(r.to_bytes(), (-*s).to_bytes()).unwrap();
    assert_ne!(first, second);
    let mut plan = messages(&[]);
    let point = key.verifying_key().to_sec1_point(false);
    let b64 = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    plan.keys[1].material = KeyMaterial::Jwks(format!(
        r#"{{"keys": [{{"kty": "EC", "crv": "P-256", "x": "{}", "y": "{}"}}]}}"#,
        b64(point.x().unwrap()),
        b64(point.y().unwrap())
    ));
    let mut send = |signature: &p256::ecdsa::Signature| {
        let text =
            format!("ttrp=:{}:", base64::engine::general_purpose::STANDARD.encode(signature.to_bytes()));
        let answer = judge(&mut load(&[plan.clone()]), &test_request(input, &text), CREATED, host);
        answer.map_err(|(reason, _)| reason).map(drop)
    };
    assert_eq!(send(&first), Ok(()));
    assert_eq!(send(&second), Err(Reason::SignatureReplayed));
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
    assert_eq!(reason(&plan(Some("sig3"), None), &input, &signature), Ok(false), "somebody else's signature");
    assert_eq!(reason(&plan(None, Some("api")), &input, &signature), Ok(false), "somebody else's signature");
    assert_eq!(reason(&plan(Some("sig1"), Some("web")), &input, &signature), Err(Reason::SignatureInvalid));
    let ambiguous = Err(Reason::SignatureAmbiguous);
    assert_eq!(
        reason(&plan(None, None), &both(&input, &other), &both(&signature, &other_signature)),
        ambiguous
    );
    assert_eq!(reason(&plan(None, None), &both(&input, &input), &signature), ambiguous);
    assert_eq!(reason(&plan(None, None), &input, &both(&signature, &signature)), ambiguous);
    assert_eq!(reason(&plan(None, None), &format!("{input};created=1"), &signature), ambiguous);
    let invalid = Err(Reason::SignatureInvalid);
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

/// The six lines of the simple form, signed.
fn simple_pairs(target: &str, lines: [&str; 6]) -> Vec<(String, String)> {
    let tag: String = hmac(&lines.join("\n")).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut pairs = vec![
        (":method", lines[0]),
        (":scheme", "https"),
        (":authority", "api.example"),
        (":path", target),
        ("x-signature-key", "test-shared-secret"),
        ("x-signature-timestamp", lines[3]),
        ("x-content-sha256", lines[5]),
        ("x-signature", &tag),
    ];
    if !lines[4].is_empty() {
        pairs.push(("x-signature-nonce", lines[4]));
    }
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn the_simple_form() {
    let judge_all = |pairs: &[(String, String)], now| {
        let pairs: Pairs<'_> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        judge(&mut load(&[simple()]), &pairs, now, &mut TestHost::default()).map_err(|(reason, _)| reason)
    };
    let good = simple_pairs("/orders?dry=1", ["POST", "api.example", "/orders?dry=1", "5000", "", EMPTY]);
    let identity = judge_all(&good, 5000).unwrap().unwrap();
    assert_eq!(identity.forwarded(), [("x-client".to_owned(), "client of test-shared-secret".to_owned())]);
    assert!(identity.body().unwrap().fits(b"") && !identity.body().unwrap().fits(b"x"));
    for (now, wanted) in [
        (4940, None),
        (4939, Some(Reason::SignatureInvalid)),
        (5300, None),
        (5301, Some(Reason::SignatureExpired)),
    ] {
        assert_eq!(judge_all(&good, now).err(), wanted, "{now}");
    }
    for place in 0..good.len() {
        let mut changed = good.clone();
        let value = match changed[place].0.as_str() {
            ":method" => "PUT",
            ":authority" => "api.example.org",
            ":path" => "/orders?dry=0",
            "x-signature-key" => "nobody",
            "x-signature-timestamp" => "5001",
            "x-content-sha256" => "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
            "x-signature" => EMPTY,
            _ => continue,
        };
        changed[place].1 = value.into();
        assert_eq!(judge_all(&changed, 5000).err(), Some(Reason::SignatureInvalid), "{:?}", changed[place]);
    }
    for (name, value) in [
        ("x-signature-timestamp", "05000"),
        ("x-signature-timestamp", "5000.0"),
        ("x-signature-timestamp", "1970-01-01"),
        ("x-signature", "E3B0"),
        ("x-content-sha256", ""),
        ("x-signature-nonce", "added"),
        ("x-signature-nonce", ""),
    ] {
        let mut changed = good.clone();
        changed.retain(|(own, _)| own != name);
        changed.push((name.into(), value.into()));
        assert_eq!(judge_all(&changed, 5000).err(), Some(Reason::SignatureInvalid), "{name}: {value}");
        changed.push((name.into(), value.into()));
        assert_eq!(judge_all(&changed, 5000).err(), Some(Reason::SignatureAmbiguous), "{name} twice");
    }
    for name in ["x-signature-key", "x-signature-timestamp", "x-signature"] {
        let changed: Vec<_> = good.iter().filter(|(own, _)| own != name).cloned().collect();
        assert_eq!(judge_all(&changed, 5000).err(), Some(Reason::SignatureInvalid), "without {name}");
    }
    let with_nonce = simple_pairs("/", ["GET", "api.example", "/", "5000", "n1", EMPTY]);
    assert!(judge_all(&with_nonce, 5000).is_ok());
    let without_digest: Vec<_> =
        with_nonce.iter().filter(|(name, _)| name != "x-content-sha256").cloned().collect();
    assert!(judge_all(&without_digest, 5000).is_ok(), "no digest is that of no body");
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
