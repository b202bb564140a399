//! Digests of bodies (RFC 9530, section 2): read with the head, compared when the body is complete.

use superboring::reexports::{hmac_sha256, hmac_sha512};

use super::problem::Problem;
use crate::intake::request::Headers;
use crate::structured::{self, Bare, Item, Member};

/// What the body must be, once it is there. It was said by somebody who is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BodyDigest {
    sha256: Option<Vec<u8>>,
    sha512: Option<Vec<u8>>,
}

impl BodyDigest {
    /// The digest of no body at all, for what says nothing of one.
    #[must_use]
    pub fn of_nothing() -> Self {
        Self::sha256(hmac_sha256::Hash::hash(b"").to_vec())
    }

    /// A digest by SHA-256.
    pub(super) const fn sha256(digest: Vec<u8>) -> Self {
        Self { sha256: Some(digest), sha512: None }
    }

    /// Reads `Content-Digest`. Algorithms that nobody should rely on, and those that nobody knows, are passed over;
    /// all that is left must match, and something must be left.
    pub(super) fn read(headers: Headers<'_>) -> Result<Self, Problem> {
        let lines: Vec<&[u8]> = headers.all("content-digest").map(<[u8]>::trim_ascii).collect();
        let parsed = structured::dictionary(&lines.join(&b", "[..]))
            .map_err(|_| Problem::Digest("`content-digest` is no dictionary"))?;
        if parsed.repeated {
            return Err(Problem::Digest("`content-digest` has an algorithm twice"));
        }
        let mut digest = Self::default();
        for (algorithm, member) in parsed.value {
            let (place, length) = match algorithm.as_str() {
                "sha-256" => (&mut digest.sha256, 32),
                "sha-512" => (&mut digest.sha512, 64),
                _ => continue,
            };
            match member {
                Member::Item(Item { value: Bare::Bytes(bytes), .. }) if bytes.len() == length => {
                    *place = Some(bytes)
                }
                _ => {
                    return Err(Problem::Digest(
                        "a digest in `content-digest` is no digest of its algorithm",
                    ));
                }
            }
        }
        if digest == Self::default() {
            return Err(Problem::Digest("`content-digest` has neither sha-256 nor sha-512"));
        }
        Ok(digest)
    }

    /// Whether this is the body.
    #[must_use]
    pub fn fits(&self, body: &[u8]) -> bool {
        // The digests are no secret: whoever sent the body sent them too.
        let first = self.sha256.as_ref().is_none_or(|digest| *digest == hmac_sha256::Hash::hash(body));
        let second = self.sha512.as_ref().is_none_or(|digest| *digest == hmac_sha512::Hash::hash(body));
        first && second && (self.sha256.is_some() || self.sha512.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Result<BodyDigest, Problem> {
        let pairs: Vec<(&[u8], &[u8])> =
            lines.iter().map(|line| (&b"content-digest"[..], line.as_bytes())).collect();
        BodyDigest::read(Headers::new(&pairs))
    }

    /// RFC 9530: the whole content (B.1), none (B.2), a part of it (B.4), and with the other algorithm (D).
    #[test]
    fn vectors_of_rfc_9530() {
        let hello = b"{\"hello\": \"world\"}\n";
        for (section, line, body) in [
            ("B.1", "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:", &hello[..]),
            ("B.2", "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:", b""),
            ("B.4", "sha-256=:jjcgBDWNAtbYUXI37CVG3gRuGOAjaaDRGpIUFsdyepQ=:", &hello[10..]),
            (
                "D",
                "sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==:",
                hello,
            ),
        ] {
            let digest = read(&[line]).unwrap();
            assert!(digest.fits(body), "{section}");
            assert!(!digest.fits(b"{\"hello\": \"World\"}\n"), "{section}");
        }
    }

    /// RFC 9421, appendix B.2: the body of the test request.
    #[test]
    fn the_digest_of_the_test_request() {
        let line = "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:";
        assert!(read(&[line]).unwrap().fits(b"{\"hello\": \"world\"}"));
        assert!(!read(&[line]).unwrap().fits(b"{\"hello\": \"world\"}\n"));
    }

    #[test]
    fn all_that_is_known_must_match_and_something_must_be_known() {
        let sha256 = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
        let sha512 = "sha-512=:z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==:";
        let other = "md5=:1B2M2Y8AsgTpgAmY7PhCfg==:";
        assert!(read(&[sha256, sha512, other]).unwrap().fits(b""));
        assert!(read(&[&format!("{other}, {sha512}")]).unwrap().fits(b""));
        let wrong = sha512.replace("z4Ph", "z4Pi");
        assert!(!read(&[sha256, &wrong]).unwrap().fits(b""), "one of two");
        for lines in [
            &[][..],
            &[""],
            &[other],
            &["sha-256"],
            &["sha-256=\"x\""],
            &["sha-256=:AAAA:"],
            &["sha-256=(:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:)"],
            &[sha256, sha256],
            &["SHA-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"],
        ] {
            assert!(matches!(read(lines), Err(Problem::Digest(_))), "{lines:?}");
        }
    }
}
