//! Bundles that are followed: good ones come into force in every worker, bad ones in none, whatever servers answer and
//! whichever host calls fail.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bartizan_engine::envelope::key::{hex, sha256};
use bartizan_host::clusters::Answer;
use bartizan_host::faults::Faults;
use bartizan_host::{Module, Request, Status};
use serde_json::{Value, json};

use self::bad::bad;
use self::server::{
    Release, Served, Server, all, artifact, builder, counted, errors, key, lease, log, policy, rfc3339, set,
    shown, source,
};

mod bad;
mod server;

const WORKERS: usize = 3;
const VM_ID: &str = "delivery";
const CLUSTER: &str = "bundles";
/// The time between two polls, and how much longer all workers may take.
const INTERVAL: Duration = Duration::from_secs(2);
const SOON: Duration = Duration::from_secs(1);

/// What came of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Bundles that came into force in every worker.
    pub swaps: usize,
    /// Kinds of bad answers.
    pub refused: usize,
    /// Host calls that failed meanwhile.
    pub faults: usize,
    /// Records in shared data that were spoilt.
    pub spoilt: usize,
}

impl Tally {
    /// One line for people.
    #[must_use]
    pub fn line(&self) -> String {
        format!(
            "delivery: {} bundles in force everywhere; {} bad answers, {} failed host calls and {} spoilt records, none of which changed anything",
            self.swaps, self.refused, self.faults, self.spoilt
        )
    }
}

/// Everything.
///
/// # Errors
/// With the first thing that gives way.
pub fn run(module: &Module) -> Result<Tally> {
    let mut tally = Tally::default();
    follows(module, &mut tally).context("a source that works")?;
    begins(module).context("before there is a bundle")?;
    closes(module).context("a bundle that cannot be used now")?;
    refuses(module, &mut tally)?;
    remembers(module).context("older revisions")?;
    outlives(module).context("calls in flight and leases")?;
    spoils(module, &mut tally).context("spoilt shared data")?;
    expires(module).context("a bundle that expires in force")?;
    faults(module, &mut tally)?;
    Ok(tally)
}

/// All workers follow within a tick, and one asks for all.
fn follows(module: &Module, tally: &mut Tally) -> Result<()> {
    let releases: Vec<Release> = (1..=6).map(|revision| Release::new(revision, "")).collect::<Result<_>>()?;
    let [first, rest @ ..] = releases.as_slice() else { bail!("there are releases") };
    let proxy = builder(module, &first.configuration()?).start()?;
    let server = Server::start(&proxy, first.served()?);
    all(&proxy, "r1").context("at the start")?;
    proxy.advance(SOON);
    ensure!(
        proxy.clusters().seen(CLUSTER) == 1,
        "{} workers asked at the start",
        proxy.clusters().seen(CLUSTER)
    );
    for release in rest {
        // A stream keeps the policy it began with.
        let mut stream = proxy.worker(0).open();
        let lines = [(":authority", "a"), (":path", "/open"), (":method", "GET"), (":scheme", "http")];
        let before = policy(&proxy, 0)?;
        stream.request_headers(&lines.map(|(name, value)| (name.into(), value.into())).to_vec(), true);
        server.serve(release.served()?);
        let asked = proxy.clusters().seen(CLUSTER);
        proxy.advance(INTERVAL + SOON);
        all(&proxy, &format!("r{}", release.revision))?;
        let asked = proxy.clusters().seen(CLUSTER) - asked;
        ensure!((1..=2).contains(&asked), "asked {asked} times in one and a half intervals");
        stream.response_headers(&vec![(b":status".to_vec(), b"200".to_vec())], true);
        let answer = stream.answer();
        let by = answer.header("x-policy").map(String::from_utf8_lossy);
        ensure!(
            by.as_deref() == Some(before.as_str()),
            "a stream that began under {before} ends under {by:?}"
        );
        ensure!(
            shown(&proxy, "revision") == Some(release.revision),
            "revision: {:?}",
            shown(&proxy, "revision")
        );
        tally.swaps += 1;
    }
    ensure!(counted(&proxy, "changes") == 5, "changes: {}", counted(&proxy, "changes"));
    let before = proxy.clusters().seen(CLUSTER);
    proxy.advance(INTERVAL * 20);
    let asked = proxy.clusters().seen(CLUSTER) - before;
    // Each wait is jittered by up to a tenth, and then comes the next tick.
    ensure!((15..=23).contains(&asked), "asked {asked} times in 20 intervals");
    ensure!(
        counted(&proxy, "polls") == proxy.clusters().seen(CLUSTER),
        "polls: {}",
        counted(&proxy, "polls")
    );
    ensure!(shown(&proxy, "age_seconds").is_some_and(|age| age <= 3), "{:?}", shown(&proxy, "age_seconds"));
    ensure!(shown(&proxy, "expired") == Some(0), "expired: {:?}", shown(&proxy, "expired"));
    let errors = errors(&proxy);
    ensure!(errors.is_empty(), "{errors:?}");
    // Requests pay nothing.
    let calls = |configuration: &Value| -> Result<_> {
        let proxy = builder(module, configuration).start()?;
        proxy.worker(0).send(Request::get("/open"));
        Ok(proxy.worker(0).send(Request::get("/open")).report().host_calls.clone())
    };
    let mut alone = first.configuration()?;
    alone.as_object_mut().context("an object")?.remove("source");
    let (with, without) = (calls(&first.configuration()?)?, calls(&alone)?);
    ensure!(with == without, "a request costs {with:?}, without a source {without:?}");
    Ok(())
}

