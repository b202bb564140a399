//! Requests that wait for keys.

use anyhow::{Context as _, Result, ensure};
use bartizan_host::clusters::Answer;
use bartizan_host::{Module, Outcome, Proxy, Request, Stream};

use super::server::{Idp, MINUTE, SECOND, WORKERS, again, all, set, start};
use super::{Duration, Tally, statuses};

/// As many as wait in one worker (`waiting.rs` of the filter).
const MOST: usize = 128;

pub(super) fn run(module: &Module, tally: &mut Tally) -> Result<()> {
    waits(module, tally).context("a slow server")?;
    ends(module, tally).context("a server that says nothing")?;
    fails(module).context("a server that fails")?;
    leaves(module, tally).context("clients that go away")?;
    bodies(module, tally).context("bodies")?;
    uploads(module, tally).context("large bodies")?;
    swaps(module, tally).context("another bundle meanwhile")?;
    rests(module).context("headers that may not be held back")?;
    Ok(())
}

fn open(proxy: &Proxy, idp: &Idp, worker: usize, key: u8) -> Result<Stream> {
    let mut stream = proxy.worker(worker).open();
    stream.request_headers(&idp.request(proxy, key)?.into_iter().collect(), true);
    Ok(stream)
}

/// Upstream answers whoever got there.
fn answer(streams: &mut [Stream]) {
    for stream in streams {
        if stream.answer().upstream().is_some_and(|seen| seen.complete) {
            stream.response_headers(&[(":status", "200")].into_iter().map(pair).collect(), true);
        }
    }
}

fn pair((name, value): (&str, &str)) -> (Vec<u8>, Vec<u8>) {
    (name.as_bytes().to_vec(), value.as_bytes().to_vec())
}

fn well(proxy: &Proxy) -> Result<()> {
    for number in 0..WORKERS {
        let failure = proxy.worker(number).failure();
        ensure!(failure.is_none(), "trap in worker {number}: {failure:?}");
    }
    Ok(())
}

/// Requests of all workers wait for one answer.
fn waits(module: &Module, tally: &mut Tally) -> Result<()> {
    let idp = Idp::new(&[0]);
    idp.delay(2 * SECOND);
    let proxy = start(module, &idp, 10)?;
    let mut streams = Vec::new();
    for number in 0..WORKERS * 3 {
        streams.push(open(&proxy, &idp, number % WORKERS, 0)?);
    }
    proxy.advance(SECOND);
    ensure!(streams.iter().all(Stream::request_is_paused), "they do not wait");
    // One that needs no keys does not wait, and one with another key waits too and is refused.
    ensure!(proxy.worker(0).send(Request::get("/open")).status() == 200, "a public route waits");
    streams.push(open(&proxy, &idp, 0, 1)?);
    proxy.advance(SECOND + SECOND);
    answer(&mut streams);
    let mut wanted = vec![200; WORKERS * 3];
    wanted.push(401);
    let got = statuses(&streams)?;
    ensure!(got == wanted, "{got:?}");
    ensure!(idp.asked() == 1, "{} fetches", idp.asked());
    tally.waited += streams.len();
    well(&proxy)
}

/// Nobody waits for ever, and not too many do.
fn ends(module: &Module, tally: &mut Tally) -> Result<()> {
    let idp = Idp::new(&[0]);
    idp.answer(Answer::never());
    let proxy = start(module, &idp, 10)?;
    let mut streams = Vec::new();
    for _ in 0..MOST + 40 {
        streams.push(open(&proxy, &idp, 0, 0)?);
    }
    let waiting = streams.iter().filter(|stream| stream.request_is_paused() && !stream.is_over()).count();
    ensure!(waiting == MOST, "{waiting} wait");
    let busy = streams.iter().filter(|stream| stream.is_over()).map(Stream::answer);
    for answer in busy {
        let body = String::from_utf8_lossy(answer.body()).into_owned();
        ensure!(answer.status() == 503 && body.contains("\"busy\""), "{} {body}", answer.status());
        ensure!(answer.header("retry-after") == Some(b"1"), "no `retry-after`");
    }
    proxy.advance(6 * SECOND);
    let got = statuses(&streams).with_context(|| super::log(&proxy))?;
    ensure!(got.iter().all(|status| *status == 503), "{got:?}");
    let last = streams.first().map(Stream::answer).context("there are streams")?;
    let body = String::from_utf8_lossy(last.body()).into_owned();
    ensure!(body.contains("keys-unavailable") && last.header("www-authenticate").is_none(), "{body}");
    ensure!(last.header("retry-after").is_some(), "no `retry-after`");
    ensure!(streams.iter().all(|stream| stream.answer().upstream().is_none()), "BREAK-IN");
    tally.waited += MOST;
    // There is room again.
    idp.serve(&[0]);
    proxy.advance(MINUTE);
    well(&proxy)?;
    all(&proxy, &idp, 0, 200)
}

