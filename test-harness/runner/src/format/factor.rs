//! What a request shows beside or instead of a token: name and password, and a one-time code.

use bartizan_engine::authentication::totp::{Algorithm, base32, step, text};
use bartizan_engine::host::Now;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::Deserialize;

use super::placeholder::or_placeholder;
use crate::mint::relative;

/// A one-time code (RFC 6238), as an app would show it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Code {
    /// The secret in Base32.
    pub secret: String,
    /// The moment: `now` by default, `+30s`, `-1m`.
    #[serde(default)]
    pub at: Option<String>,
    /// `SHA1` by default, `SHA256`, `SHA512`.
    #[serde(default)]
    pub algorithm: Option<String>,
    /// 6 by default.
    #[serde(default = "six", deserialize_with = "or_placeholder")]
    pub digits: u32,
    /// The header; `x-totp-code` by default.
    #[serde(default)]
    pub header: Option<String>,
}

const fn six() -> u32 {
    6
}

impl Code {
    /// The header and the code in it, for a request at this second.
    ///
    /// # Errors
    /// If a member is not what it should be.
    pub fn header(&self, now: u64) -> Result<(Vec<u8>, Vec<u8>), String> {
        let secret = base32(&self.secret).ok_or("code.secret: this is no Base32 (RFC 4648, section 6)")?;
        let algorithm = match self.algorithm.as_deref() {
            None | Some("SHA1") => Algorithm::Sha1,
            Some("SHA256") => Algorithm::Sha256,
            Some("SHA512") => Algorithm::Sha512,
            Some(other) => return Err(format!("code.algorithm: `{other}` is none of SHA1, SHA256, SHA512")),
        };
        let at = match self.at.as_deref() {
            None => now,
            Some(text) => relative(text, now)
                .ok_or_else(|| format!("code.at: `{text}` is no moment such as `now`, `+30s`, `-1m`"))?,
        };
        let code = text(algorithm, &secret, step(Now::from_secs(at)), self.digits);
        Ok((self.header.as_deref().unwrap_or("x-totp-code").into(), code.into_bytes()))
    }
}

/// `authorization` for `name:password` (RFC 7617, section 2).
#[must_use]
pub fn basic(credentials: &str) -> (Vec<u8>, Vec<u8>) {
    (b"authorization".to_vec(), format!("Basic {}", STANDARD.encode(credentials)).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_that_of_its_moment() {
        let read = |yaml: &str| serde_saphyr::from_str::<Code>(yaml).unwrap();
        let secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
        // RFC 6238, appendix B.
        let code = read(&format!("{{secret: {secret}, digits: 8}}"));
        assert_eq!(code.header(59).unwrap(), (b"x-totp-code".to_vec(), b"94287082".to_vec()));
        let later = read(&format!("{{secret: {secret}, digits: 8, at: +30s, header: x-otp}}"));
        assert_eq!(later.header(29).unwrap(), (b"x-otp".to_vec(), b"94287082".to_vec()));
        for bad in ["{secret: '1'}", "{secret: MY, algorithm: MD5}", "{secret: MY, at: soon}"] {
            assert!(read(bad).header(59).is_err(), "{bad}");
        }
    }

    #[test]
    fn basic_credentials_are_base64() {
        assert_eq!(basic("Aladdin:open sesame").1, b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    }
}
