//! Bundles as they are published: serve, push and pull, by the command itself.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper of tests that cannot do its work must fail the test"
)]

mod registry;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// A directory of its own for each test, with an artifact `edge.bundle` that `release.key` has signed.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("publishing").join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(path.join("edge")).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let scratch = Self(path);
        let text = "apiVersion: bartizan/v1\nname: edge\nrevision: 7\nroutes: [{path: /, access: public}]\n";
        std::fs::write(scratch.path("edge/bundle.yaml"), text).unwrap();
        scratch.ends(0, "keygen -o release");
        scratch.ends(0, "build edge -o unsigned.bundle");
        scratch.ends(0, "sign unsigned.bundle --key release.key -o edge.bundle");
        scratch
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bartizan"));
        command.args(arguments.split(' ')).current_dir(&self.0);
        // Nothing of whoever runs the tests.
        command.env("DOCKER_CONFIG", self.path("no-docker"));
        for name in [
            "SOURCE_DATE_EPOCH",
            "BARTIZAN_REGISTRY",
            "BARTIZAN_REGISTRY_USERNAME",
            "BARTIZAN_REGISTRY_PASSWORD",
        ] {
            command.env_remove(name);
        }
        command
    }

    fn output(&self, arguments: &str) -> Output {
        self.command(arguments).output().unwrap_or_else(|e| panic!("{e}"))
    }

    /// Runs a command that must end with this code; what it prints.
    fn ends(&self, code: i32, arguments: &str) -> String {
        let output = self.output(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "bartizan {arguments}\n{out}{err}");
        out + &err
    }

    fn json(&self, code: i32, arguments: &str) -> Value {
        let text = self.ends(code, &format!("{arguments} --format json"));
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("bartizan {arguments}: {e}\n{text}"))
    }
}

/// Runs a command with something on its standard input: its exit code, and what it prints.
fn with_stdin(command: &mut Command, stdin: &str) -> (Option<i32>, String) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{e}"));
    // Whoever does not read it has closed it.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a server; its first line, which says where it listens.
fn serve(scratch: &Scratch, arguments: &str) -> (Running, String) {
    let mut child = scratch
        .command(&format!("serve {arguments} --listen 127.0.0.1:0"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{e}"));
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    (Running(child), line)
}

fn ask(address: &str, request: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap_or_else(|e| panic!("{address}: {e}"));
    stream.write_all(format!("{request}\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

#[cfg(unix)]
#[test]
fn a_server_says_where_it_listens_and_ends_when_it_is_told_to() {
    let scratch = Scratch::new("serve");
    for (signal, more) in [("TERM", ""), ("INT", " --format json")] {
        let (mut server, line) = serve(&scratch, &format!("edge.bundle{more}"));
        let address = if more.is_empty() {
            line.trim_end().strip_prefix("listening on http://").unwrap().to_owned()
        } else {
            let line: Value = serde_json::from_str(&line).unwrap();
            line["listening"].as_str().unwrap().to_owned()
        };
        let answer = ask(&address, "GET /edge.bundle HTTP/1.1");
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n") && answer.ends_with(&scratch.read("edge.bundle")));
        // Somebody waits for the next one, and is not left alone.
        let waiting = std::thread::spawn(move || {
            ask(&address, "GET /edge.bundle HTTP/1.1\r\nif-none-match: *\r\nprefer: wait=60")
        });
        std::thread::sleep(std::time::Duration::from_millis(300));
        let pid = server.0.id().to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &pid]).status().unwrap().success());
        assert_eq!(server.0.wait().unwrap().code(), Some(0));
        assert!(waiting.join().unwrap().starts_with(b"HTTP/1.1 304 "));
        let mut log = String::new();
        server.0.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        assert_eq!(log.lines().count(), 3, "{log}");
        if !more.is_empty() {
            for line in log.lines() {
                serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("{e}: {line}"));
            }
        }
    }
}

#[test]
fn what_cannot_be_served_has_an_exit_code() {
    let scratch = Scratch::new("serve-wrong");
    assert!(scratch.ends(3, "serve nowhere").contains("error: nowhere: no such file"));
    assert!(scratch.ends(1, "serve edge.bundle --trust release.key").contains("release.key: "));
    scratch.ends(3, "serve edge.bundle --trust nowhere.pub");
    scratch.ends(2, "serve");
    scratch.ends(2, "serve edge.bundle --listen here");
    scratch.ends(2, "serve edge.bundle --threshold 2");
    let (_server, line) = serve(&scratch, "edge.bundle --trust release.pub");
    let address = line.trim_end().strip_prefix("listening on http://").unwrap();
    assert!(ask(address, "GET /edge.bundle HTTP/1.1").starts_with(b"HTTP/1.1 200 OK\r\n"));
    assert!(
        scratch.ends(3, &format!("serve edge.bundle --listen {address}")).contains("address already in use")
    );
}

#[test]
fn what_cannot_be_pushed_or_pulled_has_an_exit_code() {
    let scratch = Scratch::new("wrong");
    for usage in [
        "push",
        "push edge.bundle",
        "push edge.bundle edge:v1",
        "push edge.bundle localhost:5000/edge",
        "push edge.bundle https://localhost:5000/edge:v1",
        "push edge.bundle localhost:5000/Edge:v1",
        "push edge.bundle localhost:5000/edge:v1 --username ci",
        "push edge.bundle localhost:5000/edge:v1 --password-stdin",
        "push edge.bundle localhost:5000/edge:v1 --unsigned --trust release.pub",
        "pull localhost:5000/edge:v1 -o got.bundle",
        "pull localhost:5000/edge:v1 --unverified",
        "pull localhost:5000/edge:v1 -o got.bundle --unverified --trust release.pub",
        "pull localhost:5000/edge:v1 -o got.bundle --unverified --threshold 2",
    ] {
        scratch.ends(2, usage);
    }
    let digest = format!("push edge.bundle localhost:5000/edge@sha256:{}", "0".repeat(64));
    assert!(scratch.ends(2, &digest).contains("a tag is needed"));
    // Nobody is there: nothing of what follows gets so far as to ask, but the last.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let edge = format!("{nobody}/edge:v1");
    scratch.ends(3, &format!("push nowhere.bundle {edge}"));
    assert!(scratch.ends(1, &format!("push unsigned.bundle {edge}")).contains("bartizan sign"));
    std::fs::write(scratch.path("broken.bundle"), "{}").unwrap();
    assert_eq!(scratch.json(1, &format!("push broken.bundle {edge}"))["kind"], "not-an-envelope");
    scratch.ends(1, &format!("push edge.bundle {edge} --trust release.key"));
    scratch.ends(1, &format!("pull {edge} -o got.bundle --trust release.key"));
    let report = scratch.json(3, &format!("push edge.bundle {edge}"));
    assert_eq!((&report["done"], &report["kind"]), (&false.into(), &"no-answer".into()));
    let report = scratch.json(3, &format!("pull {edge} -o got.bundle --trust release.pub"));
    assert_eq!((&report["done"], &report["kind"]), (&false.into(), &"no-answer".into()));
    assert!(!scratch.path("got.bundle").exists());
    let text = scratch.ends(3, &format!("pull {edge} -o got.bundle --unverified"));
    assert!(
        text.starts_with(&format!("error: {edge}: no-answer: GET ")) && text.lines().count() == 1,
        "{text}"
    );
}
