//! Users and the bcrypt hashes of their passwords.

use std::collections::HashMap;

use base64::Engine as _;
use bcrypt::BASE_64;
use subtle::ConstantTimeEq as _;

/// The costs that are accepted. A verification takes two to the cost rounds of the worker's thread: at 12 it is more
/// than half a second, in which the worker does nothing else.
pub const COSTS: std::ops::RangeInclusive<u32> = 4..=12;

/// The longest password, in bytes: bcrypt does not look at what comes after, so that two passwords would be one.
pub const MAX_PASSWORD_BYTES: usize = 72;

/// A bcrypt hash, taken apart.
#[derive(Clone, PartialEq, Eq)]
pub struct Hash {
    cost: u32,
    salt: [u8; 16],
    digest: [u8; 23],
}

/// Hashes are not for logs.
impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hash").field("cost", &self.cost).finish_non_exhaustive()
    }
}

/// Why a hash is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashError {
    /// It is not a bcrypt hash of a version that hashes right.
    Malformed,
    /// Its cost is out of bounds.
    Cost(u32),
}

impl std::fmt::Display for HashError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed => f.write_str(
                "not a bcrypt hash (`$2b$10$` and 53 characters); make one with `bartizan password hash`",
            ),
            Self::Cost(cost) => {
                write!(
                    f,
                    "a bcrypt cost of {cost}; hash the password with one of {} to {}",
                    COSTS.start(),
                    COSTS.end()
                )
            }
        }
    }
}

impl Hash {
    /// Reads `$2b$10$` and the 53 characters of salt and digest. `$2a$` and `$2y$` are names of the same algorithm for
    /// passwords without a NUL; `$2x$` marks hashes of a faulty one.
    ///
    /// # Errors
    /// When it is something else, or its cost is out of bounds.
    pub fn read(text: &str) -> Result<Self, HashError> {
        let rest = ["$2a$", "$2b$", "$2y$"].iter().find_map(|version| text.strip_prefix(version));
        let (cost, rest) = rest.and_then(|rest| rest.split_once('$')).ok_or(HashError::Malformed)?;
        if cost.len() != 2 || !cost.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(HashError::Malformed);
        }
        let cost: u32 = cost.parse().map_err(|_| HashError::Malformed)?;
        let (salt, digest) = rest.split_at_checked(22).ok_or(HashError::Malformed)?;
        let salt = decode::<16>(salt).ok_or(HashError::Malformed)?;
        let digest = decode::<23>(digest).ok_or(HashError::Malformed)?;
        if COSTS.contains(&cost) { Ok(Self { cost, salt, digest }) } else { Err(HashError::Cost(cost)) }
    }

    /// Hashes a password: what `bartizan password hash` prints. `None` where the cost or the password is out of bounds.
    #[must_use]
    pub fn make(password: &[u8], cost: u32, salt: [u8; 16]) -> Option<String> {
        if !COSTS.contains(&cost) || !is_acceptable(password) {
            return None;
        }
        let digest = digest(cost, salt, password)?;
        Some(format!("$2b${cost:02}${}{}", BASE_64.encode(salt), BASE_64.encode(digest)))
    }

    /// The cost.
    #[must_use]
    pub fn cost(&self) -> u32 {
        self.cost
    }

    /// Whether this is the hash of a password; it takes as long if it is not.
    pub(super) fn is_of(&self, password: &[u8]) -> bool {
        digest(self.cost, self.salt, password).is_some_and(|digest| bool::from(digest.ct_eq(&self.digest)))
    }
}

fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    // The bits that are left over at the end are zero in what every implementation writes; others are a second spelling.
    BASE_64.decode(text).ok()?.try_into().ok()
}

/// The 23 bytes that are kept of 24. The password is hashed with the NUL that ends it in C, as all versions do, and at
/// most 72 bytes count.
fn digest(cost: u32, salt: [u8; 16], password: &[u8]) -> Option<[u8; 23]> {
    let mut bytes = [0; MAX_PASSWORD_BYTES];
    let end = password.len().saturating_add(1).min(MAX_PASSWORD_BYTES);
    bytes.iter_mut().zip(password).for_each(|(to, from)| *to = *from);
    // The library panics where these are out of bounds; a length is 1 to 72 here.
    let bytes = bytes.get(..end).filter(|_| COSTS.contains(&cost))?;
    bcrypt::bcrypt(cost, salt, bytes).first_chunk::<23>().copied()
}

