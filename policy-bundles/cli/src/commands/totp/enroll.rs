//! `bartizan totp enroll` and `bartizan totp backup-codes`.

use bartizan_engine::authentication::totp::{self, BACKUP_ALPHABET, BACKUP_LENGTH};
use bartizan_engine::authentication::totp::{backup_hash, backup_text, to_base32};
use clap::Args;
use serde_json::{Map, Value, json};

use super::qr::{self, Style};
use super::{Algorithm, digits};
use crate::output::{Failure, Format, Outcome, Screen};

const ENROLL_HELP: &str = "\
Examples:
  bartizan totp enroll --user alice --issuer Example
  bartizan totp enroll --user alice --issuer Example --qr inverse   without colours, on a dark terminal
  bartizan totp enroll --user alice --issuer Example --format json > alice.json
  jq -s '{users: map(.users) | add}' *.json > table.json             the table of all users
  bartizan seal --for edge/staff --to filter.pub --table < table.json > staff.sealed

The user scans the QR code with an authenticator app, and keeps the backup codes. The entry goes into the table of users of
the policy's second factor. The table is a secret: keep it where your secrets are, and put it into bundles only sealed.

Exit codes: 0 done; 1 a name is of no use; 2 usage; 3 no random numbers, or cannot write";

/// Makes a secret for a user: its URI and QR code for the app, the entry for the table, and backup codes.
#[derive(Debug, Args)]
#[command(after_help = ENROLL_HELP)]
pub(super) struct Enroll {
    /// The user: the subject as the first method says it.
    #[arg(long, value_parser = user)]
    user: String,
    /// What the app calls this place.
    #[arg(long, value_parser = issuer)]
    issuer: String,
    /// The hash beneath the codes.
    #[arg(long, value_enum, default_value_t)]
    algorithm: Algorithm,
    /// How many digits a code has.
    #[arg(long, default_value_t = 6, value_parser = digits)]
    digits: u32,
    /// How many backup codes to make.
    #[arg(long, value_name = "NUMBER", default_value_t = 8, value_parser = clap::value_parser!(u8).range(0..=16))]
    backup_codes: u8,
    /// How to draw the QR code.
    #[arg(long, value_enum, default_value_t)]
    qr: Style,
    /// The form of the output.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

const BACKUP_HELP: &str = "\
Examples:
  bartizan totp backup-codes --user alice             eight codes, and their hashes for the table
  bartizan totp backup-codes --user alice --number 16

The hashes go into the user's entry of the table instead of the old ones.

Exit codes: 0 done; 1 the name is of no use; 2 usage; 3 no random numbers, or cannot write";

/// Makes new backup codes for a user.
#[derive(Debug, Args)]
#[command(after_help = BACKUP_HELP)]
pub(super) struct BackupCodes {
    /// The user, as in the table.
    #[arg(long, value_parser = user)]
    user: String,
    /// How many.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=16))]
    number: u8,
    /// The form of the output.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// A subject as tokens may have it.
fn user(text: &str) -> Result<String, String> {
    let good = (1..=256).contains(&text.len()) && !text.chars().any(char::is_control);
    good.then(|| text.to_owned()).ok_or_else(|| "1 to 256 bytes without control characters".to_owned())
}

/// In the URI a colon separates the issuer from the user.
fn issuer(text: &str) -> Result<String, String> {
    let good = (1..=64).contains(&text.len()) && !text.contains(':') && !text.chars().any(char::is_control);
    good.then(|| text.to_owned())
        .ok_or_else(|| "1 to 64 bytes without colons and control characters".to_owned())
}

pub(super) fn run(enroll: &Enroll, screen: &Screen) -> Result<Outcome, Failure> {
    let algorithm = enroll.algorithm.engine();
    let mut secret = vec![0; algorithm.secret_bytes()];
    random(&mut secret)?;
    let secret = to_base32(&secret);
    let (codes, hashes) = make(&enroll.user, enroll.backup_codes)?;
    let mut entry = Map::new();
    entry.insert("secret".into(), json!(secret));
    // What is usual is left out.
    if algorithm != totp::Algorithm::Sha1 {
        entry.insert("algorithm".into(), json!(algorithm.name()));
    }
    if enroll.digits != 6 {
        entry.insert("digits".into(), json!(enroll.digits));
    }
    if !hashes.is_empty() {
        entry.insert("backup_codes".into(), json!(hashes));
    }
    let uri = format!(
        "otpauth://totp/{issuer}:{user}?secret={secret}&issuer={issuer}&algorithm={}&digits={}&period={}",
        algorithm.name(),
        enroll.digits,
        totp::STEP_S,
        issuer = encoded(&enroll.issuer),
        user = encoded(&enroll.user),
    );
    let users = json!({enroll.user.as_str(): entry});
    if enroll.format == Format::Json {
        screen.json(&json!({"uri": uri, "users": users, "backup_codes": codes}))?;
        return Ok(Outcome::Fine);
    }
    let picture = match qr::draw(&uri, enroll.qr, screen.paints_out()) {
        Ok(picture) => picture,
        Err(problem) => {
            screen.complain(&problem);
            return Ok(Outcome::Problems);
        }
    };
    screen.out(&format!("for the app\n  {uri}\n\n{picture}"))?;
    let entry = json!({"users": users}).to_string();
    screen.out(&format!("for the table of users\n  {entry}\n"))?;
    screen.out(&listed(&codes))?;
    screen.err("all of this is secret; it is shown this once\n");
    Ok(Outcome::Fine)
}

pub(super) fn backup_codes(wanted: &BackupCodes, screen: &Screen) -> Result<Outcome, Failure> {
    let (codes, hashes) = make(&wanted.user, wanted.number)?;
    if wanted.format == Format::Json {
        screen.json(&json!({"backup_codes": codes, "hashes": hashes}))?;
        return Ok(Outcome::Fine);
    }
    screen.out(&format!(
        "for the table of users\n  \"backup_codes\": {}\n{}",
        Value::from(hashes),
        listed(&codes)
    ))?;
    screen.err("the codes are secret; they are shown this once\n");
    Ok(Outcome::Fine)
}

fn listed(codes: &[String]) -> String {
    if codes.is_empty() {
        return String::new();
    }
    let lines: String = codes.iter().map(|code| format!("  {code}\n")).collect();
    format!("\nbackup codes for the user, each works once\n{lines}")
}

fn random(bytes: &mut [u8]) -> Result<(), Failure> {
    getrandom::fill(bytes).map_err(|error| Failure::new(format!("no random numbers: {error}")))
}

/// New backup codes as they are read, and their hashes.
fn make(user: &str, number: u8) -> Result<(Vec<String>, Vec<String>), Failure> {
    let (mut codes, mut hashes) = (Vec::new(), Vec::new());
    for _ in 0..number {
        let mut bytes = [0; BACKUP_LENGTH];
        random(&mut bytes)?;
        // 256 is a multiple of 32: every character is as likely as any other.
        let code: Vec<u8> =
            bytes.iter().filter_map(|byte| BACKUP_ALPHABET.get(usize::from(byte % 32)).copied()).collect();
        hashes.push(backup_text(&backup_hash(user, &code)));
        let half = |part: &[u8]| String::from_utf8_lossy(part).into_owned();
        let (first, last) = code.split_at_checked(BACKUP_LENGTH / 2).unwrap_or((&code, &[]));
        codes.push(format!("{}-{}", half(first), half(last)));
    }
    Ok((codes, hashes))
}

/// Percent-encoded (RFC 3986, section 2.1), all but what is unreserved.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backup_codes_are_what_the_filter_reads() {
        let (codes, hashes) = make("alice", 16).unwrap();
        for (code, hash) in codes.iter().zip(hashes) {
            let plain = totp::backup_code(code.as_bytes()).unwrap();
            assert_eq!(backup_text(&backup_hash("alice", &plain)), hash);
        }
    }

    #[test]
    fn names_are_encoded() {
        assert_eq!(encoded("a b@c.example/ä"), "a%20b%40c.example%2F%C3%A4");
        assert!(issuer("a:b").is_err() && issuer("").is_err() && user("a\n").is_err() && user("a:b").is_ok());
    }
}
