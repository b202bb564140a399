//! `bartizan hash-key`.

use crate::Scratch;

/// The hashes below are by sha256sum and openssl.
const KEY: &str = "Zm9v-YmFyYmF6_cXV1eDEyMzQ1Njc4OTA";

#[test]
fn a_key_is_made_and_only_its_hash_is_for_the_policy() {
    let scratch = Scratch::new("hash-key");
    let one = scratch.json(0, "hash-key");
    let key = one["key"].as_str().unwrap_or_default().to_owned();
    assert_eq!((key.len(), &one["bits"]), (43, &256.into()));
    assert_ne!(scratch.json(0, "hash-key")["key"], one["key"]);
    // The same key by standard input, with or without a line break, has the same hash.
    for input in [key.clone(), format!("{key}\n"), format!("{key}\r\n")] {
        let (out, _) = scratch.run(0, "hash-key --stdin", &input, &[]);
        assert_eq!(out.trim_end(), one["hash"], "{input:?}");
        assert!(!out.contains(&key));
    }
    let (out, err) = scratch.run(0, "hash-key --bytes 16", "", &[]);
    assert!(out.starts_with("key   ") && out.contains("\nhash  sha256:") && err.contains("shown this once"));
    let (out, _) = scratch.run(0, "hash-key --stdin --format json", &key, &[]);
    assert!(out.contains("\"key\": null") && !out.contains(&key));
}

#[test]
fn hashes_are_those_of_other_programs() {
    let scratch = Scratch::new("hash-key-known");
    let (plain, _) = scratch.run(0, "hash-key --stdin", KEY, &[]);
    assert_eq!(plain, "sha256:280e4bfceff8e1a3d487bc3a094997d7bf76af74d5c4b70aeb31ee52b2247643\n");
    let pepper = [("PEPPER", "00112233445566778899aabbccddeeff")];
    let (peppered, _) = scratch.run(0, "hash-key --stdin --pepper-env PEPPER", KEY, &pepper);
    assert_eq!(peppered, "hmac-sha256:f84d5516017fc21291e0d6968f7379b11e5a3942c133f965f612ed08e8345244\n");
}

#[test]
fn weak_keys_and_peppers_are_refused_and_never_repeated() {
    let scratch = Scratch::new("hash-key-weak");
    for (input, told) in [
        ("hunter2hunter2", "random bits"),
        ("", "no key"),
        ("tab\tin-a-key-0123456789abcdef-0123456789", "header"),
    ] {
        let (out, err) = scratch.run(1, "hash-key --stdin", input, &[]);
        assert!(out.is_empty() && err.contains(told), "{err}");
        assert!(input.is_empty() || !err.contains(input));
    }
    let short = scratch.run(1, "hash-key --pepper-env PEPPER", "", &[("PEPPER", "short")]).1;
    assert!(short.contains("5 bytes") && !short.contains("short"), "{short}");
    assert!(scratch.run(1, "hash-key --pepper-env NO_SUCH_PEPPER", "", &[]).1.contains("is not set"));
    scratch.ends(2, "hash-key --bytes 15");
    scratch.ends(2, &format!("hash-key {KEY}"));
    scratch.ends(2, "hash-key --stdin --bytes 32");
}
