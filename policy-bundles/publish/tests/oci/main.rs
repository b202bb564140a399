//! The client of registries, against one that does as it is told, over real sockets. `bartizan-cli` has the tests
//! against a real registry.

#![expect(clippy::unwrap_used, reason = "a helper of tests that cannot do its work must fail the test")]

mod access;
mod double;

use std::time::{Duration, Instant};

use bartizan_publish::oci::credentials::Credentials;
use bartizan_publish::oci::reference::{Reference, Which};
use bartizan_publish::oci::{Error, Kind, Pulled, Pushed, Registry, Transport, pull, push};
use double::{Asked, Double, Reply, digest, reply};
use serde_json::{Value, json};

const ARTIFACT: &[u8] = b"an artifact, as far as a registry knows";

fn registry(double: &Double, credentials: Option<(&str, &str)>, push: bool) -> Registry {
    let reference = Reference::parse(&format!("{}/edge:v1", double.address)).unwrap();
    let credentials = credentials.map(|(name, word)| Credentials::new(name, word).unwrap());
    let transport = Transport { timeout: Duration::from_secs(1), ..Transport::default() };
    Registry::new(&reference, &transport, credentials, push).unwrap()
}

fn pushed(double: &Double, artifact: &[u8]) -> Result<Pushed, Error> {
    push(&mut registry(double, None, true), "v1", artifact, "edge", 7, None)
}

fn pulled(double: &Double) -> Result<Pulled, Error> {
    pull(&mut registry(double, None, false), &Which::Tag("v1".to_owned()))
}

/// A registry with an artifact in it.
fn filled() -> (Double, Pushed) {
    let double = Double::new();
    let there = pushed(&double, ARTIFACT).unwrap();
    double.asked();
    (double, there)
}

#[test]
fn what_is_pushed_is_pulled() {
    let double = Double::new();
    let first = pushed(&double, ARTIFACT).unwrap();
    let (config, layer) = (digest(b"{}"), digest(ARTIFACT));
    assert!(first.changed);
    assert_eq!(first.layer, layer);
    assert_eq!(
        double.lines(),
        [
            "HEAD manifests/v1".to_owned(),
            format!("HEAD blobs/{config}"),
            "POST blobs/uploads/".to_owned(),
            "PUT blobs/uploads/1".to_owned(),
            format!("HEAD blobs/{layer}"),
            "POST blobs/uploads/".to_owned(),
            "PUT blobs/uploads/1".to_owned(),
            "PUT manifests/v1".to_owned(),
        ]
    );
    let manifest = double.manifest("v1").unwrap();
    assert_eq!(first.digest, digest(&manifest));
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(
        manifest,
        json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": "application/vnd.bartizan.bundle.v1+json",
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2},
            "layers": [{"mediaType": "application/vnd.dsse.envelope.v1+json", "digest": layer, "size": ARTIFACT.len(),
                        "annotations": {"org.opencontainers.image.title": "edge.bundle"}}],
            "annotations": {"org.opencontainers.image.title": "edge", "org.opencontainers.image.version": "7"},
        })
    );

    // Nothing is sent twice: not for the same tag, not under another, and of another artifact only what is new.
    let again = pushed(&double, ARTIFACT).unwrap();
    assert_eq!(again, Pushed { changed: false, ..first.clone() });
    assert_eq!(double.lines(), ["HEAD manifests/v1"]);
    let other_tag = push(&mut registry(&double, None, true), "v2", ARTIFACT, "edge", 7, None).unwrap();
    assert_eq!((other_tag.changed, &other_tag.digest), (true, &first.digest));
    assert_eq!(double.lines().len(), 4);
    let other = pushed(&double, b"another").unwrap();
    assert!(other.changed && other.digest != first.digest);
    assert_eq!(double.lines().len(), 6);

    let there = pulled(&double).unwrap();
    assert_eq!((there.artifact.as_slice(), &there.digest), (&b"another"[..], &other.digest));
    assert_eq!(there.manifest.annotations["org.opencontainers.image.version"], "7");
    let pinned = pull(&mut registry(&double, None, false), &Which::Digest(first.digest.clone())).unwrap();
    assert_eq!(pinned.artifact, ARTIFACT);
    let asked = double.asked();
    assert!(
        asked
            .iter()
            .all(|asked| asked.header("user-agent").is_some_and(|agent| agent.starts_with("bartizan/")))
    );
    assert_eq!(asked[0].header("accept"), Some("application/vnd.oci.image.manifest.v1+json"));
    assert!(asked.iter().all(|asked| asked.header("authorization").is_none()));
}

