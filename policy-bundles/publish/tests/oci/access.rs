//! Credentials, tokens and redirects: who gets to see what.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

const US: Option<(&str, &str)> = Some(("user", "word"));
/// The two, as they are sent.
const BASIC: &str = "Basic dXNlcjp3b3Jk";

fn wants(challenge: &str) -> Reply {
    reply(401, &[("www-authenticate", challenge)], b"")
}

fn tag() -> Which {
    Which::Tag("v1".to_owned())
}

#[test]
fn a_password_is_sent_when_it_is_asked_for() {
    let (double, _) = filled();
    double.when(|asked| (asked.header("authorization") != Some(BASIC)).then(|| wants("Basic realm=\"r\"")));
    assert_eq!(pull(&mut registry(&double, US, false), &tag()).unwrap().artifact, ARTIFACT);
    let sent: Vec<_> =
        double.asked().iter().map(|asked| asked.header("authorization").map(str::to_owned)).collect();
    assert_eq!(sent, [None, Some(BASIC.to_owned()), Some(BASIC.to_owned())]);
    let none = pull(&mut registry(&double, None, false), &tag()).unwrap_err();
    assert_eq!(none.kind, Kind::Unauthorized);
    assert!(none.detail.contains("--password-stdin"), "{none}");
    double.asked();
    let wrong = pull(&mut registry(&double, Some(("user", "other")), false), &tag()).unwrap_err();
    assert_eq!(wrong.kind, Kind::Unauthorized);
    assert!(!wrong.detail.contains("other"), "{wrong}");
    // It is tried once and not for ever.
    assert_eq!(double.asked().len(), 2);
}

/// A registry that wants a token, and the server that has it.
fn with_tokens(realm: impl Fn(&Double) -> String) -> (Double, Double) {
    let ((double, _), server) = (filled(), Double::new());
    let challenge = format!("Bearer realm=\"{}\",service=\"r\",scope=\"repository:*:*\"", realm(&server));
    double.when(move |asked| {
        (asked.header("authorization") != Some("Bearer a.b.c")).then(|| wants(&challenge))
    });
    server.when(|_| Some(reply(200, &[], br#"{"token": "a.b.c"}"#)));
    (double, server)
}

#[test]
fn a_token_is_fetched_and_may_do_no_more_than_is_needed() {
    let (double, server) = with_tokens(|server| format!("http://{}/token?x=y", server.address));
    assert_eq!(pull(&mut registry(&double, US, false), &tag()).unwrap().artifact, ARTIFACT);
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].target, "/token?x=y&service=r&scope=repository%3Aedge%3Apull");
    assert_eq!(asked[0].header("authorization"), Some(BASIC));
    // The registry itself never sees the password, and without one the token is asked for all the same.
    assert!(double.asked().iter().all(|asked| asked.header("authorization") != Some(BASIC)));
    push(&mut registry(&double, None, true), "v2", b"other", "edge", 8, None).unwrap();
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].target, "/token?x=y&service=r&scope=repository%3Aedge%3Apull%2Cpush");
    assert_eq!(asked[0].header("authorization"), None);
}

