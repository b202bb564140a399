//! `bartizan token mint`: tokens for development.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bartizan_cases::format;
use bartizan_cases::mint::own::OwnKey;
use bartizan_cases::mint::{Mint as Maker, keys, relative};
use bartizan_engine::authentication::plan::{Algorithm, JwtPlan, KeySource};
use bartizan_engine::plan::Plan;
use clap::Args;
use serde_json::{Value, json};

use super::judge;
use crate::files;
use crate::output::{Failure, Format, Outcome, Screen, paint, shown};

const AFTER_HELP: &str = "\
Examples:
  bartizan token mint --bundle my-policy --test-key --role viewer
  bartizan token mint --bundle my-policy --key issuer.key --claim tenant=blue --claim 'groups=[\"a\",\"b\"]'
  bartizan token mint --issuer https://dev.example.com/ --audience api --new-key dev     dev.key, dev.jwks.json
  curl -H \"authorization: Bearer $(bartizan token mint --bundle my-policy --test-key)\" localhost:10000/

With --bundle the token says what the rules of the issuer ask for: issuer, audience, type, required claims, and where roles
and permissions stand. The token alone goes to standard output, what is to be said about it to standard error.

For development: who has the key can be anybody. A test key is public, and no bundle in production may have it.

Exit codes: 0 made, and the bundle accepts it; 1 it cannot be made, or the bundle would refuse it; 2 usage; 3 cannot read or write";

/// The longest life of a token.
const MAX_LIFETIME_S: u64 = 24 * 3600;

/// Makes a token for development, signed with a key of yours or with a test key.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
#[command(group(clap::ArgGroup::new("signer").required(true)))]
pub(crate) struct Mint {
    /// The directory of a bundle whose issuer the token is to come from.
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// The issuer: its name in the bundle (by default the first), or without a bundle what `iss` says.
    #[arg(long, value_name = "ISSUER", required_unless_present = "bundle")]
    issuer: Option<String>,
    /// An audience; may be given several times. By default what the bundle asks for.
    #[arg(long, value_name = "TEXT")]
    audience: Vec<String>,
    /// Whom the token is about.
    #[arg(long, value_name = "TEXT", default_value = "developer")]
    subject: String,
    /// A role; may be given several times.
    #[arg(long, value_name = "NAME")]
    role: Vec<String>,
    /// A permission; may be given several times.
    #[arg(long, value_name = "NAME")]
    permission: Vec<String>,
    /// Another claim; the value is JSON, or a text if it is none. `null` takes a claim away.
    #[arg(long, value_name = "NAME=VALUE", value_parser = claim)]
    claim: Vec<(String, Value)>,
    /// How long it lives: 90s, 15m, at most 24h.
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = lifetime)]
    lifetime: u64,
    /// A private key in PEM to sign with: RSA, P-256, P-384, secp256k1 or Ed25519.
    #[arg(long, value_name = "FILE", group = "signer")]
    key: Option<PathBuf>,
    /// Makes a key to sign with, and writes NAME.key and the key set NAME.jwks.json; never over anything.
    #[arg(long, value_name = "NAME", group = "signer")]
    new_key: Option<PathBuf>,
    /// The environment variable that holds the secret of an issuer with HS256, HS384 or HS512.
    #[arg(long, value_name = "VARIABLE", group = "signer")]
    secret_env: Option<String>,
    /// Signs with the test key that ready-made bundles have in their key sets. Everybody has it.
    #[arg(long, group = "signer")]
    test_key: bool,
    /// The name of the key, for `kid`; by default what the bundle calls it.
    #[arg(long, value_name = "NAME")]
    kid: Option<String>,
    /// What to sign with; by default the first that the issuer accepts and the key can.
    #[arg(long, value_name = "ALGORITHM")]
    alg: Option<String>,
    /// The form of the output.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

fn claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) =
        text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| Value::from(value))))
}

fn lifetime(text: &str) -> Result<u64, String> {
    let seconds = relative(&format!("+{text}"), 0).ok_or("write 90s, 15m or 2h")?;
    match seconds {
        1..=MAX_LIFETIME_S => Ok(seconds),
        _ => Err("a token for development lives from 1s to 24h".to_owned()),
    }
}

