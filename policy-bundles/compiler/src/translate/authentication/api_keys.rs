//! API keys: from files of entries to tables by columns.

use std::collections::{BTreeMap, BTreeSet};

use bartizan_engine::authentication::api_keys::MAX_KEYS;
use bartizan_engine::authentication::api_keys::plan::{ApiKeysPlan, KeyTablePlan, PeriodPlan, ProfilePlan};
use bartizan_spec::authentication::api_keys::{ApiKey, ApiKeys, KeyFile};
use bartizan_spec::schema::key_file_schema;
use bartizan_spec::time::Moment;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::{Input, data};
use super::places::{self, twice};
use crate::diagnostic::{Report, Span, file_of};
use crate::files::Files;
use crate::suggest;
use crate::yaml::Cursor;

/// SHA-256 of the empty text: what a script gets where a variable is not set.
const OF_NOTHING: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27,
    0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// Where a digest was seen first: by the variable of its pepper, for the same digest with two peppers is of two keys.
type Seen = BTreeMap<(Option<String>, [u8; 32]), Span>;

pub(super) fn translate(input: &Input<'_>, files: &mut Files, report: &mut Report) -> Vec<ApiKeysPlan> {
    let all = input.root().get("authentication").get("api_keys");
    let mut seen = Seen::new();
    let methods = input.bundle.authentication.api_keys.iter().enumerate();
    methods.map(|(index, keys)| method(keys, all.item(index), input, files, &mut seen, report)).collect()
}

fn method(
    keys: &ApiKeys,
    at: Cursor<'_>,
    input: &Input<'_>,
    files: &mut Files,
    seen: &mut Seen,
    report: &mut Report,
) -> ApiKeysPlan {
    let here = at.get("keys").span();
    let read = data::read::<KeyFile>(keys.keys.as_str(), &key_file_schema(), here, files, report);
    let table = read.map(|(file, tree)| {
        let entries = Cursor::root(&tree).get("keys");
        check_entries(keys, &file, entries, input, seen, report);
        if file.keys.len() > MAX_KEYS {
            report.error(
                "too-many-keys",
                here,
                format!("`{}` has {} keys, the most is {MAX_KEYS}", keys.keys, file.keys.len()),
                "remove those that have expired, or ask for tokens of an issuer instead",
            );
        }
        table(&file)
    });
    ApiKeysPlan {
        name: keys.name.as_str().to_owned(),
        at: at.at(),
        from: keys.from.iter().map(places::source).collect(),
        forward_key: keys.forward_key,
        pepper: keys.pepper.as_ref().map(|pepper| pepper.env.as_str().to_owned()),
        keys: table.unwrap_or_default(),
        forward: places::pairs(&keys.forward.headers),
    }
}

