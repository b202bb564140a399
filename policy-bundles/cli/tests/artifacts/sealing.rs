//! Secrets sealed to a filter's key.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::Scratch;

const SECRET: &str = "0123456789abcdef-the-secret-of-corp";

impl Scratch {
    /// Runs a command with something on its standard input: its code, and all that it printed.
    fn fed(&self, arguments: &str, input: &str) -> (Option<i32>, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bartizan"))
            .args(arguments.split(' '))
            .current_dir(&self.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{e}"));
        if let Some(mut stdin) = child.stdin.take() {
            // A command that is content without reading it closes it.
            let _ = stdin.write_all(input.as_bytes());
        }
        let output = child.wait_with_output().unwrap_or_else(|e| panic!("{e}"));
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    }
}

#[test]
fn a_secret_is_sealed_for_one_place_and_never_shown() {
    let scratch = Scratch::new("sealing");
    assert!(scratch.ends(0, "keygen --sealing -o filter").contains("bartizan seal --for"));
    scratch.ends(0, "keygen -o release");
    let (code, sealed) = scratch.fed("seal --for edge/corp --to filter.pub", &format!("{SECRET}\n"));
    assert_eq!(code, Some(0), "{sealed}");
    assert_eq!(sealed.trim_end().split('.').count(), 5, "{sealed}");
    let bundle = |name: &str| {
        let keys = format!("{{secret: {{sealed: {}, key: {{env: FILTER_KEY}}}}}}", sealed.trim_end());
        let text = format!(
            "apiVersion: bartizan/v1\nname: {name}\nauthentication:\n  jwt:\n    - {{name: corp, issuer: corp, audiences: [api], \
             algorithms: [HS256], keys: {keys}}}\nroutes: [{{path: /, access: authenticated}}]\n"
        );
        scratch.write(&format!("{name}/bundle.yaml"), text.as_bytes());
    };
    bundle("edge");
    bundle("other");
    scratch.ends(0, "build edge -o edge.bundle");
    scratch.ends(0, "sign edge.bundle --key release.key");
    let shown = scratch.ends(0, "inspect edge.bundle --plan");
    assert!(shown.contains("FILTER_KEY") && !shown.contains(SECRET), "{shown}");
    let inline = scratch.ends(0, "verify edge.bundle --trust release.pub --inline=envoy");
    assert!(inline.contains("host_env_keys: [\"FILTER_KEY\"]"), "{inline}");
    assert!(scratch.ends(1, "check other").contains("sealed for \"edge/corp\""));
    for (arguments, input, code) in [
        ("seal --for edge/corp --to filter.pub", "hunter2", 1),
        ("seal --for edge/corp --to filter.pub", &"hunter2".repeat(200), 1),
        ("seal --for edge/corp --to release.pub", SECRET, 1),
        ("seal --for edge/corp --to nowhere.pub", SECRET, 3),
        ("seal --for edge --to filter.pub", SECRET, 2),
        ("seal --for Edge/corp --to filter.pub", SECRET, 2),
        ("seal --for edge/corp", SECRET, 2),
    ] {
        let (found, said) = scratch.fed(arguments, input);
        assert_eq!(found, Some(code), "{arguments}: {said}");
        assert!(!said.contains("hunter2") && !said.contains(SECRET), "{said}");
    }
}