pub(super) fn run(mint: &Mint, screen: &Screen) -> Result<Outcome, Failure> {
    let plan = match &mint.bundle {
        None => None,
        Some(directory) => match judge::plan(directory, screen) {
            Some(plan) => Some(plan),
            None => return Ok(Outcome::Problems),
        },
    };
    let now = crate::commands::now();
    let refused = |what: &str| {
        screen.complain(what);
        Ok(Outcome::Problems)
    };
    let signer = match signer(mint, plan.as_ref(), screen)? {
        Ok(signer) => signer,
        Err(what) => return refused(&what),
    };
    let token = match minted(mint, plan.as_ref(), &signer, now) {
        Ok(token) => token,
        Err(what) => return refused(&what),
    };
    let judgement = plan.as_ref().map(|plan| judge::judge(plan, &token, now)).transpose();
    let judgement = match judgement {
        Ok(judgement) => judgement,
        Err(what) => return refused(&what),
    };
    let warning = warning(mint, &signer);
    match mint.format {
        Format::Json => screen.json(&json!({
            "token": token, "development": true, "warning": warning,
            "header": super::inspect::part(&token, 0), "claims": super::inspect::part(&token, 1),
            "judgement": judgement.as_ref().map(judge::Judgement::json),
        }))?,
        Format::Text => {
            screen.err(&format!("{}: {warning}\n", paint(screen.paints_err(), "1;33", "FOR DEVELOPMENT")));
            if let Some(judgement) = &judgement {
                screen.err(&judgement.text(screen.paints_err()));
            }
            screen.out(&format!("{token}\n"))?;
        }
    }
    Ok(if judgement.is_none_or(|judgement| judgement.accepts()) { Outcome::Fine } else { Outcome::Problems })
}

/// Who signs.
enum Signer {
    Test,
    Own(Box<OwnKey>, String),
}

fn warning(mint: &Mint, signer: &Signer) -> String {
    let who = match signer {
        Signer::Test => "the test key is public, so everybody can make such tokens".to_owned(),
        Signer::Own(_, place) => format!("whoever has {place} can be anybody"),
    };
    let life = mint.lifetime;
    format!("good for {life} s; {who}: no bundle in production may trust this key")
}

/// The key to sign with; a new one is written first.
fn signer(mint: &Mint, plan: Option<&Plan>, screen: &Screen) -> Result<Result<Signer, String>, Failure> {
    if let Some(path) = &mint.key {
        let place = shown(path);
        let key = OwnKey::from_pem(&files::read_key(path)?).map_err(|what| format!("{place}: {what}"));
        return Ok(key.map(|key| Signer::Own(Box::new(key), place)));
    }
    if let Some(name) = &mint.secret_env {
        let Some(secret) = std::env::var_os(name) else {
            return Ok(Err(format!("{name} is not set; export the secret under this name")));
        };
        let key = OwnKey::secret(secret.into_encoded_bytes());
        return Ok(Ok(Signer::Own(Box::new(key), format!("the secret in {name}"))));
    }
    let Some(name) = &mint.new_key else { return Ok(Ok(Signer::Test)) };
    let algorithm = match &mint.alg {
        Some(name) => keys::algorithm(name),
        None => Ok(issuer(mint, plan)
            .and_then(|issuer| issuer.algorithms.first().copied())
            .unwrap_or(Algorithm::ES256)),
    };
    let key = match algorithm.and_then(|algorithm| Ok((OwnKey::generate(algorithm)?, algorithm))) {
        Ok((key, algorithm)) => {
            written(&key, name, algorithm, mint, screen)?.map(|place| Signer::Own(Box::new(key), place))
        }
        Err(what) => Err(what),
    };
    Ok(key)
}

