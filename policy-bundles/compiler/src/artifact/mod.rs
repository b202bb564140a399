//! The signed artifact, written: what the filter reads with `bartizan_engine::envelope`. docs/bundles.md specifies it.
//!
//! A payload depends on the bundle's files and the builder's name and version, and on nothing else: no clock, no path,
//! no order of directories. So the same sources give the same bytes, and whoever has them can tell.

mod signing;

use bartizan_engine::envelope::dsse::{
    Envelope, MAX_ENVELOPE_BYTES, MAX_SIGNATURES, PAYLOAD_TYPE, Signature, preamble,
};
use bartizan_engine::envelope::key::{Message, hex};
use bartizan_engine::envelope::payload::{About, Builder, Head, MAX_NUMBER, WhenExpired};
use bartizan_engine::envelope::{Kind, Refused};
use bartizan_engine::plan::Plan;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

pub use signing::{SigningKey, public_pem, seal};

use crate::{Compiled, canonical};

/// The program that builds, for the payload.
pub const BUILDER: &str = "bartizan";

/// The payload of a compiled bundle. `by` is who built it; `revision` takes the place of the bundle's own.
///
/// # Errors
/// When the bundle has errors, the revision is out of range, or the artifact would be too large.
pub fn payload(compiled: &Compiled, revision: Option<u64>, by: Option<&str>) -> Result<Vec<u8>, String> {
    let mut plan = compiled.plan.clone().ok_or("the bundle has errors")?;
    if let Some(revision) = revision {
        if !(1..=MAX_NUMBER).contains(&revision) {
            return Err(format!("revision {revision} is out of range; give 1 to {MAX_NUMBER}"));
        }
        plan.revision = revision;
    }
    let release = &compiled.release;
    let digest = |digest: &[u8; 32]| format!("sha256:{}", hex(digest));
    let about = About {
        builder: Builder {
            name: BUILDER.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            by: by.map(str::to_owned),
        },
        labels: release.labels.clone(),
        not_before: release.not_before,
        expires: release.expires,
        when_expired: release.when_expired,
        sources: compiled.digests.iter().map(|(path, of)| (path.clone(), digest(of))).collect(),
        plan: Head { plan_version: plan.plan_version, name: plan.name.clone(), revision: plan.revision },
    };
    let payload = text(&about, &plan)?.into_bytes();
    // By the very code of the filter: what it would refuse, or read as another plan, never leaves here.
    let read = About::read(&payload)
        .and_then(|about| about.plan(&payload))
        .map_err(|refused| refused.to_string())?;
    if read != plan {
        return Err("canonical JSON cannot carry a number of this bundle exactly; \
                    write large numbers and long fractions with fewer digits"
            .to_owned());
    }
    Ok(payload)
}

/// The one text of a content. What says nothing is left out.
fn text(about: &About, plan: &Plan) -> Result<String, String> {
    let written =
        serde_json::to_value(plan).map_err(|error| format!("the plan cannot be written: {error}"))?;
    let mut builder = json!({"name": about.builder.name, "version": about.builder.version});
    if let (Some(by), Some(builder)) = (&about.builder.by, builder.as_object_mut()) {
        builder.insert("by".to_owned(), by.as_str().into());
    }
    let mut members = Map::from_iter([
        ("builder".to_owned(), builder),
        ("plan".to_owned(), written),
        ("sources".to_owned(), json!(about.sources)),
    ]);
    if !about.labels.is_empty() {
        members.insert("labels".to_owned(), json!(about.labels));
    }
    for (name, time) in [("not_before", about.not_before), ("expires", about.expires)] {
        if let Some(time) = time {
            members.insert(name.to_owned(), time.into());
        }
    }
    if about.when_expired != WhenExpired::default() {
        members.insert("when_expired".to_owned(), about.when_expired.name().into());
    }
    Ok(canonical::json(&Value::Object(members)))
}

/// Refuses a payload that says what it says in another way than a build does: with a list in the place of a mapping, or
/// with a default spelt out. Filters read both alike, and other readers may not; nobody has a reason to write one.
///
/// # Errors
/// When the payload is not the text of what was read from it.
pub fn as_built(payload: &[u8], about: &About, plan: &Plan) -> Result<(), Refused> {
    let detail = match text(about, plan) {
        Ok(text) if text.as_bytes() == payload => return Ok(()),
        Ok(text) => {
            let at = text.bytes().zip(payload).take_while(|(a, b)| a == *b).count();
            format!("written in another way than a build does, from byte {at} of the payload on")
        }
        Err(problem) => problem,
    };
    Err(Refused::new(Kind::NotCanonical, detail))
}

