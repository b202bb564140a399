//! What a server of keys can get wrong.

use anyhow::{Result, ensure};
use bartizan_host::clusters::Answer;
use bartizan_host::{LogLevel, Module};

use super::Tally;
use super::server::{Idp, MINUTE, SECOND, all, jwks, start};

fn json(body: impl Into<Vec<u8>>) -> Answer {
    Answer::status(200).header("content-type", "application/json").body(body)
}

/// Each bad answer is refused whole, counted, told once, and changes nothing.
pub(super) fn run(module: &Module, tally: &mut Tally) -> Result<()> {
    let good = jwks(&[0, 1]);
    let private = good.replacen("\"x\"", "\"d\":\"AAAA\",\"x\"", 1);
    let twice = good.replacen("es256-1", "es256-0", 1);
    for (answer, kind) in [
        (json("{"), "malformed"),
        (json("{}"), "malformed"),
        (json("{\"keys\":[]}"), "malformed"),
        (json(private), "malformed"),
        (json(twice), "malformed"),
        (json(format!("{good}{good}")), "malformed"),
        (json([0xff, 0xfe]), "malformed"),
        (json(vec![b' '; 200_000]), "oversized"),
        (Answer::status(200).header("content-type", "text/html").body(good.clone()), "wrong-content-type"),
        (Answer::status(200).body(good.clone()), "wrong-content-type"),
        (json(good.clone()).header("content-encoding", "gzip"), "content-encoded"),
        (Answer::status(302).header("location", "https://issuer.test/keys2"), "redirected"),
        (Answer::status(304), "not-modified-unasked"),
        (Answer::status(401), "unauthorized"),
        (Answer::status(404), "not-found"),
        (Answer::status(429), "unexpected-status"),
        (Answer::status(500), "server-error"),
        (Answer::refused(), "server-error"),
        (Answer::reset(), "server-error"),
        (Answer::no_healthy_host(), "no-cluster"),
        (Answer::never(), "timeout"),
        (Answer::reset_after_headers(), "no-answer"),
    ] {
        let idp = Idp::new(&[0]);
        let proxy = start(module, &idp, 10)?;
        proxy.advance(SECOND);
        all(&proxy, &idp, 0, 200)?;
        proxy.take_log();
        idp.answer(answer);
        proxy.advance(30 * MINUTE);
        let name = format!("bartizan.keys.refused.{kind}");
        let counted = proxy.metrics().counter(&name).unwrap_or(0);
        ensure!(counted > 1, "{name} is {counted}; {:?}", proxy.metrics().counters());
        let told: Vec<String> = proxy
            .take_log()
            .into_iter()
            .filter(|line| line.level >= LogLevel::Error)
            .map(|line| line.message)
            .collect();
        ensure!(
            told.len() == 1 && told.iter().all(|line| line.contains(kind)),
            "{kind} is told so: {told:?}"
        );
        all(&proxy, &idp, 0, 200)?;
        all(&proxy, &idp, 1, 401)?;
        tally.refused += 1;
    }
    Ok(())
}
