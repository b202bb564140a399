//! The simple form: an HMAC over six lines that a shell can put together.
//!
//! The lines are the method, the host as in the `Host` header (in lower case, without the port that the scheme has
//! anyway), path and query as they are sent, the seconds since 1970, the nonce or nothing, and the SHA-256 of the
//! body in lower-case hexadecimal. Between them is one line feed, and none behind the last. The signature is the
//! HMAC-SHA-256 of that under the secret, in lower-case hexadecimal.
//!
//! ```text
//! POST
//! api.example.com
//! /orders?dry=1
//! 1767225600
//!
//! 44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a
//! ```
//!
//! No line has a line feed in it, so no two requests have one text. Nor is it ever the text of a signature by
//! RFC 9421, which begins with a quote: one secret may serve both forms.

use super::Claim;
use super::digest::BodyDigest;
use super::plan::{HmacHeaders, SignatureAlgorithm};
use super::problem::Problem;
use super::target::Target;
use crate::intake::percent::hex;
use crate::intake::request::Headers;

/// The SHA-256 of nothing.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The key that a request names. `None` if it has no signature of this form.
pub(super) fn sight(names: &HmacHeaders, headers: Headers<'_>) -> Result<Option<String>, Problem> {
    match (one(headers, &names.key)?, one(headers, &names.signature)?) {
        (None, None) => Ok(None),
        (Some(key), Some(_)) => Ok(Some(key.to_owned())),
        // Half a signature was meant as one.
        _ => Err(Problem::invalid(format!("`{}` and `{}` belong together", names.key, names.signature))),
    }
}

/// What the signature claims, as far as that can be told without its key.
pub(super) fn claim(names: &HmacHeaders, headers: Headers<'_>) -> Result<Claim, Problem> {
    let missing = |name: &str| Problem::invalid(format!("`{name}` is missing"));
    let wrong = |name: &str, what: &str| Problem::invalid(format!("`{name}` is no {what}"));
    let signature = one(headers, &names.signature)?.ok_or_else(|| missing(&names.signature))?;
    let signature = bytes(signature, 32).ok_or_else(|| wrong(&names.signature, "HMAC-SHA-256"))?;
    let timestamp = one(headers, &names.timestamp)?.ok_or_else(|| missing(&names.timestamp))?;
    let made = seconds(timestamp).ok_or_else(|| wrong(&names.timestamp, "time"))?;
    let nonce = one(headers, &names.nonce)?;
    if nonce.is_some_and(|nonce| nonce.is_empty() || nonce.len() > 256) {
        return Err(wrong(&names.nonce, "nonce of 1 to 256 bytes"));
    }
    let digest = one(headers, &names.digest)?.unwrap_or(EMPTY);
    let body = bytes(digest, 32).ok_or_else(|| wrong(&names.digest, "SHA-256"))?;
    let target = Target::of(headers, None)?;
    let authority = target.authority();
    let lines = [target.method, &authority, target.whole, timestamp, nonce.unwrap_or_default(), digest];
    Ok(Claim {
        signature,
        algorithm: Some(SignatureAlgorithm::HmacSha256),
        made,
        ends: None,
        nonce: nonce.map(str::to_owned),
        base: lines.join("\n").into_bytes(),
        digest: Ok(Some(BodyDigest::sha256(body))),
    })
}

/// The value of a header that may be there once.
fn one<'r>(headers: Headers<'r>, name: &str) -> Result<Option<&'r str>, Problem> {
    let mut values = headers.all(name);
    let (first, second) = (values.next(), values.next());
    if second.is_some() {
        return Err(Problem::Ambiguous("a header of the signature is there twice"));
    }
    let text = first.map(|value| std::str::from_utf8(value.trim_ascii()));
    text.transpose().map_err(|_| Problem::invalid(format!("`{name}` is no text")))
}

/// Digits without a leading zero: one time, one spelling.
fn seconds(text: &str) -> Option<u64> {
    let fine = text.len() <= 12 && text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    if fine { text.parse().ok() } else { None }
}

/// Lower-case hexadecimal.
fn bytes(text: &str, length: usize) -> Option<Vec<u8>> {
    let (pairs, odd) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != length || !odd.is_empty() || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(hex(*high)? << 4 | hex(*low)?)).collect()
}
