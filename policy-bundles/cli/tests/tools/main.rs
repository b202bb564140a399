//! The small tools beside bundles and artifacts, as people and pipelines run them.

#![expect(clippy::panic, reason = "a helper of tests that cannot do its work must fail the test")]

mod fmt;
mod hash_key;
mod pages;
mod second_factor;
mod token;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// A directory of its own for each test, to run commands in.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tools").join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        let parent = path.parent().unwrap_or(&self.0);
        std::fs::create_dir_all(parent).unwrap_or_else(|e| panic!("{}: {e}", parent.display()));
        std::fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// Runs a command that must end with this code; what it prints on standard output and on standard error.
    #[track_caller]
    fn run(&self, code: i32, arguments: &str, input: &str, environment: &[(&str, &str)]) -> (String, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bartizan"))
            .args(arguments.split_whitespace())
            .current_dir(&self.0)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{e}"));
        if let Some(mut stdin) = child.stdin.take() {
            // A command that reads no input may be gone already.
            let _ = stdin.write_all(input.as_bytes());
        }
        let output = child.wait_with_output().unwrap_or_else(|e| panic!("{e}"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "bartizan {arguments}\n{out}{err}");
        (out, err)
    }

    /// The same without input; all that it prints.
    #[track_caller]
    fn ends(&self, code: i32, arguments: &str) -> String {
        let (out, err) = self.run(code, arguments, "", &[]);
        out + &err
    }

    #[track_caller]
    fn json(&self, code: i32, arguments: &str) -> Value {
        let (out, _) = self.run(code, &format!("{arguments} --format json"), "", &[]);
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("bartizan {arguments}: {e}\n{out}"))
    }
}
