//! The simple form.

use super::*;

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
