//! What reports say of names and answers that are not as one expects them.

use std::process::Command;

use crate::{BUNDLE, bartizan, err, module, out, scratch, small, write};

#[test]
fn no_answer_is_told_with_its_reason() {
    let case = "  - {name: gone, request: {path: /healthz, simulate: {disconnect_after: 0}}, expect: token-missing, only: {run: simulated, because: the client leaves}}\n";
    let module = module().display().to_string();
    let output = bartizan(&[&small("no-answer", case), "--module", &module]);
    assert_eq!(output.status.code(), Some(1), "{}{}", out(&output), err(&output));
    assert!(out(&output).contains("got       no answer: "), "{}", out(&output));
    assert!(out(&output).contains("note      not explained: the engine alone"), "{}", out(&output));
}

#[test]
fn what_a_case_did_not_reach_is_not_covered() {
    let module = module().display().to_string();
    let case = |simulate: &str| {
        format!(
            "  - {{name: a, near: lost, only: {{run: simulated, because: a simulation}}, request: {{path: /healthz, simulate: {{{simulate}}}}}}}\n  - {{name: lost, request: {{path: /x}}, expect: route-unknown}}\n"
        )
    };
    for (name, simulate, reached) in [("reached", "worker: 1", true), ("left", "disconnect_after: 0", false)]
    {
        let directory = small(name, &case(simulate));
        let output = bartizan(&[&directory, "--module", &module, "--coverage"]);
        assert_eq!(output.status.code(), Some(0), "{}{}", out(&output), err(&output));
        let never = out(&output).contains("route `health`: never let through");
        assert_eq!(never, !reached, "{name}: {}", out(&output));
    }
    // The second step is never sent.
    let steps =
        "  - {name: a, steps: [{request: {path: /x}, expect: token-missing}, {request: {path: /healthz}}]}\n";
    let output = bartizan(&[&small("unsent", steps), "--native", "--coverage"]);
    assert!(out(&output).contains("route `health`: never let through"), "{}", out(&output));
}

#[test]
fn names_do_not_steer_the_terminal_and_can_be_pasted_into_a_shell() {
    let directory = scratch("steer").join("a\u{1b}[2J");
    write(&directory.join("bundle.yaml"), BUNDLE);
    let wrong =
        "bundle: ..\ncases:\n  - {name: \"-x\\e[8m\", request: {path: /healthz}, expect: token-missing}\n";
    write(&directory.join("tests/b\u{1b}[31m.cases.yaml"), wrong);
    write(&directory.join("tests/c\u{1b}.cases.yaml"), "bundle: ..\ncases: {}\n");
    let place = directory.display().to_string();
    for format in ["text", "json", "junit"] {
        let output = bartizan(&[
            &place,
            "--native",
            "--format",
            format,
            "--coverage",
            "--coverage-threshold",
            "100",
            "-v",
        ]);
        assert_eq!(output.status.code(), Some(2), "{}", err(&output));
        let told = out(&output) + &err(&output);
        assert!(!told.contains('\u{1b}'), "{format}: {}", told.escape_debug());
        let replay = "--filter=$'-x\\u001b[8m'";
        assert!(
            told.contains(&if format == "json" { replay.replace('\\', "\\\\") } else { replay.into() }),
            "{told}"
        );
    }
    let nothing = bartizan(&[&place, "--native", "--filter", "\u{1b}"]);
    assert!(!err(&nothing).contains('\u{1b}'), "{}", err(&nothing).escape_debug());
    let nowhere = bartizan(&[&format!("{place}\u{9b}"), "--native"]);
    assert!(!err(&nowhere).contains('\u{9b}'), "{}", err(&nowhere).escape_debug());
}

#[test]
fn a_failure_replays_by_what_it_prints() {
    let bad =
        small("replay", "  - {name: -1 it's $HOME, request: {path: /healthz}, expect: token-missing}\n");
    let output = bartizan(&[&bad, "--native"]);
    let replay = out(&output).lines().find_map(|line| line.trim().strip_prefix("replay").map(str::to_owned));
    let command = replay.unwrap_or_else(|| panic!("{}", out(&output)));
    let command = command.replacen("bartizan", env!("CARGO_BIN_EXE_bartizan"), 1);
    let again = Command::new("bash").args(["-c", &command]).output().unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(again.status.code(), Some(1), "{command}: {}", err(&again));
    assert!(out(&again).contains("FAILED 1 case:"), "{}", out(&again));
}
