//! `bartizan explain`: what the filter would decide about a request, and everything it looked at.
//!
//! The engine that runs here is the one that runs in the proxy; only the host is another: its shared slots
//! are empty, so every budget is full.

mod host;
mod report;

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use bartizan_cases::expand;
use bartizan_cases::format::{Request, Token, basic};
use bartizan_cases::mint::Mint;
use bartizan_cases::{patch, wire};
use bartizan_compiler::compile_dir;
use bartizan_engine::authentication::plan::KeySource;
use bartizan_engine::authentication::totp::nobodys_table;
use bartizan_engine::authentication::totp::plan::TableSource;
use bartizan_engine::host::Now;
use bartizan_engine::pipeline::{Engine, Exchange, Haste, Step, Surroundings};
use bartizan_engine::plan::Plan;
use bartizan_engine::trace::Trace;
use clap::Args;

use super::check::summary;
use super::fetched::Fetched;
use crate::output::{Failure, Format, Outcome, Screen, shown};
pub(crate) use host::DryHost;
use report::Explanation;

const AFTER_HELP: &str = "\
Examples:
  bartizan explain my-policy --request request.yaml
  echo '{path: /healthz}' | bartizan explain my-policy --request -
  bartizan explain my-policy --request request.yaml --keys corp=keys.json      where the proxy would fetch the keys

A request is a YAML mapping; only what matters need be there:
  method: POST
  path: /api/v1/telemetry?x=1
  host: api.example.com
  client: 203.0.113.9                 # the peer of the connection
  headers: {x-forwarded-for: 198.51.100.7}
  token: {roles: [operator], claims: {sub: anna, exp: +1h}}
  body: {json: {sensor_id: s-1, temperature: 20}}

With `token` (or `tokens`, placed as ${token.NAME}) test keys stand in for the keys of the issuers, and the
token is signed with them. A real token goes into `headers` as it is, and is checked with the real keys;
a secret is then read from the environment of this command, under the name that the policy gives.

Exit codes: 0 there is a decision, whichever; 1 the bundle or the request is wrong; 2 usage; 3 cannot read";

/// The largest request file.
const MAX_REQUEST_BYTES: u64 = 64 * 1024 * 1024;

/// Shows what would be decided about a request, and every rule that was considered.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Explain {
    /// The bundle directory.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// A file with the request; `-` for standard input.
    #[arg(short, long, value_name = "FILE")]
    request: PathBuf,
    #[command(flatten)]
    fetched: Fetched,
    /// The form of the explanation.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(crate) fn run(explain: &Explain, screen: &Screen) -> Result<Outcome, Failure> {
    let compiled = compile_dir(&explain.directory);
    let Some(plan) = &compiled.plan else {
        let place = shown(&explain.directory);
        screen.err(&compiled.render(screen.paints_err()));
        screen.err(&summary(&place, &compiled, false, screen.paints_err()));
        return Ok(Outcome::Problems);
    };
    let text = read(&explain.request)?;
    let name = shown(&explain.request);
    let mut plan = plan.clone();
    let supplied = explain.fetched.supply(&mut plan);
    match supplied.and_then(|()| explained(plan, &text, &name)) {
        Ok(explanation) => {
            match explain.format {
                Format::Text => screen.out(&explanation.text(screen.paints_out()))?,
                Format::Json => screen.json(&explanation.json())?,
            }
            Ok(Outcome::Fine)
        }
        Err(problem) => {
            screen.complain(&problem);
            Ok(Outcome::Problems)
        }
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    use std::io::Read;
    let mut text = String::new();
    let result = if path == Path::new("-") {
        std::io::stdin().lock().take(MAX_REQUEST_BYTES).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_REQUEST_BYTES).read_to_string(&mut text))
    };
    result.map(|_| text).map_err(|error| Failure::at(path, &error))
}

