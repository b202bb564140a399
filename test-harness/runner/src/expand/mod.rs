//! From what is written to what is run: defaults laid under, rows filled in, placeholders resolved.
//!
//! Works on plain values and reads them into typed requests last, so that a placeholder may stand
//! wherever a text may. Everything that can be wrong is found when the suite is loaded, before any run.

mod check;
mod fill;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value, json};

pub(crate) use self::check::idle;
use self::fill::substitute;
use crate::format::{Case, CaseError, Expect, Http, Octets, Only, Place, Request, Sign, Token, basic};
use crate::mint::{self, Mint};
use crate::wire::{self, Credentials, Wire};

/// One case, or one row of a table, ready to be run any number of times.
#[derive(Debug, Clone)]
pub struct Run {
    /// The case file, relative to the root it was found under.
    pub file: String,
    /// The name of the case.
    pub case: String,
    /// The row's values, if the case is a table.
    pub row: Option<String>,
    /// Where alone it runs.
    pub only: Option<Only>,
    /// The refusing case that the author named as the nearest.
    pub near: Option<String>,
    /// The requests, in order.
    pub steps: Vec<RunStep>,
}

/// A request and what must come of it, placeholders still in it.
#[derive(Debug, Clone)]
pub struct RunStep {
    /// How often it is sent; at least once.
    pub repeat: u32,
    /// How long to wait before.
    pub wait: Duration,
    request: Map<String, Value>,
    expect: Value,
}

/// A request as bytes, and what must come of it.
#[derive(Debug, Clone)]
pub struct Concrete {
    /// The request.
    pub wire: Wire,
    /// The expectation.
    pub expect: Expect,
}

/// Where a run happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// In the engine.
    Native,
    /// Through the module in a simulated Envoy.
    Simulated(Http),
    /// Through the module in a real Envoy.
    Envoy(Http),
}

impl Target {
    /// The place, whatever HTTP is spoken there.
    #[must_use]
    pub const fn place(self) -> Place {
        match self {
            Self::Native => Place::Native,
            Self::Simulated(_) => Place::Simulated,
            Self::Envoy(_) => Place::Envoy,
        }
    }

    /// The version of HTTP; the engine alone speaks none.
    #[must_use]
    pub const fn http(self) -> Option<Http> {
        match self {
            Self::Native => None,
            Self::Simulated(http) | Self::Envoy(http) => Some(http),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native => f.write_str("native"),
            Self::Simulated(http) => write!(f, "simulated over {http}"),
            Self::Envoy(http) => write!(f, "Envoy over {http}"),
        }
    }
}

impl Run {
    /// File, case and row, for messages.
    #[must_use]
    pub fn label(&self) -> String {
        match &self.row {
            Some(row) => format!("{}: {} [{row}]", self.file, self.case),
            None => format!("{}: {}", self.file, self.case),
        }
    }

    /// Whether a request of it comes with a client certificate.
    #[must_use]
    pub fn presents_certificates(&self) -> bool {
        self.steps.iter().any(|step| step.request.get("certificate").is_some_and(|it| !it.is_null()))
    }

    /// Whether it is meant for there.
    #[must_use]
    pub fn runs_on(&self, target: Target) -> bool {
        let Some(only) = &self.only else { return true };
        let place = only.run.as_ref().is_none_or(|places| places.has(target.place()));
        let http = only.http.is_none_or(|only| target.http().is_none_or(|http| http == only));
        place && http
    }
}

/// Why a run is left out where nobody sees what it expects.
const UNSEEN: &str = "`metrics` and `log` are seen simulated alone";

impl Run {
    /// Why it is left out there, if it is: the case says so, or it looks at what is not seen there and would pass
    /// whatever happened.
    #[must_use]
    pub fn left_out(&self, target: Target) -> Option<String> {
        if !self.runs_on(target) {
            return Some(self.only.as_ref().map(|only| only.because.clone()).unwrap_or_default());
        }
        let mut expectations = self.steps.iter().filter_map(|step| step.expectation().ok());
        let unseen = !matches!(target, Target::Simulated(_))
            && expectations.any(|expect| !expect.metrics.is_empty() || !expect.log.is_empty());
        unseen.then(|| UNSEEN.to_owned())
    }
}

