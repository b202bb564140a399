//! Artifacts that nobody has vouched for, and that try to look like something else.

use bartizan_compiler::artifact::{SigningKey, envelope};
use bartizan_compiler::canonical;
use bartizan_engine::envelope::dsse::{Envelope, MAX_ENVELOPE_BYTES, PAYLOAD_TYPE, Signature, preamble};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::Scratch;

/// What an artifact is made to hold in the place of what it holds.
pub(crate) fn changed(artifact: &[u8], change: impl FnOnce(&mut Value), signatures: &[Signature]) -> Vec<u8> {
    let outer: Value = serde_json::from_slice(artifact).unwrap_or_default();
    let payload = outer.get("payload").and_then(Value::as_str).unwrap_or_default();
    let payload = STANDARD.decode(payload).unwrap_or_default();
    let mut payload: Value = serde_json::from_slice(&payload).unwrap_or_default();
    change(&mut payload);
    envelope(canonical::json(&payload).as_bytes(), signatures).unwrap_or_else(|e| panic!("{e}"))
}

/// What serde takes alike, and no build writes, is refused by everything that reads an artifact; also if it is signed well.
#[test]
fn what_no_build_writes_is_taken_by_nobody() {
    let scratch = Scratch::new("as-built");
    scratch.bundle("edge", "");
    scratch.ends(0, "build edge -o edge.bundle");
    scratch.ends(0, "keygen -o a");
    let pem = String::from_utf8(scratch.read("a.key")).unwrap_or_default();
    let key = SigningKey::from_pem(&pem).unwrap_or_else(|e| panic!("{e}"));
    let signed = |name: &str, change: fn(&mut Value)| {
        let unsigned = changed(&scratch.read("edge.bundle"), change, &[]);
        let payload = Envelope::parse(&unsigned).unwrap_or_else(|e| panic!("{e}")).payload;
        let message = [preamble(PAYLOAD_TYPE, &payload).as_bytes(), &payload].concat();
        let sig = key.sign(&message).unwrap_or_else(|e| panic!("{e}"));
        let keyid = key.public().unwrap_or_else(|e| panic!("{e}")).id().to_owned();
        let bytes = envelope(&payload, &[Signature { keyid, sig }]).unwrap_or_else(|e| panic!("{e}"));
        scratch.write(name, &bytes);
    };
    signed("good", |_| {});
    signed("list", |payload| {
        let builder = &payload["builder"];
        payload["builder"] = serde_json::json!([builder["name"], builder["version"], "somebody"]);
    });
    signed("default", |payload| payload["labels"] = serde_json::json!({}));
    scratch.ends(0, "verify good --trust a.pub");
    for name in ["list", "default"] {
        for command in ["verify NAME --trust a.pub", "sign NAME --key a.key", "inspect NAME"] {
            let told = scratch.json(1, &command.replace("NAME", name));
            assert_eq!(told["kind"], "not-canonical", "{command}: {told:#}");
            assert!(told["detail"].to_string().contains("than a build does"), "{command}: {told:#}");
        }
    }
}

/// Clears the screen, hides text, turns it, and does so with characters that look like nothing.
const STEERS: &str = "\u{1b}[2J\u{1b}[8m\u{9b}8m\u{7f}\u{202e}\u{2066}\u{200f}";

