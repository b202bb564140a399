//! What is signed: a bundle as one canonical JSON object.
//!
//! Its members are `plan`, `sources`, `builder`, and, if they say anything, `labels`, `not_before`, `expires`
//! and `when_expired`.
//! The version of the plan, the name of the bundle and its revision have their only home in the plan: what is there
//! once cannot contradict itself. So the three are where they are in every version of the plan, and are read before
//! the rest of it.

use std::collections::BTreeMap;

use serde::de::{Deserialize, Deserializer};

use super::canonical;
use super::refused::{Kind, Refused};
use crate::plan::{PLAN_VERSION, Plan};

/// The largest revision and time: whole numbers up to it are the same for every reader of JSON.
pub const MAX_NUMBER: u64 = (1 << 53) - 1;

const MAX_LABELS: usize = 64;
const MAX_SOURCES: usize = 10_000;
const MAX_TEXT: usize = 512;

/// Everything about a bundle but its plan.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// Who built it, with what.
    pub builder: Builder,
    /// What teams call it; it decides nothing here.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// From when it is valid, in seconds since 1970.
    #[serde(default, deserialize_with = "given")]
    pub not_before: Option<u64>,
    /// From when it is not valid any more, in seconds since 1970.
    #[serde(default, deserialize_with = "given")]
    pub expires: Option<u64>,
    /// What becomes of requests when it expires while it is in force.
    #[serde(default, deserialize_with = "not_the_default")]
    pub when_expired: WhenExpired,
    /// The digest of every file that went into it, `sha256:...`, by its path in the bundle.
    pub sources: BTreeMap<String, String>,
    /// The beginning of the plan.
    pub plan: Head,
}

/// What becomes of requests when a bundle expires while it is in force.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenExpired {
    /// It stays in force.
    #[default]
    Keep,
    /// Every request is refused.
    Refuse,
}

impl WhenExpired {
    /// The word for it, as it is written in a bundle.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Refuse => "refuse",
        }
    }
}

/// What every version of the plan has.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct Head {
    /// The version of the plan.
    pub plan_version: u32,
    /// The name of the bundle.
    pub name: String,
    /// The revision of the bundle.
    pub revision: u64,
}

/// Who built a bundle, with what.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Builder {
    /// The program.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The person or pipeline, if it was said.
    #[serde(default, deserialize_with = "given")]
    pub by: Option<String>,
}

/// A member that is there has a value: `null` is not one.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// The default is said by leaving it out: a payload has one way to say each thing.
fn not_the_default<'de, D: Deserializer<'de>>(deserializer: D) -> Result<WhenExpired, D::Error> {
    match WhenExpired::deserialize(deserializer)? {
        WhenExpired::Keep => Err(serde::de::Error::custom("`when_expired` is `keep`, which is left out")),
        WhenExpired::Refuse => Ok(WhenExpired::Refuse),
    }
}

impl About {
    /// Reads everything but the plan.
    ///
    /// # Errors
    /// When the payload is not canonical, or does not have the members of a bundle.
    pub fn read(payload: &[u8]) -> Result<Self, Refused> {
        canonical::check(payload).map_err(|fault| {
            Refused::new(
                Kind::NotCanonical,
                format!("not canonical JSON (RFC 8785) at byte {} of the payload", fault.at),
            )
        })?;
        let about: Self = serde_json::from_slice(payload)
            .map_err(|error| Refused::new(Kind::PayloadInvalid, format!("not a bundle: {error}")))?;
        about.judge().map_err(|problem| Refused::new(Kind::PayloadInvalid, problem))?;
        Ok(about)
    }

    fn judge(&self) -> Result<(), String> {
        if !is_bundle_name(&self.plan.name) {
            return Err(format!("`plan.name` is not the name of a bundle: {:?}", cut(&self.plan.name)));
        }
        if !(1..=MAX_NUMBER).contains(&self.plan.revision) {
            return Err(format!("`plan.revision` is not from 1 to {MAX_NUMBER}"));
        }
        for (what, time) in [("not_before", self.not_before), ("expires", self.expires)] {
            if time.is_some_and(|time| time > MAX_NUMBER) {
                return Err(format!("`{what}` is not from 0 to {MAX_NUMBER}"));
            }
        }
        if let (Some(from), Some(to)) = (self.not_before, self.expires)
            && from >= to
        {
            return Err(format!("it expires at {to}, before it is valid at {from}"));
        }
        let builder = &self.builder;
        let texts =
            [&builder.name, &builder.version].into_iter().chain(&builder.by).chain(self.labels.values());
        let texts = texts.chain(self.labels.keys()).chain(self.sources.keys());
        for text in texts {
            if text.is_empty() || text.len() > MAX_TEXT || text.chars().any(char::is_control) {
                return Err(format!(
                    "{:?} is empty, longer than {MAX_TEXT} bytes, or not printable",
                    cut(text)
                ));
            }
        }
        if self.labels.len() > MAX_LABELS || self.sources.len() > MAX_SOURCES {
            return Err(format!("more than {MAX_LABELS} labels or {MAX_SOURCES} sources"));
        }
        let digest = |text: &&String| {
            let digits = text.strip_prefix("sha256:").unwrap_or_default();
            digits.len() == 64 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        match self.sources.values().find(|value| !digest(value)) {
            Some(other) => Err(format!("a source has no `sha256:` digest: {:?}", cut(other))),
            None => Ok(()),
        }
    }

    /// Reads the plan too.
    ///
    /// # Errors
    /// When it is of another version, or not a plan.
    pub fn plan(&self, payload: &[u8]) -> Result<Plan, Refused> {
        #[derive(serde::Deserialize)]
        struct Whole {
            plan: Plan,
        }
        self.plan_is_read_here()?;
        let whole: Whole = serde_json::from_slice(payload)
            .map_err(|error| Refused::new(Kind::PlanInvalid, format!("not a plan: {error}")))?;
        Ok(whole.plan)
    }

    /// Whether the plan is of the version that this release reads.
    pub(super) fn plan_is_read_here(&self) -> Result<(), Refused> {
        let found = self.plan.plan_version;
        if found == PLAN_VERSION {
            return Ok(());
        }
        let detail = format!("the plan is of version {found}; this release reads version {PLAN_VERSION}");
        Err(Refused::new(Kind::PlanVersion, detail))
    }
}

/// 1 to 63 lower-case letters, digits and `-`, as in the language.
pub(super) fn is_bundle_name(name: &str) -> bool {
    let good = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    good && (1..=63).contains(&name.len()) && !name.starts_with('-') && !name.ends_with('-')
}

fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}
