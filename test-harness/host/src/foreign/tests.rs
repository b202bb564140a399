//! Test keys are made anew for each run.

use std::sync::OnceLock;

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _,
};
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use rsa::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _, LineEnding};

use super::{ForeignContext, NAMES, call};
use crate::Status;
use crate::properties::{LifeSpan, Prototype, StateType};
use crate::protobuf::{bytes, fields, number, push_bytes, push_number, text};

#[derive(Default)]
struct Context {
    declared: Vec<(Vec<u8>, Prototype)>,
    set: Vec<(Vec<u8>, Vec<u8>, LifeSpan)>,
    cleared: usize,
}

impl ForeignContext for Context {
    fn declare_property(&mut self, name: &[u8], prototype: Prototype) -> Result<(), Status> {
        self.declared.push((name.to_vec(), prototype));
        Ok(())
    }
    fn set_filter_state(&mut self, name: &[u8], value: &[u8], span: LifeSpan) -> Result<(), Status> {
        self.set.push((name.to_vec(), value.to_vec(), span));
        Err(Status::NotFound)
    }
    fn clear_route_cache(&mut self) {
        self.cleared += 1;
    }
}

fn ask(name: &str, arguments: &[u8]) -> Result<Vec<u8>, Status> {
    call(name.as_bytes(), arguments, &mut Context::default())
}

/// A message of texts and bytes by number.
fn message(list: &[(u32, &[u8])]) -> Vec<u8> {
    let mut message = Vec::new();
    for (number, value) in list {
        push_bytes(&mut message, *number, value);
    }
    message
}

/// What `verify_signature` says: the truth, or the error.
fn verify(list: &[(u32, &[u8])]) -> Result<String, Status> {
    let answer = ask("verify_signature", &message(list))?;
    let fields = fields(&answer).unwrap();
    let error = text(&fields, 2).unwrap();
    match number(&fields, 1) {
        1 => {
            assert_eq!(answer, [0x08, 0x01], "nothing else stands beside a good answer");
            Ok("good".to_owned())
        }
        _ => Ok(error.to_owned()),
    }
}

/// What `sign` gives: a signature, or the error.
fn sign(list: &[(u32, &[u8])]) -> Result<Result<Vec<u8>, String>, Status> {
    let answer = ask("sign", &message(list))?;
    let fields = fields(&answer).unwrap();
    let (signature, error) = (bytes(&fields, 2).to_vec(), text(&fields, 3).unwrap().to_owned());
    assert_eq!(number(&fields, 1) == 1, error.is_empty());
    Ok(if error.is_empty() { Ok(signature) } else { Err(error) })
}

fn rsa_key() -> &'static rsa::RsaPrivateKey {
    static KEY: OnceLock<rsa::RsaPrivateKey> = OnceLock::new();
    KEY.get_or_init(|| rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap())
}

/// A new EC key: PKCS#8 and SPKI.
fn ec_key(algorithm: &'static EcdsaSigningAlgorithm, spki_head: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap().as_ref().to_vec();
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, &pkcs8, &random).unwrap();
    (pkcs8, [spki_head, pair.public_key().as_ref()].concat())
}

fn p256() -> (Vec<u8>, Vec<u8>) {
    let head = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
    ec_key(&ECDSA_P256_SHA256_ASN1_SIGNING, head)
}

fn p384() -> (Vec<u8>, Vec<u8>) {
    let head =
        b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00";
    ec_key(&ECDSA_P384_SHA384_ASN1_SIGNING, head)
}

const BAD: &str = "Failed to verify digest. Error code: 0";
const NO_KEY: &str = "Failed to initialize digest verify.";