/// Writes a new key and its key set, where nothing is yet; the place of the key.
fn written(
    key: &OwnKey,
    name: &Path,
    algorithm: Algorithm,
    mint: &Mint,
    screen: &Screen,
) -> Result<Result<String, String>, Failure> {
    let beside = |extension: &str| {
        let mut path = name.as_os_str().to_owned();
        path.push(extension);
        PathBuf::from(path)
    };
    let (private, public) = (beside(".key"), beside(".jwks.json"));
    for path in [&private, &public] {
        if path.symlink_metadata().is_ok() {
            return Ok(Err(format!(
                "{} is there already; choose another name, nothing was written",
                shown(path)
            )));
        }
    }
    let halves = key.to_pem().and_then(|pem| Ok((pem, key.jwk()?)));
    let (pem, mut jwk) = match halves {
        Ok(halves) => halves,
        Err(what) => return Ok(Err(what)),
    };
    for (member, value) in
        [("kid", mint.kid.as_deref().unwrap_or(NEW_KID)), ("alg", algorithm.name()), ("use", "sig")]
    {
        jwk.insert(member.to_owned(), value.into());
    }
    files::write_new(&private, &pem, true)?;
    files::write_new(&public, &format!("{:#}\n", json!({"keys": [jwk]})), false).inspect_err(|_| {
        let _ = std::fs::remove_file(&private);
    })?;
    let (private, public) = (shown(&private), shown(&public));
    screen.err(&format!("made {private} (keep it secret) and {public} (the key set for a bundle)\n"));
    Ok(Ok(private))
}

/// The name of a new key.
const NEW_KID: &str = "development";

fn issuer<'p>(mint: &Mint, plan: Option<&'p Plan>) -> Option<&'p JwtPlan> {
    let issuers = &plan?.authentication.jwt;
    match &mint.issuer {
        None => issuers.first(),
        Some(name) => issuers.iter().find(|issuer| issuer.name == *name),
    }
}

fn minted(mint: &Mint, plan: Option<&Plan>, signer: &Signer, now: u64) -> Result<String, String> {
    let list = |values: &[String]| (!values.is_empty()).then(|| json!(values));
    let mut claims = BTreeMap::from([
        ("exp".to_owned(), json!(now.saturating_add(mint.lifetime))),
        // In every log one sees what kind of token that was.
        ("jti".to_owned(), json!(format!("development-{}", nonce()?))),
    ]);
    if let Some(audience) = list(&mint.audience) {
        claims.insert("aud".to_owned(), audience);
    }
    claims.extend(mint.claim.iter().cloned());
    let token = format::Token {
        issuer: mint.issuer.clone(),
        alg: mint.alg.clone(),
        roles: list(&mint.role),
        permissions: list(&mint.permission),
        header: mint.kid.iter().map(|kid| ("kid".to_owned(), json!(kid))).collect(),
        claims,
        ..format::Token::default()
    };
    let maker = match plan {
        Some(plan) => Maker::for_plan(plan),
        None => Maker::for_issuers(vec![flags(mint, signer)]),
    };
    match signer {
        Signer::Test => maker.token(&token, now, &mint.subject),
        Signer::Own(key, _) => {
            let known = issuer(mint, plan).and_then(|issuer| match &issuer.keys {
                KeySource::Jwks(set) => key.name_in(set),
                KeySource::Secret { .. } | KeySource::Sealed { .. } | KeySource::Remote { .. } => None,
            });
            let made = mint.new_key.as_ref().map(|_| NEW_KID.to_owned());
            maker.signed_by(key, known.or(made).as_deref(), &token, now, &mint.subject)
        }
    }
}

/// The issuer that the flags describe, where there is no bundle.
fn flags(mint: &Mint, signer: &Signer) -> JwtPlan {
    let iss = mint.issuer.clone().unwrap_or_default();
    let algorithms = match signer {
        Signer::Own(key, _) => key.algorithms().to_vec(),
        Signer::Test => vec![Algorithm::RS256],
    };
    JwtPlan {
        name: iss.clone(),
        at: String::new(),
        issuer: iss,
        audiences: Vec::new(),
        algorithms,
        keys: KeySource::Jwks(String::new()),
        from: Vec::new(),
        forward_token: false,
        require_expiry: true,
        max_lifetime_s: None,
        leeway_s: 0,
        require_type: None,
        require_claims: Vec::new(),
        require_types: Vec::new(),
        subject: "sub".to_owned(),
        roles: vec!["roles".to_owned()],
        permissions: vec!["permissions".to_owned()],
        forward_claims: Vec::new(),
        forward_payload: None,
        binding: bartizan_engine::authentication::plan::BindingPlan::default(),
    }
}

fn nonce() -> Result<String, String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| format!("no random numbers: {error}"))?;
    Ok(bartizan_engine::envelope::key::hex(&bytes))
}
