//! Keys that are fetched: whatever their server answers and whenever, the workers agree, requests wait for a while and not
//! longer, and nobody makes them ask more often than they may.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bartizan_host::clusters::Answer;
use bartizan_host::{Module, Outcome, Request, Stream};

use self::server::{Idp, MINUTE, SECOND, WORKERS, again, all, log, start};

mod bad;
mod server;
mod waiting;

/// What came of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Key sets that were taken over by every worker.
    pub changes: usize,
    /// Kinds of bad answers.
    pub refused: usize,
    /// Requests that waited.
    pub waited: usize,
    /// Tokens with a made-up `kid`, and the fetches that they caused.
    pub flood: (usize, u64),
    /// Attempts in an hour without a server.
    pub outage: u64,
}

impl Tally {
    /// One line for people.
    #[must_use]
    pub fn line(&self) -> String {
        let (tokens, fetches) = self.flood;
        format!(
            "keys: {} sets in use everywhere, {} bad answers changed nothing, {} requests waited, {tokens} tokens with made-up keys caused {fetches} fetches, an hour without a server {}",
            self.changes, self.refused, self.waited, self.outage
        )
    }
}

/// Everything.
///
/// # Errors
/// With the first thing that gives way.
pub fn run(module: &Module) -> Result<Tally> {
    let mut tally = Tally::default();
    begins(module, &mut tally).context("the first fetch")?;
    rotates(module, &mut tally).context("keys that change")?;
    outlives(module, &mut tally).context("an outage")?;
    floods(module, &mut tally).context("tokens with made-up keys")?;
    discovers(module, &mut tally).context("discovery")?;
    bad::run(module, &mut tally).context("bad answers")?;
    bad::withdraws(module, &mut tally).context("sets without a key")?;
    waiting::run(module, &mut tally).context("requests that wait")?;
    Ok(tally)
}

/// All workers have the keys before the first request, by one fetch.
fn begins(module: &Module, tally: &mut Tally) -> Result<()> {
    let idp = Idp::new(&[0]);
    let proxy = start(module, &idp, 10)?;
    ensure!(idp.asked() == 0, "something was sent while the configuration was loaded");
    proxy.advance(SECOND);
    ensure!(idp.asked() == 1, "{} fetches for one key set", idp.asked());
    all(&proxy, &idp, 0, 200)?;
    all(&proxy, &idp, 1, 401)?;
    tally.changes += 1;
    // A new bundle has them from its first request on, and asks for nothing.
    idp.answer(Answer::status(503));
    proxy.configure(again(&idp, 10, "another")?)?;
    all(&proxy, &idp, 0, 200)?;
    ensure!(log(&proxy).contains("are in use"), "nothing was logged: {}", log(&proxy));
    Ok(())
}

/// Rotation with overlap and without, and a key that is removed.
fn rotates(module: &Module, tally: &mut Tally) -> Result<()> {
    let idp = Idp::new(&[0]);
    let proxy = start(module, &idp, 10)?;
    proxy.advance(MINUTE);
    all(&proxy, &idp, 0, 200)?;
    // Nobody has heard of the new key; the first token that names it brings it.
    idp.serve(&[0, 1]);
    all(&proxy, &idp, 1, 200).context("with overlap")?;
    all(&proxy, &idp, 0, 200).context("with overlap")?;
    ensure!(idp.asked() == 2, "{} fetches", idp.asked());
    // The old one goes: it is believed until the next fetch, and not one tick longer.
    idp.serve(&[1]);
    proxy.advance(10 * MINUTE + SECOND);
    all(&proxy, &idp, 0, 401).context("a key that was removed")?;
    all(&proxy, &idp, 1, 200)?;
    // Without overlap: the first token with the new key makes the old one go everywhere.
    idp.serve(&[0]);
    proxy.advance(MINUTE);
    let first = proxy.worker(0).send(Request::of(idp.request(&proxy, 0)?));
    ensure!(first.status() == 200, "the new key: {}", first.status());
    proxy.advance(SECOND);
    all(&proxy, &idp, 1, 401).context("without overlap")?;
    all(&proxy, &idp, 0, 200).context("without overlap")?;
    tally.changes += 4;
    Ok(())
}

