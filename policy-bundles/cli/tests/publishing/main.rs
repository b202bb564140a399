//! Bundles as they are published: serve, push and pull, by the command itself.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper of tests that cannot do its work must fail the test"
)]

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