impl RunStep {
    /// The request as bytes with tokens minted at `now` (seconds since the epoch), and the expectation.
    /// The number must be another for every run that shares state: subject and peer are made from it.
    ///
    /// # Errors
    /// If a token cannot be minted; everything else was checked when the suite was loaded.
    pub fn concrete(&self, number: u32, now: u64, mint: &Mint) -> Result<Concrete, String> {
        let token = |token: &Token, subject: &str| mint.token(token, now, subject);
        let (mut concrete, sign) = self.fill(number, now, &token, &|at| mint.nonce(at))?;
        if let Some(sign) = sign {
            mint.sign(&sign, now, &subject_of(number), &mut concrete.wire)?;
        }
        Ok(concrete)
    }

    fn fill(
        &self,
        number: u32,
        now: u64,
        mint: &dyn Fn(&Token, &str) -> Result<String, String>,
        nonce: &dyn Fn(u64) -> Result<String, String>,
    ) -> Result<(Concrete, Option<Sign>), String> {
        let subject = subject_of(number);
        let given = self.request.get("client").and_then(Value::as_str);
        let client = given.map_or_else(|| wire::peer_of(number).to_string(), str::to_owned);
        let ambient = |name: &str| match name {
            "subject" => Some(json!(subject)),
            "client" => Some(json!(client)),
            "visitor" => Some(json!(wire::visitor_of(number).to_string())),
            _ => mint::relative(name, now).filter(|_| name.starts_with("now")).map(|t| json!(t)),
        };
        let mut request = Value::Object(self.request.clone());
        let mut expect = self.expect.clone();
        // Tokens first, for the rest of the request may speak of them.
        let mut tokens = BTreeMap::new();
        if let Some(Value::Object(written)) = self.request.get("tokens") {
            for (name, token) in written {
                let mut token = token.clone();
                substitute(&mut token, &ambient);
                let token: Token = from_value(token, &format!("tokens.{name}"))?;
                tokens.insert(name.clone(), mint(&token, &subject)?);
            }
        }
        let all = |name: &str| {
            let token = name.strip_prefix("token.").and_then(|name| tokens.get(name));
            token.map(|token| json!(token)).or_else(|| ambient(name))
        };
        substitute(&mut request, &all);
        substitute(&mut expect, &all);
        let request: Request = from_value(request, "request")?;
        let made = credentials(&request, now, &|token| mint(token, &subject), nonce)?;
        let mut wire = wire::render(&request, number, made)?;
        wire.headers.extend(request.basic.as_deref().map(basic));
        wire.headers.extend(request.code.as_ref().map(|code| code.header(now)).transpose()?);
        Ok((Concrete { wire, expect: from_value(expect, "expect")? }, request.sign))
    }

    /// The step without a mint and at no certain moment, for all that does not depend on them.
    fn sketch(&self) -> Result<Concrete, String> {
        self.fill(0, 1_700_000_000, &|_, _| Ok("a.b.c".into()), &|_| Ok("n".into()))
            .map(|(concrete, _)| concrete)
    }

    /// The expectation as written.
    ///
    /// # Errors
    /// Never, once the suite is loaded.
    pub fn expectation(&self) -> Result<Expect, String> {
        self.sketch().map(|concrete| concrete.expect)
    }

