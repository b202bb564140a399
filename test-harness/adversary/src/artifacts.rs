//! Signed artifacts in the plugin configuration: which are taken, which Envoy refuses, and where everything is refused.
//!
//! What every VM finds wrong, the canary refuses, and the old policy stays in force. What depends on the time no VM may refuse
//! (a worker's VM that comes back after a failure would then run without the filter), so there the workers refuse everything.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bartizan_compiler::artifact::{self, SigningKey, public_pem};
use bartizan_compiler::compile_str;
use bartizan_engine::envelope::Kind;
use bartizan_engine::envelope::dsse::{PAYLOAD_TYPE, Signature, preamble};
use bartizan_host::{Builder, Module, Proxy};
use serde_json::{Value, json};

use crate::updates::{WORKERS, guarded};

/// The policy that is in force before each of them.
const BEFORE: &str = "before";
/// The one that the artifacts carry.
const AFTER: &str = "after";

/// What becomes of a configuration.
#[derive(Clone, Copy)]
enum End {
    Taken,
    /// Envoy refuses it; the log says this.
    Refused(&'static str),
    /// The workers refuse everything; the log says this.
    Closed(&'static str),
}

/// Keys, and what was signed with them.
pub(crate) struct Signed {
    pub(crate) keys: Vec<SigningKey>,
    pub(crate) payload: Vec<u8>,
}

impl Signed {
    fn new(name: &str, release: &str) -> Result<Self> {
        Self::text(&format!("{}{release}", bundle(name)))
    }

    /// What this bundle comes to.
    pub(crate) fn text(bundle: &str) -> Result<Self> {
        let compiled = compile_str(bundle);
        let payload = artifact::payload(&compiled, None, None).map_err(anyhow::Error::msg)?;
        let keys = [SigningKey::ed25519([1; 32]), SigningKey::p256([1; 32]), SigningKey::p256([2; 32])];
        let keys = keys.into_iter().collect::<Result<_, _>>().map_err(anyhow::Error::msg)?;
        Ok(Self { keys, payload })
    }

    /// The payload with a text in it replaced.
    fn with(&self, from: &str, to: &str) -> Result<Vec<u8>> {
        let text = String::from_utf8(self.payload.clone())?;
        ensure!(text.contains(from), "the payload has no {from} any more");
        Ok(text.replace(from, to).into_bytes())
    }

    fn key(&self, number: usize) -> Result<&SigningKey> {
        self.keys.get(number).context("there is such a key")
    }

    /// An artifact, signed by these keys.
    pub(crate) fn artifact(&self, payload: &[u8], signers: &[usize]) -> Result<Value> {
        let message = [preamble(PAYLOAD_TYPE, payload).as_bytes(), payload].concat();
        let mut signatures = Vec::new();
        for &number in signers {
            let sig = self.key(number)?.sign(&message).map_err(anyhow::Error::msg)?;
            signatures.push(Signature { keyid: String::new(), sig });
        }
        let bytes = artifact::envelope(payload, &signatures).map_err(anyhow::Error::msg)?;
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// A trust in these keys.
    pub(crate) fn trust(&self, keys: &[usize], threshold: usize) -> Result<Value> {
        let mut trusted = Vec::new();
        for &number in keys {
            let key = self.key(number)?.public().map_err(anyhow::Error::msg)?;
            trusted.push(json!({"pem": public_pem(&key)}));
        }
        Ok(json!({"keys": trusted, "threshold": threshold}))
    }
}

fn bundle(name: &str) -> String {
    format!(
        "apiVersion: bartizan/v1\nname: {name}\n\
         authentication: {{jwt: [{{name: a, issuer: 'https://a.example/', algorithms: [HS256], keys: {{secret: {{env: A}}}}}}]}}\n\
         routes:\n  - {{path: /open, access: public}}\n  - {{path: /closed, access: authenticated}}\n\
         headers: {{response: {{set: {{x-policy: {name}}}}}}}\n"
    )
}

fn proxy(module: &Module) -> Builder {
    let builder = Proxy::builder(module).variable("A", "0123456789abcdef0123456789abcdef").workers(WORKERS);
    builder.vm_id("artifacts").allow_on_headers_stop_iteration(true).drain_time(Duration::ZERO)
}

/// A configuration with a good artifact that two of two keys have signed, for whoever wants to spoil it.
///
/// # Errors
/// When it cannot be made.
pub fn configuration(name: &str, signatures: &str) -> Result<String> {
    let signed = Signed::new(name, "")?;
    let settings = json!({"hold_headers": true, "signatures": signatures});
    let bundle = signed.artifact(&signed.payload, &[0, 1])?;
    Ok(json!({"bundle": bundle, "trust": signed.trust(&[0, 1], 2)?, "settings": settings}).to_string())
}

/// Each configuration with its name and what must become of it.
fn table() -> Result<Vec<(&'static str, Value, End)>> {
    use End::{Closed, Refused, Taken};
    let code = |kind: Kind| kind.code();
    let good = Signed::new(AFTER, "")?;
    // The simulated time is this year's.
    let old = Signed::new(AFTER, "expires: 2001-01-01T00:00:00Z\n")?;
    let early = Signed::new(AFTER, "not_before: 2200-01-01T00:00:00Z\n")?;
    let secretless = early.with(r#""env":"A""#, r#""env":"ELSEWHERE""#)?;
    let valid = Signed::new(AFTER, "not_before: 2001-01-01T00:00:00Z\nexpires: 2200-01-01T00:00:00Z\n")?;
    let plan = compile_str(&bundle(AFTER)).plan.context("it compiles")?;
    let one = good.artifact(&good.payload, &[0])?;
    let both = good.artifact(&good.payload, &[0, 1])?;
    let (trust, two) = (good.trust(&[0, 1], 1)?, good.trust(&[0, 1], 2)?);
    let of = |bundle: &Value, trust: &Value| json!({"bundle": bundle, "trust": trust});
    let signed = |payload: Vec<u8>| -> Result<Value> { Ok(of(&good.artifact(&payload, &[0])?, &trust)) };
    let changed = |pointer: &str, value: Value| -> Result<Value> {
        let mut configuration = of(&one, &trust);
        *configuration.pointer_mut(pointer).with_context(|| format!("there is no {pointer}"))? = value;
        Ok(configuration)
    };
    let named = |mut trust: Value, member: &str, value: Value| {
        if let Some(members) = trust.as_object_mut() {
            members.insert(member.to_owned(), value);
        }
        trust
    };
    let elsewhere = json!({"pem": good.trust(&[0], 1)?.pointer("/keys/0/pem"), "bundles": ["elsewhere"]});
    let other = Signed::new("other", "")?.artifact(&Signed::new("other", "")?.payload, &[])?;
    let few = code(Kind::TooFewSignatures);
    Ok(vec![
        ("one signature of one", of(&one, &trust), Taken),
        ("two of two", of(&both, &two), Taken),
        ("one that is valid now", of(&valid.artifact(&valid.payload, &[1])?, &trust), Taken),
        ("no signature", of(&good.artifact(&good.payload, &[])?, &trust), Refused(few)),
        ("one of two", of(&one, &two), Refused(few)),
        ("the same key twice", of(&good.artifact(&good.payload, &[0, 0])?, &two), Refused(few)),
        ("an unknown key", of(&good.artifact(&good.payload, &[2])?, &trust), Refused(few)),
        (
            "another payload under the signature",
            changed("/bundle/payload", other.get("payload").cloned().unwrap_or_default())?,
            Refused(few),
        ),
        ("a payload of nothing", changed("/bundle/payload", json!(""))?, Refused(few)),
        ("half a payload", changed("/bundle/payload", json!("eyJ"))?, Refused(code(Kind::NotAnEnvelope))),
        (
            "another type",
            changed("/bundle/payloadType", json!("application/json"))?,
            Refused(code(Kind::WrongType)),
        ),
        ("no envelope", changed("/bundle", json!([1]))?, Refused(code(Kind::NotAnEnvelope))),
        (
            "a blank in the payload",
            signed(good.with("{\"builder\":", "{ \"builder\":")?)?,
            Refused(code(Kind::NotCanonical)),
        ),
        (
            "an unknown member",
            signed(good.with("{\"builder\":", "{\"a\":1,\"builder\":")?)?,
            Refused(code(Kind::PayloadInvalid)),
        ),
        (
            "another name",
            of(&one, &named(trust.clone(), "name", json!("elsewhere"))),
            Refused(code(Kind::WrongName)),
        ),
        (
            "a key for other bundles",
            of(&one, &json!({"keys": [elsewhere]})),
            Refused(code(Kind::KeyNotForBundle)),
        ),
        (
            "a plan of the future",
            signed(good.with("\"plan_version\":1", "\"plan_version\":2")?)?,
            Refused(code(Kind::PlanVersion)),
        ),
        ("half a plan", signed(good.with("\"routes\":", "\"roots\":")?)?, Refused(code(Kind::PlanInvalid))),
        ("one that has expired", of(&old.artifact(&old.payload, &[0])?, &trust), Closed(code(Kind::Expired))),
        (
            "one that is not valid yet",
            of(&early.artifact(&early.payload, &[0])?, &trust),
            Closed(code(Kind::NotYetValid)),
        ),
        (
            // The time is no excuse for the rest: no VM could ever use it.
            "one that is not valid yet, without its secret",
            of(&early.artifact(&secretless, &[0])?, &trust),
            Refused("ELSEWHERE"),
        ),
        ("a bundle without trust", json!({"bundle": one}), Refused("without `trust`")),
        ("a trust without bundle", json!({"plan": plan, "trust": trust}), Refused("without `bundle`")),
        ("a trust alone", json!({"trust": trust}), Refused("without `bundle`")),
        (
            "a plan beside a bundle",
            json!({"plan": plan, "bundle": one, "trust": trust}),
            Refused("both there"),
        ),
        (
            "a threshold of none",
            of(&one, &named(trust.clone(), "threshold", json!(0))),
            Refused("trust: threshold"),
        ),
        (
            "a threshold of more than all",
            of(&one, &named(trust.clone(), "threshold", json!(3))),
            Refused("trust: threshold"),
        ),
        ("no key", of(&one, &json!({"keys": []})), Refused("trust: keys")),
        (
            "a misspelled trust",
            of(&one, &named(trust.clone(), "treshold", json!(2))),
            Refused("unknown field"),
        ),
        ("a key that is none", of(&one, &json!({"keys": [{"pem": "x"}]})), Refused("trust: keys[0].pem")),
        ("nothing", json!({}), Closed("neither a `plan` nor a `bundle`")),
    ])
}

/// Puts each configuration in the place of a good one, and starts a proxy with it.
///
/// # Errors
/// With the first that becomes of it what should not.
pub fn run(module: &Module) -> Result<String> {
    let before = configuration(BEFORE, "auto")?;
    let running = proxy(module).configuration(before.as_str()).start()?;
    let table = table()?;
    let mut counts = [0, 0, 0];
    for (name, configuration, end) in &table {
        let bytes = configuration.to_string();
        update(&running, &before, &bytes, *end).with_context(|| format!("an update with {name}"))?;
        start(module, &bytes, *end).with_context(|| format!("a start with {name}"))?;
        let index = match end {
            End::Taken => 0,
            End::Refused(_) => 1,
            End::Closed(_) => 2,
        };
        if let Some(count) = counts.get_mut(index) {
            *count += 1;
        }
    }
    let [taken, refused, closed] = counts;
    Ok(format!(
        "artifacts: {} configurations, {taken} in force, {refused} refused, under {closed} everything refused",
        table.len()
    ))
}

fn update(proxy: &Proxy, before: &str, configuration: &str, end: End) -> Result<()> {
    proxy.configure(before).context("what was in force before")?;
    proxy.advance(Duration::from_secs(1));
    drop(proxy.take_log());
    let taken = proxy.configure(configuration);
    proxy.advance(Duration::from_secs(1));
    let log = lines(proxy);
    match end {
        End::Taken => {
            ensure!(taken.is_ok(), "refused: {log}");
            ensure!(
                log.contains("is in force") && log.contains("signed by"),
                "the log does not say who signed: {log}"
            );
            ensure!(guarded(proxy, AFTER, false)? == 0, "a worker refuses everything");
        }
        End::Refused(why) => {
            ensure!(taken.is_err(), "it was taken");
            ensure!(log.contains(why), "the log does not say `{why}`: {log}");
            ensure!(log.lines().count() == 1, "one line is enough: {log}");
            ensure!(guarded(proxy, BEFORE, false)? == 0, "a worker refuses everything");
        }
        End::Closed(why) => {
            ensure!(taken.is_ok(), "a VM refused what depends on it alone: {log}");
            ensure!(log.contains(why), "the log does not say `{why}`: {log}");
            ensure!(guarded(proxy, "none", true)? == WORKERS, "not every worker refuses everything");
        }
    }
    Ok(())
}

/// Here each VM is a new one.
fn start(module: &Module, configuration: &str, end: End) -> Result<()> {
    let started = proxy(module).configuration(configuration).start();
    match (end, started) {
        (End::Refused(_), Err(_)) => Ok(()),
        (End::Taken, Ok(proxy)) => {
            ensure!(guarded(&proxy, AFTER, false)? == 0, "a worker refuses everything");
            Ok(())
        }
        (End::Closed(_), Ok(proxy)) => {
            ensure!(guarded(&proxy, "none", true)? == WORKERS, "not every worker refuses everything");
            Ok(())
        }
        (_, Ok(_)) => anyhow::bail!("it was taken"),
        (_, Err(refused)) => anyhow::bail!("refused: {refused}"),
    }
}

fn lines(proxy: &Proxy) -> String {
    let messages: Vec<String> = proxy.take_log().into_iter().map(|line| line.message).collect();
    messages.join("\n")
}
