//! Clients that hold things up, and what is logged of clients.

use std::time::{Duration, Instant};

use bartizan_publish::serve::Limits;
use bartizan_publish::serve::log::Form;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use crate::bed::{Bed, artifact, keep_alive, large, rest};

/// So little that a test need not wait long.
fn short() -> Limits {
    Limits {
        idle: Duration::from_secs(1),
        grace: Duration::from_millis(500),
        connections: 1,
        ..Limits::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_and_half_requests_end() {
    let bed = Bed::new(&[("edge.bundle", &artifact(1))], short()).await;
    for said in [
        "",
        "GET /edge.bundle HT",
        "GET /edge.bundle HTTP/1.1\r\nhost: x\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    ] {
        let began = Instant::now();
        let mut stream = bed.connect().await;
        stream.write_all(said.as_bytes()).await.unwrap();
        rest(stream).await;
        let took = began.elapsed();
        assert!((Duration::from_millis(800)..Duration::from_secs(6)).contains(&took), "{said:?}: {took:?}");
        // Its place, the only one, is free again.
        assert_eq!(bed.get("/edge.bundle", "").await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_byte_by_byte_ends_too() {
    let bed = Bed::new(&[("edge.bundle", &artifact(1))], short()).await;
    let mut stream = bed.connect().await;
    let began = Instant::now();
    let mut sent = 0;
    for byte in b"GET /edge.bundle HTTP/1.1\r\n".iter().chain(std::iter::repeat(&b'x')) {
        if stream.write_all(&[*byte]).await.is_err() {
            break;
        }
        sent += 1;
        assert!(sent < 100, "never cut off");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(began.elapsed() < Duration::from_secs(6));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_take_the_answer_is_cut_off() {
    // More than the operating system keeps for both sides.
    let bed = Bed::new(&[("edge.bundle", &large(15 << 20))], short()).await;
    let mut stream = bed.connect().await;
    stream.write_all(b"GET /edge.bundle HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let began = Instant::now();
    bed.says(" 200 ").await;
    // Its place must become free although it still holds its end.
    while bed.server.connections() > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = began.elapsed();
    assert!((Duration::from_millis(800)..Duration::from_secs(8)).contains(&took), "{took:?}");
    assert!(rest(stream).await.len() < 15 << 20);
}

/// As `short`, with time enough: what gives way does so because somebody else needs the place.
fn few(connections: u32, per_address: u32) -> Limits {
    Limits { connections, per_address, ..Limits::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_nothing_gives_way() {
    let bed =
        Bed::new(&[("edge.bundle", &artifact(1)), ("large.bundle", &large(15 << 20))], few(4, 100)).await;
    // Nothing, half a request, a kept connection, and an answer that is not taken.
    let silent = bed.connect().await;
    let mut half = bed.connect().await;
    half.write_all(b"GET /edge.bundle HTTP/1.1\r\nhost: x\r\n").await.unwrap();
    let kept = keep_alive(bed.connect().await, "/edge.bundle").await;
    let mut stuck = bed.connect().await;
    stuck.write_all(b"GET /large.bundle HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    bed.says("/large.bundle HTTP/1.1\" 200").await;
    let began = Instant::now();
    for _ in 0..20 {
        assert_eq!(bed.get("/edge.bundle", "").await.status, 200);
    }
    // The longest idle one first.
    assert_eq!(rest(silent).await, b"");
    // With a hundred that say nothing there is still a place for somebody who asks.
    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.push(bed.connect().await);
    }
    assert_eq!(bed.get("/edge.bundle", "").await.status, 200);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    drop((half, kept, stuck, crowd));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_change_does_not_give_way() {
    let bed = Bed::new(&[("edge.bundle", &artifact(1))], few(2, 100)).await;
    let headers = "if-none-match: *\r\nprefer: wait=60\r\n";
    let first = bed.spawn("/edge.bundle", headers);
    let second = bed.spawn("/edge.bundle", headers);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let third = bed.spawn("/edge.bundle", "");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!first.is_finished() && !second.is_finished() && !third.is_finished());
    // Those that have been answered and keep the connection do, at once.
    bed.write("edge.bundle", &artifact(2));
    for client in [first, second, third] {
        // `*` is whatever there is, so these are told that they have it.
        assert!([200, 304].contains(&client.await.unwrap().status));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_address_takes_all_places() {
    let bed = Bed::new(&[("edge.bundle", &artifact(1))], few(100, 2)).await;
    let (first, second) = (bed.connect().await, bed.connect().await);
    for _ in 0..3 {
        let began = Instant::now();
        assert_eq!(rest(bed.connect().await).await, b"");
        assert!(began.elapsed() < Duration::from_secs(2));
    }
    bed.says("127.0.0.1: its 2 connections are the most of one address").await;
    assert_eq!(bed.lines.text().matches("the most of one address").count(), 1);
    // Somebody else.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    keep_alive(socket.connect(bed.server.address()).await.unwrap(), "/edge.bundle").await;
    drop(first);
    bed.connections(1).await;
    assert_eq!(bed.get("/edge.bundle", "").await.status, 200);
    drop(second);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_address_takes_all_waits() {
    let limits = Limits { waiting_per_address: 1, ..Limits::default() };
    let bed = Bed::new(&[("edge.bundle", &artifact(1))], limits).await;
    let headers = "if-none-match: *\r\nprefer: wait=60\r\n";
    let first = bed.spawn("/edge.bundle", headers);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let second = bed.get("/edge.bundle", headers).await;
    assert_eq!((second.status, second.header("preference-applied")), (304, ""));
    assert!(!first.is_finished());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_connection_ends_and_a_waiting_one_does_not() {
    let bed = Bed::new(&[("edge.bundle", &artifact(1))], short()).await;
    let stream = keep_alive(bed.connect().await, "/edge.bundle").await;
    let began = Instant::now();
    assert_eq!(rest(stream).await, b"");
    assert!(began.elapsed() >= Duration::from_millis(800));
    // Three times as long as a connection may be idle.
    let began = Instant::now();
    let answer = bed.get("/edge.bundle", "if-none-match: *\r\nprefer: wait=3\r\n").await;
    assert_eq!(answer.status, 304);
    assert!(began.elapsed() >= Duration::from_secs(3));
    let answer =
        bed.h2().await.ask("GET", "/edge.bundle", &[("if-none-match", "*"), ("prefer", "wait=3")]).await;
    assert_eq!(answer.status, 304);
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_have_a_size() {
    let bed = Bed::new(&[("edge.bundle", &artifact(1))], Limits::default()).await;
    for headers in [format!("x: {}\r\n", "a".repeat(64 * 1024)), "x: a\r\n".repeat(200)] {
        let answer = bed.get("/edge.bundle", &headers).await;
        assert_eq!(answer.status, 431);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_is_a_line() {
    let bed = Bed::new(&[("edge.bundle", &artifact(1))], Limits::default()).await;
    bed.get("/edge.bundle", "user-agent: a \"b\" \\ \t\u{9b}2J\u{202e}\r\n").await;
    bed.get("/no%0d%0a200%22?x='", "").await;
    let gone = bed.spawn("/edge.bundle", "if-none-match: *\r\nprefer: wait=60\r\nuser-agent: leaves\r\n");
    tokio::time::sleep(Duration::from_millis(300)).await;
    gone.abort();
    bed.says("\" - 0 ").await;
    let text = bed.lines.text();
    assert!(text.contains(" \"GET /edge.bundle HTTP/1.1\" 200 "), "{text}");
    assert!(text.contains(" \"a \\\"b\\\" \\\\ \\x09\\xc2\\x9b2J\\xe2\\x80\\xae\""), "{text}");
    assert!(text.contains(" \"GET /no%0d%0a200%22?x=' HTTP/1.1\" 404 "), "{text}");
    assert!(text.lines().last().unwrap().ends_with("ms \"leaves\""), "{text}");
    assert!(text.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_for_programs_is_lines_of_json() {
    let bed = Bed::with(
        &[("edge.bundle", &artifact(1)), ("bad.bundle", b"{}")],
        Limits::default(),
        None,
        Form::Json,
    )
    .await;
    bed.get("/edge.bundle", "user-agent: a \"b\" \\ \u{9b}2J\r\n").await;
    bed.says("\"event\":\"refuses\"").await;
    let gone = bed.spawn("/edge.bundle", "if-none-match: *\r\nprefer: wait=60\r\n");
    tokio::time::sleep(Duration::from_millis(300)).await;
    gone.abort();
    bed.says("\"status\":null").await;
    let text = bed.lines.text();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let event = |name: &str| lines.iter().find(|line| line["event"] == name).unwrap();
    assert_eq!(
        (&event("serves")["name"], &event("refuses")["kind"]),
        (&"edge.bundle".into(), &"not-an-envelope".into())
    );
    let request = event("request");
    assert_eq!(
        (&request["status"], &request["method"], &request["path"]),
        (&200.into(), &"GET".into(), &"/edge.bundle".into())
    );
    assert_eq!(request["user_agent"], "a \\\"b\\\" \\\\ \\xc2\\x9b2J");
    assert!(lines.iter().all(|line| line["time"].is_string()));
}
