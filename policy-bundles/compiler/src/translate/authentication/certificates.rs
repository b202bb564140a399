//! Client certificates: patterns checked, fingerprints read from their files and sorted.

use bartizan_engine::authentication::certificates::{
    Fingerprint, MAX_FINGERPRINTS, blob, check_dns, check_spiffe_pattern, read_fingerprint,
};
use bartizan_engine::authentication::plan as engine;
use bartizan_spec::authentication::{CertificateRule, CertificateSource, Certificates, Fingerprints};

use super::super::Input;
use super::places::twice;
use crate::diagnostic::Report;
use crate::files::Files;
use crate::suggest;
use crate::yaml::Cursor;

/// The most bytes of a file of fingerprints: 100,000 lines with names.
const MAX_FILE_BYTES: u64 = 32 * 1024 * 1024;

pub(super) fn translate(
    input: &Input<'_>,
    files: &mut Files,
    report: &mut Report,
) -> Vec<engine::CertificatesPlan> {
    let all = input.root().get("authentication").get("certificates");
    let ways = input.bundle.authentication.certificates.iter().enumerate();
    ways.map(|(index, way)| translate_way(way, input, all.item(index), files, report)).collect()
}

fn translate_way(
    way: &Certificates,
    input: &Input<'_>,
    at: Cursor<'_>,
    files: &mut Files,
    report: &mut Report,
) -> engine::CertificatesPlan {
    let rules = way.accept.iter().enumerate().filter_map(|(index, rule)| {
        let at = at.get("accept").item(index);
        check_roles(rule, input, at, report);
        let accept = accept(rule, at, files, report)?;
        Some(engine::CertificateRule {
            at: at.at(),
            accept,
            roles: rule.roles.iter().map(|role| role.as_str().to_owned()).collect(),
            permissions: rule.permissions.iter().map(|grant| grant.as_str().to_owned()).collect(),
        })
    });
    let rules = rules.collect();
    let revoked = way.revoked.as_ref().map(|list| fingerprints(list, at.get("revoked"), files, report));
    engine::CertificatesPlan {
        name: way.name.as_str().to_owned(),
        at: at.at(),
        from: source(way.from),
        rules,
        revoked: revoked.map(|(digests, _)| digests).unwrap_or_default(),
        forward_claims: (way.forward.headers.0.iter())
            .map(|(header, path)| (header.as_str().to_owned(), path.as_str().to_owned()))
            .collect(),
    }
}

/// Where a certificate is told.
pub(super) fn source(source: CertificateSource) -> engine::CertificateSource {
    match source {
        CertificateSource::Connection => engine::CertificateSource::Connection,
        CertificateSource::Xfcc(xfcc) => engine::CertificateSource::Xfcc { trusted_hops: xfcc.trusted_hops },
    }
}

fn check_roles(rule: &CertificateRule, input: &Input<'_>, at: Cursor<'_>, report: &mut Report) {
    twice(&rule.roles, at.get("roles"), "role", report);
    twice(&rule.permissions, at.get("permissions"), "permission", report);
    for (index, role) in rule.roles.iter().enumerate() {
        if !input.names.roles.contains_key(role.as_str()) {
            report.error(
                "unknown-role",
                at.get("roles").item(index).span(),
                format!("there is no role `{role}`, which this rule grants"),
                suggest::remedy(role.as_str(), input.names.roles.keys().map(String::as_str), "roles"),
            );
        }
    }
}