/// What a hook does to a pull.
fn pull_with(hook: impl Fn(&Asked) -> Option<Reply> + Send + Sync + 'static) -> Error {
    let (double, _) = filled();
    double.when(hook);
    pulled(&double).unwrap_err()
}

#[test]
fn what_goes_wrong_while_pulling_has_a_kind() {
    for part in ["manifests/", "blobs/"] {
        for (status, kind) in [
            (204, Kind::UnexpectedStatus),
            (206, Kind::UnexpectedStatus),
            (302, Kind::InvalidAnswer),
            (304, Kind::Redirected),
            (400, Kind::UnexpectedStatus),
            (401, Kind::Unauthorized),
            (403, Kind::Unauthorized),
            (404, Kind::NotFound),
            (410, Kind::NotFound),
            (429, Kind::UnexpectedStatus),
            (500, Kind::ServerError),
            (503, Kind::ServerError),
        ] {
            let error = pull_with(move |asked| asked.target.contains(part).then(|| reply(status, &[], b"")));
            assert_eq!(error.kind, kind, "{part} {status}: {error}");
            assert!(error.detail.contains(part), "{error}");
        }
        let said = b"{\"errors\":[{\"code\":\"DENIED\",\"message\":\"go\\naway\"}]}";
        let error = pull_with(move |asked| asked.target.contains(part).then(|| reply(403, &[], said)));
        assert!(error.detail.ends_with("status 403 (DENIED: go\\x0aaway)"), "{error}");
        for (raw, kind) in [
            (&b""[..], Kind::NoAnswer),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{", Kind::NoAnswer),
            (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", Kind::InvalidAnswer),
            (b"SSH-2.0-OpenSSH\r\n\r\n", Kind::InvalidAnswer),
        ] {
            let error = pull_with(move |asked| asked.target.contains(part).then(|| Reply::Raw(raw.to_vec())));
            assert_eq!(error.kind, kind, "{part} {raw:?}: {error}");
        }
        let large = [b"HTTP/1.1 200 OK\r\n".to_vec(), b"x: y\r\n".repeat(20_000), b"\r\n".to_vec()].concat();
        let error = pull_with(move |asked| asked.target.contains(part).then(|| Reply::Raw(large.clone())));
        assert_eq!(error.kind, Kind::InvalidAnswer, "{error}");
        let began = Instant::now();
        let error =
            pull_with(move |asked| asked.target.contains(part).then(|| Reply::Sleep(Duration::from_secs(5))));
        assert_eq!(error.kind, Kind::Timeout, "{error}");
        assert!(began.elapsed() < Duration::from_secs(4));
        let error = pull_with(move |asked| asked.target.contains(part).then_some(Reply::Close));
        assert_eq!(error.kind, Kind::NoAnswer, "{error}");
    }
    // Nobody is there.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let reference = Reference::parse(&format!("{nobody}/edge:v1")).unwrap();
    let mut registry = Registry::new(&reference, &Transport::default(), None, false).unwrap();
    assert_eq!(pull(&mut registry, &reference.which).unwrap_err().kind, Kind::NoAnswer);
}

#[test]
fn what_is_pulled_must_be_what_its_digests_say() {
    let (double, there) = filled();
    let manifest = double.manifest("v1").unwrap();
    let get = |part: &'static str, with: Reply| {
        pull_with(move |asked| asked.target.contains(part).then(|| with.clone()))
    };
    // Another manifest under a digest.
    double.put("v1", b"{}", ARTIFACT);
    let wrong = pull(&mut registry(&double, None, false), &Which::Digest(digest(b"[]"))).unwrap_err();
    assert_eq!(wrong.kind, Kind::NotFound);
    let stale = there.digest.clone();
    double.when(move |asked| asked.target.contains("manifests/").then(|| reply(200, &[], b"{}")));
    let wrong = pull(&mut registry(&double, None, false), &Which::Digest(stale.clone())).unwrap_err();
    assert_eq!(wrong.kind, Kind::DigestMismatch, "{wrong}");
    // A manifest that is not what the registry itself says, and one that is none of a bundle.
    let error = get("manifests/", reply(200, &[("docker-content-digest", &digest(b"x"))], &manifest));
    assert_eq!(error.kind, Kind::DigestMismatch);
    let index =
        br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    for body in [&b"<html>"[..], b"", b"{}", index] {
        assert_eq!(get("manifests/", reply(200, &[], body)).kind, Kind::ManifestInvalid);
    }
    assert_eq!(get("manifests/", reply(200, &[], &vec![b' '; (1 << 20) + 1])).kind, Kind::Oversized);
    // Another artifact: of the same length, shorter, longer, and without an end.
    let mut other = ARTIFACT.to_vec();
    other[0] ^= 1;
    for (body, kind) in [
        (other, Kind::DigestMismatch),
        (b"short".to_vec(), Kind::DigestMismatch),
        (Vec::new(), Kind::DigestMismatch),
        ([ARTIFACT, b"x"].concat(), Kind::Oversized),
        (vec![b'x'; 1 << 20], Kind::Oversized),
    ] {
        let error = get("blobs/", reply(200, &[], &body));
        assert_eq!(error.kind, kind, "{error}");
    }
    let endless = [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; 32 << 20]].concat();
    assert_eq!(get("blobs/", Reply::Raw(endless)).kind, Kind::Oversized);
}

