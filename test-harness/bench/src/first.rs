//! What a token costs that was not seen before: Bartizan beside Envoy's `jwt_authn`, both with nothing else to do.
//!
//! Every request has a token of its own, so no cache can help. All chains get the same ones.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, anyhow};
use bartizan_cases::format::Token;
use bartizan_cases::mint::Mint;
use bartizan_e2e::{config, envoy::Envoy};
use serde_json::{Value, json};

use crate::chains::{bartizan, compile, configuration, jwt_authn, now, request};
use crate::{load, report};

/// Requests of one round and line. Signing their tokens is what takes time.
const REQUESTS: usize = 160;

/// Rounds before anything is counted: V8 compiles hot code again.
const WARM: usize = 6;

/// What is sent.
#[derive(Clone, Copy)]
enum Tokens {
    Rs256,
    Es256,
    /// The same RS256 token each time.
    Again,
}

/// One line of the table: its name, the Envoy, the tokens, and the line that it is compared with.
struct Line {
    name: &'static str,
    envoy: usize,
    tokens: Tokens,
    beside: Option<usize>,
}

const LINES: [Line; 8] = [
    Line { name: "bare proxy", envoy: 0, tokens: Tokens::Rs256, beside: None },
    Line { name: "jwt_authn, a first RS256 token", envoy: 1, tokens: Tokens::Rs256, beside: None },
    Line { name: "bartizan, a first RS256 token", envoy: 2, tokens: Tokens::Rs256, beside: Some(1) },
    Line { name: "jwt_authn, a first ES256 token", envoy: 1, tokens: Tokens::Es256, beside: None },
    Line { name: "bartizan, a first ES256 token", envoy: 2, tokens: Tokens::Es256, beside: Some(3) },
    Line { name: "bartizan, RS256 in the module", envoy: 3, tokens: Tokens::Rs256, beside: Some(1) },
    Line { name: "bartizan, ES256 in the module", envoy: 3, tokens: Tokens::Es256, beside: Some(3) },
    Line { name: "bartizan, a token again", envoy: 2, tokens: Tokens::Again, beside: None },
];

/// CPU time per request of each line, round by round, in microseconds.
pub(crate) struct First {
    rounds: Vec<Vec<f64>>,
}

/// Starts the proxies, makes the tokens, and measures.
pub(crate) async fn measure(rounds: usize) -> Result<First> {
    let (plan, jwks) = compile("tokens")?;
    let module = config::module()?;
    let chains = [
        vec![],
        vec![jwt_authn(&jwks, &json!({}))],
        vec![bartizan(&plan, &module, "auto")],
        vec![bartizan(&plan, &module, "wasm")],
    ];
    let mut envoys = Vec::new();
    for filters in &chains {
        envoys.push(Envoy::start_with(&configuration(filters), 1, &BTreeMap::new()).await?);
    }
    let mint = Mint::for_plan(&plan);
    let mut measured = vec![Vec::new(); LINES.len()];
    let again = requests(&mint, "RS256", "again", 1)?;
    for round in 0..WARM + rounds {
        // Nobody's CPU time is counted while tokens are signed.
        let name = format!("{round}");
        let (rs256, es256) =
            (requests(&mint, "RS256", &name, REQUESTS)?, requests(&mint, "ES256", &name, REQUESTS)?);
        for (line, results) in LINES.iter().zip(&mut measured) {
            let sent = match line.tokens {
                Tokens::Rs256 => &rs256,
                Tokens::Es256 => &es256,
                Tokens::Again => &again,
            };
            let envoy = envoys.get(line.envoy).context("no such proxy")?;
            let micros = load::send(envoy, sent, REQUESTS).await.with_context(|| line.name)?;
            if round >= WARM {
                results.push(micros);
            }
        }
        eprint!("\rfirst tokens: round {} of {}", round + 1, WARM + rounds);
    }
    eprintln!();
    Ok(First { rounds: measured })
}

/// Requests with a token each.
fn requests(mint: &Mint, alg: &str, round: &str, count: usize) -> Result<Vec<Vec<u8>>> {
    let now = now()?;
    (0..count)
        .map(|number| {
            let wanted = Token {
                alg: Some(alg.to_owned()),
                claims: [
                    ("roles".to_owned(), json!(["reader"])),
                    ("exp".to_owned(), json!("+6h")),
                    ("jti".to_owned(), json!(format!("{round}-{number}"))),
                ]
                .into(),
                ..Token::default()
            };
            let token = mint.token(&wanted, now, "bench").map_err(|e| anyhow!(e))?;
            Ok(request("/plain", &token))
        })
        .collect()
}

impl First {
    fn median(&self, line: usize) -> f64 {
        self.quantile(line, 0.5)
    }

    fn quantile(&self, line: usize, part: f64) -> f64 {
        report::quantile(self.rounds.get(line).map_or(&[], Vec::as_slice), part)
    }

    fn added(&self, line: usize) -> f64 {
        self.median(line) - self.median(0)
    }

    fn ratio(&self, index: usize, line: &Line) -> Option<f64> {
        line.beside.map(|beside| self.added(index) / self.added(beside))
    }

    /// A table.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "\nCPU time of a request whose token is new, microseconds (median, quartiles)");
        let _ = writeln!(out, "{:<34}{:>8}{:>18}{:>9}{:>13}", "", "cpu", "quartiles", "added", "x jwt_authn");
        for (index, line) in LINES.iter().enumerate() {
            let quartiles = format!("{:.1} - {:.1}", self.quantile(index, 0.25), self.quantile(index, 0.75));
            let _ = write!(out, "{:<34}{:>8.1}{quartiles:>18}", line.name, self.median(index));
            let _ = match (index, self.ratio(index, line)) {
                (0, _) => writeln!(out),
                (_, Some(ratio)) => writeln!(out, "{:>9.1}{ratio:>13.2}", self.added(index)),
                _ => writeln!(out, "{:>9.1}", self.added(index)),
            };
        }
        let _ = writeln!(
            out,
            "\nadded: over the bare proxy; x jwt_authn: what is added, as a multiple of the line with the same tokens"
        );
        out
    }

    /// The same for programs.
    pub(crate) fn json(&self) -> Value {
        let line = |(index, line): (usize, &Line)| {
            json!({"line": line.name, "median_us": self.median(index), "added_us": self.added(index),
                   "ratio_to_jwt_authn": self.ratio(index, line), "rounds_us": self.rounds.get(index)})
        };
        LINES.iter().enumerate().map(line).collect()
    }
}
