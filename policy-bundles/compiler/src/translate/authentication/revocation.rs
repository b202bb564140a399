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
    let tokens: Vec<&str> = input.bundle.authentication.jwt.iter().map(|jwt| jwt.name.as_str()).collect();
    let mut issuers = Issuers { methods, tokens, names: Vec::new(), said: Vec::new(), whole: input.whole };
    let list = read.map(|(list, tree)| columns(&list, Cursor::root(&tree), &mut issuers, report));
    Some(RevocationPlan { at: at.at(), require, list: list.unwrap_or_default(), feed })
}

/// One entry of any kind.
struct Entry<'e> {
    name: &'e str,
    issuer: Option<&'e Name>,
    until: Option<Moment>,
    before: Option<Moment>,
}

/// What only tokens have: an entry by it is about nobody where a method has no tokens.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    /// A moment at which it was issued.
    Moment,
    /// A name of its own: `jti`, `sid`.
    Name(&'static str),
    /// Whatever says who it is has a subject.
    Anything,
}

fn columns(file: &RevokedFile, at: Cursor<'_>, issuers: &mut Issuers<'_>, report: &mut Report) -> ListPlan {
    let mut issuers_before = Vec::new();
    for (issuer, entry) in &file.issuers.0 {
        let here = || at.get("issuers").key_of(issuer.as_str());
        let number = issuers.number(issuer, here, report);
        issuers.check(Some(issuer), Of::Moment, here, report);
        issuers_before.push((number.saturating_sub(1), entry.issued_before.seconds()));
    }
    if file.issued_before.is_some() {
        issuers.check(None, Of::Moment, || at.get("issued_before").span(), report);
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
    let tokens = names(tokens, Of::Name("jti"), at.get("tokens"), issuers, report);
    let sessions = file.sessions.iter().map(|session| match session {
        RevokedSession::Name(name) => Entry { name: name.as_str(), issuer: None, until: None, before: None },
        RevokedSession::Entry(entry) => Entry {
            name: entry.sid.as_str(),
            issuer: entry.issuer.as_ref(),
            until: entry.until,
            before: None,
        },
    });
    let sessions = names(sessions, Of::Name("sid"), at.get("sessions"), issuers, report);
    let subjects = file.subjects.iter().map(|subject| match subject {
        RevokedSubject::Name(name) => Entry { name: name.as_str(), issuer: None, until: None, before: None },
        RevokedSubject::Entry(entry) => Entry {
            name: entry.sub.as_str(),
            issuer: entry.issuer.as_ref(),
            until: entry.until,
            before: entry.issued_before,
        },
    });
    let subjects = names(subjects, Of::Anything, at.get("subjects"), issuers, report);
    ListPlan {
        issuers: std::mem::take(&mut issuers.names),
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
    /// The methods that take tokens.
    tokens: Vec<&'m str>,
    names: Vec<String>,
    /// What was said already: a list repeats few issuers many times.
    said: Vec<(Option<String>, Of)>,
    /// Whether no method was cut away.
    whole: bool,
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

    /// Reports an entry that revokes nothing, as only tokens have what it goes by. Whoever takes keys back by it would
    /// believe that they are gone.
    fn check(
        &mut self,
        issuer: Option<&Name>,
        of: Of,
        here: impl Fn() -> crate::diagnostic::Span,
        report: &mut Report,
    ) {
        let fits = match issuer {
            // Of a method that is not there was said that it is not.
            Some(name) => self.tokens.contains(&name.as_str()) || !self.methods.contains(&name.as_str()),
            None => !self.tokens.is_empty() || !self.whole,
        };
        let what = match of {
            Of::Anything => return,
            _ if fits => return,
            Of::Moment => "no time at which it was issued".to_owned(),
            Of::Name(claim) => format!("no `{claim}`"),
        };
        let key = (issuer.map(|name| name.as_str().to_owned()), of);
        if self.said.contains(&key) {
            return;
        }
        let who = issuer.map_or_else(
            || "there is no issuer of tokens, and any other credential".to_owned(),
            |name| format!("the method `{name}` takes no tokens, and what it takes"),
        );
        report.error(
            "revokes-nothing",
            here(),
            format!("{who} has {what}: this would revoke nothing"),
            "name whom to refuse under `subjects` without `issued_before`; a single API key is taken back with `revoked: true` in its entry",
        );
        self.said.push(key);
    }
}

fn names<'e>(
    entries: impl ExactSizeIterator<Item = Entry<'e>>,
    of: Of,
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
            let number = entry.issuer.map_or(0, |issuer| issuers.number(issuer, here, report));
            let (of, field) =
                if entry.before.is_some() { (Of::Moment, "issued_before") } else { (of, "issuer") };
            let written = || {
                let item = at.item(index);
                if entry.issuer.is_some() || field == "issued_before" {
                    item.get(field).span()
                } else {
                    item.span()
                }
            };
            issuers.check(entry.issuer, of, written, report);
            (entry.name, number, second(entry.until), second(entry.before))
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