#[test]
fn what_is_signed_verifies_and_nothing_else_does() {
    let rsa = rsa_key();
    let rsa = (
        rsa.to_pkcs8_der().unwrap().as_bytes().to_vec(),
        rsa.to_public_key().to_public_key_der().unwrap().as_bytes().to_vec(),
    );
    let (p256, p384) = (p256(), p384());
    for (digest, (private, public)) in
        [("sha256", &rsa), ("sha384", &rsa), ("SHA512", &rsa), ("Sha256", &p256), ("sha384", &p384)]
    {
        let digest = digest.as_bytes();
        let signature = sign(&[(1, digest), (2, private), (3, b"text")]).unwrap().unwrap();
        let check = |signature: &[u8], text: &[u8]| {
            verify(&[(1, digest), (2, public), (3, signature), (4, text)]).unwrap()
        };
        assert_eq!(check(&signature, b"text"), "good");
        assert_eq!(check(&signature, b"Text"), BAD);
        assert_eq!(check(b"", b"text"), BAD);
        let mut broken = signature.clone();
        *broken.last_mut().unwrap() ^= 1;
        assert_eq!(check(&broken, b"text"), BAD);
        let trailing = [public.as_slice(), b"behind"].concat();
        assert_eq!(verify(&[(1, digest), (2, &trailing), (3, &signature), (4, b"text")]).unwrap(), "good");
    }
    let signature = sign(&[(1, b"sha256"), (2, &rsa.0), (3, b"text")]).unwrap().unwrap();
    assert_eq!(verify(&[(1, b"sha512"), (2, &rsa.1), (3, &signature), (4, b"text")]).unwrap(), BAD);
    assert_eq!(verify(&[(1, b"sha1"), (2, &rsa.1), (3, &signature), (4, b"text")]).unwrap(), BAD);
}

#[test]
fn keys_may_come_as_pem() {
    let rsa = rsa_key();
    let public = rsa.to_public_key().to_public_key_pem(LineEnding::LF).unwrap();
    for private in [rsa.to_pkcs8_pem(LineEnding::LF).unwrap(), rsa.to_pkcs1_pem(LineEnding::CRLF).unwrap()] {
        let signature = sign(&[(1, b"sha256"), (4, private.as_bytes()), (3, b"text")]).unwrap().unwrap();
        let with = format!("a note\n-----BEGIN OTHER-----\nAAAA\n-----END OTHER-----\n{public}");
        assert_eq!(
            verify(&[(1, b"sha256"), (5, with.as_bytes()), (3, &signature), (4, b"text")]).unwrap(),
            "good"
        );
    }
    for pem in [
        "no pem",
        "-----BEGIN PUBLIC KEY-----\n!!\n-----END PUBLIC KEY-----",
        "-----BEGIN PUBLIC KEY-----\nAAAA",
    ] {
        assert_eq!(verify(&[(1, b"sha256"), (5, pem.as_bytes()), (4, b"t")]).unwrap(), NO_KEY, "{pem}");
        let refused = sign(&[(1, b"sha256"), (4, pem.as_bytes()), (3, b"t")]).unwrap().unwrap_err();
        assert!(refused.starts_with("Invalid key type"), "{pem}");
    }
}

#[test]
fn one_key_must_be_there_and_arguments_must_read() {
    for name in ["verify_signature", "sign"] {
        assert_eq!(ask(name, b""), Err(Status::BadArgument), "no key");
        assert_eq!(ask(name, b"\x0a\x05x"), Err(Status::BadArgument), "malformed");
        assert_eq!(ask(name, &message(&[(1, b"\xff"), (2, b"k")])), Err(Status::BadArgument), "no UTF-8");
    }
    let both = message(&[(1, b"sha256"), (2, b"k"), (5, b"k")]);
    assert_eq!(ask("verify_signature", &both), Err(Status::BadArgument));
    assert_eq!(ask("sign", &message(&[(1, b"sha256"), (2, b"k"), (4, b"k")])), Err(Status::BadArgument));
}

