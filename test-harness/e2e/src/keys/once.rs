//! What may be used once, used on every worker: whichever is asked first, and if all are asked at once, one lets it in and no other.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Error, Result, bail, ensure};
use bartizan_cases::deployment::{self, Signatures};
use bartizan_cases::expand::Run;
use bartizan_cases::format::Decision;
use bartizan_cases::mint::Mint;
use bartizan_cases::suite::{self, Loaded};
use serde_json::{Value, json};

use super::post;
use super::seen::{Seen, told};
use crate::bundles::crew::Crew;
use crate::bundles::server::{Behaviour, BundleServer};
use crate::bundles::site::{self, Site};
use crate::deploy::now;
use crate::driven;
use crate::message::Request;
use crate::upstream::Upstream;

/// How often each thing is tried, with another proof each time.
const ROUNDS: u32 = 24;

/// What may be used once, as cases write it: each case makes other requests for another number, and says what is told the second time.
const PROOFS: &str = r#"
bundle:
  text: |
    apiVersion: bartizan/v1
    name: once
    authentication:
      jwt:
        - {name: corp, issuer: "https://corp.example/", audiences: [t], algorithms: [ES256], keys: {jwks: corp.json}}
        - {name: bound, issuer: "https://bound.example/", audiences: [t], algorithms: [ES256], keys: {jwks: bound.json}, bound: {required: true, dpop: {}}}
      signed_requests:
        - {name: hooks, form: {hmac: {}}, keys: hooks.yaml}
        - {name: partners, form: {message_signatures: {label: sig1}}, keys: partners.yaml}
      totp:
        - {name: staff, of: corp, users: {env: TOTP_STAFF}}
    routes:
      - {path: /code, access: authenticated, authentication: {any: [corp]}, step_up: {totp: staff}}
      - {path: /proof, access: authenticated, authentication: {any: [bound]}}
      - {path: /hooks, access: authenticated, authentication: {any: [hooks]}}
      - {path: /orders, access: authenticated, authentication: {any: [partners]}}
  files:
    corp.json: {jwks: [{key: es256-0}]}
    bound.json: {jwks: [{key: es256-1}]}
    hooks.yaml: "keys: [{id: hook, client: acme, algorithm: hmac-sha256, secret: {env: HOOK}}]"
    partners.yaml: "keys: [{id: ec, client: partner, algorithm: ecdsa-p256-sha256, jwks: corp.json}]"
state: case
cases:
  - name: one-time code
    request: {path: /code, token: {claims: {sub: "${subject}"}}, code: {secret: GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ}}
    expect: second-factor-invalid
  - name: proof of possession
    request: {path: /proof, token: {issuer: bound}, dpop: {}}
    expect: proof-replayed
  - name: signed request, simple form
    request: {path: /hooks, sign: {method: hooks}}
    expect: signature-replayed
  - name: signed request, RFC 9421
    request: {path: /orders, sign: {method: partners}}
    expect: signature-replayed
"#;

/// Everything that may be used once.
///
/// # Errors
/// When anything is let in twice, or not the first time.
pub(super) async fn once() -> Result<String> {
    const NAME: &str = "once";
    let upstream = Upstream::start().await?;
    let nobody = BundleServer::start(Behaviour::answer("404 Not Found", &[], b""))?;
    let (suite, runs) = suite::parse(PROOFS, NAME).map_err(|errors| Error::msg(format!("{errors:?}")))?;
    let loaded = Loaded { path: NAME.into(), file: NAME.to_owned(), suite, runs, lines: BTreeMap::new() };
    let mut prepared = loaded.prepare().map_err(Error::msg)?;
    let user = |number| (format!("case-{number}"), json!({"secret": "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"}));
    let users: BTreeMap<String, Value> = (0..2 * ROUNDS).map(user).collect();
    prepared.secrets.insert("TOTP_STAFF".to_owned(), json!({"users": users}).to_string());
    let configuration = deployment::configuration(&prepared.plan, Signatures::Auto);
    let configuration = serde_json::from_str(&configuration)?;
    let site = Site { name: NAME.to_owned(), configuration, source: nobody.address() };
    let config = site::configuration(&[site], upstream.address(), &prepared.secrets)?;
    let envoy = post::launch(&config, &prepared.secrets).await?;
    let mut crew = Crew::assemble(&envoy, envoy.listener(NAME)?, NAME).await?;
    let (mut seen, mut told) = (Seen::new(), Vec::new());
    for run in &loaded.runs {
        let proof = Proof { run, mint: &prepared.mint, before: upstream.requests() };
        let done = async {
            proof.on_one_after_the_other(&mut crew, &mut seen).await?;
            proof.on_all_at_once(&mut crew, &mut seen).await
        };
        done.await.with_context(|| run.case.clone())?;
        let let_in = upstream.requests() - proof.before;
        ensure!(
            let_in == u64::from(2 * ROUNDS),
            "BREAK-IN: upstream saw {let_in} requests with {} of {}",
            2 * ROUNDS,
            run.case
        );
        told.push(format!("{let_in} times `{}`", run.case));
    }
    seen.print();
    post::end(envoy).await?;
    Ok(format!(
        "{}: each let in once by {} workers together, whichever was asked first, and half of them asked all at once",
        told.join(", "),
        crew.len()
    ))
}

