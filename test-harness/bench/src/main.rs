//! `make bench`: what a request costs in Envoy with Bartizan, beside Envoy's own filters doing the same job.
//!
//! Every chain gets an Envoy of its own, with one worker. Rounds alternate between them, so that whatever
//! else the machine does falls on all alike; a round's result is the CPU time of the Envoy process divided
//! by the requests of the round. What counts are the ratios of what each chain adds to the bare proxy.

mod chains;
mod first;
mod host_calls;
mod load;
mod report;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;

use chains::{Chain, Material};
use report::Report;

/// What Bartizan costs per request in a real Envoy, beside Envoy's own filters.
#[derive(Parser)]
#[command(
    name = "bartizan-bench",
    after_help = "Examples:\n  make bench\n  make bench ARGS='--rounds 200'\n  make bench ARGS=--first\n  make bench ARGS='--json bench.json'"
)]
struct Arguments {
    /// Rounds per chain; the median is reported.
    #[arg(long, default_value_t = 60)]
    rounds: usize,
    /// Requests per round and chain.
    #[arg(long, default_value_t = 600)]
    requests: usize,
    /// Only what the first sight of a token costs.
    #[arg(long)]
    first: bool,
    /// Also write the results to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<std::path::PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match bench(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn bench(arguments: &Arguments) -> Result<()> {
    let first = first::measure(arguments.rounds.div_ceil(2)).await?;
    print!("{}", first.text());
    if arguments.first {
        return Ok(());
    }
    let material = Material::gather()?;
    let chains = Chain::all(&material)?;
    eprintln!("starting {} proxies with one worker each", chains.len());
    let mut running = Vec::new();
    for chain in &chains {
        running.push(chain.start().await.with_context(|| format!("the chain `{}`", chain.name))?);
    }
    // V8 compiles hot code again, better, after some thousand calls; caches fill.
    for envoy in &running {
        load::round(envoy, arguments.requests).await?;
    }
    let mut report = Report::new(chains.iter().map(|c| c.name).collect());
    for round in 1..=arguments.rounds {
        for (index, envoy) in running.iter().enumerate() {
            report.add(index, load::round(envoy, arguments.requests).await?);
        }
        eprint!("\rround {round} of {}", arguments.rounds);
    }
    eprintln!();
    let calls = host_calls::count(&material).await?;
    print!("{}", report.text(&calls, material.module_bytes()?));
    if let Some(file) = &arguments.json {
        let mut json = report.json(&calls, material.module_bytes()?);
        if let Some(json) = json.as_object_mut() {
            json.insert("first_tokens".into(), first.json());
        }
        std::fs::write(file, format!("{json:#}\n"))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}
