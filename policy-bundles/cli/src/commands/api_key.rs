//! `bartizan api-key`: keys for clients, with the entries that a bundle has of them.

use std::fmt::Write as _;
use std::str::FromStr;

use bartizan_spec::text::{Grant, Name, Problem, RoleName, Subject};
use bartizan_spec::time::Moment;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::hash_key;
use crate::output::{Failure, Format, Outcome, Screen};

const AFTER_HELP: &str = "\
Examples:
  bartizan api-key new --client device-7
  bartizan api-key new --help

Exit codes: 0 done; 1 the pepper is too weak; 2 usage; 3 cannot read or write";

const AFTER_HELP_NEW: &str = "\
Examples:
  bartizan api-key new --client device-7 --kind device --role sensor
  bartizan api-key new --client auditor --permission report:read --expires 2027-06-01T00:00:00Z
  bartizan api-key new --client device-7 --prefix acme --pepper-env API_KEY_PEPPER
  bartizan api-key new --client device-7 --format json | jq -r .key

The key has 256 random bits and is shown this once. The entry has its hash and belongs under `keys:` in the file that
`authentication.api_keys` of a bundle names. A client may have several keys: to change one, add the new entry, and let the
old one end. A key that there is already is hashed by `bartizan hash-key --stdin`.

Exit codes: 0 done; 1 the pepper is too weak; 2 usage; 3 cannot read or write";

/// Makes API keys, and the entries that a bundle has of them.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct ApiKey {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    New(New),
}

/// Makes a key and prints it once, with the entry for the bundle.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP_NEW)]
struct New {
    /// Whose key it is: the subject of whoever sends it.
    #[arg(long, value_name = "NAME", value_parser = text::<Subject>)]
    client: Subject,
    /// What kind of principal it is, such as `device`.
    #[arg(long, value_name = "NAME", value_parser = text::<Name>)]
    kind: Option<Name>,
    /// A role of the bundle; may be given several times.
    #[arg(long = "role", value_name = "ROLE", value_parser = text::<RoleName>)]
    roles: Vec<RoleName>,
    /// A permission beside those of the roles; may be given several times.
    #[arg(long = "permission", value_name = "TYPE:ACTION", value_parser = text::<Grant>)]
    permissions: Vec<Grant>,
    /// The moment before which the key is not good, in UTC.
    #[arg(long, value_name = "MOMENT", value_parser = text::<Moment>)]
    not_before: Option<Moment>,
    /// The moment from which the key is not good any more, in UTC.
    #[arg(long, value_name = "MOMENT", value_parser = text::<Moment>)]
    expires: Option<Moment>,
    /// What the key begins with, so that people and scanners see what it is.
    #[arg(long, value_name = "WORD", default_value = "key", value_parser = prefix)]
    prefix: String,
    /// The environment variable that holds the pepper, at least 32 bytes.
    #[arg(long, value_name = "NAME")]
    pepper_env: Option<String>,
    /// The form of the output.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

fn text<T: FromStr<Err = Problem>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|problem: Problem| problem.to_string())
}

fn prefix(text: &str) -> Result<String, String> {
    let good = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if good && (1..=32).contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        Err("use 1 to 32 lower-case letters, digits and `-`, such as `acme`".to_owned())
    }
}

/// The random bytes of a key.
const BYTES: usize = 32;

pub(crate) fn run(api_key: &ApiKey, screen: &Screen) -> Result<Outcome, Failure> {
    let Command::New(new) = &api_key.command;
    if let (Some(from), Some(to)) = (new.not_before, new.expires)
        && to <= from
    {
        screen.complain(&format!(
            "the key would expire at {to}, before it is good at {from}; correct one of them"
        ));
        return Ok(Outcome::Problems);
    }
    let pepper = match new.pepper_env.as_deref().map(hash_key::pepper).transpose() {
        Ok(pepper) => pepper,
        Err(what) => {
            screen.complain(&what);
            return Ok(Outcome::Problems);
        }
    };
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(|error| Failure::new(format!("no random numbers: {error}")))?;
    let key = format!("{}_{}", new.prefix, URL_SAFE_NO_PAD.encode(bytes));
    let entry = entry(new, hash_key::hash(&key, pepper.as_deref()));
    match new.format {
        Format::Json => screen.json(&json!({"key": key, "entry": Value::Object(entry)}))?,
        Format::Text => {
            screen.out(&format!(
                "key    {key}\n\nentry, for the list `keys:` of the bundle's file:\n\n{}",
                yaml(&entry)
            ))?;
            screen.err("give the key to its client, it is shown this once; the entry is for the bundle\n");
        }
    }
    Ok(Outcome::Fine)
}