#[test]
fn what_nobody_vouches_for_steers_no_terminal() {
    let scratch = Scratch::new("steers");
    scratch.bundle("edge", "");
    scratch.ends(0, "build edge -o edge.bundle");
    scratch.ends(0, "keygen -o a");
    let signatures = [Signature { keyid: STEERS.to_owned(), sig: vec![0] }];
    // The payload takes no control characters outside of the plan.
    let (turns, steers) = ("\u{202e}\u{200f}", STEERS);
    let hostile = changed(
        &scratch.read("edge.bundle"),
        |payload| {
            payload["builder"]["by"] = turns.into();
            payload["labels"] = serde_json::json!({turns: turns});
            payload["plan"]["routes"][0]["id"] = steers.into();
            payload["plan"]["routes"][0]["at"] = steers.into();
        },
        &signatures,
    );
    let broken = changed(
        &scratch.read("edge.bundle"),
        |payload| {
            payload["plan"]["routes"][0]["hosts"] = serde_json::json!([format!("{steers}*")]);
        },
        &signatures,
    );
    // The names of files steer as well.
    let (here, there) = (format!("{STEERS}.bundle"), format!("{STEERS}.broken"));
    scratch.write(&here, &hostile);
    scratch.write(&there, &broken);
    let commands = [
        (0, format!("inspect {here}")),
        (0, format!("inspect {here} --plan")),
        (1, format!("inspect {there}")),
        (1, format!("diff edge.bundle {here}")),
        (2, format!("diff edge.bundle {there}")),
        (1, format!("verify {here} --trust a.pub")),
        (1, format!("verify {there} --trust a.pub")),
        (3, format!("verify edge.bundle --trust {here}.pub")),
        (1, format!("verify edge.bundle --trust a.pub --over {there}")),
        (0, format!("sign {here} --key a.key -o {here}.signed")),
        (0, format!("verify {here}.signed --trust a.pub")),
        (1, format!("sign {there} --key a.key")),
        (0, format!("keygen -o {here}")),
        (1, format!("keygen -o {here}")),
        (1, format!("check {there}")),
    ];
    for (code, command) in commands {
        for more in ["", " --color always", " --format json"] {
            let is_made_once = command.starts_with("keygen") && code == 0 && !more.is_empty();
            let has_no_format = command.contains("--plan") && more.contains("format");
            if is_made_once || has_no_format {
                continue;
            }
            let told = scratch.ends(code, &format!("{command}{more}"));
            for part in ["\u{1b}[2J", "\u{1b}[8m", "\u{9b}", "\u{7f}", "\u{202e}", "\u{2066}", "\u{200f}"] {
                assert!(!told.contains(part), "{}: {}", command.escape_debug(), told.escape_debug());
            }
            if more.is_empty() {
                assert!(!told.contains('\u{1b}'), "{}: {}", command.escape_debug(), told.escape_debug());
            }
        }
    }
    // JSON says the same with escapes, and a plan that was asked for is not changed.
    let told = scratch.json(0, &format!("inspect {here}"));
    assert_eq!((&told["builder"]["by"], &told["labels"][turns]), (&turns.into(), &turns.into()));
    assert_eq!(told["signatures"][0]["keyid"], STEERS);
    let plan: Value =
        serde_json::from_str(&scratch.ends(0, &format!("inspect {here} --plan"))).unwrap_or_default();
    assert_eq!(plan["routes"][0]["id"], STEERS);
}

#[test]
fn an_artifact_without_room_for_a_signature_stays_as_it_is() {
    let scratch = Scratch::new("room");
    scratch.bundle("edge", "");
    scratch.ends(0, "build edge -o edge.bundle");
    scratch.ends(0, "keygen -o a");
    let small = scratch.read("edge.bundle");
    let with = |size: usize| {
        changed(&small, |payload| payload["plan"]["routes"][0]["at"] = "x".repeat(size).into(), &[])
    };
    // Three bytes of the payload are four of base64.
    let large = with((MAX_ENVELOPE_BYTES - with(0).len()) / 4 * 3);
    assert!((MAX_ENVELOPE_BYTES - 4..=MAX_ENVELOPE_BYTES).contains(&large.len()), "{}", large.len());
    scratch.write("large.bundle", &large);
    let refused = scratch.json(1, "sign large.bundle --key a.key");
    assert!(refused["detail"].as_str().is_some_and(|what| what.contains("split the bundle")), "{refused:#}");
    assert!(scratch.read("large.bundle") == large, "it was written over");
}