/// The attempt ends badly at once, and so do those who wait for it, on every worker.
fn fails(module: &Module) -> Result<()> {
    let idp = Idp::new(&[0]);
    idp.answer(Answer::status(503).after(SECOND));
    let proxy = start(module, &idp, 10)?;
    let mut streams = Vec::new();
    for number in 0..WORKERS * 2 {
        streams.push(open(&proxy, &idp, number % WORKERS, 0)?);
    }
    proxy.advance(SECOND + Duration::from_millis(100));
    let got = statuses(&streams)?;
    ensure!(got.iter().all(|status| *status == 503), "{got:?}");
    // A second later it is asked again.
    idp.serve(&[0]);
    proxy.advance(2 * SECOND);
    all(&proxy, &idp, 0, 200)
}

/// Clients go away while they wait, some of them; the others get their answer.
fn leaves(module: &Module, tally: &mut Tally) -> Result<()> {
    let idp = Idp::new(&[0]);
    idp.delay(2 * SECOND);
    let proxy = start(module, &idp, 10)?;
    let mut streams = Vec::new();
    for number in 0..60 {
        streams.push(open(&proxy, &idp, number % WORKERS, 0)?);
    }
    proxy.advance(SECOND);
    let mut stay = Vec::new();
    for (number, mut stream) in streams.into_iter().enumerate() {
        match number % 3 {
            0 => stream.reset(),
            1 => drop(stream),
            _ => stay.push(stream),
        }
    }
    proxy.advance(2 * SECOND);
    well(&proxy)?;
    answer(&mut stay);
    let got = statuses(&stay)?;
    ensure!(got.len() == 20 && got.iter().all(|status| *status == 200), "{got:?}");
    tally.waited += 60;
    all(&proxy, &idp, 0, 200)
}

/// What comes while a request waits is judged as it would have been.
fn bodies(module: &Module, tally: &mut Tally) -> Result<()> {
    let idp = Idp::new(&[0]);
    for (key, pieces, trailers, late, wanted) in [
        (0, &["{\"a\":", "1}"][..], false, false, 200),
        (0, &["{\"a\":", "1}"], true, false, 200),
        (0, &["{\"a\":", "1}"], false, true, 200),
        (0, &["{\"a\":", "1}"], true, true, 200),
        (0, &["{\"a\":", "1"], false, false, 400),
        (0, &["{\"a\":", "1"], true, false, 400),
        (0, &["{\"a\":", "1"], false, true, 400),
        (1, &["{\"a\":", "1}"], false, false, 401),
        (1, &["{\"a\":", "1}"], true, true, 401),
    ] {
        let label = format!("{pieces:?}, trailers: {trailers}, late: {late}");
        idp.delay(SECOND);
        let proxy = start(module, &idp, 10)?;
        let mut stream = proxy.worker(0).open();
        let mut headers = idp.request(&proxy, key)?;
        for (name, value) in [(":method", "POST"), (":path", "/json"), ("content-type", "application/json")] {
            set(&mut headers, name, value);
        }
        stream.request_headers(&headers.into_iter().collect(), false);
        for (number, piece) in pieces.iter().enumerate() {
            let last = number + 1 == pieces.len();
            if last && late {
                proxy.advance(2 * SECOND);
            }
            stream.request_body(piece.as_bytes(), last && !trailers);
        }
        if trailers {
            stream.request_trailers(&[("x-auth-user", "mallory")].into_iter().map(pair).collect());
        }
        proxy.advance(2 * SECOND);
        let mut streams = [stream];
        answer(&mut streams);
        let [stream] = &streams;
        let answer = stream.answer();
        ensure!(answer.outcome() == Outcome::Complete, "{label}: {:?}", answer.outcome());
        ensure!(answer.status() == wanted, "{label}: {}", answer.status());
        match answer.upstream() {
            Some(seen) => {
                ensure!(wanted == 200, "BREAK-IN: {label}");
                ensure!(seen.body == pieces.concat().as_bytes(), "{label}: {:?}", seen.body);
                ensure!(seen.headers.get("authorization").is_none(), "{label}: the token went upstream");
                let left = seen.trailers.as_ref().map_or(0, |trailers| trailers.iter().count());
                ensure!(left == 0, "{label}: trailers went upstream");
            }
            None => ensure!(wanted != 200, "{label}"),
        }
        tally.waited += 1;
        well(&proxy)?;
    }
    Ok(())
}

