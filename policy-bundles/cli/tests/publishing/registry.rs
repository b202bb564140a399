//! Push and pull against the real registry that `registry-path.sh` finds. `make e2e` runs them.

use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::{Running, Scratch};

/// A registry with storage of its own, and where it listens.
struct Registry {
    _running: Running,
    address: String,
}

impl Registry {
    /// `more` is added to the configuration, on its `http` line or after it.
    fn start(scratch: &Scratch, more: &str) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../test-harness/tools/registry-path.sh");
        let found = Command::new(script).output().unwrap_or_else(|e| panic!("{script}: {e}"));
        assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
        let program = String::from_utf8(found.stdout).unwrap();
        // It cannot tell which port it has taken: let go of a free one, and hope that nobody is as quick.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let store = scratch.path("store").display().to_string();
        let config = format!(
            "version: 0.1\nlog: {{accesslog: {{disabled: true}}, level: error}}\n\
             storage: {{filesystem: {{rootdirectory: {store}}}}}\nhttp:\n  addr: {address}\n{more}"
        );
        std::fs::write(scratch.path("registry.yml"), config).unwrap();
        let child = Command::new(program.trim())
            .args(["serve", "registry.yml"])
            .current_dir(&scratch.0)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(scratch.path("registry.log")).unwrap())
            .spawn()
            .unwrap_or_else(|e| panic!("{program}: {e}"));
        let running = Running(child);
        for _ in 0..200 {
            if TcpStream::connect(&address).is_ok() {
                return Self { _running: running, address };
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the registry does not listen on {address}");
    }
}

