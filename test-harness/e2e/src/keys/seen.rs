//! What clients saw, and a steady load of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::task::JoinSet;

use crate::bundles::crew::connections;
use crate::bundles::load::Line;
use crate::client::{h1, h2};
use crate::envoy::Envoy;
use crate::message::{Request, Response};
use crate::show::{Paint, table};

/// The pause between the requests of a connection: a load, and not a flood.
const PAUSE: Duration = Duration::from_millis(8);

/// The answers of one kind to clients of one kind.
#[derive(Debug, Clone, Copy)]
struct Answers {
    count: usize,
    first: Instant,
    last: Instant,
    longest: Duration,
}

/// What clients saw: who asked, what the answer was, how often, and when.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    began: Instant,
    answers: BTreeMap<(String, String), Answers>,
}

impl Seen {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), answers: BTreeMap::new() }
    }

    /// Notes an answer that took so long.
    pub(super) fn note(&mut self, who: &str, answer: &Response, took: Duration) {
        let now = Instant::now();
        let new = Answers { count: 0, first: now, last: now, longest: Duration::ZERO };
        let answers = self.answers.entry((who.to_owned(), told(answer))).or_insert(new);
        answers.count += 1;
        answers.last = now;
        answers.longest = answers.longest.max(took);
    }

    /// Notes several that came together.
    pub(super) fn all(&mut self, who: &str, answers: &[Response], took: Duration) {
        answers.iter().for_each(|answer| self.note(who, answer, took));
    }

    /// Adds what others saw.
    pub(super) fn add(&mut self, other: Self) {
        self.began = self.began.min(other.began);
        for (key, more) in other.answers {
            let answers = self.answers.entry(key).or_insert(Answers { count: 0, ..more });
            answers.count += more.count;
            answers.first = answers.first.min(more.first);
            answers.last = answers.last.max(more.last);
            answers.longest = answers.longest.max(more.longest);
        }
    }

    /// How often these were answered so.
    pub(super) fn count(&self, who: &str, answer: &str) -> usize {
        let found = self.answers.get(&(who.to_owned(), answer.to_owned()));
        found.map_or(0, |answers| answers.count)
    }

    /// How many answers there were.
    pub(super) fn total(&self) -> usize {
        self.answers.values().map(|answers| answers.count).sum()
    }

    /// The longest that any of these took.
    pub(super) fn longest(&self, who: &str) -> Duration {
        let of = self.answers.iter().filter(|((known, _), _)| known == who);
        of.map(|(_, answers)| answers.longest).max().unwrap_or_default()
    }

    /// Checks that these were answered, as said here and in no other way.
    pub(super) fn only(&self, who: &str, allowed: &[&str]) -> Result<()> {
        let of: Vec<_> = self.answers.iter().filter(|((known, _), _)| known == who).collect();
        ensure!(!of.is_empty(), "nobody was answered as `{who}`");
        for ((_, answer), answers) in of {
            ensure!(
                allowed.contains(&answer.as_str()),
                "{who}: {} times `{answer}`, first after {:.1?}; expected {allowed:?} and nothing else",
                answers.count,
                answers.first.saturating_duration_since(self.began)
            );
        }
        Ok(())
    }

    /// The same, and there were so many.
    pub(super) fn exactly(&self, who: &str, answer: &str, count: usize) -> Result<()> {
        self.only(who, &[answer])?;
        let got = self.count(who, answer);
        ensure!(got == count, "{who}: {got} times `{answer}`, expected {count}");
        Ok(())
    }

    /// A table for people.
    pub(super) fn print(&self) {
        let head = ["who asked", "what they got", "how often", "from", "to", "the longest"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        for ((who, answer), answers) in &self.answers {
            let at = |moment: Instant| {
                format!("{:.1} s", moment.saturating_duration_since(self.began).as_secs_f32())
            };
            rows.push(vec![
                who.clone(),
                answer.clone(),
                answers.count.to_string(),
                at(answers.first),
                at(answers.last),
                format!("{} ms", answers.longest.as_millis()),
            ]);
        }
        for (number, line) in table(&rows).iter().enumerate() {
            let line = if number == 0 { Paint::of_stdout().bold(line) } else { line.clone() };
            println!("    {line}");
        }
    }
}

