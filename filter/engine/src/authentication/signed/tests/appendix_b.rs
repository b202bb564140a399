//! The examples of RFC 9421, appendix B.

use super::*;

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