/// The entry, in the order in which it is read best.
fn entry(new: &New, hash: String) -> Map<String, Value> {
    let mut entry = Map::new();
    entry.insert("hash".into(), Value::from(hash));
    entry.insert("client".into(), Value::from(new.client.as_str()));
    if let Some(kind) = &new.kind {
        entry.insert("kind".into(), Value::from(kind.as_str()));
    }
    if !new.roles.is_empty() {
        entry.insert("roles".into(), new.roles.iter().map(RoleName::as_str).collect());
    }
    if !new.permissions.is_empty() {
        entry.insert("permissions".into(), new.permissions.iter().map(Grant::as_str).collect());
    }
    for (name, moment) in [("not_before", new.not_before), ("expires", new.expires)] {
        if let Some(moment) = moment {
            entry.insert(name.into(), Value::from(moment.to_string()));
        }
    }
    entry
}

/// An item of a list. What JSON writes is YAML, and what is not plain is written so.
fn yaml(entry: &Map<String, Value>) -> String {
    let mut out = String::new();
    let order = ["hash", "client", "kind", "roles", "permissions", "not_before", "expires"];
    let fields = order.iter().filter_map(|name| Some((*name, entry.get(*name)?)));
    for (index, (name, value)) in fields.enumerate() {
        let start = if index == 0 { "  - " } else { "    " };
        let value = match value {
            Value::String(text) if is_plain(text) => text.clone(),
            other => other.to_string(),
        };
        // Writing into a string cannot fail.
        let _ = writeln!(out, "{start}{name}: {value}");
    }
    out
}

/// Whether a text is the same without quotes: it begins with a letter and is no word that means something else.
fn is_plain(text: &str) -> bool {
    let moment = text.parse::<Moment>().is_ok();
    let word =
        text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_:@/".contains(&b)) && !text.ends_with(':');
    let starts = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
    let means = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    moment || word && starts && !means.contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bartizan_compiler::compile_files;

    fn new(client: &str) -> New {
        New {
            client: client.parse().unwrap(),
            kind: Some("device".parse().unwrap()),
            roles: vec!["sensor".parse().unwrap()],
            permissions: vec!["*".parse().unwrap(), "a:b".parse().unwrap()],
            not_before: Some("2026-01-01T00:00:00Z".parse().unwrap()),
            expires: Some("2027-01-01T00:00:00Z".parse().unwrap()),
            prefix: "key".into(),
            pepper_env: None,
            format: Format::Text,
        }
    }

    #[test]
    fn what_is_printed_can_be_pasted() {
        for client in
            ["device-7", "true", "17", "- x", "a: b", "caf\u{e9} \"north\"", "alice@example.com", "#1", "x:"]
        {
            let entry = yaml(&entry(&new(client), hash_key::hash("a key", None)));
            let files = [
                ("keys.yaml", format!("keys:\n{entry}")),
                ("bundle.yaml", "apiVersion: bartizan/v1\nname: t\nauthentication: {api_keys: [{name: a, keys: keys.yaml}]}\nroles: {sensor: {permissions: [\"a:b\"]}}\nroutes: [{path: /, access: {permission: \"a:b\"}}]\n".to_owned()),
            ];
            let files = files.into_iter().map(|(name, text)| (name.to_owned(), text.into_bytes())).collect();
            let compiled = compile_files(files);
            let plan = compiled.plan.clone().unwrap_or_else(|| panic!("{}\n{entry}", compiled.render(false)));
            assert_eq!(plan.authentication.api_keys[0].keys.clients, client);
        }
    }

    #[test]
    fn prefixes_are_words() {
        for (text, good) in
            [("acme", true), ("acme-1", true), ("", false), ("Acme", false), ("a_b", false), ("a b", false)]
        {
            assert_eq!(prefix(text).is_ok(), good, "{text}");
        }
    }
}
