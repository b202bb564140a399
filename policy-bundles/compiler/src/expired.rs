//! What has come to its end: nothing is wrong with it, and it is of no more use.

use bartizan_engine::authentication::api_keys::plan::ApiKeysPlan;

use crate::diagnostic::{Diagnostic, Severity, Span};

/// A warning of the keys of a table that have expired, if there are any. Those that are revoked were meant to be kept.
pub(crate) fn keys(table: &ApiKeysPlan, now: u64) -> Option<Diagnostic> {
    let period = |index: &u32| usize::try_from(*index).ok().and_then(|index| table.keys.periods.get(index));
    let is_over =
        |index: &u32| period(index).is_some_and(|p| !p.revoked && p.expires.is_some_and(|end| end <= now));
    let mut clients = table
        .keys
        .clients
        .split('\n')
        .zip(&table.keys.period)
        .filter(|(_, index)| is_over(index))
        .map(|(client, _)| client);
    let first = clients.next()?;
    let message = match clients.count() {
        0 => format!("a key of `{}` has expired: that of `{first}`", table.name),
        more => format!(
            "{} keys of `{}` have expired, one of them that of `{first}`",
            more.saturating_add(1),
            table.name
        ),
    };
    let (file, line) = table.at.rsplit_once(':')?;
    Some(Diagnostic {
        file: file.to_owned(),
        span: Span { line: line.parse().ok()?, column: 1, length: 1, file: 0 },
        severity: Severity::Warning,
        code: "key-expired",
        message,
        help: "remove the entries, or give the clients new keys: `bartizan api-key new --client NAME`"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    #[test]
    fn keys_that_have_expired_are_told_by_whoever_knows_the_time() {
        let hash = |n: u8| format!("sha256:{}", format!("{n:02x}").repeat(32));
        let files = BTreeMap::from([
            ("bundle.yaml".to_owned(), b"apiVersion: bartizan/v1\nname: t\nauthentication:\n  api_keys: [{name: devices, keys: k.yaml}]\nroutes: [{path: /, access: authenticated}]\n".to_vec()),
            ("k.yaml".to_owned(), format!(
                "keys:\n  - {{hash: \"{}\", client: a, expires: 1970-01-01T00:01:40Z}}\n  - {{hash: \"{}\", client: b, expires: 1970-01-01T00:01:41Z}}\n  - {{hash: \"{}\", client: c, expires: 1970-01-01T00:00:01Z, revoked: true}}\n  - {{hash: \"{}\", client: d}}\n",
                hash(1), hash(2), hash(3), hash(4)
            ).into_bytes()),
        ]);
        let told = |now| {
            let mut compiled = crate::compile_files(files.clone());
            compiled.warn_of_time(now);
            compiled.render(false)
        };
        assert_eq!(told(99), "");
        assert!(
            told(100).contains(
                "warning[key-expired]: a key of `devices` has expired: that of `a`\n --> bundle.yaml:4:1\n"
            ),
            "{}",
            told(100)
        );
        assert!(told(101).contains("2 keys of `devices` have expired, one of them that of `a`"));
    }
}
