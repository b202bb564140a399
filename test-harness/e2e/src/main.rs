//! The program behind `make e2e`, `make run` and `make demo`.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use bartizan_e2e::client::{Protocol, send};
use bartizan_e2e::config::{self, Settings};
use bartizan_e2e::envoy::Envoy;
use bartizan_e2e::message::Request;
use bartizan_e2e::upstream::Upstream;

/// Bartizan in a real Envoy.
#[derive(Parser)]
#[command(name = "bartizan-e2e")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts Envoy with the module and sends one request over each protocol.
    Smoke {
        /// The plugin configuration, as a file.
        #[arg(long)]
        configuration: Option<std::path::PathBuf>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<()> {
    match command {
        Command::Smoke { configuration } => {
            let upstream = Upstream::start().await?;
            let configuration = match configuration {
                Some(file) => std::fs::read_to_string(file)?,
                None => "{}".to_owned(),
            };
            let mut envoy =
                Envoy::start(&Settings::new(config::module()?, configuration, upstream.address())).await?;
            for protocol in Protocol::ALL {
                let response = send(envoy.address(), None, protocol, &Request::new("GET", "/")).await?;
                println!("{protocol}: {} {}", response.status, response.reason().unwrap_or_default());
            }
            println!("VM restarts: {}", envoy.vm_restarts().await?);
            envoy.alive()?;
            envoy.stop().await;
            Ok(())
        }
    }
}
