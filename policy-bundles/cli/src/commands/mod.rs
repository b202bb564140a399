//! The commands, one file each.

use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) mod api_key;
pub(crate) mod build;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod diff;
pub(crate) mod explain;
mod fetched;
pub(crate) mod fmt;
pub(crate) mod hash_key;
pub(crate) mod init;
mod inline;
pub(crate) mod inspect;
pub(crate) mod keygen;
pub(crate) mod man;
pub(crate) mod password;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod reasons;
mod refusals;
mod registry;
pub(crate) mod schema;
pub(crate) mod seal;
pub(crate) mod serve;
pub(crate) mod sign;
pub(crate) mod test;
pub(crate) mod token;
pub(crate) mod totp;
mod trusted;
pub(crate) mod verify;

/// Now, in seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
