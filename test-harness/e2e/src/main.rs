//! The program behind `make e2e`, `make run` and `make demo`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::{Parser, Subcommand, ValueEnum};

use bartizan_e2e::client::Protocol;
use bartizan_e2e::deploy::{Policy, Signatures, Stage};
use bartizan_e2e::{
    bundles, burst, cases, config, demo, hostile, keys, large, lifecycle, parity, probe, run, trailers,
};

/// Bartizan in a real Envoy.
///
/// Needs dist/bartizan.wasm (`make build`; or BARTIZAN_WASM=FILE) and Envoy (`make setup`; or ENVOY=FILE).
#[derive(Parser)]
#[command(
    name = "bartizan-e2e",
    after_help = "\
Examples:
  bartizan-e2e run                        guard an echo server until Ctrl-C
  bartizan-e2e run --for 5s               the same for 5 seconds, checking the printed lines
  bartizan-e2e cases --only telemetry     the cases whose name contains `telemetry`
  bartizan-e2e hostile --count 1000000    a million mutated requests
  bartizan-e2e burst --connections 128    a flood
  bartizan-e2e bundles --only refusals    a table of bad bundles and bad bundle servers
  bartizan-e2e keys --outage 300s         issuers that change their keys, misbehave, and are away for five minutes

Exit status: 0 if all is as expected, 1 if not, 2 if the command line is wrong."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Guard an echo server with the bundle iot-gateway, and print curl lines to try.
    Run {
        /// The port for clients; another one is taken if it is in use.
        #[arg(long, default_value_t = 8080)]
        port: u16,
        /// Check the printed lines and stop after this long, as in `5s`.
        #[arg(long = "for", value_parser = seconds, env = "BARTIZAN_RUN_FOR")]
        limit: Option<Duration>,
    },
    /// Show a tour of what is let in and what is refused.
    Demo,
    /// Run the behaviour cases, over HTTP/1.1 and HTTP/2.
    Cases {
        /// Only cases whose file, name or row contains this text.
        #[arg(long)]
        only: Option<String>,
        /// Who checks signatures.
        #[arg(long, value_enum, default_value_t = By::Both)]
        signatures: By,
    },
    /// Run the behaviour cases natively, simulated and in Envoy, and compare what came back, also where no case looks.
    Parity {
        /// Only cases whose file, name or row contains this text.
        #[arg(long)]
        only: Option<String>,
    },
    /// Send hostile input: a public suite of JSON documents, and mutated requests.
    Hostile {
        /// How many mutated requests.
        #[arg(long, default_value_t = 100_000, value_parser = some)]
        count: usize,
        /// Where chance begins; the same seed sends the same requests.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Flood budgets of a hundred and of a thousand requests, and see that exactly so many are let through.
    Burst {
        /// How many requests: more than a hundred, or more than a thousand for both budgets.
        #[arg(long, default_value_t = 10_000, value_parser = flooding)]
        requests: usize,
        /// How many connections.
        #[arg(long, default_value_t = 64, value_parser = some)]
        connections: usize,
    },
    /// Send the largest bodies that a policy allows, and larger ones.
    Large,
    /// Change the policy under load, to good ones and bad ones; go without a policy, and without holding headers.
    Lifecycle,
    /// Give signed bundles to Envoy, good and bad, and ask every worker what it judges by.
    Bundles {
        /// Only scenes whose name contains this text: inline, refusals, first, restart, update, rotate, expiry, poll, follow, large, oci.
        #[arg(long)]
        only: Option<String>,
    },
    /// Let issuers change their keys, be away and misbehave, revoke tokens, and use what may be used once on every worker.
    Keys {
        /// Only scenes whose name contains this text: overlap, swap, nameless, withdrawn, outage, flood, bad, first, upload, polled, followed, once.
        #[arg(long)]
        only: Option<String>,
        /// How long the issuer is away.
        #[arg(long, default_value = "12s", value_parser = seconds)]
        outage: Duration,
    },
    /// Send request trailers towards an upstream that speaks HTTP/2, which must see none.
    Trailers,
    /// Hold the simulated Envoy against this one: every host call, line by line. Needs dist/probe.wasm (`make host-modules`).
    Probe,
    /// Print Envoy's configuration for containers, with a bundle's policy inside.
    Config {
        /// The bundle.
        bundle: std::path::PathBuf,
    },
    /// Everything above but `run` and `config`, the cases as `parity` runs them: what `make e2e` does.
    All,
    /// Cases with one signature path, small floods and some hostile input: what `make test` does.
    Quick,
}

#[derive(Clone, Copy, ValueEnum)]
enum By {
    /// Envoy and the module, one after the other.
    Both,
    /// Envoy's own cryptography.
    Host,
    /// The module's.
    Wasm,
    /// Whatever the module chooses.
    Auto,
}

