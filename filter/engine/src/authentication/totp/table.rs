//! The table of users: who has which secret. It is one JSON document that is never in a bundle in clear; it lies there
//! sealed, or in the environment of the VM.
//!
//! ```json
//! {"users": {"alice": {"secret": "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "algorithm": "SHA1", "digits": 6, "backup_codes": ["..."]}}}
//! ```

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;
use superboring::reexports::hmac_sha256;

use super::code::{Algorithm, base32, to_base32};
use crate::strict_json::{Bounds, parse_object};

/// The largest table.
pub const MAX_TABLE_BYTES: usize = 512 * 1024;

/// The most users of a table.
const MAX_USERS: usize = 5000;

/// The shortest secret (RFC 4226, section 4, R6), and more than anybody uses.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 16..=128;

/// The most backup codes of a user.
const BACKUP_CODES: usize = 16;

/// How many bytes of a backup code's hash are kept. A code itself has 50 bits.
const HASH_BYTES: usize = 16;

/// The characters of backup codes: those of Base32 after Crockford, which leave out what is taken for something else.
pub const BACKUP_ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// How many of them a backup code has.
pub const BACKUP_LENGTH: usize = 10;

/// The hash of a backup code as it stands in the table.
pub type BackupHash = [u8; HASH_BYTES];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    users: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    secret: String,
    #[serde(default)]
    algorithm: Algorithm,
    #[serde(default = "six")]
    digits: u32,
    #[serde(default)]
    backup_codes: Vec<String>,
}

const fn six() -> u32 {
    6
}

/// One user, made ready.
pub(super) struct User {
    pub(super) secret: Vec<u8>,
    pub(super) algorithm: Algorithm,
    pub(super) digits: u32,
    pub(super) backup: Vec<BackupHash>,
}

/// A secret is not for logs.
impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("digits", &self.digits).finish_non_exhaustive()
    }
}

/// Users by their name.
pub(super) type Users = BTreeMap<String, User>;

/// Reads a table. No message repeats anything that is secret.
pub(super) fn read(json: &[u8]) -> Result<Users, String> {
    // Names are repeated nowhere: two entries of one user would be two secrets.
    let bounds = Bounds { max_bytes: MAX_TABLE_BYTES, max_depth: 8 };
    let document = parse_object(json, bounds).map_err(|error| format!("the table of users: {error}"))?;
    let document: Document = serde_json::from_value(Value::Object(document)).map_err(|_| {
        "the table of users has another form; `bartizan totp enroll` prints its entries".to_owned()
    })?;
    if document.users.is_empty() || document.users.len() > MAX_USERS {
        return Err(format!("the table has {} users; give 1 to {MAX_USERS}", document.users.len()));
    }
    document.users.into_iter().map(|(name, entry)| Ok((name.clone(), user(&name, entry)?))).collect()
}

/// Checks a table before it is sealed, and says how many users it has.
///
/// # Errors
/// When the filter would refuse it.
pub fn check_table(json: &[u8]) -> Result<usize, String> {
    read(json).map(|users| users.len())
}

