//! Header edits.

use bartizan_engine::headers::plan::{EditsPlan, HeadersPlan};
use bartizan_spec::headers::{HeaderEdits, HeaderProfile};

use super::{Input, authentication, profiles};
use crate::diagnostic::Report;
use crate::yaml::Cursor;

/// Headers that belong to one connection (RFC 9110, section 7.6.1) or frame the message: editing them is how
/// requests are smuggled.
const CONNECTION: [&str; 11] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// Whether a header is the connection's own, and no policy's.
pub(super) fn is_of_the_connection(name: &str) -> bool {
    CONNECTION.contains(&name)
}

pub(super) fn translate(input: &Input<'_>, report: &mut Report) -> HeadersPlan {
    let headers = &input.bundle.headers;
    let at = input.root().get("headers");
    let request = edits(&headers.request, at.get("request"), report);
    let mut response = edits(&headers.response, at.get("response"), report);
    for name in ["host", "authorization"] {
        if request.set.iter().chain(&request.add).any(|(n, _)| n == name) && name == "host" {
            report.error(
                "header-protected",
                at.get("request").get("set").key_of(name),
                "`host` cannot be edited by a policy",
                "routing belongs to the proxy: use its host rewrite",
            );
        }
    }
    check_identity(input, &request, report);
    let profile = match headers.profile {
        HeaderProfile::Strict => profiles::STRICT,
        HeaderProfile::Api => profiles::API,
        HeaderProfile::None => return HeadersPlan { request, response },
    };
    for (name, value) in profile {
        let own = |list: &[(String, String)]| list.iter().any(|(n, _)| n == name);
        // What the policy says itself about a header stands against the profile, taking away included.
        if !own(&response.set) && !response.remove.iter().any(|n| n == name) {
            response.set.push(((*name).to_owned(), (*value).to_owned()));
        }
    }
    for name in profiles::REMOVED {
        if !response.set.iter().chain(&response.add).any(|(n, _)| n == name) {
            response.remove.push((*name).to_owned());
        }
    }
    response.set.sort();
    response.remove.sort();
    response.remove.dedup();
    HeadersPlan { request, response }
}

fn edits(edits: &HeaderEdits, at: Cursor<'_>, report: &mut Report) -> EditsPlan {
    for (index, name) in edits.remove.iter().enumerate() {
        let here = at.get("remove").item(index);
        refuse_connection(name.as_str(), here, report);
        for (list, other) in [("set", &edits.set.0), ("add", &edits.add.0)] {
            if other.contains_key(name) {
                let help = if list == "set" {
                    "`set` alone replaces whatever is there".to_owned()
                } else {
                    format!("use `set` to replace whatever is there, or only one of `remove` and `{list}`")
                };
                let message = format!("the header `{name}` is both in `remove` and in `{list}`");
                report.error("header-twice", here.span(), message, help);
            }
        }
        if edits.remove.iter().take(index).any(|other| other == name) {
            let message = format!("the header `{name}` is listed twice");
            report.error("header-twice", here.span(), message, "remove one of them");
        }
    }
    for (list, values) in [("set", &edits.set.0), ("add", &edits.add.0)] {
        for name in values.keys() {
            refuse_connection(name.as_str(), at.get(list).get(name.as_str()), report);
        }
    }
    for name in edits.add.0.keys().filter(|name| edits.set.0.contains_key(name)) {
        report.error(
            "header-twice",
            at.get("add").key_of(name.as_str()),
            format!("the header `{name}` is both in `set` and in `add`"),
            "keep one of them",
        );
    }
    let pairs = |map: &std::collections::BTreeMap<_, _>| {
        map.iter()
            .map(|(name, value): (&bartizan_spec::text::HeaderName, &bartizan_spec::text::HeaderValue)| {
                (name.as_str().to_owned(), value.as_str().to_owned())
            })
            .collect()
    };
    let mut remove: Vec<String> = edits.remove.iter().map(|name| name.as_str().to_owned()).collect();
    remove.sort();
    EditsPlan { remove, set: pairs(&edits.set.0), add: pairs(&edits.add.0) }
}

fn refuse_connection(name: &str, at: Cursor<'_>, report: &mut Report) {
    if is_of_the_connection(name) {
        report.error(
            "header-protected",
            at.key(),
            format!("`{name}` belongs to the connection and cannot be edited"),
            "remove the line; the proxy takes care of such headers",
        );
    }
}

/// What upstream is told about the identity must come from the token and from nowhere else.
fn check_identity(input: &Input<'_>, request: &EditsPlan, report: &mut Report) {
    let at = input.root().get("headers").get("request");
    let all = authentication::forwarded(input.bundle);
    let forwarded = |name: &str| all.contains(name);
    let edited = [("set", &request.set), ("add", &request.add)];
    let named =
        edited.iter().flat_map(|(list, pairs)| pairs.iter().map(move |(name, _)| (*list, name.as_str())));
    for (list, name) in named {
        if forwarded(name) {
            report.error(
                "header-identity",
                at.get(list).key_of(name),
                format!("the header `{name}` carries a claim of the token, and is edited here as well"),
                "give one of the two another name",
            );
        }
    }
    for (index, name) in input.bundle.headers.request.remove.iter().enumerate() {
        if forwarded(name.as_str()) {
            report.error(
                "header-identity",
                at.get("remove").item(index).span(),
                format!("the header `{name}` carries a claim of the token, and is removed here"),
                "remove this line: what a client sends under this name never reaches upstream anyway",
            );
        }
    }
}