/// A body that nobody reads may be larger than the proxy buffers (1 MiB), and one that no route takes is refused at once.
fn uploads(module: &Module, tally: &mut Tally) -> Result<()> {
    const PIECE: usize = 64 * 1024;
    for (path, kind, pieces, behind, wanted) in [
        ("/upload", "application/octet-stream", 48, 0, 200),
        ("/upload", "application/octet-stream", 48, 16, 200),
        ("/upload", "application/octet-stream", 161, 0, 413),
        ("/upload", "application/octet-stream", 10, 151, 413),
        ("/json", "application/json", 17, 0, 413),
        ("/", "text/plain", 1, 0, 413),
    ] {
        let label = format!("{path} with {pieces} and {behind} pieces");
        let idp = Idp::new(&[0]);
        idp.delay(SECOND);
        let proxy = start(module, &idp, 10)?;
        let mut stream = proxy.worker(0).open();
        let mut headers = idp.request(&proxy, 0)?;
        let method = if path == "/" { "GET" } else { "POST" };
        for (name, value) in [(":method", method), (":path", path), ("content-type", kind)] {
            set(&mut headers, name, value);
        }
        stream.request_headers(&headers.into_iter().collect(), false);
        for number in 0..pieces {
            stream.request_body(vec![b'x'; PIECE], behind == 0 && number + 1 == pieces);
        }
        ensure!(stream.answer().upstream().is_none(), "BREAK-IN: {label}");
        if wanted == 413 && behind == 0 && pieces < 100 {
            ensure!(stream.is_over(), "{label}: what no route takes is held");
        }
        proxy.advance(2 * SECOND);
        for number in 0..behind {
            stream.request_body(vec![b'x'; PIECE], number + 1 == behind);
        }
        proxy.advance(2 * SECOND);
        let mut streams = [stream];
        answer(&mut streams);
        let [stream] = &streams;
        let answer = stream.answer();
        ensure!(answer.outcome() == Outcome::Complete, "{label}: {:?}", answer.outcome());
        ensure!(answer.status() == wanted, "{label}: {}", answer.status());
        if wanted == 200 {
            let seen = answer.upstream().map_or(0, |seen| seen.body.len());
            ensure!(seen == PIECE * (pieces + behind), "{label}: {seen} bytes went upstream");
        }
        tally.waited += 1;
        well(&proxy)?;
    }
    Ok(())
}

/// Whoever waits keeps the policy it began with, and gets its keys.
fn swaps(module: &Module, tally: &mut Tally) -> Result<()> {
    let idp = Idp::new(&[0]);
    idp.delay(2 * SECOND);
    let proxy = start(module, &idp, 10)?;
    let mut streams = Vec::new();
    for number in 0..WORKERS {
        streams.push(open(&proxy, &idp, number, 0)?);
    }
    proxy.advance(SECOND);
    proxy.configure(again(&idp, 10, "another")?)?;
    for number in 0..WORKERS {
        streams.push(open(&proxy, &idp, number, 0)?);
    }
    proxy.advance(6 * SECOND);
    answer(&mut streams);
    let got = statuses(&streams)?;
    ensure!(got.iter().all(|status| *status == 200), "{got:?}");
    tally.waited += streams.len();
    well(&proxy)
}

/// Where headers may not be held back nobody waits.
fn rests(module: &Module) -> Result<()> {
    let idp = Idp::new(&[0]);
    idp.delay(SECOND);
    let settings = serde_json::json!({"hold_headers": false, "signatures": "auto"});
    let policy = idp.policy(600, "edge")?;
    let proxy = policy.proxy(module, &settings).allow_on_headers_stop_iteration(false).workers(WORKERS);
    let proxy = proxy.start().map_err(|why| anyhow::anyhow!("{why}"))?;
    idp.at(&proxy);
    let stream = open(&proxy, &idp, 0, 0)?;
    ensure!(statuses(&[stream])? == [503], "it waits");
    proxy.advance(2 * SECOND);
    all(&proxy, &idp, 0, 200)
}
