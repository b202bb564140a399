//! Medians, spreads and ratios, as a table for people and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

/// What was measured: for each chain, microseconds of CPU per request, round by round.
pub(crate) struct Report {
    names: Vec<&'static str>,
    rounds: Vec<Vec<f64>>,
}

/// The chains that others are compared with, by their place in the list.
const BARE: usize = 0;
const CACHED: usize = 2;
const SHIPPED: usize = 3;

struct Line {
    name: &'static str,
    median: f64,
    quartiles: (f64, f64),
    added: f64,
    to_cached: f64,
    to_shipped: f64,
}

/// The value below which this part of the values lies.
pub(crate) fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into a few dozen rounds"
    )]
    let index = (sorted.len().saturating_sub(1) as f64 * part).round() as usize;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

impl Report {
    pub(crate) fn new(names: Vec<&'static str>) -> Self {
        let rounds = vec![Vec::new(); names.len()];
        Self { names, rounds }
    }

    pub(crate) fn add(&mut self, chain: usize, micros: f64) {
        if let Some(rounds) = self.rounds.get_mut(chain) {
            rounds.push(micros);
        }
    }

    fn quantile(&self, chain: usize, part: f64) -> f64 {
        quantile(self.rounds.get(chain).map_or(&[], Vec::as_slice), part)
    }

    fn lines(&self) -> Vec<Line> {
        let added = |chain| self.quantile(chain, 0.5) - self.quantile(BARE, 0.5);
        let line = |(chain, name): (usize, &&'static str)| Line {
            name,
            median: self.quantile(chain, 0.5),
            quartiles: (self.quantile(chain, 0.25), self.quantile(chain, 0.75)),
            added: added(chain),
            to_cached: added(chain) / added(CACHED),
            to_shipped: added(chain) / added(SHIPPED),
        };
        self.names.iter().enumerate().map(line).collect()
    }

    /// A table.
    pub(crate) fn text(&self, calls: &BTreeMap<String, usize>, module: u64) -> String {
        let mut out = String::new();
        let _ =
            writeln!(out, "\nCPU time per request in Envoy, one worker, microseconds (median, quartiles)");
        let _ = writeln!(
            out,
            "{:<34}{:>8}{:>18}{:>9}{:>12}{:>12}",
            "", "cpu", "quartiles", "added", "x cached", "x shipped"
        );
        for (index, line) in self.lines().iter().enumerate() {
            let quartiles = format!("{:.1} - {:.1}", line.quartiles.0, line.quartiles.1);
            let _ = write!(out, "{:<34}{:>8.1}{quartiles:>18}", line.name, line.median);
            let _ = if index == BARE {
                writeln!(out)
            } else {
                writeln!(out, "{:>9.1}{:>12.2}{:>12.2}", line.added, line.to_cached, line.to_shipped)
            };
        }
        let _ = writeln!(
            out,
            "\nadded: over the bare proxy; x cached, x shipped: what is added, as a multiple of what Envoy's"
        );
        let _ = writeln!(
            out,
            "jwt_authn + rbac + local_ratelimit + header_mutation add with and without a token cache"
        );
        let total: usize = calls.values().sum();
        let _ = writeln!(out, "\nhost calls of one request (the same job, token cached): {total}");
        for (name, count) in calls {
            let _ = writeln!(out, "  {count:>2}  {name}");
        }
        let _ = writeln!(out, "module: {module} bytes");
        out
    }

    /// The same for programs.
    pub(crate) fn json(&self, calls: &BTreeMap<String, usize>, module: u64) -> Value {
        let lines: Vec<Value> = self
            .lines()
            .iter()
            .zip(&self.rounds)
            .map(|(line, rounds)| {
                json!({"chain": line.name, "median_us": line.median, "quartiles_us": [line.quartiles.0, line.quartiles.1],
                       "added_us": line.added, "ratio_to_native_cached": line.to_cached,
                       "ratio_to_native_shipped": line.to_shipped, "rounds_us": rounds})
            })
            .collect();
        json!({"chains": lines, "host_calls": calls, "module_bytes": module})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_what_is_added() {
        let mut report = Report::new(vec!["bare", "noop", "cached", "shipped", "ours"]);
        for (chain, micros) in [20.0, 27.0, 30.0, 60.0, 35.0].into_iter().enumerate() {
            for noise in [0.0, 0.1, -0.1] {
                report.add(chain, micros + noise);
            }
        }
        let lines = report.lines();
        assert!((lines[4].added - 15.0).abs() < 1e-9);
        assert!((lines[4].to_cached - 1.5).abs() < 1e-9);
        assert!((lines[4].to_shipped - 0.375).abs() < 1e-9);
        let text = report.text(&BTreeMap::from([("proxy_log".into(), 2)]), 1);
        assert!(text.contains("ours") && text.contains("1.50"));
    }
}