/// One kind of proof.
struct Proof<'a> {
    run: &'a Run,
    mint: &'a Mint,
    /// What upstream had seen before.
    before: u64,
}

impl Proof<'_> {
    /// A request with a proof of its own for each number.
    fn request(&self, number: u32) -> Result<Request> {
        let step = self.run.steps.first().context("a request")?;
        let concrete = step.concrete(number, now()?, self.mint).map_err(Error::msg)?;
        Ok(driven::request(&concrete.wire))
    }

    /// What is told the first time and from then on, so often altogether.
    fn wanted(&self, times: usize) -> Result<Vec<String>> {
        let step = self.run.steps.first().context("a request")?;
        let Decision::Refuse(refused) = step.expectation().map_err(Error::msg)?.decision else {
            bail!("a case says what is told the second time")
        };
        let again = format!("{} {}", refused.status(), refused.code());
        Ok([vec!["200".to_owned()], vec![again; times.saturating_sub(1)]].concat())
    }

    /// One worker is asked first, each in turn, and then the others.
    async fn on_one_after_the_other(&self, crew: &mut Crew, seen: &mut Seen) -> Result<()> {
        let workers = crew.len();
        for number in 0..ROUNDS {
            let request = self.request(number)?;
            let mut got = Vec::new();
            for turn in 0..workers {
                let at = (usize::try_from(number)? + turn) % workers;
                let (worker, connection) = crew.members().nth(at).context("a worker")?;
                let began = Instant::now();
                let answer =
                    connection.exchange(&request).await.with_context(|| format!("asking {worker}"))?;
                let who = if turn == 0 { "on one worker" } else { "then on another" };
                seen.note(&format!("{}, {who}", self.run.case), &answer, began.elapsed());
                got.push(told(&answer));
            }
            let wanted = self.wanted(workers)?;
            ensure!(
                got == wanted,
                "number {number}, one worker after the other: {got:?}, expected {wanted:?}"
            );
        }
        Ok(())
    }

    /// All workers are asked at the same time, and then once more.
    async fn on_all_at_once(&self, crew: &mut Crew, seen: &mut Seen) -> Result<()> {
        for number in ROUNDS..2 * ROUNDS {
            let request = self.request(number)?;
            let began = Instant::now();
            let answers = crew.ask_at_once(|_| Ok(request.clone())).await?;
            seen.all(&format!("{}, on all at once", self.run.case), &answers, began.elapsed());
            let mut got: Vec<_> = answers.iter().map(told).collect();
            got.sort();
            let wanted = self.wanted(answers.len())?;
            ensure!(got == wanted, "number {number}, all at once: {got:?}, expected {wanted:?}");
            let answers = crew.ask(&request).await?;
            seen.all(&format!("{}, once more", self.run.case), &answers, Duration::ZERO);
            let got: Vec<_> = answers.iter().map(told).collect();
            ensure!(
                wanted.iter().skip(1).chain(wanted.last()).eq(&got),
                "number {number}, once more: {got:?}"
            );
        }
        Ok(())
    }
}