/// No bootstrap.
fn begins(module: &Module) -> Result<()> {
    let release = Release::new(2, "")?;
    for (before, early) in [(None, "closed"), (Some("refuse"), "closed"), (Some("allow"), "open")] {
        let mut configuration = source(&release.signed)?;
        if let Some(before) = before {
            set(&mut configuration, "/before_first", json!(before));
        }
        let proxy = builder(module, &configuration).start()?;
        all(&proxy, early).context("without a cluster")?;
        proxy.advance(INTERVAL);
        all(&proxy, early)?;
        ensure!(counted(&proxy, "refused.no-cluster") > 0, "no-cluster is not counted");
        let server = Server::start(&proxy, Served::Answer(Answer::status(404)));
        proxy.advance(INTERVAL * 3);
        all(&proxy, early).context("without a bundle")?;
        server.serve(release.served()?);
        proxy.advance(INTERVAL * 2);
        all(&proxy, "r2")?;
        // What was in force once is never forgotten.
        server.serve(Served::Answer(Answer::refused()));
        proxy.advance(INTERVAL * 60);
        all(&proxy, "r2")?;
        set(&mut configuration, "/settings/peer_appended", json!(true));
        proxy.configure(configuration.to_string())?;
        all(&proxy, "r2").context("under a new configuration")?;
    }
    Ok(())
}

