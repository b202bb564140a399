//! Sealed secrets, opened and not opened.

use super::*;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

fn number(seed: u8) -> [u8; 32] {
    [seed; 32]
}

fn pkcs8(seed: u8) -> String {
    let secret = p256::SecretKey::from_slice(&number(seed)).unwrap();
    let point = p256::ecdsa::SigningKey::from(&secret).verifying_key().to_sec1_point(false);
    let der = [&P256_PKCS8[..], &number(seed), &[0xa1, 0x44, 0x03, 0x42, 0x00], point.as_bytes()].concat();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der))
}

fn coordinates(seed: u8) -> (String, String) {
    let secret = p256::SecretKey::from_slice(&number(seed)).unwrap();
    let point = p256::ecdsa::SigningKey::from(&secret).verifying_key().to_sec1_point(false);
    let bytes = point.as_bytes();
    (URL_SAFE_NO_PAD.encode(&bytes[1..33]), URL_SAFE_NO_PAD.encode(&bytes[33..]))
}

fn header(party: &str, more: &str) -> String {
    let (x, y) = coordinates(9);
    let apv = URL_SAFE_NO_PAD.encode(party);
    format!(
        r#"{{"alg":"ECDH-ES","apv":"{apv}","enc":"A256GCM","epk":{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}{more}}}"#
    )
}

/// Sealed to the key 7, by the ephemeral key 9.
fn sealed(party: &str, header: &str) -> String {
    let (ephemeral, own) =
        (p256::SecretKey::from_slice(&number(9)).unwrap(), p256::SecretKey::from_slice(&number(7)).unwrap());
    let shared = p256::ecdh::diffie_hellman(ephemeral.to_nonzero_scalar(), own.public_key().as_affine());
    let header = URL_SAFE_NO_PAD.encode(header);
    let payload = Payload { msg: SECRET, aad: header.as_bytes() };
    let body = content_key(shared.raw_secret_bytes(), party).encrypt(&Nonce::from([5; 12]), payload).unwrap();
    let (ciphertext, tag) = body.split_at(body.len() - 16);
    let [nonce, ciphertext, tag] = [&[5; 12][..], ciphertext, tag].map(|part| URL_SAFE_NO_PAD.encode(part));
    format!("{header}..{nonce}.{ciphertext}.{tag}")
}

fn good() -> String {
    let party = party("edge", "corp");
    sealed(&party, &header(&party, ""))
}

fn opened(jwe: &str, key: &str) -> Result<Vec<u8>, SealedError> {
    Sealed::read(jwe, "edge", "corp")?.open(key.as_bytes())
}

#[test]
fn what_the_command_seals_the_filter_opens() {
    let to = p256::SecretKey::from_slice(&number(7)).unwrap();
    let to = p256::ecdsa::SigningKey::from(&to).verifying_key().to_sec1_point(false);
    let jwe = seal(SECRET, "edge", "corp", to.as_bytes(), number(9)).unwrap();
    assert_eq!(opened(&jwe, &pkcs8(7)), Ok(SECRET.to_vec()));
    assert!(!jwe.contains(&URL_SAFE_NO_PAD.encode(SECRET)));
    assert_ne!(seal(SECRET, "edge", "corp", to.as_bytes(), number(10)), Some(jwe));
    assert_eq!(seal(SECRET, "edge", "corp", &to.as_bytes()[1..], number(9)), None);
    assert_eq!(seal(SECRET, "edge", "corp", to.as_bytes(), [0; 32]), None);
}

