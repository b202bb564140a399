//! A second factor at the edge: one-time codes (RFC 6238) and backup codes.
//!
//! Who it is comes from the first method; the code comes in a header of its own. Each code works once, and so many
//! attempts may fail within a time, both exact over all workers: the record of a user (`record`) lies in one shared
//! slot, and judging and noting are one compare-and-swap that is run again when it loses.
//!
//! **Slots.** A record's slot is named after the user and her secret, and not after the factor: what one factor took is
//! used up for every other that knows the same secret, and guesses at one count at all. It does not depend on the rest of
//! the table, and users of tables alone have one: requests cannot make any. A bundle that changes finds what the one
//! before it left, also of a user who was taken out and put in again; only a new secret begins anew. A backup code that
//! was used has a slot of its own, whichever factor took it and whatever the secret was. Nothing survives the process.

mod code;
pub mod plan;
mod record;
mod table;

use superboring::reexports::hmac_sha256;

pub use code::{Algorithm, STEP_S, base32, hotp, step, text, to_base32};
pub use table::{
    BACKUP_ALPHABET, BACKUP_LENGTH, BackupHash, MAX_TABLE_BYTES, backup_code, backup_hash, backup_text,
    check_table, nobodys_table,
};

use self::record::{Credential, FAILURES, Record};
use self::table::{User, Users};
use crate::host::{Host, Loaded, Now, Stored};
use crate::intake::request::Headers;

/// How often a lost race is run again, as with limits.
const MAX_TRIES: usize = 1000;

/// The time in which failed attempts are counted, in seconds.
pub const WINDOW_S: std::ops::RangeInclusive<u64> = 30..=86_400;

/// The longest time for which a credential stays raised, in seconds.
pub const MAX_REMEMBER_S: u64 = 3600;

/// The most failed attempts a policy may allow within the time.
pub const MAX_ATTEMPTS: usize = FAILURES;

/// What a policy says of a second factor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rules {
    /// Its name.
    pub(super) name: String,
    /// The methods whose subjects the table names.
    pub(super) methods: Vec<String>,
    /// The header with the code, in lower case.
    pub(super) header: String,
    /// How many attempts may fail...
    pub(super) attempts: usize,
    /// ... within so many seconds.
    pub(super) window_s: u64,
    /// For how many seconds the same credential needs no other code.
    pub(super) remember_s: u64,
}

/// Whose code it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Who<'a> {
    /// The method that said who it is.
    pub(super) method: &'a str,
    /// The subject.
    pub(super) subject: &'a str,
    /// What is the same in two requests with the same credential, and in no others.
    pub(super) credential: &'a [u8],
}

/// How the factor was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// By a code of the present time.
    Code,
    /// By a backup code.
    Backup,
    /// By a code that came with the same credential a while ago.
    Before,
}