/// Where a bundle was in force, nothing goes through without one, and one that could not be used is used as soon as it can be.
fn closes(module: &Module) -> Result<()> {
    let now = builder(module, &Release::new(1, "")?.configuration()?).start()?.now().as_secs();
    let expiring = Release::new(1, &format!("expires: {}\n", rfc3339(now + 30)?))?;
    let mut configuration = expiring.configuration()?;
    set(&mut configuration, "/before_first", json!("allow"));
    let proxy = builder(module, &configuration).start()?;
    proxy.advance(Duration::from_secs(40));
    all(&proxy, "r1").context("expired in force")?;
    ensure!(shown(&proxy, "age_seconds").is_some_and(|age| age >= 35), "{:?}", shown(&proxy, "age_seconds"));
    for path in ["/edge.bundle", "/elsewhere"] {
        set(&mut configuration, "/source/http/path", json!(path));
        set(&mut configuration, "/settings/peer_appended", json!(true));
        proxy.configure(configuration.to_string())?;
        all(&proxy, "closed")
            .with_context(|| format!("under a new configuration with an expired bundle: {path}"))?;
    }
    // A bundle for later, with and without a source.
    let early = Release::new(1, &format!("not_before: {}\n", rfc3339(now + 30)?))?;
    let mut configuration = early.configuration()?;
    set(&mut configuration, "/before_first", json!("allow"));
    let proxy = builder(module, &configuration).start()?;
    proxy.advance(Duration::from_secs(20));
    all(&proxy, "closed").context("before its time")?;
    proxy.advance(Duration::from_secs(20));
    all(&proxy, "r1").context("in its time")?;
    // Whatever fails at the start, requests go through under a policy or not at all.
    let mut configuration = Release::new(1, "")?.configuration()?;
    set(&mut configuration, "/before_first", json!("allow"));
    for function in CALLS {
        for nth in 0..30 {
            let faults = Faults::default();
            match nth {
                0 => faults.fail(function, Status::InternalFailure),
                nth => faults.fail_nth(function, nth, Status::InternalFailure),
            }?;
            let started = builder(module, &configuration).faults(faults.clone()).start();
            faults.clear();
            let Ok(proxy) = started else { continue };
            for number in 0..WORKERS {
                let by = policy(&proxy, number)?;
                ensure!(["r1", "closed"].contains(&by.as_str()), "`{function}`, call {nth}: {by}");
            }
        }
    }
    // Without a source, too, a bundle does as it says when it expires.
    let text = format!("expires: {}\nwhen_expired: refuse\n", rfc3339(now + 30)?);
    let mut alone = Release::new(1, &text)?.configuration()?;
    alone.as_object_mut().context("an object")?.remove("source");
    let proxy = builder(module, &alone).start()?;
    proxy.advance(Duration::from_secs(20));
    all(&proxy, "r1").context("before it expires, without a source")?;
    proxy.advance(Duration::from_secs(20));
    all(&proxy, "closed").context("after it has expired, without a source")
}

/// Each bad answer leaves what was in force, is counted and told once, and is forgotten with the next good one.
fn refuses(module: &Module, tally: &mut Tally) -> Result<()> {
    let (first, second, third) = (Release::new(1, "")?, Release::new(2, "")?, Release::new(3, "")?);
    let mut table = bad()?;
    table.push(("304 without a question", Answer::status(304), "not-modified-without-bundle"));
    for (name, answer, kind) in table {
        let proxy = builder(module, &first.configuration()?).start()?;
        // A server that does not tag is asked without condition.
        let unasked = kind == "not-modified-without-bundle";
        let good = if unasked { Served::Answer(artifact(second.bytes()?)) } else { second.served()? };
        let server = Server::start(&proxy, good);
        proxy.advance(SOON);
        all(&proxy, "r2").with_context(|| format!("before {name}"))?;
        drop(proxy.take_log());
        server.serve(Served::Answer(answer));
        for _ in 0..20 {
            proxy.advance(INTERVAL);
            all(&proxy, "r2").with_context(|| format!("after {name}"))?;
        }
        let refused = counted(&proxy, &format!("refused.{kind}"));
        ensure!(refused >= 2, "{name}: `{kind}` counted {refused} times; the log: {}", log(&proxy));
        let told = errors(&proxy);
        let [line] = told.as_slice() else { bail!("{name}: one line is enough: {told:?}") };
        let parts = [&format!("answered with {kind}: "), "; ", "bundle `edge` revision 2 stays in force"];
        ensure!(parts.iter().all(|part| line.contains(*part)), "{name}: {line}");
        ensure!(!line.chars().any(char::is_control) && line.len() < 900, "{name}: {line}");
        ensure!(counted(&proxy, "changes") == 1, "{name}: changes: {}", counted(&proxy, "changes"));
        server.serve(third.served()?);
        // A server in trouble was asked more and more rarely.
        proxy.advance(INTERVAL * 33);
        all(&proxy, "r3").with_context(|| format!("well again after {name}"))?;
        let again = proxy.log().into_iter().filter(|line| line.message.contains("answers again")).count();
        ensure!(again == 1, "{name}: told {again} times that it answers again");
        tally.refused += 1;
        tally.swaps += 2;
    }
    Ok(())
}

