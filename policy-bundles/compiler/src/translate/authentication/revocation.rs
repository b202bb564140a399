//! What was revoked: from a file of entries to columns.

use bartizan_engine::authentication::revocation::MAX_NAMES;
use bartizan_engine::authentication::revocation::plan::{ListPlan, NamesPlan, RevocationPlan};
use bartizan_engine::feeds::plan::ContentKind;
use bartizan_spec::authentication::revocation::{
    Revoked, RevokedFile, RevokedSession, RevokedSubject, RevokedToken,
};
use bartizan_spec::schema::revoked_file_schema;
use bartizan_spec::text::Name;
use bartizan_spec::time::Moment;

use super::super::{Input, data};
use super::places::twice;
use super::remote::Feeds;
use crate::diagnostic::Report;
use crate::files::Files;
use crate::suggest;
use crate::yaml::Cursor;

/// `methods` are the names of all methods.
pub(super) fn translate(
    input: &Input<'_>,
    methods: &[&str],
    feeds: &mut Feeds,
    files: &mut Files,
    report: &mut Report,
) -> Option<RevocationPlan> {
    let at = input.root().get("authentication").get("revoked");
    let revoked = input.bundle.authentication.revoked.as_ref()?;
    let (mut require, mut feed, mut here) = (Vec::new(), None, at);
    if let Revoked::Lists(lists) = revoked {
        twice(&lists.require, at.get("require"), "claim", report);
        require = lists.require.iter().map(|claim| claim.name().to_owned()).collect();
        if let Some(remote) = &lists.remote {
            feed = Some(feeds.place(remote, ContentKind::Revocations, "revoked", at.get("remote"), report));
        }
        here = at.get("file");
        if lists.file.is_none() && lists.remote.is_none() {
            let help = "write `file: data/revoked.yaml`, or `remote: {cluster: ..., uri: ...}`";
            report.error("no-list", at.span(), "`revoked` names no list", help);
        }
    }
    let read = revoked.file().and_then(|file| {
        data::read::<RevokedFile>(file.as_str(), &revoked_file_schema(), here.span(), files, report)
    });
    let list = read.map(|(list, tree)| columns(&list, Cursor::root(&tree), methods, report));
    Some(RevocationPlan { at: at.at(), require, list: list.unwrap_or_default(), feed })
}

/// One entry of any kind.
struct Entry<'e> {
    name: &'e str,
    issuer: Option<&'e Name>,
    until: Option<Moment>,
    before: Option<Moment>,
}

fn columns(file: &RevokedFile, at: Cursor<'_>, methods: &[&str], report: &mut Report) -> ListPlan {
    let mut issuers = Issuers { methods, names: Vec::new() };
    let mut issuers_before = Vec::new();
    for (issuer, entry) in &file.issuers.0 {
        let here = at.get("issuers").key_of(issuer.as_str());
        let number = issuers.number(issuer, || here, report);
        issuers_before.push((number.saturating_sub(1), entry.issued_before.seconds()));
    }
    let tokens = file.tokens.iter().map(|token| match token {
        RevokedToken::Name(name) => Entry { name: name.as_str(), issuer: None, until: None, before: None },
        RevokedToken::Entry(entry) => Entry {
            name: entry.jti.as_str(),
            issuer: entry.issuer.as_ref(),
            until: entry.until,
            before: None,
        },
    });
    let tokens = names(tokens, at.get("tokens"), &mut issuers, report);
    let sessions = file.sessions.iter().map(|session| match session {
        RevokedSession::Name(name) => Entry { name: name.as_str(), issuer: None, until: None, before: None },
        RevokedSession::Entry(entry) => Entry {
            name: entry.sid.as_str(),
            issuer: entry.issuer.as_ref(),
            until: entry.until,
            before: None,
        },
    });
    let sessions = names(sessions, at.get("sessions"), &mut issuers, report);
    let subjects = file.subjects.iter().map(|subject| match subject {
        RevokedSubject::Name(name) => Entry { name: name.as_str(), issuer: None, until: None, before: None },
        RevokedSubject::Entry(entry) => Entry {
            name: entry.sub.as_str(),
            issuer: entry.issuer.as_ref(),
            until: entry.until,
            before: entry.issued_before,
        },
    });
    let subjects = names(subjects, at.get("subjects"), &mut issuers, report);
    ListPlan {
        issuers: issuers.names,
        issued_before: file.issued_before.map(Moment::seconds),
        issuers_before,
        tokens,
        sessions,
        subjects,
    }
}

/// The issuers that entries speak of, in the order they came.
struct Issuers<'m> {
    methods: &'m [&'m str],
    names: Vec<String>,
}

impl Issuers<'_> {
    /// The number of an issuer, counted from one.
    fn number(
        &mut self,
        issuer: &Name,
        here: impl Fn() -> crate::diagnostic::Span,
        report: &mut Report,
    ) -> u32 {
        let at = self.names.iter().position(|name| name == issuer.as_str()).unwrap_or_else(|| {
            if !self.methods.contains(&issuer.as_str()) {
                report.error(
                    "unknown-method",
                    here(),
                    format!("there is no method `{issuer}` under `authentication`"),
                    suggest::remedy(issuer.as_str(), self.methods.iter().copied(), "methods"),
                );
            }
            self.names.push(issuer.as_str().to_owned());
            self.names.len().saturating_sub(1)
        });
        u32::try_from(at).unwrap_or(u32::MAX).saturating_add(1)
    }
}

fn names<'e>(
    entries: impl ExactSizeIterator<Item = Entry<'e>>,
    at: Cursor<'_>,
    issuers: &mut Issuers<'_>,
    report: &mut Report,
) -> NamesPlan {
    let count = entries.len();
    if count > MAX_NAMES {
        let message = format!("{count} entries, the most is {MAX_NAMES}");
        let help = "remove those that do not matter any more, or write `issued_before`";
        report.error("too-many-revoked", at.key(), message, help);
    }
    // 0 stands for what was not said, and 1970 is as good one second later.
    let second = |moment: Option<Moment>| moment.map_or(0, |moment| moment.seconds().max(1));
    let mut rows: Vec<(&str, u32, u64, u64)> = entries
        .enumerate()
        .map(|(index, entry)| {
            let here = || at.item(index).get("issuer").span();
            let issuer = entry.issuer.map_or(0, |issuer| issuers.number(issuer, here, report));
            (entry.name, issuer, second(entry.until), second(entry.before))
        })
        .collect();
    rows.sort_unstable();
    // The same twice says nothing more than once.
    rows.dedup();
    let column = |some: bool, list: Vec<u64>| if some { list } else { Vec::new() };
    NamesPlan {
        count: u32::try_from(rows.len()).unwrap_or(u32::MAX),
        names: rows.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join("\n"),
        issuer: if rows.iter().any(|row| row.1 != 0) {
            rows.iter().map(|row| row.1).collect()
        } else {
            Vec::new()
        },
        until: column(rows.iter().any(|row| row.2 != 0), rows.iter().map(|row| row.2).collect()),
        before: column(rows.iter().any(|row| row.3 != 0), rows.iter().map(|row| row.3).collect()),
    }
}