#[test]
fn a_token_that_has_ended_is_fetched_anew() {
    let (double, server) = with_tokens(|server| format!("http://{}/token", server.address));
    let (requests, realm) = (AtomicU32::new(0), format!("Bearer realm=\"http://{}/token\"", server.address));
    double.when(move |asked| {
        let number = requests.fetch_add(1, Ordering::Relaxed);
        let ended = asked.header("authorization").is_none() || number == 2;
        ended.then(|| wants(&realm))
    });
    assert_eq!(pull(&mut registry(&double, US, false), &tag()).unwrap().artifact, ARTIFACT);
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn a_token_server_that_fails_ends_it() {
    for (with, kind) in [
        (reply(401, &[], b""), Kind::Unauthorized),
        (reply(500, &[], b""), Kind::ServerError),
        (reply(302, &[("location", "http://127.0.0.1:1/")], b""), Kind::Redirected),
        (reply(200, &[], b"{}"), Kind::InvalidAnswer),
        (reply(200, &[], b"{\"token\": \"a\\r\\nx: y\"}"), Kind::InvalidAnswer),
        (reply(200, &[], &vec![b' '; 100_000]), Kind::Oversized),
        (Reply::Close, Kind::NoAnswer),
        (Reply::Sleep(Duration::from_secs(3)), Kind::Timeout),
    ] {
        let (double, server) = with_tokens(|server| format!("http://{}/token", server.address));
        let named = format!("{with:?}");
        server.when(move |_| Some(with.clone()));
        let error = pull(&mut registry(&double, US, false), &tag()).unwrap_err();
        assert_eq!(error.kind, kind, "{named}: {error}");
        assert_eq!(server.asked().len(), 1);
    }
    // No server gets a password in clear, and none that cannot be asked gets anything.
    for realm in
        ["http://tokens.example/", "tokens.example", "/token", "ftp://x/", "http://u:p@127.0.0.1/", ""]
    {
        let (double, _) = with_tokens(|_| realm.to_owned());
        let error = pull(&mut registry(&double, US, false), &tag()).unwrap_err();
        assert_eq!(error.kind, Kind::Unauthorized, "{realm}: {error}");
        assert!(error.detail.contains("not one with TLS"), "{error}");
    }
    let (double, _) = filled();
    for challenge in ["Negotiate", "Bearer service=\"x\"", ""] {
        double.when(move |_| Some(wants(challenge)));
        assert_eq!(pull(&mut registry(&double, US, false), &tag()).unwrap_err().kind, Kind::Unauthorized);
    }
}

/// Where a blob lies with somebody else.
#[test]
fn nobody_else_gets_the_credentials() {
    let ((double, _), other) = (filled(), Double::new());
    other.when(|_| Some(reply(200, &[], ARTIFACT)));
    let there = format!("http://{}/far?signature=x", other.address);
    double.when(move |asked| {
        if asked.header("authorization") != Some(BASIC) {
            return Some(wants("Basic realm=\"r\""));
        }
        asked.is("GET", "blobs/").then(|| reply(307, &[("location", &there)], b""))
    });
    assert_eq!(pull(&mut registry(&double, US, false), &tag()).unwrap().artifact, ARTIFACT);
    let asked = other.asked();
    assert_eq!((asked.len(), asked[0].header("authorization")), (1, None));
    // Nor if it asks for them.
    other.when(|_| Some(wants("Basic realm=\"r\"")));
    let error = pull(&mut registry(&double, US, false), &tag()).unwrap_err();
    assert_eq!(error.kind, Kind::Unauthorized);
    let asked = other.asked();
    assert_eq!((asked.len(), asked[0].header("authorization")), (1, None));
    assert!(!error.detail.contains("signature"), "{error}");

    // An upload that is taken by somebody else.
    let (double, other) = (Double::new(), Double::new());
    other.when(|asked| Some(reply(201, &[("docker-content-digest", &digest(&asked.body))], b"")));
    let there = format!("http://{}/upload", other.address);
    double.when(move |asked| {
        if asked.header("authorization") != Some(BASIC) {
            return Some(wants("Basic realm=\"r\""));
        }
        asked.is("POST", "uploads/").then(|| reply(202, &[("location", &there)], b""))
    });
    let error = push(&mut registry(&double, US, true), "v1", ARTIFACT, "edge", 7, None).unwrap_err();
    assert_eq!((error.kind, other.asked().len()), (Kind::Redirected, 0), "{error}");
}

#[test]
fn redirects_are_followed_to_an_end() {
    let (double, _) = filled();
    // Within the registry, with credentials.
    double.when(|asked| {
        if asked.header("authorization") != Some(BASIC) {
            return Some(wants("Basic realm=\"r\""));
        }
        asked
            .is("GET", "blobs/")
            .then(|| reply(302, &[("location", "/blob")], b""))
            .or_else(|| asked.is("GET", "/blob").then(|| reply(200, &[], ARTIFACT)))
    });
    assert_eq!(pull(&mut registry(&double, US, false), &tag()).unwrap().artifact, ARTIFACT);
    double.when(|asked| asked.is("GET", "blobs/").then(|| reply(307, &[("location", &asked.target)], b"")));
    double.asked();
    let error = pull(&mut registry(&double, None, false), &tag()).unwrap_err();
    assert_eq!(error.kind, Kind::Redirected, "{error}");
    assert_eq!(double.asked().len(), 1 + 6);
    for bad in ["//127.0.0.1:1/x", "x", "", "file:///etc/passwd", "http://"] {
        double.when(move |asked| asked.is("GET", "blobs/").then(|| reply(307, &[("location", bad)], b"")));
        let error = pull(&mut registry(&double, None, false), &tag()).unwrap_err();
        assert_eq!(error.kind, Kind::InvalidAnswer, "{bad}: {error}");
    }
}

#[test]
fn without_tls_nothing_leads_into_the_network() {
    let (double, _) = filled();
    for there in ["http://192.0.2.1/latest/meta-data", "HTTP://192.0.2.1/", "http://localhost.example/"] {
        double.when(move |asked| asked.is("GET", "blobs/").then(|| reply(307, &[("location", there)], b"")));
        let error = pull(&mut registry(&double, None, false), &tag()).unwrap_err();
        assert_eq!(error.kind, Kind::Redirected, "{there}: {error}");
        assert!(error.detail.contains("plain HTTP"), "{error}");
    }
}

#[test]
fn no_password_goes_out_in_clear() {
    let reference = Reference::parse("registry.example:5000/edge:v1").unwrap();
    let transport = Transport { plain_http: true, ..Transport::default() };
    let us = Credentials::new("user", "word").unwrap();
    let error = Registry::new(&reference, &transport, Some(us), false).unwrap_err();
    assert_eq!(error.kind, Kind::Unauthorized);
    assert!(error.detail.contains("in clear"), "{error}");
    Registry::new(&reference, &transport, None, false).unwrap();
}
