//! Users with passwords: from a file of YAML, or of lines as `htpasswd` writes them.

use std::collections::{BTreeMap, BTreeSet};

use bartizan_engine::authentication::basic::most_per_second;
use bartizan_engine::authentication::basic::plan::BasicPlan;
use bartizan_engine::authentication::basic::users::{COSTS, Hash, HashError};
use bartizan_spec::authentication::Basic;
use bartizan_spec::text::{Grant, RoleName};

use super::super::Input;
use crate::diagnostic::{Report, Span};
use crate::files::Files;
use crate::suggest;
use crate::yaml::{Cursor, Meaning, Node, Scalar, Value, load_file};

/// The largest file of users.
const MAX_USERS_BYTES: u64 = 1024 * 1024;

/// The most users: more belong to an identity provider.
const MAX_USERS: usize = 5000;

/// How many passwords a worker verifies in a second where nothing is said, if that is not too much work.
const CHECKS_PER_SECOND: u64 = 2;

/// What a verification takes at a cost of 10 in the module, in milliseconds; each step of the cost doubles it.
/// Measured; see docs/identity/basic.md.
const MS_AT_TEN: u64 = 200;

/// How much of a worker's second strangers may take with wrong passwords before it is worth a warning, in milliseconds.
const TOLERABLE_MS: u64 = 500;

/// One user as written.
struct User {
    name: String,
    hash: String,
    cost: u32,
    roles: Vec<String>,
    permissions: Vec<String>,
}

pub(super) fn translate(
    input: &Input<'_>,
    basic: &Basic,
    at: Cursor<'_>,
    files: &mut Files,
    report: &mut Report,
) -> BasicPlan {
    let here = at.get("users").span();
    let users = read(basic.users.as_str(), &input.names.roles, here, files, report);
    let forward = at.get("forward").get("headers");
    for (header, claim) in &basic.forward.headers.0 {
        if !matches!(claim.as_str(), "sub" | "roles" | "permissions") {
            report.error(
                "unknown-claim",
                forward.get(header.as_str()).span(),
                format!("users with passwords have no claim `{claim}`"),
                "the claims are `sub`, `roles` and `permissions`",
            );
        }
    }
    let checks_per_second = checks(basic, &users, at, report);
    let mut plan = BasicPlan {
        name: basic.name.as_str().to_owned(),
        at: at.at(),
        realm: basic.realm.as_str().to_owned(),
        users: Vec::new(),
        hashes: Vec::new(),
        roles: Vec::new(),
        permissions: Vec::new(),
        checks_per_second,
        forward_credentials: basic.forward_credentials,
        forward_claims: basic
            .forward
            .headers
            .0
            .iter()
            .map(|(header, claim)| (header.as_str().to_owned(), claim.as_str().to_owned()))
            .collect(),
    };
    for user in users {
        plan.users.push(user.name);
        plan.hashes.push(user.hash);
        plan.roles.push(user.roles);
        plan.permissions.push(user.permissions);
    }
    plan
}

/// How many passwords a worker verifies in a second. Says how long wrong ones may keep it busy, if that is much of its time;
/// beyond what the filter allows is a mistake.
fn checks(basic: &Basic, users: &[User], at: Cursor<'_>, report: &mut Report) -> u32 {
    let cost = users.iter().map(|user| user.cost).max().unwrap_or(*COSTS.start());
    let most = most_per_second(cost);
    let checks = basic.checks_per_second.map_or(CHECKS_PER_SECOND.min(most), u64::from);
    let each = if cost >= 10 { MS_AT_TEN << (cost - 10).min(8) } else { MS_AT_TEN >> (10 - cost).min(8) };
    let busy = each.saturating_mul(checks);
    if checks > most {
        report.error(
            "password-work",
            at.get("checks_per_second").span(),
            format!(
                "{checks} passwords of cost {cost} would keep a worker busy for {busy} ms of each second, in which it serves nobody else"
            ),
            format!("write at most {most}, or hash random passwords with a lower cost: `bartizan password hash --cost 8`"),
        );
    } else if busy > TOLERABLE_MS {
        report.warning(
            "password-slow",
            at.get("users").span(),
            format!(
                "a password of cost {cost} takes about {each} ms of a worker, in which it serves nobody else"
            ),
            "hash random passwords with a lower cost: `bartizan password hash --cost 8`",
        );
    }
    u32::try_from(checks).unwrap_or(u32::MAX)
}

