//! Signed requests: what must be covered, and the keys of a file.

use std::collections::BTreeSet;

use bartizan_engine::authentication::plan::Algorithm;
use bartizan_engine::authentication::signed::MAX_KEYS;
use bartizan_engine::authentication::signed::plan::{
    FormPlan, HmacHeaders, KeyMaterial, KeyPlan, SignatureAlgorithm as Engine, SignedRequestsPlan,
};
use bartizan_spec::authentication::Secret;
use bartizan_spec::authentication::signed_requests::{
    HmacForm, MessageForm, SignatureAlgorithm, SignatureForm, SignedRequests, SigningKey, SigningKeyFile,
};
use bartizan_spec::schema::signing_key_file_schema;
use bartizan_spec::time::Moment;

use super::super::{Input, data, headers, keys};
use super::{jwt, places};
use crate::diagnostic::Report;
use crate::files::Files;
use crate::suggest;
use crate::yaml::Cursor;

/// The longest window: what is older than a day is no request.
const MAX_WINDOW_S: u64 = 86_400;
/// Who dates requests ahead makes the filter forget sooner, for as long.
const MAX_AHEAD_S: u64 = 600;

pub(super) fn translate(
    input: &Input<'_>,
    files: &mut Files,
    report: &mut Report,
) -> Vec<SignedRequestsPlan> {
    let all = input.root().get("authentication").get("signed_requests");
    let methods = input.bundle.authentication.signed_requests.iter().enumerate();
    methods.map(|(index, signed)| method(signed, all.item(index), input, files, report)).collect()
}

fn method(
    signed: &SignedRequests,
    at: Cursor<'_>,
    input: &Input<'_>,
    files: &mut Files,
    report: &mut Report,
) -> SignedRequestsPlan {
    let window_s = jwt::seconds(signed.window, at.get("window"), report);
    if window_s == 0 || window_s > MAX_WINDOW_S {
        let message = format!("a window of `{}` is none", signed.window);
        report.error("bad-window", at.get("window").span(), message, "write 1s to 24h; `300s` is usual");
    }
    let ahead_s = jwt::seconds(signed.ahead, at.get("ahead"), report);
    if ahead_s > window_s.min(MAX_AHEAD_S) {
        let most = if ahead_s > window_s { "the window" } else { "10m" };
        let message = format!("`ahead: {}` is more than {most}", signed.ahead);
        report.error(
            "bad-window",
            at.get("ahead").span(),
            message,
            "clocks differ by seconds; write such as 10s",
        );
    }
    for (header, claim) in &signed.forward.headers.0 {
        if !["client", "key", "algorithm"].contains(&claim.as_str()) {
            let here = at.get("forward").get("headers").get(header.as_str()).span();
            let message = format!("nothing is known of a client as `{claim}`");
            report.error("unknown-attribute", here, message, "write `client`, `key` or `algorithm`");
        }
    }
    SignedRequestsPlan {
        name: signed.name.as_str().to_owned(),
        at: at.at(),
        form: form(&signed.form, at.get("form"), report),
        keys: keys_of(signed, at, input, files, report),
        window_s,
        ahead_s,
        forward_signature: signed.forward_signature,
        forward_claims: places::pairs(&signed.forward.headers),
    }
}

fn form(form: &SignatureForm, at: Cursor<'_>, report: &mut Report) -> FormPlan {
    match form {
        SignatureForm::Hmac(form) => hmac(form, at.get("hmac").get("headers"), report),
        SignatureForm::MessageSignatures(form) => messages(form, at.get("message_signatures"), report),
    }
}

fn hmac(HmacForm { headers: names }: &HmacForm, at: Cursor<'_>, report: &mut Report) -> FormPlan {
    let fields = [
        ("key", &names.key),
        ("timestamp", &names.timestamp),
        ("nonce", &names.nonce),
        ("digest", &names.digest),
        ("signature", &names.signature),
    ];
    for (index, (field, name)) in fields.iter().enumerate() {
        if places::TAKEN.contains(&name.as_str()) || headers::is_of_the_connection(name.as_str()) {
            let message = format!("the header `{name}` has a meaning of its own");
            report.error("header-protected", at.get(field).span(), message, "use a header of your own");
        }
        if let Some((other, _)) = fields.iter().take(index).find(|(_, other)| other == name) {
            let message = format!("the header `{name}` is that of `{other}` already");
            report.error("listed-twice", at.get(field).span(), message, "give each a header of its own");
        }
    }
    let text = |name: &bartizan_spec::text::HeaderName| name.as_str().to_owned();
    FormPlan::Hmac {
        headers: HmacHeaders {
            key: text(&names.key),
            timestamp: text(&names.timestamp),
            nonce: text(&names.nonce),
            digest: text(&names.digest),
            signature: text(&names.signature),
        },
    }
}