/// Older revisions stay refused under other configurations.
fn remembers(module: &Module) -> Result<()> {
    let (first, second, third) = (Release::new(1, "")?, Release::new(2, "")?, Release::new(3, "")?);
    let mut configuration = first.configuration()?;
    let proxy = builder(module, &configuration).start()?;
    let server = Server::start(&proxy, third.served()?);
    proxy.advance(SOON);
    all(&proxy, "r3")?;
    server.serve(second.served()?);
    set(&mut configuration, "/source/timeout_ms", json!(1500));
    proxy.configure(configuration.to_string())?;
    all(&proxy, "r3").context("a new configuration goes back")?;
    proxy.advance(INTERVAL * 5);
    all(&proxy, "r3").context("a new configuration takes an older revision")?;
    ensure!(counted(&proxy, "refused.older-revision") > 0, "older-revision is not counted");
    // Keys are changed by overlap: what was accepted stays, as the new trust vouches for it too.
    let rotated = first.signed.trust(&[0, 1], 1)?;
    set(&mut configuration, "/trust", rotated);
    proxy.configure(configuration.to_string())?;
    all(&proxy, "r3").context("another trust goes back")?;
    let before = counted(&proxy, "refused.older-revision");
    proxy.advance(INTERVAL * 5);
    all(&proxy, "r3").context("an older revision under another trust")?;
    ensure!(counted(&proxy, "refused.older-revision") > before, "older-revision is not counted");
    // A trust in none of its keys begins with nothing, and lets nothing through.
    let mut other = source(&first.signed)?;
    set(&mut other, "/trust", first.signed.trust(&[1], 1)?);
    set(&mut other, "/before_first", json!("allow"));
    proxy.configure(other.to_string())?;
    all(&proxy, "closed").context("a trust that vouches for nothing")?;
    // What a key has signed that is not trusted any more stops nobody.
    let bytes = second.signed.artifact(&second.signed.payload, &[1])?.to_string();
    server.serve(Served::Artifact(bytes.into_bytes(), "\"other\"".into()));
    proxy.advance(INTERVAL * 2);
    all(&proxy, "r2").context("by another key")?;
    server.serve(third.served()?);
    // A restart begins anew.
    let proxy = builder(module, &configuration).start()?;
    proxy.advance(INTERVAL);
    all(&proxy, "r1").context("after a restart without a server")?;
    Ok(())
}

/// Whoever asks may vanish, be replaced, or be answered when nobody waits any more.
fn outlives(module: &Module) -> Result<()> {
    let (first, second, third) = (Release::new(1, "")?, Release::new(2, "")?, Release::new(3, "")?);
    let mut configuration = first.configuration()?;
    let proxy = builder(module, &configuration).start()?;
    let server = Server::start(&proxy, first.served()?);
    proxy.advance(SOON);
    server.serve(second.served()?);
    // A holder that is dead: timeout and grace are two seconds together.
    let asked = proxy.clusters().seen(CLUSTER);
    lease(&proxy, 2_000)?;
    proxy.advance(Duration::from_millis(1_900));
    ensure!(proxy.clusters().seen(CLUSTER) == asked, "asked in spite of a lease");
    proxy.advance(INTERVAL);
    all(&proxy, "r2").context("a lease that nobody has any more")?;
    // One that no clock of ours can have made.
    lease(&proxy, 1 << 40)?;
    server.serve(third.served()?);
    proxy.advance(INTERVAL + SOON);
    all(&proxy, "r3").context("a lease of a wrong clock")?;
    // A new configuration while a call is in flight, and one while the old root context drains.
    let fourth = Release::new(4, "")?;
    server.serve(Served::Answer(artifact(fourth.bytes()?).after(Duration::from_millis(900))));
    for round in 0..6_u64 {
        let asked = proxy.clusters().seen(CLUSTER);
        while proxy.clusters().seen(CLUSTER) == asked {
            proxy.advance(Duration::from_millis(100));
        }
        set(&mut configuration, "/source/timeout_ms", json!(1_000 + round));
        proxy.configure(configuration.to_string())?;
        all(&proxy, if round == 0 { "r3" } else { "r4" }).with_context(|| format!("round {round}"))?;
        proxy.advance(INTERVAL);
        all(&proxy, "r4").with_context(|| format!("round {round}"))?;
    }
    // Without a source nobody asks any more, as soon as the old configuration has drained.
    let alone = {
        let mut alone = configuration.clone();
        alone.as_object_mut().context("an object")?.remove("source");
        alone
    };
    proxy.configure(alone.to_string())?;
    proxy.advance(Duration::from_secs(6));
    let asked = proxy.clusters().seen(CLUSTER);
    proxy.advance(INTERVAL * 5);
    all(&proxy, "r1").context("without a source")?;
    ensure!(proxy.clusters().seen(CLUSTER) == asked, "asked without a source");
    Ok(())
}