/// A table for where the real one is not known, with a secret that is: for looking at plans, and for nothing else. No
/// subject is the empty text.
#[must_use]
pub fn nobodys_table(secret: &[u8]) -> Vec<u8> {
    format!(r#"{{"users": {{"": {{"secret": "{}"}}}}}}"#, to_base32(secret)).into_bytes()
}

fn user(name: &str, entry: Entry) -> Result<User, String> {
    let wrong = |problem: &str| format!("the user `{name}`: {problem}");
    let secret =
        base32(&entry.secret).ok_or_else(|| wrong("the secret is not Base32 (RFC 4648, section 6)"))?;
    if !SECRET_BYTES.contains(&secret.len()) {
        return Err(wrong("the secret has not 16 to 128 bytes (RFC 4226, section 4, R6)"));
    }
    if !matches!(entry.digits, 6 | 8) {
        return Err(wrong("codes have 6 or 8 digits"));
    }
    if entry.backup_codes.len() > BACKUP_CODES {
        return Err(wrong(&format!("more than {BACKUP_CODES} backup codes")));
    }
    let hash = |text: &String| -> Option<BackupHash> { URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok() };
    let backup = entry.backup_codes.iter().map(hash).collect::<Option<Vec<_>>>();
    let backup = backup.ok_or_else(|| wrong("a backup code is not a hash of `bartizan totp enroll`"))?;
    Ok(User { secret, algorithm: entry.algorithm, digits: entry.digits, backup })
}

/// A backup code in its one form: lower case, without what was put between for reading. `None` if it cannot be one.
#[must_use]
pub fn backup_code(written: &[u8]) -> Option<Vec<u8>> {
    let plain: Vec<u8> = written.iter().filter(|byte| **byte != b'-').map(u8::to_ascii_lowercase).collect();
    (plain.len() == BACKUP_LENGTH && plain.iter().all(|byte| BACKUP_ALPHABET.contains(byte))).then_some(plain)
}

/// The hash of a backup code in its one form. The name is part of it, so that two users' codes have nothing in common.
#[must_use]
pub fn backup_hash(user: &str, code: &[u8]) -> BackupHash {
    let mut hash = hmac_sha256::Hash::new();
    for part in [&b"bartizan backup code"[..], user.as_bytes(), code] {
        hash.update(part.len().to_le_bytes().first_chunk::<4>().unwrap_or(&[0; 4]));
        hash.update(part);
    }
    hash.finalize().first_chunk::<HASH_BYTES>().copied().unwrap_or_default()
}

/// How a table has the hash.
#[must_use]
pub fn backup_text(hash: &BackupHash) -> String {
    URL_SAFE_NO_PAD.encode(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

    #[test]
    fn a_table_has_users_with_what_is_usual_left_out() {
        let hash = backup_text(&backup_hash("bob", b"0123456789"));
        let table = format!(
            r#"{{"users": {{"alice": {{"secret": "{SECRET}"}},
                "bob": {{"secret": "{SECRET}", "algorithm": "SHA512", "digits": 8, "backup_codes": ["{hash}"]}}}}}}"#
        );
        let users = read(table.as_bytes()).unwrap();
        let alice = users.get("alice").unwrap();
        assert_eq!((alice.algorithm, alice.digits, alice.backup.len()), (Algorithm::Sha1, 6, 0));
        assert_eq!(alice.secret, b"12345678901234567890");
        let bob = users.get("bob").unwrap();
        assert_eq!((bob.algorithm, bob.digits, bob.backup.len()), (Algorithm::Sha512, 8, 1));
        assert!(!format!("{users:?}").contains("1234"));
    }

    #[test]
    fn what_is_no_table_is_refused_and_not_repeated() {
        let user = |inner: &str| format!(r#"{{"users": {{"alice": {{{inner}}}}}}}"#);
        for (table, problem) in [
            ("[]".to_owned(), "table of users"),
            ("{}".to_owned(), "another form"),
            (r#"{"users": {}}"#.to_owned(), "0 users"),
            (
                format!(r#"{{"users": {{"a": {{"secret": "{SECRET}"}}, "a": {{"secret": "{SECRET}"}}}}}}"#),
                "table",
            ),
            (user(r#""secret": "hunter2!hunter2!""#), "Base32"),
            (user(r#""secret": "GEZDGNBV""#), "16 to 128"),
            (user(&format!(r#""secret": "{SECRET}", "digits": 7"#)), "6 or 8"),
            (user(&format!(r#""secret": "{SECRET}", "algorithm": "MD5""#)), "another form"),
            (user(&format!(r#""secret": "{SECRET}", "period": 60"#)), "another form"),
            (user(&format!(r#""secret": "{SECRET}", "backup_codes": ["0123456789"]"#)), "backup code"),
            (
                user(&format!(
                    r#""secret": "{SECRET}", "backup_codes": [{}]"#,
                    [r#""AAAAAAAAAAAAAAAAAAAAAA""#; 17].join(",")
                )),
                "more than 16",
            ),
        ] {
            let error = read(table.as_bytes()).unwrap_err();
            assert!(error.contains(problem), "{table}: {error}");
            assert!(!error.contains("hunter2") && !error.contains("GEZD"), "{error}");
        }
    }

    #[test]
    fn a_backup_code_has_one_form() {
        assert_eq!(backup_code(b"01234-56789").unwrap(), b"0123456789");
        assert_eq!(backup_code(b"ABCDE-FGHJK").unwrap(), b"abcdefghjk");
        for bad in [&b"01234-5678"[..], b"01234-567890", b"0123456 89", b"iiiiiooooo", b""] {
            assert_eq!(backup_code(bad), None, "{bad:?}");
        }
        assert_ne!(backup_hash("alice", b"0123456789"), backup_hash("bob", b"0123456789"));
    }
}