#[test]
#[ignore = "starts a real registry: `make e2e`"]
fn what_is_pushed_to_a_real_registry_is_pulled_from_it() {
    let scratch = Scratch::new("registry");
    let registry = Registry::start(&scratch, "");
    let edge = format!("{}/policies/edge", registry.address);
    let first = scratch.json(0, &format!("push edge.bundle {edge}:stable --trust release.pub"));
    assert_eq!(
        (&first["done"], &first["changed"], &first["revision"]),
        (&true.into(), &true.into(), &7.into())
    );
    let digest = first["digest"].as_str().unwrap();
    let again = scratch.json(0, &format!("push edge.bundle {edge}:stable"));
    assert_eq!((&again["changed"], &again["digest"]), (&false.into(), &first["digest"]));
    let text = scratch.ends(0, &format!("push edge.bundle {edge}:v7"));
    assert!(
        text.starts_with("pushed edge.bundle at ") && text.contains(&format!("{edge}@{digest}")),
        "{text}"
    );

    for which in [":stable", ":v7", &format!("@{digest}")] {
        let there = scratch.json(0, &format!("pull {edge}{which} -o got.bundle --trust release.pub"));
        assert_eq!((&there["digest"], &there["verified"]), (&first["digest"], &true.into()));
        assert_eq!(there["annotations"]["org.opencontainers.image.title"], "edge");
        assert_eq!(scratch.read("got.bundle"), scratch.read("edge.bundle"));
    }
    // What the registry itself says of it.
    let answer = super::ask(
        &registry.address,
        &format!(
            "GET /v2/policies/edge/manifests/{digest} HTTP/1.1\r\naccept: application/vnd.oci.image.manifest.v1+json"
        ),
    );
    let answer = String::from_utf8(answer).unwrap();
    let (head, manifest) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("Content-Type: application/vnd.oci.image.manifest.v1+json"), "{head}");
    let manifest: Value = serde_json::from_str(manifest).unwrap();
    assert_eq!(manifest["artifactType"], "application/vnd.bartizan.bundle.v1+json");
    assert_eq!(manifest["layers"][0]["digest"], first["layer"]);

    // Another trust: refused, and what was there stays.
    scratch.ends(0, "keygen -o other");
    std::fs::write(scratch.path("got.bundle"), "mine").unwrap();
    let refused = scratch.json(1, &format!("pull {edge}:stable -o got.bundle --trust other.pub"));
    assert_eq!(refused["kind"], "too-few-signatures");
    assert_eq!(scratch.read("got.bundle"), b"mine");
    let refused = scratch.json(1, &format!("push edge.bundle {edge}:stable --trust other.pub"));
    assert_eq!(refused["kind"], "too-few-signatures");

    // Nobody's artifact is pushed and pulled only if that is said.
    scratch.ends(1, &format!("push unsigned.bundle {edge}:unsigned"));
    scratch.ends(0, &format!("push unsigned.bundle {edge}:unsigned --unsigned"));
    scratch.ends(1, &format!("pull {edge}:unsigned -o got.bundle --trust release.pub"));
    let text = scratch.ends(0, &format!("pull {edge}:unsigned -o got.bundle --unverified"));
    assert!(text.contains("NOT VERIFIED"), "{text}");
    assert_eq!(scratch.read("got.bundle"), scratch.read("unsigned.bundle"));

    for (which, kind) in [(":nothing", "not-found"), (&format!("@sha256:{}", "0".repeat(64)), "not-found")] {
        let none = scratch.json(3, &format!("pull {edge}{which} -o none.bundle --trust release.pub"));
        assert_eq!(none["kind"], kind, "{none}");
        assert!(!scratch.path("none.bundle").exists());
    }

    // Whoever moves the tag back brings no older policy over a newer one.
    for revision in [3, 9] {
        scratch.ends(0, &format!("build edge -o r.bundle --revision {revision}"));
        scratch.ends(0, &format!("sign r.bundle --key release.key -o r{revision}.bundle"));
    }
    scratch.ends(0, &format!("push r9.bundle {edge}:moving"));
    scratch.ends(0, &format!("pull {edge}:moving -o current.bundle --trust release.pub"));
    scratch.ends(0, &format!("push r3.bundle {edge}:moving"));
    let pull = format!("pull {edge}:moving -o current.bundle --trust release.pub");
    assert_eq!(scratch.json(1, &pull)["kind"], "older-revision");
    assert_eq!(scratch.read("current.bundle"), scratch.read("r9.bundle"));
    scratch.ends(0, &format!("{pull} --allow-older"));
    assert_eq!(scratch.read("current.bundle"), scratch.read("r3.bundle"));
    // The same again is fine, and what is no artifact is only a file.
    scratch.ends(0, &pull);

    // A time only if it is given, and then each time the same.
    let dated = |epoch: &str| {
        let arguments = format!("push edge.bundle {edge}:dated --format json");
        let output = scratch.command(&arguments).env("SOURCE_DATE_EPOCH", epoch).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, text) = dated("1767225600");
    let pushed: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, pushed["changed"].clone()), (Some(0), true.into()));
    assert_ne!(pushed["digest"], first["digest"]);
    assert!(dated("1767225600").1.contains("\"changed\": false"));
    let there = scratch.json(0, &format!("pull {edge}:dated -o got.bundle --trust release.pub"));
    assert_eq!(there["annotations"]["org.opencontainers.image.created"], "2026-01-01T00:00:00Z");
    assert_eq!(dated("yesterday").0, Some(1));
}

/// `secret`, by bcrypt.
const SECRET: &str = "ci:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

