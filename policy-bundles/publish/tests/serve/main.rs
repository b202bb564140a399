//! The bundle server, asked over real sockets.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper of tests that cannot do its work must fail the test"
)]

mod bed;
mod clients;
mod files;

use std::time::{Duration, Instant};

use bartizan_publish::serve::Limits;
use bed::{Bed, artifact, digest, etag};

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_is_served_with_its_digest() {
    let bed = Bed::new(&[("edge.bundle", &artifact(1))], Limits::default()).await;
    let one = artifact(1);
    let whole = bed.get("/edge.bundle", "").await;
    assert_eq!((whole.status, &whole.body), (200, &one));
    assert_eq!(whole.header("content-type"), "application/vnd.dsse.envelope.v1+json");
    assert_eq!(whole.header("etag"), format!("\"{}\"", digest(&one)));
    assert_eq!(whole.header("content-length"), one.len().to_string());
    assert_eq!(whole.header("cache-control"), "no-cache");
    assert_eq!(whole.header("preference-applied"), "");

    let head = bed.ask("HEAD", "/edge.bundle", "").await;
    assert_eq!(
        (head.status, head.body.len(), head.header("content-length")),
        (200, 0, whole.header("content-length"))
    );
    assert_eq!(head.header("etag"), whole.header("etag"));

    for (headers, status) in [
        (format!("if-none-match: {}\r\n", etag(&one)), 304),
        (format!("if-none-match: W/{}\r\n", etag(&one)), 304),
        (format!("if-none-match: \"x\", {}\r\n", etag(&one)), 304),
        ("if-none-match: *\r\n".to_owned(), 304),
        (format!("if-none-match: {}\r\n", etag(&artifact(2))), 200),
        (format!("if-none-match: {}\r\n", digest(&one)), 200),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = bed.ask(method, "/edge.bundle", &headers).await;
            assert_eq!(answer.status, status, "{method} {headers}");
            assert_eq!(answer.header("etag"), etag(&one));
            let bytes = if method == "GET" && status == 200 { one.len() } else { 0 };
            assert_eq!(answer.body.len(), bytes, "{method} {headers}");
        }
    }
    // The query is nobody's business, and a name may be written in more than one way.
    for path in ["/edge.bundle?x=/../y", "/edge%2ebundle", "http://other.example/edge.bundle"] {
        assert_eq!(bed.get(path, "").await.status, 200, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "FETCH"] {
        let answer = bed.ask(method, "/edge.bundle", "").await;
        assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD"), "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_leads_to_a_file() {
    let bed = Bed::new(&[("edge.bundle", &artifact(1))], Limits::default()).await;
    // Good artifacts, all of them, where they are not to be served from.
    bed.write("../outside.bundle", &artifact(2));
    bed.write("edge.json", &artifact(2));
    bed.write(".hidden.bundle", &artifact(2));
    bed.write("edge.bundle.123.tmp", &artifact(2));
    bed.write("below/deep.bundle", &artifact(2));
    tokio::time::sleep(Duration::from_millis(500)).await;
    for path in [
        "/",
        "//",
        "/edge",
        "/edge.bundle/",
        "/./edge.bundle",
        "//edge.bundle",
        "/edge.bundle/..",
        "/outside.bundle",
        "/../outside.bundle",
        "/..%2foutside.bundle",
        "/%2e%2e/outside.bundle",
        "/..%5coutside.bundle",
        "/edge.json",
        "/.hidden.bundle",
        "/edge.bundle.123.tmp",
        "/deep.bundle",
        "/below/deep.bundle",
        "/below%2fdeep.bundle",
        "/edge.bundle%00",
        "/%",
        "/%zz",
        "/%ff",
        "/etc/passwd",
        "/EDGE.BUNDLE",
    ] {
        for method in ["GET", "HEAD", "POST"] {
            assert_eq!(bed.ask(method, path, "").await.status, 404, "{method} {path}");
        }
    }
    assert_eq!(bed.server.artifacts(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_2_the_same_is_answered() {
    let bed = Bed::new(&[("edge.bundle", &artifact(1))], Limits::default()).await;
    let mut client = bed.h2().await;
    let whole = client.ask("GET", "/edge.bundle", &[]).await;
    assert_eq!(
        (whole.status, whole.header("etag"), &whole.body),
        (200, etag(&artifact(1)).as_str(), &artifact(1))
    );
    let head = client.ask("HEAD", "/edge.bundle", &[]).await;
    assert_eq!(
        (head.status, head.body.len(), head.header("content-length")),
        (200, 0, whole.header("content-length"))
    );
    assert_eq!(client.ask("GET", "/edge.bundle", &[("if-none-match", "*")]).await.status, 304);
    assert_eq!(client.ask("GET", "/other.bundle", &[]).await.status, 404);
    assert_eq!(client.ask("PUT", "/edge.bundle", &[]).await.status, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_it_waits_for_the_next() {
    let bed = Bed::new(
        &[("edge.bundle", &artifact(1))],
        Limits { longest_wait: Duration::from_secs(2), ..Limits::default() },
    )
    .await;
    let has = |wait: &str| format!("if-none-match: {}\r\nprefer: {wait}\r\n", etag(&artifact(1)));
    // Nothing comes.
    let began = Instant::now();
    let same = bed.get("/edge.bundle", &has("respond-async, wait=1")).await;
    assert_eq!((same.status, same.header("preference-applied")), (304, "wait=1"));
    assert!(began.elapsed() >= Duration::from_secs(1));
    // No longer than the server allows.
    let began = Instant::now();
    let same = bed.get("/edge.bundle", &has("wait=999")).await;
    assert_eq!((same.status, same.header("preference-applied")), (304, "wait=2"));
    assert!(began.elapsed() < Duration::from_secs(10));
    // Whoever has nothing, or something else, has no reason to wait; nor is there anything to wait for without a name.
    let began = Instant::now();
    for (path, headers, status) in [
        ("/edge.bundle", "prefer: wait=2\r\n".to_owned(), 200),
        ("/edge.bundle", format!("prefer: wait=2\r\nif-none-match: {}\r\n", etag(&artifact(2))), 200),
        ("/other.bundle", has("wait=2"), 404),
        ("/edge.bundle", has("wait=0"), 304),
        ("/edge.bundle", has("wait=x"), 304),
    ] {
        let answer = bed.get(path, &headers).await;
        assert_eq!((answer.status, answer.header("preference-applied")), (status, ""), "{headers}");
    }
    assert!(began.elapsed() < Duration::from_secs(1));
    // Another artifact beside it is no reason to answer; this one is.
    let waiting = bed.spawn("/edge.bundle", &has("wait=2"));
    bed.write("other.bundle", &artifact(5));
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(!waiting.is_finished());
    bed.write("edge.bundle", &artifact(2));
    let next = waiting.await.unwrap();
    assert_eq!((next.status, &next.body, next.header("preference-applied")), (200, &artifact(2), "wait=2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_is_not_waited_for() {
    let bed = Bed::new(&[("edge.bundle", &artifact(1))], Limits::default()).await;
    let waiting = bed.spawn("/edge.bundle", "if-none-match: *\r\nprefer: wait=60\r\n");
    tokio::time::sleep(Duration::from_millis(300)).await;
    std::fs::remove_file(bed.path("edge.bundle")).unwrap();
    assert_eq!(waiting.await.unwrap().status, 404);
    bed.says("serves /edge.bundle no more").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_replacement_releases_everybody() {
    let bed =
        Bed::new(&[("edge.bundle", &artifact(1))], Limits { per_address: 1000, ..Limits::default() }).await;
    let mut waiting = Vec::new();
    let headers = format!("if-none-match: {}\r\nprefer: wait=60\r\n", etag(&artifact(1)));
    for _ in 0..300 {
        waiting.push(bed.spawn("/edge.bundle", &headers));
    }
    let client = bed.h2().await;
    for _ in 0..100 {
        let mut client = client.clone();
        let tag = etag(&artifact(1));
        waiting.push(tokio::spawn(async move {
            client.ask("GET", "/edge.bundle", &[("if-none-match", &tag), ("prefer", "wait=60")]).await
        }));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(waiting.iter().all(|client| !client.is_finished()));
    let began = Instant::now();
    bed.write("edge.bundle", &artifact(2));
    for client in waiting {
        let answer = client.await.unwrap();
        assert_eq!((answer.status, answer.body), (200, artifact(2)));
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_limit_nobody_waits() {
    let bed = Bed::new(&[("edge.bundle", &artifact(1))], Limits { waiting: 1, ..Limits::default() }).await;
    let headers = "if-none-match: *\r\nprefer: wait=60\r\n";
    let first = bed.spawn("/edge.bundle", headers);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let second = bed.get("/edge.bundle", headers).await;
    assert_eq!((second.status, second.header("preference-applied")), (304, ""));
    assert!(!first.is_finished());
    // A client that goes leaves its place to others.
    first.abort();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let third = bed.spawn("/edge.bundle", headers);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!third.is_finished());
}

#[tokio::test(flavor = "multi_thread")]
async fn to_stop_is_to_answer_everybody_at_once() {
    let bed = Bed::new(&[("edge.bundle", &artifact(1))], Limits::default()).await;
    let address = bed.server.address();
    let headers = "if-none-match: *\r\nprefer: wait=60\r\n";
    let mut client = bed.h2().await;
    let mut waiting: Vec<_> = (0..20).map(|_| bed.spawn("/edge.bundle", headers)).collect();
    waiting.push(tokio::spawn(async move {
        client.ask("GET", "/edge.bundle", &[("if-none-match", "*"), ("prefer", "wait=60")]).await
    }));
    // One that keeps its connection for later, and one that says nothing.
    let idle = bed.connect().await;
    let silent = bed.connect().await;
    let idle = bed::keep_alive(idle, "/edge.bundle").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    bed.stop().await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    for client in waiting {
        assert_eq!(client.await.unwrap().status, 304);
    }
    for stream in [idle, silent] {
        assert_eq!(bed::rest(stream).await, b"");
    }
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