#[test]
fn what_envoy_cannot_use_it_says_in_the_result() {
    assert_eq!(verify(&[(1, b"MD5"), (2, b"no key")]).unwrap(), "MD5 is not supported.");
    assert_eq!(verify(&[(2, b"no key")]).unwrap(), " is not supported.");
    assert_eq!(verify(&[(1, b"sha256"), (2, b"no key")]).unwrap(), NO_KEY);
    assert_eq!(sign(&[(1, b"md5"), (2, b"no key")]).unwrap().unwrap_err(), "md5 is not supported.");
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let spki = [b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00", pair.public_key().as_ref()].concat();
    assert_eq!(verify(&[(1, b"sha256"), (2, &spki), (4, b"t")]).unwrap(), NO_KEY);
    let refused = sign(&[(1, b"sha256"), (2, pkcs8.as_ref()), (3, b"t")]).unwrap().unwrap_err();
    assert!(refused.starts_with("Invalid private key"), "{refused}");
}

#[test]
fn what_this_host_cannot_is_unimplemented_and_never_a_bad_signature() {
    let (private, public) = p256();
    for digest in [&b"sha1"[..], b"sha224", b"sha512"] {
        assert_eq!(verify(&[(1, digest), (2, &public), (3, b"s")]), Err(Status::Unimplemented));
        assert_eq!(sign(&[(1, digest), (2, &private), (3, b"t")]), Err(Status::Unimplemented));
    }
    let mut compressed = public.clone();
    compressed[26] = 2;
    assert_eq!(verify(&[(1, b"sha256"), (2, &compressed), (3, b"s")]), Err(Status::Unimplemented));
    let secp256k1 =
        b"\x30\x15\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x0a\x03\x01\x00";
    assert_eq!(verify(&[(1, b"sha256"), (2, secp256k1), (3, b"s")]), Err(Status::Unimplemented));
}

#[test]
fn compression_comes_back_and_garbage_does_not() {
    for content in [&b""[..], b"a", &[b'x'; 100_000]] {
        let compressed = ask("compress", content).unwrap();
        assert_eq!(ask("uncompress", &compressed).unwrap(), content);
        assert_eq!(ask("uncompress", &[&compressed, &b"behind"[..]].concat()).unwrap(), content);
        assert_eq!(
            ask("uncompress", &compressed[..compressed.len() - 1]),
            Err(Status::SerializationFailure),
            "the checksum is part of it"
        );
    }
    // What zlib itself makes of "hello".
    let hello = b"\x78\x9c\xcb\x48\xcd\xc9\xc9\x07\x00\x06\x2c\x02\x15";
    assert_eq!(ask("uncompress", hello).unwrap(), b"hello");
    assert_eq!(ask("uncompress", b""), Err(Status::SerializationFailure));
    assert_eq!(ask("uncompress", b"garbage"), Err(Status::SerializationFailure));
    let mut damaged = *hello;
    damaged[12] ^= 1;
    assert_eq!(ask("uncompress", &damaged), Err(Status::SerializationFailure));
}

#[test]
fn a_declaration_is_read_field_by_field() {
    let mut arguments = message(&[(1, b"name"), (4, b"schema")]);
    push_number(&mut arguments, 2, 1);
    push_number(&mut arguments, 3, 3);
    push_number(&mut arguments, 5, 2);
    let mut context = Context::default();
    assert_eq!(call(b"declare_property", &arguments, &mut context), Ok(Vec::new()));
    let expected = Prototype {
        readonly: true,
        state_type: StateType::Protobuf,
        schema: b"schema".to_vec(),
        life_span: LifeSpan::Connection,
    };
    assert_eq!(context.declared, [(b"name".to_vec(), expected)]);
    call(b"declare_property", b"", &mut context).unwrap();
    assert_eq!(context.declared[1], (Vec::new(), Prototype::default()));
    assert_eq!(call(b"declare_property", b"\x0a", &mut context), Err(Status::BadArgument));
}

#[test]
fn filter_state_and_route_cache_go_to_the_context() {
    let mut arguments = message(&[(1, b"envoy.string"), (2, b"v")]);
    push_number(&mut arguments, 3, 1);
    let mut context = Context::default();
    assert_eq!(call(b"set_envoy_filter_state", &arguments, &mut context), Err(Status::NotFound));
    assert_eq!(context.set, [(b"envoy.string".to_vec(), b"v".to_vec(), LifeSpan::Request)]);
    assert_eq!(call(b"set_envoy_filter_state", b"\x12\x01\xff", &mut context), Err(Status::BadArgument));
    assert_eq!(call(b"clear_route_cache", b"whatever", &mut context), Ok(Vec::new()));
    assert_eq!(context.cleared, 1);
}

#[test]
fn each_name_is_there_and_others_are_not() {
    assert!(NAMES.is_sorted());
    for name in NAMES {
        assert_ne!(ask(name, b"\x0a"), Err(Status::Unimplemented), "{name}");
    }
    assert_eq!(ask("expr_create", b""), Err(Status::Unimplemented));
    for absent in ["", "Sign", "verify_signature\0", "hmac"] {
        assert_eq!(ask(absent, b""), Err(Status::NotFound), "{absent}");
    }
}