fn messages(form: &MessageForm, at: Cursor<'_>, report: &mut Report) -> FormPlan {
    let cover = at.get("cover");
    places::twice(&form.cover, cover, "component", report);
    let covers = |all: &[&str]| form.cover.iter().any(|covered| all.contains(&covered.as_str()));
    let left_out = [
        ("`@method`", covers(&["@method"])),
        ("`@authority`", covers(&["@authority", "@target-uri"])),
        ("`@path`", covers(&["@path", "@target-uri", "@request-target"])),
        ("`@query`", covers(&["@query", "@target-uri", "@request-target"])),
        ("`content-digest`", covers(&["content-digest"])),
    ];
    let left_out: Vec<&str> =
        left_out.iter().filter(|(_, covered)| !covered).map(|(name, _)| *name).collect();
    if !left_out.is_empty() {
        report.warning(
            "covers-little",
            cover.span(),
            format!(
                "a signature need not cover {}: whoever sees one request can send another with it",
                left_out.join(", ")
            ),
            "add it to `cover`, or remove `cover` for what is usual",
        );
    }
    FormPlan::MessageSignatures {
        label: form.label.as_ref().map(|label| label.as_str().to_owned()),
        tag: form.tag.as_ref().map(|tag| tag.as_str().to_owned()),
        cover: form.cover.iter().map(|covered| covered.as_str().to_owned()).collect(),
        scheme: form.scheme.as_ref().map(|scheme| scheme.as_str().to_owned()),
        offer: form.offer,
    }
}

fn keys_of(
    signed: &SignedRequests,
    at: Cursor<'_>,
    input: &Input<'_>,
    files: &mut Files,
    report: &mut Report,
) -> Vec<KeyPlan> {
    let here = at.get("keys").span();
    let read =
        data::read::<SigningKeyFile>(signed.keys.as_str(), &signing_key_file_schema(), here, files, report);
    let Some((file, tree)) = read else { return Vec::new() };
    if file.keys.len() > MAX_KEYS {
        let message = format!("`{}` has {} keys, the most is {MAX_KEYS}", signed.keys, file.keys.len());
        report.error(
            "too-many-keys",
            here,
            message,
            "remove those that have expired, or make another method",
        );
    }
    let entries = Cursor::root(&tree).get("keys");
    let mut ids = BTreeSet::new();
    let mut plans = Vec::new();
    for (index, entry) in file.keys.iter().enumerate() {
        let at = entries.item(index);
        if !ids.insert(entry.id.as_str()) {
            let message = format!("there is another key `{}`", entry.id);
            report.error(
                "key-twice",
                at.get("id").span(),
                message,
                "give each key an id of its own: signatures name it",
            );
        }
        check_entry(entry, at, input, report);
        let hmac = matches!(signed.form, SignatureForm::Hmac(_));
        if hmac && entry.algorithm != SignatureAlgorithm::HmacSha256 {
            let message = format!("the simple form knows no `{}`", algorithm(entry.algorithm).name());
            report.error(
                "algorithm-without-form",
                at.get("algorithm").span(),
                message,
                "use `hmac-sha256`, or `form: {message_signatures: {}}`",
            );
        }
        let Some(material) = material(signed, entry, at, input, files, report) else { continue };
        plans.push(KeyPlan {
            id: entry.id.as_str().to_owned(),
            client: entry.client.as_str().to_owned(),
            roles: entry.roles.iter().map(|role| role.as_str().to_owned()).collect(),
            permissions: entry.permissions.iter().map(|grant| grant.as_str().to_owned()).collect(),
            algorithm: algorithm(entry.algorithm),
            material,
            not_before: entry.not_before.map(Moment::seconds),
            expires: entry.expires.map(Moment::seconds),
        });
    }
    plans
}