impl By {
    fn paths(self) -> Vec<Signatures> {
        match self {
            Self::Both => vec![Signatures::Host, Signatures::Wasm],
            Self::Host => vec![Signatures::Host],
            Self::Wasm => vec![Signatures::Wasm],
            Self::Auto => vec![Signatures::Auto],
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text);
    number.parse().map(Duration::from_secs).map_err(|_| format!("`{text}` is not a duration such as `5s`"))
}

/// A number of requests that a flood is worth.
fn flooding(text: &str) -> Result<usize, String> {
    let requests = some(text)?;
    burst::budgets(requests).map_err(|error| error.to_string())?;
    Ok(requests)
}

/// A number of things to do: a run that does nothing shows nothing.
fn some(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("not a whole number from 1 on".to_owned()),
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match execute(arguments.command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn execute(command: Command) -> Result<()> {
    match command {
        Command::Run { port, limit } => run::run(port, limit).await,
        Command::Demo => {
            let mut stage = Stage::start(&[demo::post()?]).await?;
            demo::demo(&mut stage).await
        }
        Command::Cases { only, signatures } => run_cases(only, signatures).await,
        Command::Parity { only } => parity::parity(only).await,
        Command::Hostile { count, seed } => {
            let mut stage = Stage::start(&[hostile::post()?]).await?;
            documents(&mut stage).await?;
            mutated(&mut stage, count, seed).await
        }
        Command::Burst { requests, connections } => {
            flood(&mut Stage::start(&burst::posts()?).await?, requests, connections).await
        }
        Command::Large => large_bodies(&mut Stage::start(&[large::post()?]).await?).await,
        Command::Lifecycle => around_requests().await,
        Command::Bundles { only } => bundles::bundles(only.as_deref()).await,
        Command::Keys { only, outage } => keys::keys(only.as_deref(), outage).await,
        Command::Trailers => late_headers().await,
        Command::Probe => probed().await,
        Command::Config { bundle } => {
            let policy = Policy::compile_as_written(&bundle)?;
            let config = config::container(policy.configuration(Signatures::Auto), &policy.secrets)?;
            println!("{}", serde_json::to_string_pretty(&config)?);
            Ok(())
        }
        Command::All => {
            parity::parity(None).await?;
            around_requests().await?;
            bundles::bundles(None).await?;
            keys::keys(None, keys::OUTAGE).await?;
            late_headers().await?;
            probed().await?;
            let mut posts = burst::posts()?;
            posts.extend([large::post()?, hostile::post()?, demo::post()?]);
            let mut stage = Stage::start(&posts).await?;
            flood(&mut stage, 10_000, 64).await?;
            large_bodies(&mut stage).await?;
            documents(&mut stage).await?;
            mutated(&mut stage, 100_000, 1).await?;
            demo::demo(&mut stage).await
        }
        Command::Quick => {
            run_cases(None, By::Auto).await?;
            let mut posts = burst::posts()?;
            posts.push(hostile::post()?);
            let mut stage = Stage::start(&posts).await?;
            flood(&mut stage, 2_000, 16).await?;
            mutated(&mut stage, 5_000, 1).await
        }
    }
}

async fn run_cases(only: Option<String>, signatures: By) -> Result<()> {
    let started = Instant::now();
    let report =
        cases::run(&cases::Options { only, signatures: signatures.paths(), compared: false }).await?;
    println!("{} in {:.1} s", report.text(), started.elapsed().as_secs_f32());
    if report.is_good() {
        return Ok(());
    }
    bail!("{} runs failed, {} proxies broke", report.failures.len(), report.broken.len())
}

async fn flood(stage: &mut Stage, requests: usize, connections: usize) -> Result<()> {
    for protocol in Protocol::ALL {
        for (budget, path) in burst::budgets(requests)? {
            let started = Instant::now();
            let answers = burst::burst(stage, requests, connections, protocol, (budget, path)).await?;
            let admitted = answers.get(&200).copied().unwrap_or(0);
            println!(
                "flood over {protocol}: {requests} requests over {connections} connections against a limit of {budget}: {admitted} admitted, in {:.1} s",
                started.elapsed().as_secs_f32()
            );
        }
    }
    Ok(())
}

async fn large_bodies(stage: &mut Stage) -> Result<()> {
    let started = Instant::now();
    let requests = large::large(stage).await?;
    println!(
        "large bodies: {requests} requests of 10 to 16 MiB as expected, in {:.1} s",
        started.elapsed().as_secs_f32()
    );
    Ok(())
}

async fn around_requests() -> Result<()> {
    let started = Instant::now();
    let requests = lifecycle::updates().await?;
    lifecycle::without_policy().await?;
    lifecycle::without_holding().await?;
    println!(
        "lifecycle: {requests} requests while good and bad policies came, none failed; no policy refuses; nothing hangs where headers cannot be held, in {:.1} s",
        started.elapsed().as_secs_f32()
    );
    Ok(())
}

async fn late_headers() -> Result<()> {
    let started = Instant::now();
    let requests = trailers::trailers().await?;
    println!(
        "trailers: {requests} requests, none of their trailers reached an HTTP/2 upstream, and without bartizan all did, in {:.1} s",
        started.elapsed().as_secs_f32()
    );
    Ok(())
}

async fn probed() -> Result<()> {
    let started = Instant::now();
    let tally = probe::compare().await?;
    println!(
        "host calls: {} scenes in Envoy and in bartizan-host, {} lines agree, {} differ as known, in {:.1} s",
        tally.scenes,
        tally.lines,
        tally.known.values().sum::<usize>(),
        started.elapsed().as_secs_f32()
    );
    for (reason, count) in tally.known {
        println!("    {count} lines: {reason}");
    }
    Ok(())
}

async fn documents(stage: &mut Stage) -> Result<()> {
    match hostile::documents(stage).await? {
        Some(tally) => println!(
            "hostile JSON: {} documents, {} requests, {} let through, no server error, no VM restart",
            tally.files, tally.requests, tally.allowed
        ),
        None => println!("hostile JSON: SKIPPED, no public vectors here; set BARTIZAN_VECTORS"),
    }
    Ok(())
}

async fn mutated(stage: &mut Stage, count: usize, seed: u64) -> Result<()> {
    let started = Instant::now();
    let tally = hostile::mutated(stage, count, seed).await?;
    println!(
        "hostile requests: {count} with seed {seed} in {:.1} s, no server error, no VM restart\n    {}",
        started.elapsed().as_secs_f32(),
        tally.line()
    );
    Ok(())
}