#[test]
fn what_goes_wrong_while_pushing_leaves_the_tag_as_it_was() {
    let layer = digest(ARTIFACT);
    let ours = layer.clone();
    let no_location = reply(202, &[], b"");
    let elsewhere = |location: &str| reply(202, &[("location", location)], b"");
    let cases: Vec<(&str, String, Reply, Kind)> = vec![
        ("HEAD", "manifests/".into(), reply(500, &[], b""), Kind::ServerError),
        ("HEAD", "manifests/".into(), reply(403, &[], b""), Kind::Unauthorized),
        ("HEAD", "manifests/".into(), reply(302, &[("location", "/x")], b""), Kind::Redirected),
        ("HEAD", ours.clone(), reply(500, &[], b""), Kind::ServerError),
        ("HEAD", ours, reply(401, &[], b""), Kind::Unauthorized),
        ("POST", "uploads/".into(), reply(404, &[], b""), Kind::NotFound),
        ("POST", "uploads/".into(), reply(200, &[], b""), Kind::UnexpectedStatus),
        ("POST", "uploads/".into(), reply(307, &[("location", "/x")], b""), Kind::Redirected),
        ("POST", "uploads/".into(), no_location, Kind::InvalidAnswer),
        ("POST", "uploads/".into(), elsewhere("uploads/1"), Kind::InvalidAnswer),
        ("POST", "uploads/".into(), elsewhere("ftp://x/"), Kind::InvalidAnswer),
        ("POST", "uploads/".into(), elsewhere("http://user:word@127.0.0.1/"), Kind::InvalidAnswer),
        ("POST", "uploads/".into(), Reply::Close, Kind::NoAnswer),
        ("POST", "uploads/".into(), Reply::Sleep(Duration::from_secs(3)), Kind::Timeout),
        ("PUT", "uploads/".into(), reply(400, &[], b""), Kind::UnexpectedStatus),
        ("PUT", "uploads/".into(), reply(202, &[], b""), Kind::UnexpectedStatus),
        ("PUT", "uploads/".into(), reply(413, &[], b""), Kind::UnexpectedStatus),
        (
            "PUT",
            "uploads/".into(),
            reply(201, &[("docker-content-digest", &digest(b"x"))], b""),
            Kind::DigestMismatch,
        ),
        ("PUT", "manifests/".into(), reply(400, &[], b""), Kind::UnexpectedStatus),
        ("PUT", "manifests/".into(), reply(503, &[], b""), Kind::ServerError),
        (
            "PUT",
            "manifests/".into(),
            reply(201, &[("docker-content-digest", &digest(b"x"))], b""),
            Kind::DigestMismatch,
        ),
    ];
    for (method, part, with, kind) in cases {
        let double = Double::new();
        let named = format!("{method} {part} {with:?}");
        double.when(move |asked| asked.is(method, &part).then(|| with.clone()));
        let error = pushed(&double, ARTIFACT).unwrap_err();
        assert_eq!(error.kind, kind, "{named}: {error}");
        assert_eq!(double.manifest("v1"), None, "{named}");
        // The state of an upload is in no message.
        assert!(!error.detail.contains("_state"), "{error}");
    }
}
