//! Artifacts as people and pipelines handle them: keygen, build, sign, verify, inspect, diff.

#![expect(clippy::panic, reason = "a helper of tests that cannot do its work must fail the test")]

mod diff;
mod hostile;
mod sealing;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A directory of its own for each test, to run commands in.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("artifacts").join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        let parent = path.parent().unwrap_or(&self.0);
        std::fs::create_dir_all(parent).unwrap_or_else(|e| panic!("{}: {e}", parent.display()));
        std::fs::write(&path, bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    fn run(&self, arguments: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_bartizan"))
            .args(arguments.split(' '))
            .current_dir(&self.0)
            .output()
            .unwrap_or_else(|e| panic!("{e}"))
    }

    /// Runs a command that must end with this code; what it prints.
    fn ends(&self, code: i32, arguments: &str) -> String {
        let output = self.run(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "bartizan {arguments}\n{out}{err}");
        out + &err
    }

    fn json(&self, code: i32, arguments: &str) -> Value {
        let text = self.ends(code, &format!("{arguments} --format json"));
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("bartizan {arguments}: {e}\n{text}"))
    }

    /// A bundle, as its directory.
    fn bundle(&self, directory: &str, more: &str) {
        let text =
            format!("apiVersion: bartizan/v1\nname: edge\n{more}\nroutes: [{{path: /, access: public}}]\n");
        self.write(&format!("{directory}/bundle.yaml"), text.as_bytes());
    }
}

#[test]
fn keys_are_made_once_and_for_their_owner_only() {
    let scratch = Scratch::new("keys");
    scratch.ends(0, "keygen -o a");
    let made = scratch.json(0, "keygen --algorithm p256 -o b.c");
    assert_eq!((&made["algorithm"], &made["private"]), (&"p256".into(), &"b.c.key".into()));
    assert_eq!(made["keyid"].as_str().map(str::len), Some(64));
    #[cfg(unix)]
    for name in ["a.key", "b.c.key"] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode =
            std::fs::metadata(scratch.path(name)).unwrap_or_else(|e| panic!("{e}")).permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let before = scratch.read("a.key");
    assert!(scratch.ends(1, "keygen -o a").contains("there already"));
    assert_eq!(scratch.read("a.key"), before);
    // Either half is in the way, and then neither is written.
    scratch.write("half.pub", b"");
    scratch.ends(1, "keygen -o half");
    assert!(!scratch.path("half.key").exists());
    scratch.ends(3, "keygen -o nowhere/a");
    scratch.ends(2, "keygen");
}