fn check_entry(entry: &SigningKey, at: Cursor<'_>, input: &Input<'_>, report: &mut Report) {
    for (number, role) in entry.roles.iter().enumerate() {
        if !input.names.roles.contains_key(role.as_str()) {
            let known = input.names.roles.keys().map(String::as_str);
            report.error(
                "unknown-role",
                at.get("roles").item(number).span(),
                format!("there is no role `{role}`, which the key `{}` has", entry.id),
                suggest::remedy(role.as_str(), known, "roles"),
            );
        }
    }
    places::twice(&entry.roles, at.get("roles"), "role", report);
    places::twice(&entry.permissions, at.get("permissions"), "permission", report);
    if let (Some(from), Some(to)) = (entry.not_before, entry.expires)
        && to <= from
    {
        report.error(
            "never-valid",
            at.get("expires").span(),
            format!("the key expires at {to}, and is not good before {from}"),
            "let `expires` come after `not_before`, or remove one of them",
        );
    }
}

/// The key itself, if the entry has exactly one that goes with its algorithm.
fn material(
    signed: &SignedRequests,
    entry: &SigningKey,
    at: Cursor<'_>,
    input: &Input<'_>,
    files: &mut Files,
    report: &mut Report,
) -> Option<KeyMaterial> {
    let shared = entry.algorithm == SignatureAlgorithm::HmacSha256;
    let accepted = [jose(entry.algorithm)];
    match (&entry.secret, &entry.pem, &entry.jwks) {
        (Some(Secret::Env { env }), None, None) if shared => {
            Some(KeyMaterial::Secret { env: env.as_str().to_owned() })
        }
        (Some(Secret::Sealed { sealed, key }), None, None) if shared => {
            let here = at.get("secret").key_of("sealed");
            jwt::check_sealed(
                sealed.as_str(),
                input.bundle.name.as_str(),
                signed.name.as_str(),
                here,
                report,
            );
            Some(KeyMaterial::Sealed {
                jwe: sealed.as_str().to_owned(),
                key_env: key.env.as_str().to_owned(),
            })
        }
        (None, Some(file), None) if !shared => {
            let here = at.get("pem").span();
            let text = jwt::read(file.as_str(), here, files, report)?;
            one(keys::pem(file.as_str(), &text, &accepted, here, report), here, report)
        }
        (None, None, Some(file)) if !shared => {
            let here = at.get("jwks").span();
            let text = jwt::read(file.as_str(), here, files, report)?;
            one(keys::jwks(&format!("`{file}`"), &text, &accepted, here, report), here, report)
        }
        _ => {
            let name = algorithm(entry.algorithm).name();
            let (wants, help) = if shared {
                (
                    "`secret` and nothing else",
                    "write `secret: {env: NAME}`, or `secret: {sealed: ..., key: {env: NAME}}`",
                )
            } else {
                ("one public key", "write `pem: FILE` or `jwks: FILE`")
            };
            report.error(
                "key-for-algorithm",
                at.get("algorithm").span(),
                format!("a key for `{name}` has {wants}"),
                help,
            );
            None
        }
    }
}

/// An entry is about one key. What could not be read was reported already.
fn one(set: String, here: crate::diagnostic::Span, report: &mut Report) -> Option<KeyMaterial> {
    let parsed: serde_json::Value = serde_json::from_str(&set).ok()?;
    let count = parsed.get("keys").and_then(serde_json::Value::as_array).map_or(0, Vec::len);
    if count != 1 {
        let message = format!("the file has {count} keys, and the entry is about one");
        report.error("not-one-key", here, message, "give each key a file and an entry of its own");
    }
    Some(KeyMaterial::Jwks(set))
}

const fn algorithm(algorithm: SignatureAlgorithm) -> Engine {
    match algorithm {
        SignatureAlgorithm::HmacSha256 => Engine::HmacSha256,
        SignatureAlgorithm::Ed25519 => Engine::Ed25519,
        SignatureAlgorithm::EcdsaP256Sha256 => Engine::EcdsaP256Sha256,
        SignatureAlgorithm::RsaPssSha512 => Engine::RsaPssSha512,
        SignatureAlgorithm::RsaV15Sha256 => Engine::RsaV15Sha256,
    }
}

/// The same algorithm as key sets call it.
const fn jose(algorithm: SignatureAlgorithm) -> Algorithm {
    match algorithm {
        SignatureAlgorithm::HmacSha256 => Algorithm::HS256,
        SignatureAlgorithm::Ed25519 => Algorithm::EdDSA,
        SignatureAlgorithm::EcdsaP256Sha256 => Algorithm::ES256,
        SignatureAlgorithm::RsaPssSha512 => Algorithm::PS512,
        SignatureAlgorithm::RsaV15Sha256 => Algorithm::RS256,
    }
}
