//! Second factors.

use serde::{Deserialize, Serialize};

/// One second factor, with its users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TotpPlan {
    /// The name in the policy.
    pub name: String,
    /// Where it was written, `bundle.yaml:12`.
    pub at: String,
    /// The names of the methods whose subjects the table names. The subjects of others are strangers.
    pub methods: Vec<String>,
    /// Where the table of users is.
    pub users: TableSource,
    /// The header with the code: a lower-case name. It is taken out of every request, public routes included.
    pub header: String,
    /// How many attempts of a user may fail within `window_s`: 1 to [`super::MAX_ATTEMPTS`].
    pub attempts: u32,
    /// The time in which failed attempts are counted, in seconds: [`super::WINDOW_S`].
    pub window_s: u64,
    /// For how many seconds after a code the same credential needs none, 0 to [`super::MAX_REMEMBER_S`].
    pub remember_s: u64,
}

/// Where the table of users is: one JSON document that is secret; see `bartizan totp enroll`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TableSource {
    /// In an environment variable of the VM.
    Env {
        /// Its name.
        env: String,
    },
    /// In the bundle, sealed to a key of the filter; see [`super::super::sealed`].
    Sealed {
        /// The sealed table: a JWE in compact form.
        jwe: String,
        /// Name of the environment variable of the VM that holds the private key: PKCS#8 in PEM, or its base64.
        key_env: String,
    },
}
