//! Second factors.

use schemars::JsonSchema;
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};

use super::SealingKey;
use crate::forms::OneOrMany;
use crate::text::{BundleFile, EnvName, HeaderName, Name, SealedSecret};
use crate::units::{Duration, Rate};

/// One-time codes as a second factor (RFC 6238). Routes ask for it with `step_up`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Totp {
    /// A name for this factor.
    pub name: Name,
    /// Where the table of users is. It is never in the bundle in clear.
    pub users: Users,
    /// The methods whose subjects the table names. If missing, the only one there is.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub of: OneOrMany<Name>,
    /// The header with the code. Upstream never sees it.
    #[serde(default = "header")]
    pub header: HeaderName,
    /// How many attempts of a user may fail in how much time, over all workers: at most 10, in 30s to 1d.
    #[serde(default = "attempts")]
    pub attempts: Rate,
    /// How long the same credential needs no other code, at most 1h.
    #[serde(default)]
    pub remember: Duration,
}

/// Where the table of users is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(untagged, deny_unknown_fields)]
pub enum Users {
    /// In the environment of the proxy's VM.
    Env {
        /// The environment variable that holds it.
        env: EnvName,
    },
    /// In the bundle, sealed to a key of the filter.
    Sealed {
        /// What `bartizan seal --table` printed for this bundle and this factor.
        sealed: SealedSecret,
        /// The private key that opens it.
        key: SealingKey,
    },
    /// In a file of the bundle, sealed to a key of the filter.
    File {
        /// The file with what `bartizan seal --table` printed.
        file: BundleFile,
        /// The private key that opens it.
        key: SealingKey,
    },
}

impl<'de> Deserialize<'de> for Users {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            env: Option<EnvName>,
            sealed: Option<SealedSecret>,
            file: Option<BundleFile>,
            key: Option<SealingKey>,
        }
        let fields = Fields::deserialize(deserializer)?;
        match (fields.env, fields.sealed, fields.file, fields.key) {
            (Some(env), None, None, None) => Ok(Self::Env { env }),
            (None, Some(sealed), None, Some(key)) => Ok(Self::Sealed { sealed, key }),
            (None, None, Some(file), Some(key)) => Ok(Self::File { file, key }),
            _ => Err(D::Error::custom("needs either `env`, or `file` and `key`, or `sealed` and `key`")),
        }
    }
}

fn is_empty(names: &OneOrMany<Name>) -> bool {
    names.0.is_empty()
}

fn header() -> HeaderName {
    HeaderName::known("x-totp-code")
}

const fn attempts() -> Rate {
    Rate { count: 5, period: Duration::from_millis(300_000) }
}