fn read(
    file: &str,
    roles: &BTreeMap<String, Span>,
    here: Span,
    files: &mut Files,
    report: &mut Report,
) -> Vec<User> {
    let text = match files.read_text(file, MAX_USERS_BYTES) {
        Ok(text) => text,
        Err(problem) => {
            report.error(problem.code, here, problem.message, problem.help);
            return Vec::new();
        }
    };
    // What stands there may be a password that somebody forgot to hash.
    files.hide(file);
    let number = report.add_file(file.to_owned());
    let mut users =
        Users { list: Vec::new(), names: BTreeSet::new(), roles, unknown: BTreeSet::new(), empty: true };
    if file.ends_with(".yaml") || file.ends_with(".yml") {
        users.yaml(file, number, &text, report);
    } else {
        users.lines(number, &text, report);
    }
    if users.empty {
        report.error(
            "users-empty",
            here,
            format!("`{file}` has no users"),
            "add one: `bartizan password hash --user NAME`",
        );
    }
    if users.list.len() > MAX_USERS {
        let message = format!("`{file}` has {} users, the most is {MAX_USERS}", users.list.len());
        report.error("users-too-many", here, message, "take an identity provider for so many");
    }
    users.list
}

struct Users<'r> {
    list: Vec<User>,
    names: BTreeSet<String>,
    /// The roles of the bundle.
    roles: &'r BTreeMap<String, Span>,
    /// Roles that the bundle does not have, once said.
    unknown: BTreeSet<String>,
    /// Whether there is nothing at all, not even a mistake.
    empty: bool,
}

