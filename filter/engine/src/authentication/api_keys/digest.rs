//! What a table knows a key by.

use std::fmt;

use superboring::reexports::hmac_sha256::Hash;

use super::table::DIGEST;
use crate::plan::PlanError;

/// The shortest pepper, in bytes: the length of the hash (RFC 2104, section 3).
const MIN_PEPPER_BYTES: usize = 32;

/// The block of SHA-256 (RFC 2104, section 2, calls it B).
const BLOCK: usize = 64;

/// How digests are made of keys.
#[derive(Clone)]
pub(super) enum Digester {
    /// SHA-256.
    Plain,
    /// HMAC-SHA-256, with the pepper already taken in: a key then costs two blocks and not four.
    Peppered(Box<[Hash; 2]>),
}

// By hand, so that no pepper reaches a log through `{:?}`.
impl fmt::Debug for Digester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "Plain",
            Self::Peppered(_) => "Peppered",
        })
    }
}

impl Digester {
    /// Digests with a pepper.
    pub(super) fn peppered(pepper: &[u8]) -> Result<Self, String> {
        if pepper.len() < MIN_PEPPER_BYTES {
            return Err(format!(
                "the pepper has {} bytes; give it at least {MIN_PEPPER_BYTES} random ones: openssl rand -hex 32",
                pepper.len()
            ));
        }
        let mut block = [0; BLOCK];
        let short = if pepper.len() > BLOCK { &Hash::hash(pepper)[..] } else { pepper };
        block.iter_mut().zip(short).for_each(|(to, from)| *to = *from);
        let padded = |pad: u8| {
            let mut hash = Hash::new();
            hash.update(block.map(|byte| byte ^ pad));
            hash
        };
        Ok(Self::Peppered(Box::new([padded(0x36), padded(0x5c)])))
    }

    /// Digests as a plan asks for them.
    pub(super) fn load(
        pepper: Option<&str>,
        place: &str,
        secret: &dyn Fn(&str) -> Option<Vec<u8>>,
    ) -> Result<Self, PlanError> {
        let Some(env) = pepper else { return Ok(Self::Plain) };
        let wrong = |problem| PlanError::new(format!("{place}.pepper"), problem);
        let value = secret(env).ok_or_else(|| {
            wrong(format!(
                "the environment variable `{env}` is not set for the filter; set it in `environment_variables` of the VM configuration"
            ))
        })?;
        Self::peppered(&value).map_err(|problem| wrong(format!("`{env}`: {problem}")))
    }

    /// The digest of a key.
    pub(super) fn digest(&self, key: &[u8]) -> [u8; DIGEST] {
        match self {
            Self::Plain => Hash::hash(key),
            Self::Peppered(prepared) => {
                let [mut inner, mut outer] = **prepared;
                inner.update(key);
                outer.update(inner.finalize());
                outer.finalize()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use superboring::reexports::hmac_sha256::HMAC;

    #[test]
    fn a_short_pepper_is_no_pepper() {
        assert!(Digester::peppered(&[7; 31]).is_err());
        assert!(Digester::peppered(&[7; 32]).is_ok());
        let missing = Digester::load(Some("PEPPER"), "api_keys[0]", &|_| None).unwrap_err();
        assert!(missing.problem.contains("`PEPPER` is not set"), "{missing}");
        let short = Digester::load(Some("PEPPER"), "api_keys[0]", &|_| Some(vec![7; 31])).unwrap_err();
        assert!(short.problem.contains("31 bytes"), "{short}");
        assert_eq!(format!("{:?}", Digester::peppered(&[7; 32]).unwrap()), "Peppered");
    }

    proptest! {
        #[test]
        fn peppered_digests_are_hmac(
            pepper in proptest::collection::vec(any::<u8>(), 32..200),
            key in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let digester = Digester::peppered(&pepper).unwrap();
            prop_assert_eq!(digester.digest(&key), HMAC::mac(&key, &pepper));
            prop_assert_eq!(Digester::Plain.digest(&key), Hash::hash(&key));
        }
    }
}