/// Status, reason, and whether it says when to come again.
pub(super) fn told(answer: &Response) -> String {
    let reason = answer.reason().unwrap_or_default();
    let again = answer.header("retry-after").map(|seconds| match seconds.parse() {
        Ok(1..=3600_u64) => ", retry-after".to_owned(),
        _ => format!(", retry-after: {seconds}"),
    });
    let told = format!("{} {reason}", answer.status);
    format!("{}{}", told.trim_end(), again.unwrap_or_default())
}

/// Who asks next, and what.
pub(super) type Script = dyn Fn(usize) -> Result<Vec<(&'static str, Request)>> + Send + Sync;

/// A load that is under way.
pub(super) struct Load {
    done: Arc<AtomicBool>,
    clients: JoinSet<Result<Seen>>,
}

impl Load {
    /// Each worker is sent what the script says, over both protocols, round after round.
    pub(super) async fn on_all_workers(envoy: &Envoy, name: &str, script: Arc<Script>) -> Result<Self> {
        let mut lines = Vec::new();
        let found = connections(envoy, envoy.listener(name)?, name, 2).await?;
        let mut workers = BTreeSet::new();
        for (worker, stream) in found {
            lines.push(if workers.insert(worker) {
                Line::Http1(h1::Connection::new(stream))
            } else {
                Line::Http2(h2::Connection::new(stream).await?)
            });
        }
        Ok(Self::begin(lines, script))
    }

    /// Each connection sends what the script says, round after round.
    pub(super) fn begin(lines: Vec<Line>, script: Arc<Script>) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for line in lines {
            clients.spawn(client(line, Arc::clone(&script), Arc::clone(&done)));
        }
        Self { done, clients }
    }

    /// Ends it.
    ///
    /// # Errors
    /// With the first request that had no answer.
    pub(super) async fn end(mut self) -> Result<Seen> {
        self.done.store(true, Ordering::Relaxed);
        let mut seen = Seen::new();
        while let Some(client) = self.clients.join_next().await {
            seen.add(client??);
        }
        Ok(seen)
    }
}

async fn client(mut line: Line, script: Arc<Script>, done: Arc<AtomicBool>) -> Result<Seen> {
    let (mut seen, mut round) = (Seen::new(), 0);
    while !done.load(Ordering::Relaxed) {
        for (who, request) in script(round)? {
            let began = Instant::now();
            let answer = line.exchange(&request).await?;
            seen.note(who, &answer, began.elapsed());
            tokio::time::sleep(PAUSE).await;
        }
        round += 1;
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, reason: &str, again: Option<&str>) -> Response {
        let mut headers = vec![(b"content-type".to_vec(), b"application/problem+json".to_vec())];
        headers.extend(again.map(|seconds| (b"retry-after".to_vec(), seconds.as_bytes().to_vec())));
        let body = serde_json::json!({"reason": reason}).to_string().into_bytes();
        Response { status, headers, body, ..Response::default() }
    }

    #[test]
    fn an_answer_that_was_not_expected_is_told() {
        let mut seen = Seen::new();
        assert!(seen.only("known", &["200"]).is_err());
        seen.note("known", &Response { status: 200, ..Response::default() }, Duration::ZERO);
        seen.only("known", &["200"]).unwrap();
        seen.exactly("known", "200", 1).unwrap();
        assert!(seen.exactly("known", "200", 2).is_err());
        let mut other = Seen::new();
        other.note("known", &answer(503, "busy", Some("1")), Duration::from_secs(1));
        other.note("known", &answer(503, "busy", Some("soon")), Duration::ZERO);
        seen.add(other);
        assert!(seen.only("known", &["200"]).is_err());
        assert!(seen.only("known", &["200", "503 busy, retry-after"]).is_err());
        seen.only("known", &["200", "503 busy, retry-after", "503 busy, retry-after: soon"]).unwrap();
        assert_eq!((seen.total(), seen.longest("known")), (3, Duration::from_secs(1)));
    }
}
