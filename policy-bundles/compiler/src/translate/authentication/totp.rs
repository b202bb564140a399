//! Second factors.

use bartizan_engine::authentication::sealed::{MAX_SEALED_TABLE_BYTES, Sealed, SealedError};
use bartizan_engine::authentication::totp::plan::{TableSource, TotpPlan};
use bartizan_engine::authentication::totp::{MAX_ATTEMPTS, MAX_REMEMBER_S, WINDOW_S};
use bartizan_spec::authentication::{Totp, Users};

use crate::diagnostic::{Report, Span};
use crate::files::Files;
use crate::suggest;
use crate::translate::headers;
use crate::yaml::Cursor;

/// Says where two factors have one table: whoever sees a code of one has seen that of the other. The filter takes each
/// code once over both, so nothing worse comes of it than codes that are refused.
pub(super) fn check_shared(factors: &[Totp], at: Cursor<'_>, report: &mut Report) {
    for (index, totp) in factors.iter().enumerate() {
        let same = factors.iter().take(index).find(|other| other.users == totp.users);
        if let Some(other) = same {
            report.warning(
                "factors-share-table",
                at.item(index).get("users").span(),
                format!(
                    "`{}` and `{}` have one table: a code that one took is used up for the other, and failed attempts count for both",
                    other.name, totp.name
                ),
                "name one factor at all of these routes, or give each a table with secrets of its own",
            );
        }
    }
}

/// Translates a factor; `methods` are the names of all methods of the bundle that say who it is, and `everywhere` of those
/// whose credentials are the same wherever they are used.
pub(super) fn translate(
    totp: &Totp,
    bundle: &str,
    (methods, everywhere): (&[String], &[String]),
    at: Cursor<'_>,
    files: &mut Files,
    report: &mut Report,
) -> TotpPlan {
    let of = whose(totp, methods, at, report);
    let header = totp.header.as_str();
    if headers::is_of_the_connection(header) || matches!(header, "host" | "cookie" | "authorization") {
        report.error(
            "header-protected",
            at.get("header").span(),
            format!("the header `{header}` has a meaning of its own and cannot carry a code"),
            "use a header of your own, such as `x-totp-code`",
        );
    }
    let attempts = at.get("attempts").span();
    let window_s = totp.attempts.period.whole_seconds().filter(|window| WINDOW_S.contains(window));
    if window_s.is_none() || totp.attempts.count as usize > MAX_ATTEMPTS {
        report.error(
            "attempts-out-of-bounds",
            attempts,
            format!("`{}` failed attempts are not counted exactly", totp.attempts),
            format!("the most is {MAX_ATTEMPTS}, in whole seconds from 30s to 1d: `5/5m`"),
        );
    }
    let remember = at.get("remember").span();
    let remember_s = totp.remember.whole_seconds().filter(|seconds| *seconds <= MAX_REMEMBER_S);
    if remember_s.is_none() {
        report.error(
            "remember-long",
            remember,
            format!("a code is not good for `{}`", totp.remember),
            "the most is `1h`, in whole seconds; for longer sessions ask the identity provider for the second factor",
        );
    }
    if remember_s.is_some_and(|seconds| seconds > 0)
        && let Some(name) = of.iter().find(|name| everywhere.contains(name))
    {
        report.warning(
            "remember-everywhere",
            remember,
            format!("the credentials of `{name}` are the same on every machine: one code lets all of them in for `{}`", totp.remember),
            "remove `remember`, or use a method whose tokens belong to one session",
        );
    }
    TotpPlan {
        name: totp.name.as_str().to_owned(),
        at: at.at(),
        methods: of,
        users: users(totp, bundle, at.get("users"), files, report),
        header: header.to_owned(),
        attempts: totp.attempts.count,
        window_s: window_s.unwrap_or(*WINDOW_S.start()),
        remember_s: remember_s.unwrap_or_default(),
    }
}

/// The methods whose subjects are in the table. Names alone say nothing: `alice` of another issuer is somebody else.
fn whose(totp: &Totp, methods: &[String], at: Cursor<'_>, report: &mut Report) -> Vec<String> {
    for (index, name) in totp.of.0.iter().enumerate() {
        if !methods.iter().any(|method| method == name.as_str()) {
            let help = suggest::remedy(name.as_str(), methods.iter().map(String::as_str), "methods");
            let message = format!("there is no method `{name}` that says who it is");
            report.error("unknown-method", at.get("of").item(index).span(), message, help);
        }
    }
    match (totp.of.0.as_slice(), methods) {
        ([], [only]) => vec![only.clone()],
        ([], []) => {
            report.error(
                "factor-of-nobody",
                at.get("name").span(),
                format!("the second factor `{}` has no first one", totp.name),
                "add a method that says who it is, such as `jwt` or `basic`",
            );
            Vec::new()
        }
        ([], _) => {
            report.error(
                "factor-of-whom",
                at.get("name").span(),
                format!(
                    "there are several methods, and the table of `{}` does not say whose subjects it names",
                    totp.name
                ),
                "add `of:` with the method, or with several whose subjects are the same people",
            );
            Vec::new()
        }
        (of, _) => of.iter().map(|name| name.as_str().to_owned()).collect(),
    }
}

fn users(totp: &Totp, bundle: &str, at: Cursor<'_>, files: &mut Files, report: &mut Report) -> TableSource {
    let (jwe, key, here) = match &totp.users {
        Users::Env { env } => return TableSource::Env { env: env.as_str().to_owned() },
        Users::Sealed { sealed, key } => (sealed.as_str().to_owned(), key, at.key_of("sealed")),
        Users::File { file, key } => {
            let here = at.get("file").span();
            // A character more than what is sealed has: the line ends.
            let most = MAX_SEALED_TABLE_BYTES as u64 + 2;
            let text = files.read_text(file.as_str(), most).unwrap_or_else(|problem| {
                report.error(problem.code, here, problem.message, problem.help);
                String::new()
            });
            // It may be the table itself, in clear.
            files.hide(file.as_str());
            (text.trim_end().to_owned(), key, here)
        }
    };
    if !jwe.is_empty() || matches!(totp.users, Users::Sealed { .. }) {
        check(&jwe, bundle, totp.name.as_str(), here, report);
    }
    TableSource::Sealed { jwe, key_env: key.env.as_str().to_owned() }
}

/// What is sealed says for what, and the filter opens it for nothing else.
fn check(jwe: &str, bundle: &str, name: &str, here: Span, report: &mut Report) {
    let Err(error) = Sealed::read_table(jwe, bundle, name) else { return };
    let place = format!("{bundle}/{name}");
    match (error, Sealed::party(jwe)) {
        (SealedError::ForAnother, Some(party)) => report.error(
            "sealed-for-another",
            here,
            format!("this table was sealed for {party:?}, and is that of `{place}` here"),
            format!("seal it anew: `bartizan seal --table --for {place} --to KEY.pub`"),
        ),
        _ => report.error(
            "sealed-malformed",
            here,
            "this is not a sealed table as the filter opens them",
            format!("write here what `bartizan seal --table --for {place} --to KEY.pub` prints"),
        ),
    }
}
