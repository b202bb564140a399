//! Header edits.

use serde::{Deserialize, Serialize};

/// Edits on requests as upstream gets them, and on responses as clients get them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadersPlan {
    /// On requests.
    pub request: EditsPlan,
    /// On responses, our own refusals included.
    pub response: EditsPlan,
}

/// Edits in the order they are made: remove, then set, then add.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EditsPlan {
    /// Lower-case names that are taken away.
    pub remove: Vec<String>,
    /// Lower-case names and the one value they shall have.
    pub set: Vec<(String, String)>,
    /// Lower-case names and a value that is added to whatever is there.
    pub add: Vec<(String, String)>,
}
