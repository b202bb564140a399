//! What was signed once is used once.

use super::*;

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
    assert_eq!(reason, Reason::ReplaysUnavailable);
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

/// A label is not signed: who saw the request can give it another.
#[test]
fn two_methods_that_share_a_key_take_a_signature_once() {
    let labelled = |name: &str, called: &str| {
        let mut plan = messages(&["@method", "@path"]);
        plan.name = name.into();
        plan.keys.iter_mut().for_each(|key| key.client = format!("{name}'s client"));
        if let FormPlan::MessageSignatures { label, .. } = &mut plan.form {
            *label = Some(called.into());
        }
        plan
    };
    let plans = [labelled("a", "sig1"), labelled("b", "sig2")];
    let (input, signature) = signed_request("", &[("\"@method\"", "GET"), ("\"@path\"", "/x")], PARAMETERS);
    for seed in 0..16 {
        let mut room = SignedRequests::load(&plans, "edge", [seed, seed + 9], &secrets).unwrap();
        let host = &mut TestHost::default();
        let mut send = |label: &str| {
            let (input, signature) = (input.replacen("sig1", label, 1), signature.replacen("sig1", label, 1));
            let pairs = vec![
                (":method", "GET"),
                (":authority", "a"),
                (":path", "/x"),
                ("signature-input", &input),
                ("signature", &signature),
            ];
            judge(&mut room, &pairs, CREATED, host).map(drop).map_err(|(reason, _)| reason)
        };
        assert_eq!(send("sig1"), Ok(()), "{seed}");
        assert_eq!(send("sig2"), Err(Reason::SignatureReplayed), "{seed}");
    }
}

#[test]
fn clients_of_the_simple_form_may_send_the_same_in_one_second() {
    let secrets = |name: &str| Some(name.repeat(40).into_bytes());
    let mut plan = simple();
    let client = |n: usize| KeyPlan {
        id: format!("k{n}"),
        client: format!("client {n}"),
        material: KeyMaterial::Secret { env: format!("S{n}") },
        ..plan.keys[0].clone()
    };
    plan.keys = (0..32).map(client).collect();
    let mut room = SignedRequests::load(&[plan], "edge", [1, 2], &secrets).unwrap();
    let host = &mut TestHost::default();
    let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let text = format!("GET\na\n/health\n{CREATED}\n\n{nothing}");
    let (created, replayed) = (CREATED.to_string(), Err(Reason::SignatureReplayed));
    for n in 0..32 {
        let secret = secrets(&format!("S{n}")).unwrap();
        let tag = hmac_sha256::HMAC::mac(text.as_bytes(), secret);
        let signature: String = tag.iter().map(|byte| format!("{byte:02x}")).collect();
        let key = format!("k{n}");
        let pairs = vec![
            (":method", "GET"),
            (":authority", "a"),
            (":path", "/health"),
            ("x-signature-key", &key),
            ("x-signature-timestamp", &created),
            ("x-signature", &signature),
        ];
        let mut send = || judge(&mut room, &pairs, CREATED, host).map(drop).map_err(|(reason, _)| reason);
        assert_eq!(send(), Ok(()), "{n}");
        assert_eq!(send(), replayed, "{n}");
    }
}