    /// The names of its placeholders, but for those with which its tokens are made.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        let request = self.request.iter().filter(|(field, _)| *field != "tokens");
        request.map(|(_, value)| value).chain([&self.expect]).flat_map(fill::named).collect()
    }

    /// Method, host and path without the query, for telling which cases are neighbours.
    #[must_use]
    pub fn resource(&self) -> String {
        let method = self.request.get("method").and_then(Value::as_str).unwrap_or("GET");
        let path = match self.request.get("path") {
            Some(Value::String(path)) => path.split('?').next().unwrap_or_default().to_owned(),
            Some(other) => other.to_string(),
            None => "/".to_owned(),
        };
        let host = self.request.get("host").map(Value::to_string).unwrap_or_default();
        format!("{method} {host} {path}")
    }
}

/// Makes what a request shows: the token, bound to the key of the proof if there is one, and the proof for just this token.
///
/// # Errors
/// If something cannot be made as it is written.
pub fn credentials(
    request: &Request,
    now: u64,
    mint: &dyn Fn(&Token) -> Result<String, String>,
    nonce: &dyn Fn(u64) -> Result<String, String>,
) -> Result<Credentials, String> {
    let mut token = request.token.clone();
    if let (Some(token), Some(proof)) = (&mut token, &request.dpop)
        && let Some(cnf) = mint::proof::confirmation(proof)?
    {
        token.claims.entry("cnf".to_owned()).or_insert(cnf);
    }
    let token = token.as_ref().map(mint).transpose()?;
    let text = |octets: &Option<Octets>| {
        let bytes = octets.as_ref().map_or(Ok(Vec::new()), Octets::bytes)?;
        Ok::<_, String>(String::from_utf8_lossy(&bytes).into_owned())
    };
    let (host, path) = (text(&request.host)?, text(&request.path)?);
    let made_for = mint::proof::For {
        method: request.method.as_deref().unwrap_or("GET"),
        host: if host.is_empty() { "api.example.com" } else { &host },
        path: if path.is_empty() { "/" } else { &path },
        token: token.as_deref().unwrap_or_default(),
        now,
        nonce,
    };
    let proof = request.dpop.as_ref().map(|proof| mint::proof::make(proof, &made_for)).transpose()?;
    let certificate = request.certificate.as_ref();
    let certificate = certificate.map(|certificate| mint::certificate::make(certificate, now)).transpose()?;
    Ok(Credentials { token, proof, certificate })
}

/// Makes the runs of one case. `written` is the same case as plain values, `defaults` the suite's request.
pub(crate) fn expand(
    file: &str,
    case: &Case,
    written: &Value,
    defaults: &Map<String, Value>,
) -> Result<Vec<Run>, CaseError> {
    let problem = |what: String| CaseError::new(format!("{file}: {}", case.name), what);
    check::written(&object(Some(written))).map_err(problem)?;
    let request = object(written.get("request"));
    check::removals(defaults, &request).map_err(problem)?;
    let base = merge(defaults, &request);
    let expect = written.get("expect").cloned().unwrap_or_else(|| json!("allow"));
    if !case.rows.is_empty() && !case.steps.is_empty() {
        return Err(problem("rows and steps at once: write the steps out".into()));
    }
    let steps = if case.steps.is_empty() {
        vec![RunStep { repeat: 1, wait: Duration::ZERO, request: base, expect }]
    } else {
        let written = written.get("steps").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let mut steps = Vec::new();
        for (step, value) in case.steps.iter().zip(written) {
            let wait = step.wait.as_deref().map_or(Ok(Duration::ZERO), duration).map_err(problem)?;
            let request = object(value.get("request"));
            check::removals(&base, &request).map_err(problem)?;
            let request = merge(&base, &request);
            let expect = value.get("expect").cloned().unwrap_or_else(|| expect.clone());
            steps.push(RunStep { repeat: step.repeat.get(), wait, request, expect });
        }
        steps
    };
    let run = |row: Option<String>, steps: Vec<RunStep>| Run {
        file: file.to_owned(),
        case: case.name.clone(),
        row,
        only: case.only.clone(),
        near: case.near.clone(),
        steps,
    };
    let mut runs = Vec::new();
    if case.rows.is_empty() {
        runs.push(run(None, steps));
    } else {
        let rows = written.get("rows").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let mut labels = BTreeSet::new();
        for row in rows {
            let mut values = object(Some(row));
            let own = values.remove("expect");
            let mut filled = steps.clone();
            let mut used = BTreeSet::new();
            for step in &mut filled {
                if let Some(own) = &own {
                    step.expect = own.clone();
                }
                let mut request = Value::Object(std::mem::take(&mut step.request));
                used.append(&mut substitute(&mut request, &|name| values.get(name).cloned()));
                used.append(&mut substitute(&mut step.expect, &|name| values.get(name).cloned()));
                step.request = object(Some(&request));
            }
            if let Some(idle) = values.keys().find(|name| !used.contains(*name)) {
                return Err(problem(format!(
                    "the row's `{idle}` is used nowhere; write `${{{idle}}}` where it belongs"
                )));
            }
            let label = Value::Object(values).to_string();
            if !labels.insert(label.clone()) {
                return Err(problem(format!("two rows have the values {label}: take one away")));
            }
            runs.push(run(Some(label), filled));
        }
    }
    for run in &runs {
        check::run(run).map_err(problem)?;
    }
    check::tokens(&object(Some(written)), &runs).map_err(problem)?;
    Ok(runs)
}