/// The envelope around a payload, with these signatures: an artifact. It is canonical JSON and a line break.
///
/// # Errors
/// When no filter would read it, because it is too large.
pub fn envelope(payload: &[u8], signatures: &[Signature]) -> Result<Vec<u8>, String> {
    let signatures: Vec<Value> = signatures
        .iter()
        .map(|signature| json!({"keyid": signature.keyid, "sig": STANDARD.encode(&signature.sig)}))
        .collect();
    let envelope =
        json!({"payload": STANDARD.encode(payload), "payloadType": PAYLOAD_TYPE, "signatures": signatures});
    let bytes = (canonical::json(&envelope) + "\n").into_bytes();
    if bytes.len() > MAX_ENVELOPE_BYTES {
        return Err(format!(
            "the artifact has {} bytes, the most is {MAX_ENVELOPE_BYTES}; split the bundle",
            bytes.len()
        ));
    }
    Ok(bytes)
}

/// An artifact that was read and would be taken, if it were signed by whoever is asked for, and the time were right.
#[derive(Debug)]
pub struct Artifact {
    /// The envelope.
    pub envelope: Envelope,
    /// Everything that is signed but the plan.
    pub about: About,
    /// The plan.
    pub plan: Plan,
}

impl Artifact {
    /// Reads an artifact, whoever has signed it, and has the engine load its plan.
    ///
    /// # Errors
    /// When a filter would refuse it for what it says, at any time, or no build writes it so.
    pub fn read(bytes: &[u8]) -> Result<Self, Refused> {
        let envelope = Envelope::parse(bytes)?;
        let about = About::read(&envelope.payload)?;
        let plan = about.plan(&envelope.payload)?;
        as_built(&envelope.payload, &about, &plan)?;
        crate::load(plan.clone()).map_err(|error| Refused::new(Kind::PlanInvalid, error.to_string()))?;
        Ok(Self { envelope, about, plan })
    }

    /// Adds a signature under the name of the key. Bad ones under this name go: a filter tries few that have one name, and
    /// who wrote them may have wanted that it never comes to the good one. One of this key without a name goes too, for a
    /// filter may run out of tries among such; and where there is no room, one without a name that is not good or not known.
    ///
    /// # Errors
    /// When this key has signed it already, or there are as many signatures with names as an envelope may have.
    pub fn sign(&mut self, key: &SigningKey) -> Result<(), String> {
        let public = key.public()?;
        let Envelope { payload, signatures } = &mut self.envelope;
        let preamble = preamble(PAYLOAD_TYPE, payload);
        let message = Message::new([preamble.as_bytes(), payload.as_slice()]);
        let is_good = |one: &Signature| public.verify(&message, &one.sig);
        let before = signatures.len();
        signatures.retain(|one| one.keyid != public.id() || is_good(one));
        if signatures.iter().any(|one| one.keyid == public.id()) {
            // If others went, then that was what it lacked.
            return match before.saturating_sub(signatures.len()) {
                0 => Err(format!("the key {} has signed it already; keys count once", public.id())),
                _ => Ok(()),
            };
        }
        signatures.retain(|one| !one.keyid.is_empty() || !is_good(one));
        if signatures.len() >= MAX_SIGNATURES {
            let Some(nobodys) = signatures.iter().position(|one| one.keyid.is_empty()) else {
                return Err(format!("it has {MAX_SIGNATURES} signatures, which is the most; build it anew"));
            };
            signatures.remove(nobodys);
        }
        let sig = key.sign(&[preamble.as_bytes(), payload.as_slice()].concat())?;
        let keyid = public.id().to_owned();
        signatures.push(Signature { keyid, sig });
        Ok(())
    }

    /// The artifact as bytes.
    ///
    /// # Errors
    /// When it has become too large.
    pub fn to_bytes(&self) -> Result<Vec<u8>, String> {
        envelope(&self.envelope.payload, &self.envelope.signatures)
    }
}

#[cfg(test)]
mod tests;