#[test]
#[ignore = "starts a real registry: `make e2e`"]
fn a_real_registry_is_given_the_password_that_it_asks_for() {
    let scratch = Scratch::new("registry-password");
    std::fs::write(scratch.path("htpasswd"), SECRET).unwrap();
    let registry = Registry::start(&scratch, "auth: {htpasswd: {realm: r, path: htpasswd}}\n");
    let edge = format!("{}/edge:v1", registry.address);
    let run = |arguments: &str, environment: &[(&str, &str)], stdin: &str| {
        let mut command = scratch.command(arguments);
        command.env("DOCKER_CONFIG", scratch.path("docker")).envs(environment.iter().copied());
        let (code, text) = super::with_stdin(&mut command, stdin);
        (code, text)
    };
    let push = format!("push edge.bundle {edge}");
    let (code, text) = run(&push, &[], "");
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("unauthorized: ") && text.contains("--password-stdin"), "{text}");
    let host = ("BARTIZAN_REGISTRY", registry.address.as_str());
    let ours = [host, ("BARTIZAN_REGISTRY_USERNAME", "ci"), ("BARTIZAN_REGISTRY_PASSWORD", "secret")];
    // The password is for another registry, or for nobody knows which.
    let (code, text) = run(&push, &[("BARTIZAN_REGISTRY", "r.internal"), ours[1], ours[2]], "");
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("unauthorized: "), "{text}");
    assert_eq!(run(&push, &ours[1..], "").0, Some(1));
    let (code, text) = run(&push, &ours, "");
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = run(&push, &[ours[0], ours[1], ("BARTIZAN_REGISTRY_PASSWORD", "other")], "");
    assert_eq!(code, Some(3), "{text}");
    assert!(!text.contains("other"), "{text}");
    assert_eq!(run(&push, &ours[..2], "").0, Some(1));
    let pull = format!("pull {edge} -o got.bundle --trust release.pub");
    assert_eq!(run(&format!("{pull} --username ci --password-stdin"), &[], "secret\n").0, Some(0));
    assert_eq!(run(&format!("{pull} --username ci --password-stdin"), &[], "wrong\n").0, Some(3));
    assert_eq!(run(&format!("{pull} --username ci --password-stdin"), &[], "").0, Some(1));
    // As `docker login` writes it.
    std::fs::create_dir_all(scratch.path("docker")).unwrap();
    let config = format!("{{\"auths\": {{\"{}\": {{\"auth\": \"Y2k6c2VjcmV0\"}}}}}}", registry.address);
    std::fs::write(scratch.path("docker/config.json"), config).unwrap();
    let (code, text) = run(&pull, &[], "");
    assert_eq!(code, Some(0), "{text}");
    std::fs::write(scratch.path("docker/config.json"), "{").unwrap();
    assert_eq!(run(&pull, &[], "").0, Some(1));
}

#[test]
#[ignore = "starts a real registry: `make e2e`"]
fn a_real_registry_is_spoken_to_over_tls() {
    let scratch = Scratch::new("registry-tls");
    let openssl = |arguments: &str| {
        let all = format!("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 {arguments}");
        let made = Command::new("openssl").args(all.split(' ')).current_dir(&scratch.0).output();
        let made = made.unwrap_or_else(|e| panic!("openssl: {e}"));
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    openssl("-subj /CN=authority -keyout authority.key -out authority.pem");
    openssl("-subj /CN=another -keyout other.key -out other.pem");
    openssl(
        "-subj /CN=registry -addext subjectAltName=IP:0.0.0.0 -addext basicConstraints=critical,CA:FALSE \
         -CA authority.pem -CAkey authority.key -keyout tls.key -out tls.pem",
    );
    let registry = Registry::start(&scratch, "  tls: {certificate: tls.pem, key: tls.key}\n");
    // Loopback addresses are spoken to without TLS, so this needs another way to the same place.
    let port = registry.address.split(':').next_back().unwrap();
    let edge = format!("0.0.0.0:{port}/edge:v1");
    let run = |arguments: &str, roots: &str| {
        let mut command = scratch.command(arguments);
        command.env("SSL_CERT_FILE", scratch.path(roots)).env("NO_PROXY", "*");
        super::with_stdin(&mut command, "")
    };
    let (code, text) = run(&format!("push edge.bundle {edge}"), "authority.pem");
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = run(&format!("pull {edge} -o got.bundle --trust release.pub"), "authority.pem");
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(scratch.read("got.bundle"), scratch.read("edge.bundle"));
    // No authority, another one, and no TLS.
    let (code, text) = run(&format!("push edge.bundle {edge}"), "nowhere.pem");
    assert_eq!(code, Some(3), "{text}");
    let (code, text) = run(&format!("push edge.bundle {edge}"), "other.pem");
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("no-answer: ") && text.contains("SSL_CERT_FILE"), "{text}");
    let (code, text) = run(&format!("push edge.bundle {edge} --plain-http"), "authority.pem");
    assert_eq!(code, Some(3), "{text}");
}