impl Users<'_> {
    /// Lines of `name:hash`; what begins with `#` is a comment.
    fn lines(&mut self, file: u16, text: &str, report: &mut Report) {
        for (line, number) in text.lines().zip(1..) {
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            self.empty = false;
            let span = Span { line: number, column: 1, length: 1, file };
            match line.split_once(':') {
                Some((name, hash)) => self.add(name, hash, Vec::new(), Vec::new(), span, report),
                None => report.error(
                    "users-malformed",
                    span,
                    "a line without a colon",
                    "write `name:hash`, as `bartizan password hash --user NAME` prints it",
                ),
            }
        }
    }

    fn yaml(&mut self, file: &str, number: u16, text: &str, report: &mut Report) {
        let Some(tree) = load_file(file, number, text, report) else {
            // What is wrong was said.
            self.empty = false;
            return;
        };
        let root = Cursor::root(&tree);
        self.empty = false;
        if tree.keys().any(|key| key.text != "users") || tree.get("users").is_none() {
            malformed(root.span(), report);
            return;
        }
        let Some(Node { value: Value::Map(users), .. }) = tree.get("users") else {
            malformed(root.key_of("users"), report);
            return;
        };
        self.empty = users.is_empty();
        for (key, node) in users {
            let Value::Map(members) = &node.value else {
                malformed(key.span, report);
                continue;
            };
            if let Some((unknown, _)) =
                members.iter().find(|(key, _)| !matches!(&*key.text, "password" | "roles" | "permissions"))
            {
                malformed(unknown.span, report);
                continue;
            }
            let Some(hash) = node.get("password").and_then(text_of) else {
                malformed(node.get("password").map_or(key.span, |node| node.span), report);
                continue;
            };
            let is_role = |text: &str| text.parse::<RoleName>().map(|_| ());
            let roles = words(node.get("roles"), "role", is_role, report);
            let is_grant = |text: &str| text.parse::<Grant>().map(|_| ());
            let permissions = words(node.get("permissions"), "permission", is_grant, report);
            self.known_roles(&key.text, &roles, report);
            let plain = |words: Vec<(String, Span)>| words.into_iter().map(|(word, _)| word).collect();
            let (roles, permissions) = (plain(roles), plain(permissions));
            let span = node.get("password").map_or(key.span, |node| node.span);
            if let Err(problem) = usable(&key.text) {
                report.error("users-malformed", key.span, problem, NAME_HELP);
                continue;
            }
            self.add(&key.text, hash, roles, permissions, span, report);
        }
    }

    /// A role that is defined later would grant at once to whoever has its name by mistake.
    fn known_roles(&mut self, user: &str, roles: &[(String, Span)], report: &mut Report) {
        for (role, span) in roles {
            if !self.roles.contains_key(role) && self.unknown.insert(role.clone()) {
                report.error(
                    "unknown-role",
                    *span,
                    format!("there is no role `{role}`, which `{user}` has"),
                    suggest::remedy(role, self.roles.keys().map(String::as_str), "roles"),
                );
            }
        }
    }

    fn add(
        &mut self,
        name: &str,
        hash: &str,
        roles: Vec<String>,
        permissions: Vec<String>,
        span: Span,
        report: &mut Report,
    ) {
        if let Err(problem) = usable(name) {
            report.error("users-malformed", span, problem, NAME_HELP);
            return;
        }
        let cost = match Hash::read(hash) {
            Ok(read) => read.cost(),
            // The message has no word of the hash: it is half a secret.
            Err(HashError::Malformed) => {
                report.error(
                    "password-hash",
                    span,
                    format!("the password of `{name}` is not a bcrypt hash of the form `$2b$10$...`, or `$2a$` or `$2y$`"),
                    "make one with `bartizan password hash`, or `htpasswd -B`",
                );
                return;
            }
            Err(HashError::Cost(cost)) => {
                report.error(
                    "password-cost",
                    span,
                    format!("the password of `{name}` is hashed with a cost of {cost}"),
                    format!(
                        "hash it with one of {} to {}: more keeps the proxy's worker busy, less is guessed",
                        COSTS.start(),
                        COSTS.end()
                    ),
                );
                return;
            }
        };
        if !self.names.insert(name.to_owned()) {
            report.error("users-twice", span, format!("there are two users `{name}`"), "remove one of them");
            return;
        }
        self.list.push(User { name: name.to_owned(), hash: hash.to_owned(), cost, roles, permissions });
    }
}

const NAME_HELP: &str = "a name has 1 to 256 bytes without colons and control characters";

fn usable(name: &str) -> Result<(), String> {
    let good = (1..=256).contains(&name.len()) && !name.chars().any(|c| c.is_control() || c == ':');
    if good { Ok(()) } else { Err(format!("{name:?} is not the name of a user")) }
}

fn malformed(span: Span, report: &mut Report) {
    report.error(
        "users-malformed",
        span,
        "this is not a file of users",
        "write `users: {alice: {password: \"$2b$10$...\", roles: [viewer], permissions: [device:read]}}`",
    );
}

fn text_of(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Scalar(Scalar { text, meaning: Meaning::Text }) => Some(text),
        _ => None,
    }
}

fn words(
    list: Option<&Node>,
    what: &str,
    check: impl Fn(&str) -> Result<(), bartizan_spec::text::Problem>,
    report: &mut Report,
) -> Vec<(String, Span)> {
    let Some(list) = list else { return Vec::new() };
    let Value::List(items) = &list.value else {
        malformed(list.span, report);
        return Vec::new();
    };
    let mut words: Vec<(String, Span)> = Vec::new();
    for item in items {
        match text_of(item).map(|text| (text, check(text))) {
            Some((text, Ok(()))) if words.iter().any(|(word, _)| word == text) => {
                let message = format!("this {what} is listed twice");
                report.error("listed-twice", item.span, message, "remove one of them");
            }
            Some((text, Ok(()))) => words.push((text.to_owned(), item.span)),
            Some((_, Err(problem))) => {
                report.error("users-malformed", item.span, problem.message, problem.help)
            }
            None => malformed(item.span, report),
        }
    }
    words
}