/// Made by Python's `cryptography` (OpenSSL) from the texts of the RFCs, with the same two keys.
#[test]
fn what_another_implementation_seals_is_opened() {
    let jwe = "eyJlcGsiOiB7Imt0eSI6ICJFQyIsICJjcnYiOiAiUC0yNTYiLCAieCI6ICJjVFg2VDlrNkNkenBpNzlvRzB2ODlRNThEV05VNWly\
     N0NfOHFOQ2xoZUdVIiwgInkiOiAiN1V3ZkF0MjVBajdsYWxWLVVWMXFuY1pzRWZJZ2xnM2xsRE5OOVloM1p5USJ9LCAiYWxnIjog\
     IkVDREgtRVMiLCAiZW5jIjogIkEyNTZHQ00iLCAiYXB2IjogIlltRnlkR2w2WVc0NlpXUm5aUzlqYjNKdyJ9..AAECAwQFBgcICQ\
     oL.JFRIdKgYdZAGkkhnC0_ujo7BjTVTi8GiwEv1VMadX_Q.FJyHppaphf3UjL-MSmUXBQ";
    assert_eq!(opened(jwe, &pkcs8(7)), Ok(SECRET.to_vec()));
    let theirs = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgBwcHBwcHBwcHBwcH\nBwcHBwcHBwcHBwcHBwcHBwcHBwehRANCAAQeGFMv\
         1HVMAvMEHZx1zrM7g//YGsfO\nT+iCzLHJi8WJbqRsMRxOL/QN2Wo2U+bkVEXTLf5Ibs7XXHqQxqGIgcCj\n";
    assert_eq!(opened(jwe, theirs), Ok(SECRET.to_vec()), "a key as OpenSSL writes it");
}

#[test]
fn what_is_sealed_is_opened_with_its_key_alone() {
    let (jwe, key) = (good(), pkcs8(7));
    assert_eq!(opened(&jwe, &key), Ok(SECRET.to_vec()));
    assert_eq!(Sealed::party(&jwe).as_deref(), Some("edge/corp"));
    let bare: String = key.lines().filter(|line| !line.starts_with('-')).collect();
    assert_eq!(opened(&jwe, &bare), Ok(SECRET.to_vec()), "without lines");
    assert_eq!(opened(&jwe, &key.replace('\n', "\r\n")), Ok(SECRET.to_vec()));
    assert_eq!(opened(&jwe, &pkcs8(8)), Err(SealedError::NotOpened));
    for no_key in
        ["", "hunter2", "-----BEGIN PRIVATE KEY-----", &key.replace('M', "N"), &(key.clone() + &key)]
    {
        assert_eq!(opened(&jwe, no_key), Err(SealedError::NoKey), "{no_key}");
    }
    // The number of a key is not zero, and below the order of the curve.
    for number in [[0; 32], [0xff; 32]] {
        let der = STANDARD.encode([&P256_PKCS8[..], &number, &[0; 70]].concat());
        assert_eq!(opened(&jwe, &der), Err(SealedError::NoKey));
    }
}

/// The example of RFC 7518, appendix C.
#[test]
fn the_agreement_is_that_of_the_standard() {
    let number = decode("0_NxaRPUMQoAJt50Gz8YiTr8gRTwyEaCumd-MToTmIo").unwrap();
    let (x, y) =
        ("weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ", "e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck");
    let point = [&[4][..], &decode(x).unwrap(), &decode(y).unwrap()].concat();
    let secret = p256::SecretKey::from_slice(&number).unwrap();
    let shared = p256::ecdh::diffie_hellman(
        secret.to_nonzero_scalar(),
        p256::PublicKey::from_sec1_bytes(&point).unwrap().as_affine(),
    );
    let z: [u8; 32] = [
        158, 86, 217, 29, 129, 113, 53, 211, 114, 131, 66, 131, 191, 132, 38, 156, 251, 49, 110, 163, 218,
        128, 106, 72, 246, 218, 167, 121, 140, 254, 144, 196,
    ];
    assert_eq!(shared.raw_secret_bytes()[..], z);
}

