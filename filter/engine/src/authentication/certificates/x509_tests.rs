use super::*;
use proptest::prelude::*;

/// Made by OpenSSL: two URIs, two DNS names, an address and a mailbox; the second date is in the long form.
pub(in super::super) const LEAF: &str = "MIICAzCCAaigAwIBAgIUDADvAoSFTHCoDzAQNKYX91E5qOkwCgYIKoZIzj0EAwIwEjEQMA4GA1UEAwwHVGVzdCBDQTAgFw0yNjExMjEyMjM4NDlaGA8yMDUyMDgxNjIyMzg0OVowIzEQMA4GA1UECgwHRXhhbXBsZTEPMA0GA1UEAwwGY2xpZW50MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEjW1v0rtVB00UXS9VfP6a9lRex0p/ryehQrJ8WVSqw2oeNMR2+d1WvxP/QwauJSCkiESe06AupKa+ToW+iEVu8qOByDCBxTBoBgNVHREEYTBfhh5zcGlmZmU6Ly9leGFtcGxlLm9yZy9ucy9hL3NhL2KGEmh0dHBzOi8veC5leGFtcGxlL4INYS5leGFtcGxlLmNvbYINYi5leGFtcGxlLmNvbYcEwAACAYEFYUBiLmMwDAYDVR0TAQH/BAIwADALBgNVHQ8EBAMCB4AwHQYDVR0OBBYEFIr+ULVOQ63k302NIHvYjLcdZJmJMB8GA1UdIwQYMBaAFF+pWI/24XXOFiAObU1+tmlVvne3MAoGCCqGSM49BAMCA0kAMEYCIQD9D6Wl0ZRmt4zBBKSgFsGSUC5Vr1HDdAw3BLdnt8aEdwIhAKRXiUh5CbEFJVlBGTVXwdIRgQUPXfCauB8uDGgxnej+";
/// Likewise: a certificate authority.
const AUTHORITY: &str = "MIIBeDCCAR+gAwIBAgIUSOvcZxN+rHxJkd+KoG2GoJ5uUhcwCgYIKoZIzj0EAwIwEjEQMA4GA1UEAwwHVGVzdCBDQTAeFw0yNjExMjEyMjM4NDlaFw0zNjExMTgyMjM4NDlaMBIxEDAOBgNVBAMMB1Rlc3QgQ0EwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARHkUW91UDblIuUT1BQKM6qljYGBD4QdVUcbiYStLWUbR4xC08i5d1AJ0eLkHAVhIxy9nErbuBF15Si6MXeEe9Eo1MwUTAdBgNVHQ4EFgQUX6lYj/bhdc4WIA5tTX62aVW+d7cwHwYDVR0jBBgwFoAUX6lYj/bhdc4WIA5tTX62aVW+d7cwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiAOf0NFJS4SteDluOVpONi/Pj8/J+z7jf9BFGaf6JuyDgIgbvXL3a+e/4oNikFPhFvgvOR4hU6K2sLpaQld+UcCa/0=";

fn bytes(base64: &str) -> Vec<u8> {
    STANDARD.decode(base64).unwrap()
}

#[test]
fn a_certificate_is_read() {
    let leaf = Leaf::read(&bytes(LEAF)).unwrap();
    // As `openssl x509 -dates` has them, through `date +%s`.
    assert_eq!((leaf.not_before, leaf.not_after), (1_795_300_729, 2_607_460_729));
    assert_eq!(leaf.uris, ["spiffe://example.org/ns/a/sa/b", "https://x.example/"]);
    assert_eq!(leaf.dns, ["a.example.com", "b.example.com"]);
    assert!(!leaf.authority);
    assert!(Leaf::read(&bytes(AUTHORITY)).unwrap().authority);
}

#[test]
fn envoys_form_of_pem() {
    let der_bytes = bytes(LEAF);
    let lines: Vec<&str> = LEAF.as_bytes().chunks(64).map(|l| std::str::from_utf8(l).unwrap()).collect();
    let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"));
    let encoded: String =
        pem.chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || c == '-' {
                    c.to_string()
                } else {
                    format!("%{:02X}", c as u32)
                }
            })
            .collect();
    assert_eq!(der(encoded.as_bytes()), Some(der_bytes));
    for bad in [
        "",
        "%",
        "%4",
        "-----BEGIN%20CERTIFICATE-----",
        &encoded.replace("BEGIN", "BEGAN"),
        &encoded.repeat(2),
    ] {
        assert_eq!(der(bad.as_bytes()), None, "{bad}");
    }
}

#[test]
fn dates() {
    for (tag, text, seconds) in [
        (0x17, "700101000000Z", Some(0)),
        (0x17, "491231235959Z", Some(2_524_607_999)),
        (0x17, "500101000000Z", Some(0)),
        (0x18, "20000229120000Z", Some(951_825_600)),
        (0x18, "20240301000000Z", Some(1_709_251_200)),
        (0x18, "99991231235959Z", Some(253_402_300_799)),
        (0x18, "19500101000000Z", Some(0)),
        (0x17, "7001010000Z", None),
        (0x17, "700101000000+0100", None),
        (0x18, "20240301000000.5Z", None),
        (0x18, "20241301000000Z", None),
        (0x18, "2024030100000aZ", None),
        (0x04, "700101000000Z", None),
    ] {
        assert_eq!(time((tag, text.as_bytes())), seconds, "{text}");
    }
}

#[test]
fn only_der() {
    // A length in a longer form than it needs, an indefinite one, and a tag of two bytes.
    for bad in [
        &[0x30, 0x81, 0x01, 0x00][..],
        &[0x30, 0x82, 0x00, 0x81],
        &[0x30, 0x80, 0, 0],
        &[0x1f, 0x01, 0],
        &[0x30],
        &[0x30, 5, 0],
    ] {
        assert!(Der(bad).next().is_none(), "{bad:?}");
    }
    let good = bytes(LEAF);
    for length in 0..good.len() {
        assert!(Leaf::read(&good[..length]).is_none(), "{length}");
    }
    assert!(Leaf::read(&[&good[..], &[0]].concat()).is_none());
}

#[test]
fn names_with_hidden_bytes_are_refused() {
    let good = bytes(LEAF);
    let at = good.windows(13).position(|w| w == b"a.example.com").unwrap();
    for byte in [0, b'\n', b' ', 0x80] {
        let mut bad = good.clone();
        bad[at + 1] = byte;
        assert!(Leaf::read(&bad).is_none(), "{byte}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(at in 0usize..500, byte: u8, rest in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = Leaf::read(&rest);
        let mut bent = bytes(LEAF);
        if let Some(place) = bent.get_mut(at) { *place = byte; }
        let _ = Leaf::read(&bent);
    }
}