/// Whatever stands in shared data, nothing comes into force that nobody has signed.
fn spoils(module: &Module, tally: &mut Tally) -> Result<()> {
    let (first, second, third) = (Release::new(1, "")?, Release::new(2, "")?, Release::new(3, "")?);
    let unsigned = Release::new(9, "")?.changed("{", "{", &[])?;
    let other: &[(&str, &[u8])] = &[
        (".state", b""),
        (".state", b"{}"),
        (".state", &[0xff; 9000]),
        (".lease", b"garbage"),
        (".lease", b"{\"version\":1,\"until\":18446744073709551615,\"holder\":0}"),
        (".floor", b"garbage"),
        (".bytes.0", b""),
        (".bytes.0", b"garbage"),
        (".bytes.0", &unsigned),
    ];
    for (end, bytes) in other {
        let mut configuration = first.configuration()?;
        let proxy = builder(module, &configuration).start()?;
        let server = Server::start(&proxy, second.served()?);
        proxy.advance(SOON);
        all(&proxy, "r2")?;
        proxy.shared_data().set(VM_ID.as_bytes(), &key(&proxy, end)?, bytes, 0)?;
        for _ in 0..3 {
            proxy.advance(INTERVAL);
            all(&proxy, "r2").with_context(|| format!("{end}: {}", String::from_utf8_lossy(bytes)))?;
        }
        // A new configuration finds what is there now, and goes back to its own bundle at most.
        set(&mut configuration, "/settings/peer_appended", json!(true));
        proxy.configure(configuration.to_string())?;
        for number in 0..WORKERS {
            let by = policy(&proxy, number)?;
            ensure!(["r1", "r2"].contains(&by.as_str()), "{end}: {by}");
        }
        proxy.advance(INTERVAL * 2);
        all(&proxy, "r2").with_context(|| format!("mended: {end}"))?;
        server.serve(third.served()?);
        proxy.advance(INTERVAL * 2);
        all(&proxy, "r3").with_context(|| format!("afterwards: {end}"))?;
        tally.spoilt += 1;
        tally.swaps += 2;
    }
    // A state that says of an unsigned artifact that it was accepted.
    let proxy = builder(module, &first.configuration()?).start()?;
    let _server = Server::start(&proxy, second.served()?);
    proxy.advance(SOON);
    let (state, _) = proxy.shared_data().get(VM_ID.as_bytes(), &key(&proxy, ".state")?)?;
    let mut state: Value = serde_json::from_slice(&state)?;
    let digest = hex(&sha256(&unsigned));
    set(&mut state, "/accepted/mark/revision", json!(9));
    set(&mut state, "/accepted/bytes", json!(digest));
    proxy.shared_data().set(VM_ID.as_bytes(), &key(&proxy, ".bytes.0")?, &unsigned, 0)?;
    proxy.shared_data().set(VM_ID.as_bytes(), &key(&proxy, ".state")?, state.to_string().as_bytes(), 0)?;
    for _ in 0..5 {
        proxy.advance(SOON);
        all(&proxy, "r2").context("an unsigned artifact in shared data")?;
    }
    ensure!(counted(&proxy, "refused.too-few-signatures") > 0, "nobody looked: {}", log(&proxy));
    tally.spoilt += 1;
    Ok(())
}