/// The subject of a run, which no other run has.
fn subject_of(number: u32) -> String {
    format!("case-{number}")
}

fn object(value: Option<&Value>) -> Map<String, Value> {
    value.and_then(Value::as_object).cloned().unwrap_or_default()
}

/// `over` replaces what is in `base`, but for headers, which are merged by name, in whichever case it is written.
fn merge(base: &Map<String, Value>, over: &Map<String, Value>) -> Map<String, Value> {
    let mut merged = base.clone();
    for (name, value) in over {
        let both = (name == "headers").then(|| (merged.get(name), value));
        if let Some((Some(Value::Object(below)), Value::Object(above))) = both {
            let mut headers = below.clone();
            headers.retain(|name, _| !above.keys().any(|over| over.eq_ignore_ascii_case(name)));
            headers.extend(above.clone());
            merged.insert(name.clone(), Value::Object(headers));
        } else {
            merged.insert(name.clone(), value.clone());
        }
    }
    merged
}

fn from_value<T: serde::de::DeserializeOwned>(value: Value, what: &str) -> Result<T, String> {
    serde_json::from_value(value).map_err(|e| format!("{what}: {e}"))
}

fn duration(text: &str) -> Result<Duration, String> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number = text.strip_suffix(unit).and_then(|n| n.parse::<u64>().ok());
    match (number, unit) {
        (Some(n), "ms") => Ok(Duration::from_millis(n)),
        (Some(n), "s") => Ok(Duration::from_secs(n)),
        (Some(n), "m") => Ok(Duration::from_secs(n.saturating_mul(60))),
        (Some(n), "h") => Ok(Duration::from_secs(n.saturating_mul(3600))),
        _ => Err(format!("wait: `{text}` is not a duration such as `250ms`, `1s` or `1m`")),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::format::{Decision, Suite};

    pub(super) fn runs(cases: &str) -> Result<Vec<Run>, CaseError> {
        let text = format!("bundle: x\nrequest: {{headers: {{x-d: d}}}}\ncases:\n{cases}");
        let suite = Suite::parse(&text, "s")?;
        let written: Value = crate::format::read(&text, "s")?;
        let defaults = object(written.get("request"));
        let cases = written.get("cases").and_then(Value::as_array).unwrap();
        let mut runs = Vec::new();
        for (case, written) in suite.cases.iter().zip(cases) {
            runs.append(&mut expand("s", case, written, &defaults)?);
        }
        Ok(runs)
    }

    fn concrete(run: &Run) -> Concrete {
        run.steps
            .first()
            .unwrap()
            .fill(7, 1000, &|_, subject| Ok(format!("t-{subject}")), &|_| Ok("n".into()))
            .unwrap()
            .0
    }

    #[test]
    fn rows_keep_the_type_of_their_values() {
        let runs = runs(
            "  - {name: a, request: {method: POST, path: '/x/${t}', body: {json: {t: '${t}'}}}, rows: [{t: 1.5}, {t: x, expect: body-schema}]}",
        )
        .unwrap();
        let [first, second] = runs.as_slice() else { panic!() };
        assert_eq!(concrete(first).wire.whole_body(), br#"{"t":1.5}"#);
        assert_eq!(concrete(second).wire.path, b"/x/x");
        assert_eq!(concrete(second).expect.decision.name(), "body-schema");
        assert_eq!(concrete(first).expect.decision, Decision::Allow);
    }

    #[test]
    fn steps_inherit_request_and_expectation() {
        let runs = runs(
            "  - {name: a, request: {path: /p, headers: {x-a: a}}, expect: limit-exceeded, steps: [{repeat: 3, expect: allow}, {wait: 1s, request: {headers: {x-d: null}}}]}",
        )
        .unwrap();
        let [run] = runs.as_slice() else { panic!() };
        let [first, second] = run.steps.as_slice() else { panic!() };
        assert_eq!((first.repeat, second.wait), (3, Duration::from_secs(1)));
        let wire = second.fill(1, 1, &|_, _| Ok(String::new()), &|_| Ok(String::new())).unwrap().0.wire;
        let names: Vec<_> =
            wire.headers.iter().map(|(n, _)| String::from_utf8_lossy(n).into_owned()).collect();
        assert_eq!(names, ["x-a", "x-bartizan-case"]);
        assert_eq!(second.expectation().unwrap().decision.name(), "limit-exceeded");
    }

    #[test]
    fn the_name_of_a_header_is_one_in_whichever_case() {
        let runs = runs("  - {name: a, request: {headers: {X-D: e, x-a: a}}}").unwrap();
        let wire = concrete(runs.first().unwrap()).wire;
        let values: Vec<_> =
            wire.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"x-d")).collect();
        assert_eq!(values, [&(b"X-D".to_vec(), b"e".to_vec())]);
        let gone = super::tests::runs("  - {name: a, request: {headers: {X-d: null}}}").unwrap();
        let wire = concrete(gone.first().unwrap()).wire;
        assert!(!wire.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"x-d")));
    }

    #[test]
    fn tokens_and_ambient_names_are_filled_in_and_attack_strings_are_not() {
        let runs = runs(
            "  - {name: a, request: {path: '/?t=${token.q}&u=${subject}&x=${jndi:ldap}', tokens: {q: {}}, headers: {x-now: '${now+5}'}}}",
        )
        .unwrap();
        let wire = concrete(runs.first().unwrap()).wire;
        assert_eq!(String::from_utf8(wire.path).unwrap(), "/?t=t-case-7&u=case-7&x=${jndi:ldap}");
        assert!(wire.headers.contains(&(b"x-now".to_vec(), b"1005".to_vec())));
    }

    #[test]
    fn what_is_never_used_or_never_filled_is_an_error() {
        for case in [
            "  - {name: a, request: {path: /x}, rows: [{t: 1}]}",
            "  - {name: a, request: {path: '/${nothing}'}}",
            "  - {name: a, request: {path: '/${token.b}', tokens: {c: {}}}}",
            "  - {name: a, request: {body: {repeat: a, times: '${n}'}}}",
            "  - {name: a, steps: [{wait: soon}]}",
            "  - {name: a, request: {client: nowhere}}",
        ] {
            assert!(runs(case).is_err(), "{case}");
        }
    }

    #[test]
    fn a_run_knows_where_it_runs() {
        let runs = runs("  - {name: a, only: {run: envoy, http: '2', because: x}}").unwrap();
        let run = runs.first().unwrap();
        assert!(run.runs_on(Target::Envoy(Http::V2)));
        assert!(!run.runs_on(Target::Envoy(Http::V1)));
        assert!(!run.runs_on(Target::Native));
    }
}