/// Why it was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotShown {
    /// There is no code.
    Missing,
    /// The code is not good; why is for operators.
    Invalid(&'static str),
    /// Too many attempts failed; the next may be made after so many seconds.
    Exhausted(u64),
    /// The record cannot be read or written.
    Unavailable(&'static str),
}

/// A second factor, made ready.
#[derive(Debug)]
pub(super) struct Factor {
    rules: Rules,
    users: Users,
    /// What fingerprints of credentials are made with: the same in all workers, and secret.
    key: [u8; 32],
    bytes: Vec<u8>,
}

/// What a code turned out to be, before anything is known of its use.
#[derive(Clone, Copy)]
enum Proof {
    None,
    Step(u64),
    Backup(BackupHash),
    /// A backup code; whether this request used it up, or another one did before.
    Spent(bool),
    Wrong,
}

impl Factor {
    /// Makes a factor ready from the table of its users.
    pub(super) fn new(rules: Rules, table: &[u8], seed: [u64; 2]) -> Result<Self, String> {
        let users = table::read(table)?;
        let [one, two] = seed.map(u64::to_le_bytes);
        let key = hmac_sha256::HMAC::mac(
            [&b"second factor"[..], rules.name.as_bytes()].concat(),
            [one, two].concat(),
        );
        Ok(Self { rules, users, key, bytes: Vec::new() })
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Judges a request, and notes what of it is used up.
    pub(super) fn show(
        &mut self,
        who: Who<'_>,
        headers: Headers<'_>,
        now: Now,
        host: &mut dyn Host,
    ) -> Result<Shown, NotShown> {
        let Self { rules, users, key, bytes } = self;
        let mut values = headers.all(&rules.header);
        let (value, twice) = (values.next(), values.next().is_some());
        // The subjects of other methods may have the same names and be other people.
        let known = rules.methods.iter().any(|method| method == who.method);
        let Some(user) = users.get(who.subject).filter(|_| known) else {
            return Err(match value {
                None => NotShown::Missing,
                Some(_) => NotShown::Invalid("the subject is not in the table of users"),
            });
        };
        let mut proof = match value {
            None => Proof::None,
            // Two codes would be two attempts.
            Some(_) if twice => Proof::Wrong,
            Some(value) => prove(user, who.subject, value, now),
        };
        let credential = fingerprint(key, user, who);
        let slot = slot(user, who.subject);
        for _ in 0..MAX_TRIES {
            let (mut record, version) = match host.load(&slot, bytes) {
                Loaded::Present(version) => {
                    let record = Record::decode(bytes)
                        .ok_or(NotShown::Unavailable("the record of a user holds something else"))?;
                    (record, Some(version))
                }
                Loaded::Absent => (Record::default(), None),
                Loaded::Failed => return Err(NotShown::Unavailable("the record of a user cannot be read")),
            };
            // Before the code is looked at: beyond the limit a right guess is worth nothing.
            if !matches!(proof, Proof::None)
                && let Some(seconds) = record.exhausted(rules.attempts, rules.window_s, now.secs())
            {
                return Err(NotShown::Exhausted(seconds));
            }
            if let Proof::Backup(hash) = proof {
                proof = Proof::Spent(spend(&hash, host)?);
            }
            let before = record.clone();
            let verdict = judge(&mut record, rules, proof, credential, now.secs());
            if record == before {
                return verdict;
            }
            record.encode(bytes);
            match host.store(&slot, bytes, version) {
                Stored::Yes => return verdict,
                Stored::Conflict => {}
                Stored::Failed => {
                    return Err(NotShown::Unavailable("the record of a user cannot be written"));
                }
            }
        }
        Err(NotShown::Unavailable("the record of a user changed too often"))
    }
}

/// What the policy says to a proof, and what the record says after it. A verdict counts only once the record is stored.
fn judge(
    record: &mut Record,
    rules: &Rules,
    proof: Proof,
    credential: Credential,
    now: u64,
) -> Result<Shown, NotShown> {
    let shown = match proof {
        Proof::None => {
            let raised = record.is_raised(&credential, rules.remember_s, now);
            return if raised { Ok(Shown::Before) } else { Err(NotShown::Missing) };
        }
        Proof::Step(step) if step > record.step => {
            record.step = step;
            Shown::Code
        }
        // No guess: whoever sends it has seen it. So it does not count, and a page that sends several requests with
        // one code does not lock its user out.
        Proof::Step(_) => return Err(NotShown::Invalid("the code was used before")),
        Proof::Spent(true) => Shown::Backup,
        Proof::Spent(false) => return Err(NotShown::Invalid("the backup code was used before")),
        Proof::Wrong | Proof::Backup(_) => {
            record.fail(now);
            return Err(NotShown::Invalid("the code is not right"));
        }
    };
    if rules.remember_s > 0 {
        record.raise(credential, now);
    }
    Ok(shown)
}

fn prove(user: &User, subject: &str, value: &[u8], now: Now) -> Proof {
    if let Some(number) = code::read(value, user.digits) {
        return code::find(user.algorithm, &user.secret, user.digits, number, now)
            .map_or(Proof::Wrong, Proof::Step);
    }
    let Some(code) = backup_code(value) else { return Proof::Wrong };
    let hash = backup_hash(subject, &code);
    // Hashes are compared, and a hash that is almost right says nothing about the code.
    if user.backup.contains(&hash) { Proof::Backup(hash) } else { Proof::Wrong }
}

/// Uses a backup code up, for all factors that have it; `false` if it was used before. Only codes of a table get here.
fn spend(hash: &BackupHash, host: &mut dyn Host) -> Result<bool, NotShown> {
    let slot = name("backup", b"bartizan used backup code", hash);
    match host.store(&slot, &[record::VERSION], None) {
        Stored::Yes => Ok(true),
        Stored::Conflict => Ok(false),
        Stored::Failed => Err(NotShown::Unavailable("the backup code cannot be marked as used")),
    }
}

/// What stays the same while user, secret and credential do. With the secret in it, a user who is enrolled anew has
/// nothing raised.
fn fingerprint(key: &[u8; 32], user: &User, who: Who<'_>) -> Credential {
    let mut mac = hmac_sha256::HMAC::new(key);
    for part in [who.method.as_bytes(), who.subject.as_bytes(), &user.secret, who.credential] {
        mac.update(part.len().to_le_bytes());
        mac.update(part);
    }
    mac.finalize().first_chunk::<16>().copied().unwrap_or_default()
}

/// The name of a user's slot. A subject may have any characters and 256 bytes, and a secret is told to nobody.
fn slot(user: &User, subject: &str) -> String {
    name("user", &user.secret, subject.as_bytes())
}

fn name(kind: &str, key: &[u8], of: &[u8]) -> String {
    let mac = hmac_sha256::HMAC::mac(of, key);
    let digits = mac.iter().take(16).map(|byte| format!("{byte:02x}"));
    digits.fold(format!("totp.{kind}."), |name, digits| name + &digits)
}

#[cfg(test)]
mod tests;
