//! `bartizan verify`: whether a filter with this trust would take an artifact, by the filter's own code.

use std::path::{Path, PathBuf};

use bartizan_compiler::artifact::Artifact;
use bartizan_engine::envelope::dsse::Envelope;
use bartizan_engine::envelope::key::{PublicKey, hex, sha256};
use bartizan_engine::envelope::payload::{About, Head, WhenExpired};
use bartizan_engine::envelope::trust::TrustPlan;
use bartizan_engine::envelope::{Admitted, Current, Kind, Refused, admit};
use bartizan_spec::time::Moment;
use clap::Args;
use serde_json::{Value, json};

use super::inline::Deployment;
use super::now;
use super::trusted;
use crate::files;
use crate::output::{Failure, Format, Outcome, Screen, json_text, paint, printable, shown};

const AFTER_HELP: &str = "\
Examples:
  bartizan verify edge.bundle --trust release.pub
  bartizan verify edge.bundle --trust a.pub b.pub c.pub --threshold 2 --name edge
  bartizan verify new.bundle --trust release.pub --over current.bundle    may it follow what is in force?
  bartizan verify edge.bundle --trust release.pub --at 2027-01-31T12:00:00Z
  bartizan verify edge.bundle --trust release.pub --inline       the plugin configuration, with this trust

Every refusal has a kind that never changes its meaning; docs/bundles.md lists them.

Exit codes: 0 it would be taken; 1 it would be refused, or the trust is wrong; 2 usage; 3 cannot read";

/// Says whether a filter that trusts these keys would take an artifact.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Verify {
    /// The artifact.
    #[arg(value_name = "ARTIFACT")]
    artifact: PathBuf,
    /// The public keys to trust: `PUBLIC KEY` in PEM, or a JSON Web Key.
    #[arg(long, value_name = "KEY", required = true, num_args = 1..)]
    trust: Vec<PathBuf>,
    /// How many of them must have signed.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    threshold: usize,
    /// The name that the bundle must have.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// When; now by default.
    #[arg(long, value_name = "MOMENT")]
    at: Option<Moment>,
    /// The artifact that is in force: an older revision is refused, and so is the same with another content.
    #[arg(long, value_name = "ARTIFACT")]
    over: Option<PathBuf>,
    #[command(flatten)]
    deployment: Deployment,
    /// The form of the report.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(crate) fn run(verify: &Verify, screen: &Screen) -> Result<Outcome, Failure> {
    let place = verify.artifact.display().to_string();
    let bytes = files::read_artifact(&verify.artifact)?;
    let (plan, trust) = match trusted::load(&verify.trust, verify.threshold, verify.name.as_deref())? {
        Ok(trust) => trust,
        Err(what) => {
            screen.out(&problem(&place, &what, verify.format, screen))?;
            return Ok(Outcome::Problems);
        }
    };
    let current = match &verify.over {
        None => None,
        Some(path) => match in_force(&files::read_artifact(path)?) {
            Ok(old) => Some(old),
            Err(refused) => {
                screen.out(&said(&path.display().to_string(), &refused, verify.format, screen))?;
                return Ok(Outcome::Problems);
            }
        },
    };
    let current = current.as_ref().map(|(head, digest)| Current {
        name: &head.name,
        revision: head.revision,
        digest: *digest,
    });
    let now = verify.at.map_or_else(now, Moment::seconds);
    let judged = admit(&bytes, &trust, now, current).and_then(|admitted| {
        bartizan_compiler::artifact::as_built(
            &Envelope::parse(&bytes)?.payload,
            admitted.about(),
            admitted.plan(),
        )?;
        // Its plan must load too, as it must in the filter.
        bartizan_compiler::load(admitted.plan().clone())
            .map_err(|error| Refused::new(Kind::PlanInvalid, error.to_string()))?;
        Ok(admitted)
    });
    match judged {
        Ok(admitted) if verify.deployment.inline.is_some() => {
            screen.data(&inlined(&bytes, &admitted, &plan, verify)?)?;
            Ok(Outcome::Fine)
        }
        Ok(admitted) => {
            let signers = signers(&admitted, &verify.trust, &plan);
            screen.out(&accepted(&place, &admitted, &signers, verify, screen))?;
            Ok(Outcome::Fine)
        }
        Err(refused) => {
            screen.out(&said(&place, &refused, verify.format, screen))?;
            Ok(Outcome::Problems)
        }
    }
}

/// What must be known of an artifact that is in force. The rest of its plan may be of another release.
pub(super) fn in_force(bytes: &[u8]) -> Result<(Head, [u8; 32]), Refused> {
    let envelope = Envelope::parse(bytes)?;
    let about = About::read(&envelope.payload)?;
    Ok((about.plan, sha256(&envelope.payload)))
}