/// Judges a request, as it is written, by a plan.
fn explained(mut plan: Plan, text: &str, file: &str) -> Result<Explanation, String> {
    let now =
        SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| "the clock is before 1970".to_owned())?;
    let mut request = Request::parse(text, file).map_err(|error| error.to_string())?;
    let minted = request.token.is_some() || !request.tokens.is_empty();
    leave_unopened(&mut plan);
    let secrets = if minted { patch::use_test_keys(&mut plan)? } else { patch::Secrets::new() };
    let mint = Mint::for_plan(&plan);
    let mut filled = text.replace("${now}", &now.as_secs().to_string()).replace("${subject}", SUBJECT);
    for (name, token) in &request.tokens {
        let token = mint.token(token, now.as_secs(), SUBJECT)?;
        filled = filled.replace(&format!("${{token.{name}}}"), &token);
    }
    if filled != text {
        request = Request::parse(&filled, file).map_err(|error| error.to_string())?;
    }
    let token = |token: &Token| mint.token(token, now.as_secs(), SUBJECT);
    let made = expand::credentials(&request, now.as_secs(), &token, &|at| mint.nonce(at))?;
    let host = request.host.is_none().then(|| DEFAULT_HOST.to_vec());
    let mut wire = wire::render(&request, 0, made)?;
    wire.headers.extend(request.basic.as_deref().map(basic));
    wire.headers.extend(request.code.as_ref().map(|code| code.header(now.as_secs())).transpose()?);
    wire.host = wire.host.or(host);
    wire.headers.retain(|(name, _)| name != wire::RUN_HEADER.as_bytes());
    if request.client.is_none() {
        wire.peer = std::net::Ipv4Addr::LOCALHOST.into();
    }
    let routes = plan.routes.len();
    let unset = RefCell::new(Vec::new());
    let tables = tables(&plan);
    let environment = |name: &str| {
        let minted = secrets.get(name).map(|secret| secret.as_bytes().to_vec());
        let set = minted.or_else(|| std::env::var(name).ok().map(String::into_bytes));
        Some(set.unwrap_or_else(|| {
            unset.borrow_mut().push(name.to_owned());
            if tables.iter().any(|table| table == name) {
                nobodys_table(&nobodys_secret())
            } else {
                nobodys_secret()
            }
        }))
    };
    let surroundings =
        Surroundings { secret: &environment, seed: [0, 0], peer_appended: false, peer_verified: true };
    let mut engine = Engine::load(plan, &surroundings).map_err(|error| error.to_string())?;
    let mut judged = judge(&mut engine, &wire, Now::from_nanos(nanos(now)));
    judged.test_keys = minted;
    judged.routes = routes;
    judged.unset = unset.take();
    Ok(judged)
}

/// Whoever has not the filter's key cannot open what is sealed to it, and sees everything but the tokens of such an issuer
/// judged as they would be. A key that is there must be the right one.
pub(crate) fn leave_unopened(plan: &mut Plan) {
    for jwt in &mut plan.authentication.jwt {
        if let KeySource::Sealed { key_env, .. } = &jwt.keys
            && std::env::var_os(key_env).is_none()
        {
            jwt.keys = KeySource::Secret { env: key_env.clone() };
        }
    }
    for totp in &mut plan.authentication.totp {
        if let TableSource::Sealed { key_env, .. } = &totp.users
            && std::env::var_os(key_env).is_none()
        {
            totp.users = TableSource::Env { env: key_env.clone() };
        }
    }
}

/// The variables that hold tables of users of second factors.
pub(crate) fn tables(plan: &Plan) -> Vec<String> {
    let users = plan.authentication.totp.iter().map(|totp| &totp.users);
    users
        .filter_map(|users| match users {
            TableSource::Env { env } => Some(env.clone()),
            TableSource::Sealed { .. } => None,
        })
        .collect()
}

/// The host of a request that names none.
const DEFAULT_HOST: &[u8] = b"api.example.com";

/// The subject of a token that names none.
const SUBJECT: &str = "explained";

/// A secret that nobody knows, so that nothing but the tokens of its issuer is decided otherwise.
pub(crate) fn nobodys_secret() -> Vec<u8> {
    let word = |n: u64| RandomState::new().hash_one(n).to_le_bytes();
    (0..8).flat_map(word).collect()
}

fn nanos(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn judge(engine: &mut Engine, wire: &wire::Wire, now: Now) -> Explanation {
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = vec![
        (b":method".to_vec(), wire.method.clone().into_bytes()),
        (b":scheme".to_vec(), wire.scheme.clone().into_bytes()),
        (b":path".to_vec(), wire.path.clone()),
    ];
    if let Some(authority) = &wire.host {
        pairs.push((b":authority".to_vec(), authority.clone()));
    }
    // The proxy hands over names in lower case, whatever was sent.
    pairs.extend(wire.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())));
    let body = wire.body.as_ref().map(|_| wire.whole_body());
    if let Some(body) = body.as_ref().filter(|_| !wire.chunked) {
        pairs.push((b"content-length".to_vec(), body.len().to_string().into_bytes()));
    }
    let pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|(n, v)| (n.as_slice(), v.as_slice())).collect();
    let mut host = DryHost::new(wire.peer);
    let mut exchange = Exchange::default();
    let mut trace = Trace::on();
    let bodiless = body.is_none() && wire.trailers.is_empty();
    let mut step = engine.request_head(&mut exchange, &pairs, bodiless, now, &mut host, &mut trace);
    if matches!(step, Step::Wait(_)) {
        // Nothing is fetched here.
        exchange.hurry(Haste::Never);
        step = engine.request_head(&mut exchange, &pairs, bodiless, now, &mut host, &mut trace);
    }
    if !matches!(step, Step::Refuse(_)) && !bodiless {
        let body = body.unwrap_or_default();
        let size = u64::try_from(body.len()).unwrap_or(u64::MAX);
        let mut bytes = || Some(body.clone());
        let end = wire.trailers.is_empty();
        step = engine.request_body(&mut exchange, size, end, &mut bytes, &mut trace);
        if !end && !matches!(step, Step::Refuse(_)) {
            step = engine.request_trailers(&mut exchange, &mut bytes, &mut trace);
        }
    }
    Explanation::new(engine, wire, &mut exchange, step, trace)
}

#[cfg(test)]
mod tests;