fn check_entries(
    keys: &ApiKeys,
    file: &KeyFile,
    entries: Cursor<'_>,
    input: &Input<'_>,
    seen: &mut Seen,
    report: &mut Report,
) {
    let pepper = keys.pepper.as_ref().map(|pepper| pepper.env.as_str().to_owned());
    let mut unknown: BTreeSet<&str> = BTreeSet::new();
    for (index, entry) in file.keys.iter().enumerate() {
        // Finding its place costs more than judging an entry, and most are good.
        let at = || entries.item(index);
        if entry.hash.is_peppered() != pepper.is_some() {
            let (message, help) = if pepper.is_some() {
                (
                    "this hash was made without the pepper",
                    "make it anew from the key: `bartizan hash-key --stdin --pepper-env NAME`",
                )
            } else {
                (
                    "this hash was made with a pepper, and the method has none",
                    "name the variable that holds it: `pepper: {env: NAME}`",
                )
            };
            report.error("key-hash-kind", at().get("hash").span(), message, help);
        }
        if entry.hash.digest() == OF_NOTHING {
            report.error(
                "key-of-nothing",
                at().get("hash").span(),
                "this is the hash of the empty text, so a client that sends nothing would be let in",
                "hash the key itself: the variable that it was taken from was probably not set",
            );
        }
        match seen.entry((pepper.clone(), entry.hash.digest())) {
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(at().get("hash").span());
            }
            std::collections::btree_map::Entry::Occupied(first) => report.error(
                "key-twice",
                at().get("hash").span(),
                format!(
                    "this key is there already, in `{}:{}`",
                    file_of(report.files(), *first.get()),
                    first.get().line
                ),
                "remove one of the two entries; each client needs a key of its own",
            ),
        }
        for (number, role) in entry.roles.iter().enumerate() {
            if !input.names.roles.contains_key(role.as_str()) && unknown.insert(role.as_str()) {
                let known = input.names.roles.keys().map(String::as_str);
                report.error(
                    "unknown-role",
                    at().get("roles").item(number).span(),
                    format!("there is no role `{role}`, which a key of `{}` has", entry.client),
                    suggest::remedy(role.as_str(), known, "roles"),
                );
            }
        }
        if entry.roles.len() > 1 {
            twice(&entry.roles, at().get("roles"), "role", report);
        }
        if entry.permissions.len() > 1 {
            twice(&entry.permissions, at().get("permissions"), "permission", report);
        }
        if let (Some(from), Some(to)) = (entry.not_before, entry.expires)
            && to <= from
        {
            report.error(
                "never-valid",
                at().get("expires").span(),
                format!("the key expires at {to}, and is not good before {from}"),
                "let `expires` come after `not_before`, or remove one of them",
            );
        }
        for name in ["client", "kind"] {
            if entry.claims.0.keys().any(|claim| claim.as_str() == name) {
                report.error(
                    "attribute-taken",
                    at().get("claims").key_of(name),
                    format!("`{name}` is no attribute: it has a field of its own"),
                    format!("write `{name}:` beside `hash`, or give the attribute another name"),
                );
            }
        }
    }
}

/// The columns, in the order of the digests.
fn table(file: &KeyFile) -> KeyTablePlan {
    let mut entries: Vec<([u8; 32], &ApiKey)> =
        file.keys.iter().map(|key| (key.hash.digest(), key)).collect();
    entries.sort_unstable_by_key(|(digest, _)| *digest);
    let mut profiles = Distinct::default();
    let mut periods = Distinct::default();
    let mut plan = KeyTablePlan::default();
    let mut digests = Vec::with_capacity(entries.len().saturating_mul(32));
    for (index, (digest, entry)) in entries.into_iter().enumerate() {
        digests.extend_from_slice(&digest);
        if index > 0 {
            plan.clients.push('\n');
        }
        plan.clients.push_str(entry.client.as_str());
        plan.profile.push(profiles.number(profile(entry), &mut plan.profiles));
        plan.period.push(periods.number(period(entry), &mut plan.periods));
    }
    plan.digests = STANDARD.encode(digests);
    plan
}

fn profile(entry: &ApiKey) -> ProfilePlan {
    ProfilePlan {
        kind: entry.kind.as_ref().map(|kind| kind.as_str().to_owned()),
        roles: entry.roles.iter().map(|role| role.as_str().to_owned()).collect(),
        permissions: entry.permissions.iter().map(|grant| grant.as_str().to_owned()).collect(),
        claims: entry
            .claims
            .0
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), value.clone()))
            .collect(),
    }
}

fn period(entry: &ApiKey) -> PeriodPlan {
    PeriodPlan {
        not_before: entry.not_before.map(Moment::seconds),
        expires: entry.expires.map(Moment::seconds),
        revoked: entry.revoked,
    }
}

/// Numbers for values, the same for the same. Values are told apart by their text in JSON.
#[derive(Default)]
struct Distinct(BTreeMap<String, u32>);

impl Distinct {
    fn number<T: serde::Serialize>(&mut self, value: T, list: &mut Vec<T>) -> u32 {
        // What is made of a bundle can be written.
        let text = serde_json::to_string(&value).unwrap_or_default();
        if let Some(number) = self.0.get(&text) {
            return *number;
        }
        let number = u32::try_from(list.len()).unwrap_or(u32::MAX);
        list.push(value);
        self.0.insert(text, number);
        number
    }
}