#[test]
fn what_was_sealed_for_one_place_is_of_no_use_in_another() {
    let jwe = good();
    for (bundle, issuer) in [("edge", "other"), ("other", "corp"), ("edge/corp", ""), ("", "edge/corp")] {
        assert_eq!(
            Sealed::read(&jwe, bundle, issuer).map(drop),
            Err(SealedError::ForAnother),
            "{bundle} {issuer}"
        );
    }
    // Somebody writes the name of the other place over it: what was authenticated is another header, and even with
    // the header of the new place from the start the key is another one.
    let other = party("edge", "corp");
    let moved = header(&other, "");
    let theirs = party("mine", "corp");
    let stolen = sealed(&theirs, &header(&theirs, ""));
    let encoded = URL_SAFE_NO_PAD.encode(&moved);
    let parts: Vec<&str> =
        stolen.split('.').enumerate().map(|(n, part)| if n == 0 { encoded.as_str() } else { part }).collect();
    assert_eq!(opened(&parts.join("."), &pkcs8(7)), Err(SealedError::NotOpened));
    assert_eq!(opened(&sealed(&theirs, &moved), &pkcs8(7)), Err(SealedError::NotOpened), "another key");
}

#[test]
fn a_changed_character_is_refused() {
    let (jwe, key) = (good(), pkcs8(7));
    for at in 0..jwe.len() {
        for change in [b'A', b'z', b'-', b'.', b'=', b' ', b'"'] {
            let mut bytes = jwe.clone().into_bytes();
            if bytes[at] == change {
                continue;
            }
            bytes[at] = change;
            let text = String::from_utf8(bytes).unwrap();
            assert!(opened(&text, &key).is_err(), "byte {at} changed to {}", char::from(change));
        }
        let (before, after) = jwe.split_at(at);
        assert!(opened(before, &key).is_err(), "cut at {at}");
        let shorter: String = before.chars().chain(after.chars().skip(1)).collect();
        assert!(opened(&shorter, &key).is_err(), "without byte {at}");
    }
    assert!(opened(&(jwe + "A"), &key).is_err());
}

#[test]
fn other_forms_are_refused() {
    let name = party("edge", "corp");
    let of = |header: String| Sealed::read(&sealed(&name, &header), "edge", "corp").map(drop);
    let good = header(&name, "");
    assert_eq!(of(good.clone()), Ok(()));
    for (from, to) in [
        ("ECDH-ES", "ECDH-ES+A256KW"),
        ("ECDH-ES", "dir"),
        ("A256GCM", "A128GCM"),
        ("A256GCM", "A256CBC-HS512"),
        ("P-256", "P-384"),
        ("\"EC\"", "\"OKP\""),
        ("\"kty\"", "\"d\":\"AA\",\"kty\""),
        ("}}", "},\"zip\":\"DEF\"}"),
        ("}}", "},\"crit\":[\"exp\"],\"exp\":1}"),
        ("}}", "},\"alg\":\"ECDH-ES\"}"),
        ("\"apv\":", "\"apu\":"),
    ] {
        let other = good.replacen(from, to, 1);
        assert_ne!(other, good, "{from}");
        assert_eq!(of(other), Err(SealedError::Malformed), "{from} -> {to}");
    }
    // A point that is not on the curve, or the one at infinity, tells nothing about the key.
    let (x, y) = coordinates(9);
    for (x, y) in [(x.clone(), x.clone()), (y.clone(), y), (x, URL_SAFE_NO_PAD.encode([0; 32]))] {
        let (own_x, own_y) = coordinates(9);
        let other = good.replace(&own_x, "X").replace(&own_y, "Y").replace("\"X\"", &format!("\"{x}\""));
        let other = other.replace("\"Y\"", &format!("\"{y}\""));
        assert_eq!(of(other), Err(SealedError::Malformed));
    }
    for text in ["", ".", "....", "a.b.c.d.e", &"A".repeat(5000), "hunter2"] {
        assert_eq!(Sealed::read(text, "edge", "corp").map(drop), Err(SealedError::Malformed), "{text}");
    }
}