/// Whether bcrypt tells this password from all others: not too long, and without the NUL at which it would end.
#[must_use]
pub fn is_acceptable(password: &[u8]) -> bool {
    !password.is_empty() && password.len() <= MAX_PASSWORD_BYTES && !password.contains(&0)
}

/// The users of a method, by name.
#[derive(Debug)]
pub(super) struct Users {
    names: HashMap<String, usize>,
    hashes: Vec<Hash>,
}

impl Users {
    pub(super) fn new(names: &[String], hashes: Vec<Hash>) -> Self {
        Self { names: names.iter().cloned().enumerate().map(|(index, name)| (name, index)).collect(), hashes }
    }

    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    /// The hash to verify with for a name: the user's; for a name that is nobody's one of the hashes that are there,
    /// always the same one for the same name. So unknown names take as long as known ones also where costs differ.
    pub(super) fn hash_for(&self, user: Option<usize>, chosen: u64) -> Option<&Hash> {
        let stand_in =
            chosen.checked_rem(self.hashes.len() as u64).and_then(|index| usize::try_from(index).ok());
        self.hashes.get(user.or(stand_in)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the tests of OpenBSD's and Openwall's bcrypt, with costs of 4 to 12.
    const VECTORS: [(&str, &str); 8] = [
        ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
        ("U*U*", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK"),
        ("U*U*U", "$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a"),
        ("a", "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe"),
        ("abc", "$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i"),
        ("abc", "$2a$08$Ro0CUfOqk6cXEKf3dyaM7OhSCvnwM9s4wIX9JeLapehKK5YdLxKcm"),
        ("abcdefghijklmnopqrstuvwxyz", "$2a$06$.rCVZVOThsIa97pEDOxvGuRRgzG64bvtJ0938xuqzv18d3ZpQhstC"),
        (
            "~!@#$%^&*()      ~!@#$%^&*()PNBFRD",
            "$2a$06$fPIsBO8qRqkjj273rfaOI.HtSV9jLDpTbZn782DC6/t7qT67P6FfO",
        ),
    ];

    #[test]
    fn hashes_of_others_are_verified() {
        for (password, text) in VECTORS {
            let hash = Hash::read(text).unwrap();
            assert!(hash.is_of(password.as_bytes()), "{password}");
            assert!(!hash.is_of(format!("{password}x").as_bytes()) && !hash.is_of(b""), "{password}");
            for version in ["$2b$", "$2y$"] {
                assert_eq!(Hash::read(&text.replace("$2a$", version)).unwrap(), hash);
            }
        }
    }

    #[test]
    fn what_is_made_can_be_read() {
        let long = "é".repeat(36);
        for password in ["x", "correct horse", &long] {
            let text = Hash::make(password.as_bytes(), 4, [7; 16]).unwrap();
            assert!(text.starts_with("$2b$04$") && text.len() == 60);
            assert!(Hash::read(&text).unwrap().is_of(password.as_bytes()));
        }
        for (password, cost) in [(&b"x"[..], 3), (b"x", 13), (b"", 4), (b"a\0b", 4), (&[b'x'; 73], 4)] {
            assert_eq!(Hash::make(password, cost, [7; 16]), None);
        }
    }

    #[test]
    fn other_hashes_are_refused() {
        let good = VECTORS[0].1;
        assert_eq!(Hash::read(&good.replace("$05$", "$13$")), Err(HashError::Cost(13)));
        assert_eq!(Hash::read(&good.replace("$05$", "$31$")), Err(HashError::Cost(31)));
        assert_eq!(Hash::read(&good.replace("$05$", "$03$")), Err(HashError::Cost(3)));
        for bad in [
            "",
            "x",
            "$2$",
            "$2b$",
            "$2b$05$",
            "$apr1$x$y",
            "{SHA}x",
            good.split_at(59).0,
            &format!("{good}."),
            &good.replace("$2a$", "$2x$"),
            &good.replace("$2a$", "$2$"),
            &good.replace("$05$", "$5$"),
            &good.replace("$05$", "$+5$"),
            &good.replace('E', "="),
            &good.replace("C.", "CC"),
        ] {
            assert_eq!(Hash::read(bad), Err(HashError::Malformed), "{bad}");
        }
    }
}