/// What has expired stays in force, or refuses everything, as it says itself.
fn expires(module: &Module) -> Result<()> {
    for (choice, afterwards, said) in [
        ("", "r2", "has expired; it stays in force"),
        ("when_expired: refuse\n", "closed", "has expired; every request is refused"),
    ] {
        let mut configuration = Release::new(1, "")?.configuration()?;
        let proxy = builder(module, &configuration).start()?;
        let expires = rfc3339(proxy.now().as_secs() + 60)?;
        let server =
            Server::start(&proxy, Release::new(2, &format!("expires: {expires}\n{choice}"))?.served()?);
        proxy.advance(Duration::from_secs(50));
        all(&proxy, "r2")?;
        ensure!(shown(&proxy, "expired") == Some(0), "expired too early");
        drop(proxy.take_log());
        proxy.advance(Duration::from_secs(20));
        all(&proxy, afterwards).context("after it has expired")?;
        ensure!(shown(&proxy, "expired") == Some(1), "expired: {:?}", shown(&proxy, "expired"));
        let told = errors(&proxy);
        ensure!(told.len() == WORKERS + 1 && told.iter().all(|line| line.contains(said)), "{told:?}");
        // A new configuration, and a worker that comes back, do not go back to the bundle before.
        set(&mut configuration, "/settings/peer_appended", json!(true));
        proxy.configure(configuration.to_string())?;
        all(&proxy, afterwards).context("after it has expired, under a new configuration")?;
        server.serve(Release::new(3, "")?.served()?);
        proxy.advance(INTERVAL * 2);
        all(&proxy, "r3")?;
        ensure!(shown(&proxy, "expired") == Some(0), "still expired");
    }
    Ok(())
}

/// The host calls of following, each failing in turn while a new bundle comes.
const CALLS: [&str; 9] = [
    "proxy_get_shared_data",
    "proxy_set_shared_data",
    "proxy_http_call",
    "proxy_get_header_map_pairs",
    "proxy_get_buffer_bytes",
    "proxy_get_current_time_nanoseconds",
    "proxy_set_tick_period_milliseconds",
    "proxy_record_metric",
    "proxy_log",
];

fn faults(module: &Module, tally: &mut Tally) -> Result<()> {
    let (first, second) = (Release::new(1, "")?, Release::new(2, "")?);
    for function in CALLS {
        for nth in 0..=14 {
            for status in
                [Status::NotFound, Status::BadArgument, Status::CasMismatch, Status::InternalFailure]
            {
                let case = || format!("`{function}`, call {nth}, answers {status}");
                let proxy = builder(module, &first.configuration()?).start()?;
                let _server = Server::start(&proxy, second.served()?);
                match nth {
                    0 => proxy.faults().fail(function, status),
                    nth => proxy.faults().fail_nth(function, nth, status),
                }?;
                let mut before = [1; WORKERS];
                for _ in 0..3 {
                    proxy.advance(INTERVAL / 2);
                    // What a request needs is looked at elsewhere.
                    let struck = proxy.faults().injected().len();
                    tally.faults += struck;
                    proxy.faults().clear();
                    for (number, before) in before.iter_mut().enumerate() {
                        let by = policy(&proxy, number).with_context(case)?;
                        let revision: u64 =
                            by.strip_prefix('r').unwrap_or_default().parse().with_context(case)?;
                        ensure!((*before..=2).contains(&revision), "{}: {by} after r{before}", case());
                        *before = revision;
                    }
                    match nth {
                        0 => proxy.faults().fail(function, status),
                        nth => proxy.faults().fail_nth(function, nth, status),
                    }?;
                }
                proxy.faults().clear();
                proxy.advance(INTERVAL * 4);
                all(&proxy, "r2").with_context(case)?;
            }
        }
    }
    Ok(())
}
