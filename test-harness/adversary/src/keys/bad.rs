//! What a server of keys can get wrong.

use anyhow::{Context as _, Result, ensure};
use bartizan_host::clusters::Answer;
use bartizan_host::{LogLevel, Module};

use super::Tally;
use super::server::{Idp, MINUTE, SECOND, all, in_the_end, jwks, log, start};

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
        (json("{\"keys\":{}}"), "malformed"),
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
        // Nothing is known about a key that the server could have by now.
        in_the_end(&proxy, &idp, 1, 503).with_context(|| kind)?;
        tally.refused += 1;
    }
    Ok(())
}

/// A set without a key is how an issuer withdraws its last one.
pub(super) fn withdraws(module: &Module, tally: &mut Tally) -> Result<()> {
    for set in
        ["{\"keys\":[]}", "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AAAA\",\"use\":\"enc\"}]}"]
    {
        let idp = Idp::new(&[0]);
        let proxy = start(module, &idp, 10)?;
        proxy.advance(SECOND);
        all(&proxy, &idp, 0, 200)?;
        idp.answer(json(set));
        proxy.advance(10 * MINUTE + SECOND);
        in_the_end(&proxy, &idp, 0, 503).with_context(|| set)?;
        let counted = proxy.metrics().counter("bartizan.keys.refused.no-usable-key").unwrap_or(0);
        ensure!(counted > 0, "{set}: it is not counted");
        let missing = proxy.metrics().gauge("bartizan.keys.missing");
        ensure!(missing == Some(1), "{set}: missing is {missing:?}");
        ensure!(log(&proxy).contains("are withdrawn: no-usable-key"), "{set}: {}", log(&proxy));
        // The next key is there with the first token that needs it.
        idp.serve(&[1]);
        proxy.advance(30 * SECOND);
        in_the_end(&proxy, &idp, 1, 200).with_context(|| set)?;
        in_the_end(&proxy, &idp, 0, 401).with_context(|| set)?;
        ensure!(proxy.metrics().gauge("bartizan.keys.missing") == Some(0), "{set}: still missing");
        tally.changes += 2;
    }
    Ok(())
}
