//! Signed artifacts in the plugin configuration of a running Envoy: what is taken, what is refused before it is in force,
//! and what has expired.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::crew::Crew;
use super::log::Log;
use super::make::{Edition, Maker, Signer, value};
use crate::config::{self, Settings};
use crate::envoy::Envoy;
use crate::lifecycle::{CONFIGURATION, counter, dynamic, place, publish, reserve, wait};
use crate::upstream::Upstream;

/// What must become of a configuration.
enum End {
    /// Every worker judges by this policy.
    InForce(String),
    /// Envoy refuses it, and the log names the kind; what was in force stays.
    Refused,
    /// Envoy takes it, the log names the kind, and every worker refuses everything.
    Closed,
}

struct Step {
    what: &'static str,
    configuration: Value,
    end: End,
    /// What the log must say.
    says: &'static str,
}

fn steps(maker: &Maker) -> Result<Vec<Step>> {
    use End::{Closed, InForce, Refused};
    let with = |artifact: &[u8], threshold: usize| -> Result<Value> {
        Ok(json!({"bundle": value(artifact)?, "trust": maker.trust(threshold)?}))
    };
    let step = |what, artifact: &[u8], threshold, end, says| -> Result<Step> {
        Ok(Step { what, configuration: with(artifact, threshold)?, end, says })
    };
    let (second, bad) = (Edition::new(2), Edition::new(3).marked("bad"));
    let payload = bad.payload()?;
    let mut tampered = with(&maker.artifact(&bad)?, 1)?;
    let other = with(&maker.artifact(&Edition::new(4).marked("bad"))?, 1)?;
    *place(&mut tampered, "/bundle/payload")? = other.pointer("/bundle/payload").cloned().unwrap_or_default();
    let elsewhere = Edition { name: "elsewhere", ..bad.clone() };
    Ok(vec![
        step("no signature", &maker.sign(&payload, &[])?, 1, Refused, "too-few-signatures")?,
        step(
            "an unknown key",
            &maker.sign(&payload, &[Signer::Stranger])?,
            1,
            Refused,
            "too-few-signatures",
        )?,
        step("one of two keys", &maker.sign(&payload, &[Signer::First])?, 2, Refused, "too-few-signatures")?,
        Step {
            what: "another payload under the signature",
            configuration: tampered,
            end: Refused,
            says: "too-few-signatures",
        },
        step(
            "two of two keys",
            &maker.sign(&second.payload()?, &[Signer::First, Signer::Second])?,
            2,
            InForce(second.mark),
            "bundle `edge` revision 2, signed by ",
        )?,
        step(
            "the key of another bundle",
            &maker.sign(&payload, &[Signer::Elsewhere])?,
            1,
            Refused,
            "key-not-for-bundle",
        )?,
        step("another name", &maker.artifact(&elsewhere)?, 1, Refused, "wrong-name")?,
        step("signed, and not canonical", &maker.altered(&bad, "{", "{ ")?, 1, Refused, "not-canonical")?,
        step(
            "signed, and of another plan version",
            &maker.altered(&bad, "\"plan_version\":", "\"plan_version\":9")?,
            1,
            Refused,
            "plan-version",
        )?,
        step("expired", &maker.artifact(&bad.with("expires: 2001-01-01T00:00:00Z"))?, 1, Closed, "expired")?,
        step(
            "an older revision, as whoever configures may wish",
            // Not the first configuration again: Envoy keeps that plugin while its old listener drains.
            &maker.artifact(&Edition::new(1).marked("r1-again"))?,
            1,
            InForce("r1-again".into()),
            "bundle `edge` revision 1, signed by ",
        )?,
    ])
}

/// Gives a running Envoy one configuration after the other, and tells what became of them.
///
/// # Errors
/// When a good artifact does not come into force in every worker, or any other does.
pub(crate) async fn inline() -> Result<String> {
    let maker = Maker::new();
    let upstream = Upstream::start().await?;
    let directory = tempfile::Builder::new().prefix("bartizan-lds-").tempdir()?;
    let file = directory.path().join("listeners.json");
    let first = Edition::new(1);
    let start = json!({"bundle": value(&maker.artifact(&first)?)?, "trust": maker.trust(1)?});
    let mut settings = Settings::new(config::module()?, start.to_string(), upstream.address());
    settings.vm_id = "bartizan".to_owned();
    let (bootstrap, mut listener) = dynamic(&config::standalone(&settings)?, &file)?;
    let reserved = reserve()?;
    let address = reserved.local_addr()?;
    *place(&mut listener, "/address/socket_address/port_value")? = json!(address.port());
    listener.as_object_mut().map(|members| members.insert("stat_prefix".into(), json!("inline")));
    publish(&file, &listener)?;
    let mut envoy = Envoy::start_logging(&bootstrap, 2, &BTreeMap::new(), "info").await?;
    let workers = judged(&envoy, address, "inline", &first.mark).await?;
    let mut in_force = first.mark;
    let (mut taken, mut refused) = (1, 0);
    for step in steps(&maker)? {
        let log = Log::from_now(&envoy, "bartizan")?;
        let name = match step.end {
            End::Refused => "lds.update_rejected",
            _ => "lds.update_success",
        };
        let before = counter(&envoy, name).await?;
        *place(&mut listener, CONFIGURATION)? = json!(step.configuration.to_string());
        publish(&file, &listener)?;
        let what = step.what;
        wait(&format!("{what}: `{name}`"), async || Ok(counter(&envoy, name).await? > before)).await?;
        match step.end {
            End::Refused => refused += 1,
            End::InForce(mark) => {
                taken += 1;
                in_force = mark;
            }
            End::Closed => {
                taken += 1;
                "503 no-policy".clone_into(&mut in_force);
            }
        }
        judged(&envoy, address, "inline", &in_force).await.map_err(|error| error.context(what))?;
        log.wait_for(&envoy, &[step.says]).await.map_err(|error| error.context(what))?;
    }
    envoy.alive()?;
    ensure!(envoy.vm_restarts().await? == 0, "a VM broke");
    envoy.stop().await;
    Ok(format!(
        "{taken} taken and {refused} refused while the old one stayed in force, as {workers} workers say"
    ))
}

/// Waits until every worker judges so, over new connections, as an update leaves old ones with the old policy.
async fn judged(envoy: &Envoy, address: std::net::SocketAddr, prefix: &str, wanted: &str) -> Result<usize> {
    let mut seen = Vec::new();
    wait(&format!("`{wanted}` in every worker"), async || {
        let mut crew = Crew::assemble(envoy, address, prefix).await?;
        seen = crew.marks().await?;
        Ok(seen.iter().all(|mark| mark == wanted))
    })
    .await
    .map_err(|error| error.context(format!("the workers judge as {seen:?}")))?;
    Ok(seen.len())
}
