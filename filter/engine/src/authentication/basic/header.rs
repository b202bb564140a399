//! The credentials of a header (RFC 7617).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::users::is_acceptable;

/// The longest user id.
const MAX_NAME_BYTES: usize = 256;

/// What a header carries: name and password.
#[derive(PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) name: String,
    pub(super) password: Vec<u8>,
}

/// A password is not for logs.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Section 2: Base64 of the user id, a colon and the password. Both are UTF-8, as the challenge asks (section 2.1).
pub(super) fn read(token: &[u8]) -> Result<Credentials, &'static str> {
    // The decoder takes one spelling only: padded, and with no bits left over.
    let plain = STANDARD.decode(token).map_err(|_| "the credentials are not Base64")?;
    let plain = String::from_utf8(plain).map_err(|_| "the credentials are not UTF-8")?;
    // Section 2: neither may have control characters. A NUL would end the password for bcrypt.
    if plain.chars().any(char::is_control) {
        return Err("the credentials have control characters");
    }
    let (name, password) = plain.split_once(':').ok_or("the credentials have no colon")?;
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err("the name has no characters, or more than 256 bytes");
    }
    if !is_acceptable(password.as_bytes()) {
        return Err(
            "the password is empty, or has more than 72 bytes, of which bcrypt would not see the rest",
        );
    }
    Ok(Credentials { name: name.to_owned(), password: password.as_bytes().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(plain: &[u8]) -> Result<Credentials, &'static str> {
        read(STANDARD.encode(plain).as_bytes())
    }

    /// RFC 7617, sections 2 and 2.1.
    #[test]
    fn the_examples_of_the_standard() {
        let credentials = read(b"QWxhZGRpbjpvcGVuIHNlc2FtZQ==").unwrap();
        assert_eq!((credentials.name.as_str(), &credentials.password[..]), ("Aladdin", &b"open sesame"[..]));
        let credentials = read(b"dGVzdDoxMjPCow==").unwrap();
        assert_eq!((credentials.name.as_str(), credentials.password), ("test", "123£".as_bytes().to_vec()));
    }

    #[test]
    fn the_password_may_have_colons() {
        let credentials = encoded(b"a:b:c").unwrap();
        assert_eq!((credentials.name.as_str(), &credentials.password[..]), ("a", &b"b:c"[..]));
    }

    #[test]
    fn malformed_credentials_are_refused() {
        for value in ["", "a:b", "YTpi=", "YTpjZA", "YTp=jZA=", "YT pi", "YTpjZB=="] {
            assert!(read(value.as_bytes()).is_err(), "{value}");
        }
        for plain in [
            &b"ab"[..],
            b":b",
            b"a:",
            b"a:b\0c",
            b"a\0:b",
            b"a\n:b",
            b"a:b\r",
            b"a:\x7f",
            b"a:\xff",
            b"a:\xc2\x80",
            b":",
        ] {
            assert!(encoded(plain).is_err(), "{plain:?}");
        }
        assert!(encoded(format!("a:{}", "x".repeat(72)).as_bytes()).is_ok());
        assert!(encoded(format!("a:{}", "x".repeat(73)).as_bytes()).is_err());
        assert!(encoded(format!("a:{}", "é".repeat(37)).as_bytes()).is_err());
        assert!(encoded(format!("{}:x", "a".repeat(257)).as_bytes()).is_err());
    }
}
