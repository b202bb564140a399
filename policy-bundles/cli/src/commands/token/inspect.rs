//! `bartizan token inspect`: what is in a token.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use bartizan_engine::authentication::jws::{Jws, MAX_TOKEN_BYTES};
use bartizan_spec::time::Moment;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use serde_json::{Value, json};

use super::judge;
use crate::commands::fetched::Fetched;
use crate::files;
use crate::output::{Failure, Format, Outcome, Screen, paint, printable};

const AFTER_HELP: &str = "\
Examples:
  bartizan token inspect < token.txt                           what it says, unchecked
  bartizan token inspect token.txt --bundle my-policy          whether the bundle accepts it, and why not
  bartizan token inspect token.txt --bundle my-policy --at 2027-01-31T12:00:00Z

A token is never an argument: the list of processes and the history of the shell would have it. `Bearer ` before it is
left out, and its signature is not shown. Secrets of issuers are read from the environment, under the names in the policy.

Exit codes: 0 it is a token, and with --bundle it is accepted; 1 it is none, or refused; 2 usage; 3 cannot read";

/// Shows what is in a token, and what a bundle makes of it.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Inspect {
    /// A file with the token; `-` for standard input.
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// The directory of a bundle that judges it.
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    fetched: Fetched,
    /// When; now by default.
    #[arg(long, value_name = "MOMENT")]
    at: Option<Moment>,
    /// The form of the output.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(inspect: &Inspect, screen: &Screen) -> Result<Outcome, Failure> {
    let now = inspect.at.map_or_else(crate::commands::now, Moment::seconds);
    let text = read(&inspect.file)?;
    let token = text.trim();
    let token = token
        .get(..7)
        .filter(|head| head.eq_ignore_ascii_case("bearer "))
        .map_or(token, |_| token.split_at(7).1.trim());
    if token.is_empty() {
        screen.complain("there is no token; pipe one in, or name a file");
        return Ok(Outcome::Problems);
    }
    let form = Jws::parse(token.as_bytes()).and_then(|jws| jws.claims()).err().map(|error| error.to_string());
    let judgement = match &inspect.bundle {
        None => None,
        Some(directory) => match judge::plan(directory, screen).map(|mut plan| {
            inspect.fetched.supply(&mut plan)?;
            judge::judge(&plan, token, now)
        }) {
            None => return Ok(Outcome::Problems),
            Some(Ok(judgement)) => Some(judgement),
            Some(Err(what)) => {
                screen.complain(&what);
                return Ok(Outcome::Problems);
            }
        },
    };
    let good = form.is_none() && judgement.as_ref().is_none_or(judge::Judgement::accepts);
    let (header, claims) = (part(token, 0), part(token, 1));
    let time = |name: &str| claims.as_ref().and_then(|claims| claims.get(name)).and_then(Value::as_f64);
    let expired = time("exp").map(|exp| exp <= seconds(now));
    match inspect.format {
        Format::Json => screen.json(&json!({
            "header": header, "claims": claims, "form": form, "expired": expired,
            "judgement": judgement.as_ref().map(judge::Judgement::json),
        }))?,
        Format::Text => {
            let colour = screen.paints_out();
            let mut out = members("header", header.as_ref(), now, colour);
            out += &members("claims", claims.as_ref(), now, colour);
            if let Some(form) = &form {
                out += &format!("{} {}\n", paint(colour, "1;31", "malformed"), printable(form));
            }
            match &judgement {
                Some(judgement) => out += &judgement.text(colour),
                None => out += "the signature is not checked; name a bundle: --bundle DIR\n",
            }
            screen.out(&out)?;
        }
    }
    Ok(if good { Outcome::Fine } else { Outcome::Problems })
}

fn read(file: &Path) -> Result<String, Failure> {
    // Room for a scheme, line breaks, and one that is too large.
    let most = u64::try_from(MAX_TOKEN_BYTES).unwrap_or(u64::MAX).saturating_mul(2);
    let bytes = if file == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin()
            .lock()
            .take(most)
            .read_to_end(&mut bytes)
            .map_err(|error| Failure::at(Path::new("standard input"), &error))?;
        bytes
    } else {
        files::read(file, most)?
    };
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A part of a token as JSON, however badly the rest is made.
pub(super) fn part(token: &str, number: usize) -> Option<Value> {
    let part = token.split('.').nth(number)?;
    let bytes = URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&bytes).ok().filter(Value::is_object)
}

fn members(title: &str, part: Option<&Value>, now: u64, colour: bool) -> String {
    let mut out = paint(colour, "1", title) + "\n";
    let Some(Value::Object(members)) = part else {
        return out + "  cannot be read\n";
    };
    let width = members.keys().map(|name| name.chars().count()).max().unwrap_or(0);
    for (name, value) in members {
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let time =
            ["exp", "nbf", "iat", "auth_time"].contains(&name.as_str()).then(|| when(value, now)).flatten();
        let time = time.map(|time| format!("  ({time})")).unwrap_or_default();
        out += &format!("  {:width$}  {}{time}\n", printable(name), printable(&text));
    }
    out
}

/// A time for people: the moment, and how far it is from now.
fn when(value: &Value, now: u64) -> Option<String> {
    let at = value.as_u64().or_else(|| value.as_f64().filter(|at| *at >= 0.0).map(whole))?;
    let moment = Moment::of_seconds(at)?;
    let (ahead, distance) = (at > now, at.abs_diff(now));
    let (number, unit) = match distance {
        0..120 => (distance, "s"),
        120..7200 => (distance / 60, "min"),
        7200..172_800 => (distance / 3600, "h"),
        _ => (distance / 86_400, "days"),
    };
    Some(if ahead {
        format!("{moment}, in {number} {unit}")
    } else {
        format!("{moment}, {number} {unit} ago")
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "for people: a fraction does not count"
)]
fn whole(at: f64) -> u64 {
    at as u64
}

#[expect(clippy::cast_precision_loss, reason = "for people: seconds of this age are exact")]
fn seconds(now: u64) -> f64 {
    now as f64
}