/// An hour without a server logs nobody out.
fn outlives(module: &Module, tally: &mut Tally) -> Result<()> {
    let idp = Idp::new(&[0]);
    let proxy = start(module, &idp, 10)?;
    proxy.advance(SECOND);
    all(&proxy, &idp, 0, 200)?;
    let before = idp.asked();
    proxy.take_log();
    for minute in 0..60 {
        idp.answer(match minute % 4 {
            0 => Answer::status(503),
            1 => Answer::refused(),
            2 => Answer::never(),
            _ => Answer::reset_after_headers(),
        });
        proxy.advance(MINUTE);
        all(&proxy, &idp, 0, 200).with_context(|| format!("minute {minute}"))?;
    }
    tally.outage = idp.asked().saturating_sub(before);
    ensure!((5..=14).contains(&tally.outage), "{} attempts in an hour", tally.outage);
    let age = proxy.metrics().gauge("bartizan.keys.age_seconds").unwrap_or(0);
    ensure!((3_500..=3_700).contains(&age), "the keys are said to be {age} s old");
    // Whoever comes with a key that nobody knows is told to come again, and makes all workers ask once in half a minute.
    let before = idp.asked();
    for round in 0..60 {
        idp.answer(Answer::status(503));
        all(&proxy, &idp, 1, 503).with_context(|| format!("round {round}"))?;
        proxy.advance(10 * SECOND);
    }
    let asked = idp.asked().saturating_sub(before);
    ensure!((15..=21).contains(&asked), "{asked} attempts in ten minutes");
    // The server comes back with other keys: the first token with one brings it, however far ahead the next attempt is.
    idp.serve(&[1]);
    proxy.advance(30 * SECOND);
    all(&proxy, &idp, 1, 200)?;
    all(&proxy, &idp, 0, 401)?;
    ensure!(log(&proxy).contains("can be fetched again"), "{}", log(&proxy));
    tally.changes += 1;
    Ok(())
}

/// Ten thousand tokens with made-up keys, from all workers, over some minutes.
fn floods(module: &Module, tally: &mut Tally) -> Result<()> {
    const TOKENS: usize = 10_000;
    let idp = Idp::new(&[0]);
    let proxy = start(module, &idp, 10)?;
    proxy.advance(MINUTE);
    let before = idp.asked();
    let began = proxy.now();
    for number in 0..TOKENS {
        let request = Request::of(idp.unknown(&proxy, &format!("made-up-{number}"))?);
        let answer = proxy.worker(number % WORKERS).send(request);
        ensure!(answer.status() == 401, "token {number}: {} {:?}", answer.status(), answer.outcome());
        if number.is_multiple_of(33) {
            proxy.advance(SECOND);
        }
    }
    let took = proxy.now().saturating_sub(began);
    let fetches = idp.asked().saturating_sub(before);
    let most = took.as_secs() / 30 + 1;
    ensure!(fetches <= most && fetches > 0, "{fetches} fetches in {took:?}; {most} are allowed");
    let counted = proxy.metrics().counter("bartizan.keys.unknown_kid_refetches").unwrap_or(0);
    ensure!(counted > 0 && counted <= fetches, "{counted} are counted of {fetches}");
    all(&proxy, &idp, 0, 200)?;
    tally.flood = (TOKENS, fetches);
    Ok(())
}

/// The issuer says where its keys are.
fn discovers(module: &Module, tally: &mut Tally) -> Result<()> {
    let idp = Idp::discovered(&[0]);
    let proxy = start(module, &idp, 10)?;
    proxy.advance(SECOND);
    all(&proxy, &idp, 0, 200)?;
    ensure!(idp.asked() == 2, "{} requests for document and keys", idp.asked());
    for (member, value) in [
        ("issuer", "https://issuer.test/other"),
        ("jwks_uri", "https://evil.test/keys"),
        ("jwks_uri", "http://issuer.test/keys"),
    ] {
        idp.say(member, value);
        idp.serve(&[1]);
        proxy.advance(20 * MINUTE);
        all(&proxy, &idp, 0, 200).with_context(|| format!("{member}: {value}"))?;
        all(&proxy, &idp, 1, 503).with_context(|| format!("{member}: {value}"))?;
        tally.refused += 1;
    }
    idp.say("jwks_uri", "https://issuer.test/moved");
    proxy.advance(20 * MINUTE);
    all(&proxy, &idp, 1, 200).context("keys that have moved")?;
    tally.changes += 2;
    Ok(())
}

/// Streams that are open, and what became of them.
fn statuses(streams: &[Stream]) -> Result<Vec<u16>> {
    let answers: Vec<_> = streams.iter().map(Stream::answer).collect();
    let open = answers.iter().filter(|answer| answer.outcome() != Outcome::Complete).count();
    ensure!(open == 0, "{open} of {} requests have no answer", answers.len());
    Ok(answers.iter().map(bartizan_host::Answer::status).collect())
}