/// The plugin configuration with the artifact and this trust in it.
fn inlined(
    artifact: &[u8],
    admitted: &Admitted,
    trust: &TrustPlan,
    verify: &Verify,
) -> Result<String, Failure> {
    let value = |result: serde_json::Result<Value>| {
        result.map_err(|error| Failure::new(format!("the configuration cannot be written: {error}")))
    };
    let policy = [
        ("bundle", value(serde_json::from_slice(artifact))?),
        ("trust", value(serde_json::to_value(trust))?),
    ];
    Ok(verify.deployment.configuration(admitted.plan(), &policy))
}

/// Who vouches for it: the identifier and the file of each key.
fn signers<'v>(admitted: &Admitted, files: &'v [PathBuf], plan: &TrustPlan) -> Vec<(PublicKey, &'v Path)> {
    let keys = plan.keys.iter().zip(files).filter_map(|(written, file)| {
        let key = match (&written.pem, &written.jwk) {
            (Some(pem), _) => PublicKey::from_pem(pem),
            (None, Some(jwk)) => PublicKey::from_jwk(jwk),
            (None, None) => return None,
        };
        Some((key.ok()?, file.as_path()))
    });
    keys.filter(|(key, _)| admitted.signers().iter().any(|id| id == key.id())).collect()
}

fn accepted(
    place: &str,
    admitted: &Admitted,
    signers: &[(PublicKey, &Path)],
    verify: &Verify,
    screen: &Screen,
) -> String {
    let (about, digest) = (admitted.about(), format!("sha256:{}", hex(&admitted.digest())));
    if verify.format == Format::Json {
        let signers: Vec<Value> = signers
            .iter()
            .map(|(key, file)| {
                json!({"keyid": key.id(), "algorithm": key.algorithm().name(), "file": file.display().to_string()})
            })
            .collect();
        let report = json!({
            "artifact": place, "accepted": true, "name": about.plan.name, "revision": about.plan.revision,
            "digest": digest, "not_before": moment(about.not_before), "expires": moment(about.expires),
            "signers": signers,
        });
        return json_text(&report);
    }
    let (head, place) = (paint(screen.paints_out(), "1;32", "good"), printable(place));
    let mut text =
        format!("{head} {place}: bundle `{}` revision {}, {digest}\n", about.plan.name, about.plan.revision);
    for (key, file) in signers {
        text += &format!("  signed by {} ({}, {})\n", shown(file), key.algorithm().name(), key.id());
    }
    text + &format!("  {}\n", validity(about))
}

/// When it is valid, for people.
pub(crate) fn validity(about: &About) -> String {
    let text = |time| moment(time).as_str().map(str::to_owned).unwrap_or_default();
    let then = match about.when_expired {
        WhenExpired::Keep => "",
        WhenExpired::Refuse => "; then every request is refused",
    };
    match (about.not_before, about.expires) {
        (None, None) => "valid without an end".to_owned(),
        (from @ Some(_), None) => format!("valid from {} without an end", text(from)),
        (None, to @ Some(_)) => format!("valid until {}{then}", text(to)),
        (from @ Some(_), to @ Some(_)) => format!("valid from {} until {}{then}", text(from), text(to)),
    }
}

/// A time as RFC 3339 writes it; one beyond the year 9999 in seconds since 1970.
pub(crate) fn moment(time: Option<u64>) -> Value {
    match time {
        None => Value::Null,
        Some(seconds) => Moment::of_seconds(seconds)
            .map_or_else(|| Value::from(format!("@{seconds}")), |moment| Value::from(moment.to_string())),
    }
}

/// A refusal, with its remedy.
pub(crate) fn said(place: &str, refused: &Refused, format: Format, screen: &Screen) -> String {
    let (code, detail, remedy) = (refused.kind.code(), &refused.detail, refused.kind.remedy());
    if format == Format::Json {
        let report =
            json!({"artifact": place, "accepted": false, "kind": code, "detail": detail, "remedy": remedy});
        return json_text(&report);
    }
    let (head, place) = (paint(screen.paints_out(), "1;31", "refused"), printable(place));
    format!("{head} {place}: {code}: {}\n  = help: {remedy}\n", printable(detail))
}

/// Something that is wrong with what was given beside the artifact.
pub(crate) fn problem(place: &str, what: &str, format: Format, screen: &Screen) -> String {
    if format == Format::Json {
        let report = json!({"artifact": place, "accepted": false, "kind": null, "detail": what});
        return json_text(&report);
    }
    let head = paint(screen.paints_out(), "1;31", "refused");
    format!("{head} {}: {}\n", printable(place), printable(what))
}

/// Reads an artifact for a command that only looks at it.
pub(crate) fn looked_at(path: &Path, format: Format, screen: &Screen) -> Result<Option<Artifact>, Failure> {
    match files::open_artifact(path)? {
        Ok(artifact) => Ok(Some(artifact)),
        Err(refused) => {
            screen.out(&said(&path.display().to_string(), &refused, format, screen))?;
            Ok(None)
        }
    }
}