fn accept(
    rule: &CertificateRule,
    at: Cursor<'_>,
    files: &mut Files,
    report: &mut Report,
) -> Option<engine::CertificateAccept> {
    let fields = [&rule.spiffe, &rule.dns, &rule.uri, &rule.subject];
    let given = fields.iter().filter(|field| field.is_some()).count();
    if given + usize::from(rule.fingerprints.is_some()) != 1 {
        report.error(
            "certificate-rule",
            at.span(),
            "a rule has exactly one of `spiffe`, `dns`, `uri`, `subject` and `fingerprints`",
            "write a rule for each: a certificate gets the roles and permissions of all that match",
        );
        return None;
    }
    let mut check = |field: &str, text: &str, checked: Result<(), &str>, help: &str| {
        if let Err(problem) = checked {
            let message = format!("`{text}` {problem}");
            report.error("certificate-pattern", at.get(field).span(), message, help);
        }
    };
    if let Some(pattern) = &rule.spiffe {
        let help = "write such as `spiffe://example.org/ns/*/sa/web`: `*` is one segment, `/**` at the end all below";
        check("spiffe", pattern, check_spiffe_pattern(pattern), help);
        return Some(engine::CertificateAccept::Spiffe(pattern.clone()));
    }
    if let Some(name) = &rule.dns {
        let help = "write such as `till-7.example.com`, or `*.tills.example.com` for all names below";
        check("dns", name, check_dns(name), help);
        return Some(engine::CertificateAccept::Dns(name.clone()));
    }
    let filled = |text: &str| if text.is_empty() { Err("is empty") } else { Ok(()) };
    if let Some(uri) = &rule.uri {
        check("uri", uri, filled(uri), "write the whole URI as it stands in the certificate");
        return Some(engine::CertificateAccept::Uri(uri.clone()));
    }
    if let Some(subject) = &rule.subject {
        check(
            "subject",
            subject,
            filled(subject),
            "write what `openssl x509 -nameopt RFC2253 -subject` prints",
        );
        return Some(engine::CertificateAccept::Subject(subject.clone()));
    }
    let list = rule.fingerprints.as_ref()?;
    let (digests, clients) = fingerprints(list, at.get("fingerprints"), files, report);
    Some(engine::CertificateAccept::Fingerprints { digests, clients })
}

/// The digests in order, in the form of the plan, and the client of each if any has a name.
fn fingerprints(
    list: &Fingerprints,
    at: Cursor<'_>,
    files: &mut Files,
    report: &mut Report,
) -> (String, Vec<String>) {
    const HELP: &str = "write what `openssl x509 -noout -fingerprint -sha256` prints behind the `=`";
    let mut found: Vec<(Fingerprint, String)> = Vec::new();
    match list {
        Fingerprints::Inline(written) => {
            for (index, text) in written.iter().enumerate() {
                match read_fingerprint(text) {
                    Some(digest) => found.push((digest, String::new())),
                    None => {
                        let message =
                            format!("`{}` is not SHA-256 in hexadecimal", crate::yaml::shorten(text));
                        report.error("fingerprint-malformed", at.item(index).span(), message, HELP);
                    }
                }
            }
        }
        Fingerprints::File(file) => {
            let text = match files.read_text(file.as_str(), MAX_FILE_BYTES) {
                Ok(text) => text,
                Err(problem) => {
                    report.error(problem.code, at.span(), problem.message, problem.help);
                    return Default::default();
                }
            };
            for (number, line) in text.lines().enumerate() {
                let line = line.trim();
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                let (digest, client) = line.split_once([' ', '\t']).unwrap_or((line, ""));
                let client = client.trim();
                let place = format!("`{file}` line {}", number + 1);
                if client.len() > 256 || client.chars().any(char::is_control) {
                    let message = format!(
                        "{place}: the client's name is longer than 256 bytes, or has control characters"
                    );
                    report.error("fingerprint-malformed", at.span(), message, "give it a shorter name");
                }
                match read_fingerprint(digest) {
                    Some(digest) => found.push((digest, client.to_owned())),
                    None => {
                        let message = format!(
                            "{place}: `{}` is not SHA-256 in hexadecimal",
                            crate::yaml::shorten(digest)
                        );
                        report.error("fingerprint-malformed", at.span(), message, HELP);
                        // One of many lines: a file of another kind would fill the screen.
                        break;
                    }
                }
            }
        }
    }
    if found.is_empty() && !report.failed() {
        let help = "add fingerprints, or leave the rule out";
        report.warning(
            "fingerprints-empty",
            at.span(),
            "there is no fingerprint, so this accepts nobody",
            help,
        );
    }
    if found.len() > MAX_FINGERPRINTS {
        let message = format!("there are {} fingerprints, the most is {MAX_FINGERPRINTS}", found.len());
        report.error(
            "fingerprints-too-many",
            at.span(),
            message,
            "accept certificates by their names instead",
        );
    }
    found.sort();
    let twin = found.iter().zip(found.iter().skip(1)).find(|((a, _), (b, _))| a == b);
    if let Some(((digest, _), _)) = twin {
        let shown = bartizan_engine::authentication::certificates::shown_fingerprint(digest);
        let message = format!("the fingerprint `{}...` is there twice", shown.get(..16).unwrap_or_default());
        report.error("listed-twice", at.span(), message, "remove one of them");
        found.dedup_by(|(a, _), (b, _)| a == b);
    }
    let (digests, mut clients): (Vec<Fingerprint>, Vec<String>) = found.into_iter().unzip();
    if clients.iter().all(String::is_empty) {
        clients.clear();
    }
    (blob(&digests), clients)
}