/// Where no file can grow nothing is left behind: it would be in the way of the next try.
#[cfg(unix)]
#[test]
fn a_key_that_cannot_be_written_is_not_there() {
    let scratch = Scratch::new("full");
    let output = Command::new("bash")
        .args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" keygen -o a", env!("CARGO_BIN_EXE_bartizan")])
        .current_dir(&scratch.0)
        .output()
        .unwrap_or_else(|e| panic!("{e}"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(told.contains("a.key: "), "{told}");
    assert!(!scratch.path("a.key").exists() && !scratch.path("a.pub").exists());
    scratch.ends(0, "keygen -o a");
}

#[test]
fn an_artifact_is_built_signed_and_verified() {
    let scratch = Scratch::new("way");
    scratch.bundle("edge", "revision: 7\nlabels: {team: payments}\nexpires: 2099-01-01T00:00:00Z");
    for (name, algorithm) in [("a", "ed25519"), ("b", "p256"), ("c", "p256")] {
        scratch.ends(0, &format!("keygen --algorithm {algorithm} -o {name}"));
    }
    scratch.ends(0, "build edge -o edge.bundle --by ci");
    let unsigned = scratch.read("edge.bundle");
    let refused = scratch.json(1, "verify edge.bundle --trust a.pub");
    assert_eq!((&refused["accepted"], &refused["kind"]), (&false.into(), &"too-few-signatures".into()));
    scratch.ends(0, "sign edge.bundle --key a.key");
    assert!(scratch.ends(1, "sign edge.bundle --key a.key").contains("signed it already"));
    scratch.ends(1, "verify edge.bundle --trust a.pub b.pub --threshold 2");
    // All or nothing: the second key has signed already.
    let once = scratch.read("edge.bundle");
    scratch.ends(1, "sign edge.bundle --key b.key --key a.key");
    assert_eq!(scratch.read("edge.bundle"), once);
    let signed = scratch.json(0, "sign edge.bundle --key b.key -o both.bundle");
    assert_eq!((&signed["signatures"], &signed["by"][0]["algorithm"]), (&2.into(), &"p256".into()));
    let good = scratch.json(0, "verify both.bundle --trust a.pub b.pub c.pub --threshold 2 --name edge");
    assert_eq!(
        (&good["name"], &good["revision"], &good["accepted"]),
        (&"edge".into(), &7.into(), &true.into())
    );
    assert_eq!(good["signers"].as_array().map(Vec::len), Some(2));
    assert_eq!(good["expires"], "2099-01-01T00:00:00Z");
    let text = scratch.ends(0, "verify both.bundle --trust a.pub b.pub --threshold 2");
    assert!(text.starts_with("good both.bundle: bundle `edge` revision 7, sha256:"), "{text}");
    for (arguments, kind) in [
        ("both.bundle --trust c.pub", "too-few-signatures"),
        ("both.bundle --trust a.pub --name other", "wrong-name"),
        ("both.bundle --trust a.pub --at 2099-01-01T00:00:00Z", "expired"),
    ] {
        let refused = scratch.json(1, &format!("verify {arguments}"));
        assert_eq!(refused["kind"], kind, "{refused:#}");
        assert!(scratch.ends(1, &format!("verify {arguments}")).contains("= help: "));
    }
    // The configuration that it prints holds what was verified, and the trust that it was verified with.
    let text =
        scratch.ends(0, "verify both.bundle --trust a.pub b.pub --threshold 2 --inline --signatures wasm");
    let inline: Value = serde_json::from_str(&text).unwrap_or_default();
    assert_eq!(Some(&inline["bundle"]), serde_json::from_slice(&scratch.read("both.bundle")).ok().as_ref());
    assert_eq!(
        (&inline["trust"]["threshold"], &inline["settings"]["signatures"]),
        (&2.into(), &"wasm".into())
    );
    assert!(inline["plan"].is_null());
    let envoy = scratch.ends(0, "verify both.bundle --trust a.pub --inline=envoy");
    assert!(envoy.contains("vm_id: bartizan-edge") && envoy.contains("\"trust\":"), "{envoy}");
    scratch.ends(1, "verify edge.bundle --trust b.pub --inline");
    // What is wrong with the trust is not a refusal of the artifact.
    assert!(scratch.ends(1, "verify both.bundle --trust a.key").contains("a.key: holds a private key"));
    assert!(scratch.ends(1, "verify both.bundle --trust a.pub a.pub").contains("the same key again"));
    assert!(scratch.ends(1, "verify both.bundle --trust a.pub --threshold 2").contains("threshold"));
    assert!(scratch.ends(1, "sign both.bundle --key a.pub").contains("public key"));
    scratch.ends(2, "verify both.bundle --trust a.pub --at tomorrow");
    scratch.ends(2, "verify both.bundle");
    scratch.ends(3, "verify none.bundle --trust a.pub");
    scratch.ends(3, "verify both.bundle --trust none.pub");
    assert!(scratch.read("both.bundle").len() > unsigned.len());
}

#[test]
fn the_same_sources_give_the_same_bytes_and_pipelines_number_them() {
    let scratch = Scratch::new("bytes");
    scratch.bundle("one", "revision: 7");
    scratch.bundle("some/where/else", "revision: 7");
    scratch.ends(0, "build one -o one.bundle");
    scratch.ends(0, "build some/where/else -o other.bundle");
    assert_eq!(scratch.read("one.bundle"), scratch.read("other.bundle"));
    scratch.ends(0, "build one -o nine.bundle --revision 9");
    assert_eq!(scratch.json(0, "inspect nine.bundle")["revision"], 9);
    scratch.ends(2, "build one --revision 0");
    scratch.ends(2, "build one --revision 9007199254740992");
    let plan: Value =
        serde_json::from_str(&scratch.ends(0, "build one --plan --revision 9")).unwrap_or_default();
    assert_eq!(plan["revision"], 9);
    // An older one may not follow, nor may the same number with another content.
    scratch.ends(0, "keygen -o a");
    scratch.bundle("two", "revision: 7\ndescription: other");
    scratch.ends(0, "build two -o two.bundle");
    for name in ["one", "two", "nine"] {
        scratch.ends(0, &format!("sign {name}.bundle --key a.key"));
    }
    scratch.ends(0, "verify nine.bundle --trust a.pub --over one.bundle");
    scratch.ends(0, "verify one.bundle --trust a.pub --over other.bundle");
    let kind = |new: &str, old: &str| {
        scratch.json(1, &format!("verify {new}.bundle --trust a.pub --over {old}.bundle"))["kind"].clone()
    };
    assert_eq!(kind("one", "nine"), "older-revision");
    // Of what is in force nothing else counts: its plan may be of another release.
    let other = |payload: &mut Value| {
        payload["plan"]["plan_version"] = 99.into();
        payload["plan"]["intake"] = Value::Null;
    };
    scratch.write("foreign.bundle", &hostile::changed(&scratch.read("nine.bundle"), other, &[]));
    assert_eq!(scratch.json(1, "inspect foreign.bundle")["kind"], "plan-version");
    assert_eq!(kind("one", "foreign"), "older-revision");
    assert_eq!(kind("nine", "foreign"), "same-revision-different-content");
    scratch.ends(0, "build one -o ten.bundle --revision 10");
    scratch.ends(0, "sign ten.bundle --key a.key");
    scratch.ends(0, "verify ten.bundle --trust a.pub --over foreign.bundle");
    assert_eq!(kind("two", "one"), "same-revision-different-content");
}

#[test]
fn what_no_filter_takes_is_neither_signed_nor_inspected() {
    let scratch = Scratch::new("bad");
    scratch.bundle("edge", "");
    scratch.ends(0, "keygen -o a");
    scratch.ends(0, "build edge -o edge.bundle");
    let good = String::from_utf8(scratch.read("edge.bundle")).unwrap_or_default();
    let half = good.get(..good.len() / 2).unwrap_or_default();
    for (name, text, kind) in [
        ("empty", "", "truncated"),
        ("half", half, "truncated"),
        ("yaml", "name: edge", "not-an-envelope"),
        ("type", &good.replace("bundle.v1", "bundle.v9"), "wrong-type"),
        ("payload", &good.replace("\"payload\":\"", "\"payload\":\"ICAg"), "not-canonical"),
    ] {
        scratch.write(name, text.as_bytes());
        for command in [format!("sign {name} --key a.key"), format!("inspect {name}")] {
            assert_eq!(scratch.json(1, &command)["kind"], kind, "{command}");
        }
        assert_eq!(scratch.read(name), text.as_bytes(), "nothing was written");
    }
}

#[test]
fn an_artifact_can_be_looked_into() {
    let scratch = Scratch::new("inspect");
    scratch.bundle("edge", "revision: 7\nlabels: {team: payments}\nnot_before: 2026-01-01T00:00:00Z");
    scratch.ends(0, "build edge -o edge.bundle --by somebody");
    let text = scratch.ends(0, "inspect edge.bundle");
    for line in [
        "bundle `edge` revision 7",
        "team = payments",
        "valid from 2026-01-01T00:00:00Z",
        "by somebody",
        "1 route,",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(text.contains("none; no filter takes it before it is signed"), "{text}");
    let json = scratch.json(0, "inspect edge.bundle");
    assert_eq!((&json["labels"]["team"], &json["contents"]["routes"]), (&"payments".into(), &1.into()));
    assert!(
        json["sources"]["bundle.yaml"].as_str().is_some_and(|digest| digest.starts_with("sha256:")),
        "{json:#}"
    );
    let plan: Value =
        serde_json::from_str(&scratch.ends(0, "inspect edge.bundle --plan")).unwrap_or_default();
    assert_eq!(plan["routes"][0]["path"], "/");
}
