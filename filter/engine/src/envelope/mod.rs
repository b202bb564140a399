//! Signed artifacts: from any bytes to a plan that an operator's trust vouches for, or one refusal.
//!
//! An artifact is a DSSE envelope ([`dsse`]) around a bundle ([`payload`]) in canonical JSON ([`canonical`]), judged
//! against a [`trust`]. docs/bundles.md specifies all of it. Cheap checks come first, and nothing of the payload is read
//! before enough keys have vouched for it. The order is that of [`Kind::ALL`].
//!
//! Like the rest of the engine it reads no clock: the time is an argument. It never panics, whatever the bytes.

pub mod canonical;
pub mod dsse;
pub mod key;
pub mod payload;
pub mod refused;
pub mod trust;

use dsse::Envelope;
use payload::About;
pub use refused::{Kind, Refused};
pub use trust::Trust;

use crate::pipeline::{Engine, Surroundings};
use crate::plan::Plan;

/// What is in force, for comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Current<'c> {
    /// The name of the bundle. Revisions of bundles of other names say nothing about this one.
    pub name: &'c str,
    /// Its revision.
    pub revision: u64,
    /// The digest of its payload.
    pub digest: [u8; 32],
}

/// A bundle that may come into force. Only [`Vouched::admit`] makes one.
#[derive(Debug, Clone, PartialEq)]
pub struct Admitted {
    plan: Plan,
    about: About,
    digest: [u8; 32],
    signers: Vec<String>,
}

impl Admitted {
    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Everything else that was signed.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.about
    }

    /// The SHA-256 of the payload. It does not depend on the envelope, so a further signature does not change it.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The identifiers of the keys that vouch for it.
    #[must_use]
    pub fn signers(&self) -> &[String] {
        &self.signers
    }

    /// The plan, to be loaded.
    #[must_use]
    pub fn into_plan(self) -> Plan {
        self.plan
    }

    /// Loads the plan.
    ///
    /// # Errors
    /// When the engine does not take it.
    pub fn load(self, surroundings: &Surroundings<'_>) -> Result<Engine, Refused> {
        Engine::load(self.plan, surroundings)
            .map_err(|error| Refused::new(Kind::PlanInvalid, error.to_string()))
    }
}

/// A bundle about which everything is right but perhaps the time. Only [`vouch`] makes one.
#[derive(Debug, Clone, PartialEq)]
pub struct Vouched(Admitted);

impl Vouched {
    /// Judges the time, in seconds since 1970.
    ///
    /// # Errors
    /// When it is too early or too late.
    pub fn admit(self, now: u64) -> Result<Admitted, Refused> {
        self.in_time(now)?;
        Ok(self.0)
    }

    /// Whether it may come into force at a time.
    ///
    /// # Errors
    /// When it is too early or too late.
    pub fn in_time(&self, now: u64) -> Result<(), Refused> {
        in_time(&self.0.about, now)
    }

    /// Everything that was signed but the plan.
    #[must_use]
    pub fn about(&self) -> &About {
        self.0.about()
    }

    /// The SHA-256 of the payload, as of [`Admitted::digest`].
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.0.digest
    }

    /// The identifiers of the keys that vouch for it.
    #[must_use]
    pub fn signers(&self) -> &[String] {
        self.0.signers()
    }

    /// The plan, to be judged, and who vouches for it. Only what is [`Vouched::in_time`] may come into force.
    #[must_use]
    pub fn into_parts(self) -> (Plan, Vec<String>) {
        (self.0.plan, self.0.signers)
    }
}

/// Judges an artifact, at a time in seconds since 1970, against what is in force.
///
/// # Errors
/// With the first thing that is wrong with it.
pub fn admit(
    bytes: &[u8],
    trust: &Trust,
    now: u64,
    current: Option<Current<'_>>,
) -> Result<Admitted, Refused> {
    vouch(bytes, trust, current)?.admit(now)
}

/// Judges everything about an artifact but the time: what is wrong here is wrong at any time.
///
/// # Errors
/// With the first thing that is wrong with it.
pub fn vouch(bytes: &[u8], trust: &Trust, current: Option<Current<'_>>) -> Result<Vouched, Refused> {
    let envelope = Envelope::parse(bytes)?;
    let signers = trust.signers(&envelope)?;
    let about = About::read(&envelope.payload)?;
    if let Some(current) = current {
        same_name(&about.plan.name, current)?;
    }
    let signers = signers.for_bundle(&about.plan.name)?;
    about.plan_is_read_here()?;
    let digest = key::sha256(&envelope.payload);
    if let Some(current) = current {
        not_older(about.plan.revision, digest, current)?;
    }
    let plan = about.plan(&envelope.payload)?;
    Ok(Vouched(Admitted { plan, about, digest, signers }))
}

/// A bundle is followed by one of the same name: otherwise whoever can replay an artifact of another bundle with a
/// high revision takes this one's place and keeps it.
fn same_name(name: &str, current: Current<'_>) -> Result<(), Refused> {
    if name == current.name {
        return Ok(());
    }
    let detail = format!("the bundle is `{name}`; `{}` is in force", current.name);
    Err(Refused::new(Kind::WrongName, detail))
}

/// Revisions only grow, or whoever can replay an old artifact brings back what was corrected since.
fn not_older(revision: u64, digest: [u8; 32], current: Current<'_>) -> Result<(), Refused> {
    let in_force = current.revision;
    if revision < in_force {
        let detail = format!("revision {revision}; revision {in_force} is in force");
        return Err(Refused::new(Kind::OlderRevision, detail));
    }
    if revision == in_force && digest != current.digest {
        let detail = format!("revision {revision} is in force with another content");
        return Err(Refused::new(Kind::SameRevisionDifferentContent, detail));
    }
    Ok(())
}

/// Valid from `not_before` on, and until just before `expires`.
fn in_time(about: &About, now: u64) -> Result<(), Refused> {
    if let Some(from) = about.not_before.filter(|from| now < *from) {
        let detail = format!("valid from {from} on; it is {now} (seconds since 1970)");
        return Err(Refused::new(Kind::NotYetValid, detail));
    }
    if let Some(to) = about.expires.filter(|to| now >= *to) {
        let detail = format!("expired at {to}; it is {now} (seconds since 1970)");
        return Err(Refused::new(Kind::Expired, detail));
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
