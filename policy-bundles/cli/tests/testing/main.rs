//! `bartizan test` as people and pipelines run it. What is shown here of reports does not depend on where the cases
//! run, so most of it runs in the engine; what ships runs through the module, `dist/bartizan.wasm` or
//! `$BARTIZAN_WASM`, and fails without it.

#![expect(clippy::panic, reason = "a helper of tests that cannot do its work must fail the test")]

mod inputs;
mod reports;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn module() -> PathBuf {
    let given = std::env::var_os("BARTIZAN_WASM").map(PathBuf::from);
    given.unwrap_or_else(|| root().join("dist/bartizan.wasm"))
}

fn bartizan(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bartizan"))
        .arg("test")
        .args(arguments)
        .env_remove("BARTIZAN_WASM")
        .env_remove("ENVOY")
        .output()
        .unwrap_or_else(|e| panic!("{e}"))
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}{}", out(output), err(output)))
}

fn iot_gateway() -> String {
    root().join("policy-bundles/library/iot-gateway").display().to_string()
}

/// A directory of its own for each test.
fn scratch(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("testing-{name}"));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    path
}

fn write(path: &Path, text: &str) {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    }
    std::fs::write(path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap_or_else(|e| panic!("{}: {e}", from.display())).flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            write(&target, &std::fs::read_to_string(entry.path()).unwrap_or_default());
        }
    }
}

/// The bundle iot-gateway with one thing changed.
fn changed(name: &str, from: &str, to: &str) -> String {
    let directory = scratch(name);
    copy(Path::new(&iot_gateway()), &directory);
    let bundle = directory.join("bundle.yaml");
    let text = std::fs::read_to_string(&bundle).unwrap_or_default();
    assert!(text.contains(from), "the bundle has no {from} any more");
    write(&bundle, &text.replacen(from, to, 1));
    directory.display().to_string()
}

const BUNDLE: &str = "\
apiVersion: bartizan/v1
name: small
routes:
  - {name: health, path: /healthz, methods: [GET], access: public}
";

/// A small bundle with the cases that are given.
fn small(name: &str, cases: &str) -> String {
    let directory = scratch(name);
    write(&directory.join("bundle.yaml"), BUNDLE);
    write(&directory.join("tests/a.cases.yaml"), &format!("bundle: ..\ncases:\n{cases}"));
    directory.display().to_string()
}

const GOOD: &str = "  - {name: healthy, near: lost, request: {path: /healthz}}\n  - {name: lost, request: {path: /x}, expect: route-unknown}\n";

#[test]
fn the_cases_of_a_bundle_pass_through_the_module_and_what_they_cover_is_told() {
    let module = module().display().to_string();
    let output = bartizan(&[&iot_gateway(), "--module", &module, "--coverage"]);
    let text = out(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", err(&output));
    assert!(text.contains("PASS    ") && text.contains("tests/access.cases.yaml: "), "{text}");
    assert!(text.contains("coverage of ") && text.contains("bundle `iot-gateway` revision 1"), "{text}");
    for row in [
        "route `list-sensors`",
        "role `viewer`",
        "limit `client`",
        "denied network 203.0.113.0/24",
        "body-schema",
    ] {
        assert!(text.contains(row), "{row}: {text}");
    }
    let last = text.lines().last().unwrap_or_default();
    assert!(last.starts_with("PASSED ") && last.contains("in a simulated Envoy, seed 0"), "{last}");
}

#[test]
fn a_broken_rule_makes_a_case_fail_that_says_which_and_why() {
    let module = module().display().to_string();
    // A viewer may no longer read sensors.
    let less = changed("less", "viewer:   {permissions: [\"sensors:read\", ", "viewer:   {permissions: [");
    let output = bartizan(&[&less, "--module", &module, "--filter", "reading", "--seed", "7"]);
    let text = out(&output);
    assert_eq!(output.status.code(), Some(1), "{text}{}", err(&output));
    let failure = text.split("\nFAIL ").nth(1).unwrap_or_default();
    for part in [
        "tests/access.cases.yaml:19: reading [",
        "request   GET /api/v1/sensors on api.example.com from 127.",
        "\"realm_access\":{\"roles\":[\"viewer\"]}",
        "expected  allow, 200",
        "got       permission-denied, 403; upstream saw nothing",
        "less/bundle.yaml:50",
        "the role `viewer` (logs:read, telemetry:read) does not grant `sensors:read`",
        "less/bundle.yaml:71",
        "`sensors:read` is required and is not held",
        "--filter reading --seed 7 --module ",
    ] {
        assert!(failure.contains(part), "{part}\n{failure}");
    }
    // And now everything of users.
    let more = changed("more", "viewer:   {permissions: [", "viewer:   {permissions: [\"users:read\", ");
    let output = bartizan(&[&more, "--module", &module, "--filter", "reading"]);
    let text = out(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    for part in [
        "expected  permission-denied, 403",
        "got       allow, 200; upstream saw GET /api/v1/users/u-1",
        "the role `viewer` (logs:read, sensors:read, telemetry:read, users:read) grants `users:read:{id}`",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn programs_get_everything_as_json() {
    let less = changed("json", "viewer:   {permissions: [\"sensors:read\", ", "viewer:   {permissions: [");
    let output = bartizan(&[&less, "--native", "--filter", "access", "--format", "json", "--coverage"]);
    assert_eq!(output.status.code(), Some(1));
    let report = json(&output);
    let (summary, cases) = (&report["summary"], report["cases"].as_array().cloned().unwrap_or_default());
    assert_eq!(summary["cases"], cases.len(), "{summary:#}");
    assert!(summary["passed"].as_u64() > Some(40) && summary["failed"].as_u64() > Some(2), "{summary:#}");
    let failed = cases.iter().find(|case| case["status"] == "failed").cloned().unwrap_or_default();
    assert_eq!(failed["details"]["expected"], "allow, 200", "{failed:#}");
    let considered = failed["details"]["considered"].as_array().cloned().unwrap_or_default();
    let role =
        considered.iter().find(|c| c["what"].as_str().is_some_and(|what| what.contains("role `viewer`")));
    assert!(
        role.is_some_and(|role| role["at"].as_str().is_some_and(|at| at.ends_with("json/bundle.yaml:50")))
    );
    let coverage = &report["coverage"]["bundles"][0];
    assert_eq!(coverage["name"], "iot-gateway");
    let routes = &coverage["groups"]["routes"];
    assert!(routes["share"]["of"].as_u64() > Some(40), "{routes:#}");
    assert!(routes["items"][0]["outcomes"]["let through"].is_u64(), "{routes:#}");
}

#[test]
fn pipelines_get_junit_in_a_file_and_text_on_the_screen() {
    let file = scratch("junit").join("report.xml");
    let directory = small(
        "junit-cases",
        &format!(
            "{GOOD}  - {{name: \"<wrong> & \\e[1m\", request: {{path: /healthz}}, expect: token-missing}}\n  - {{name: elsewhere, only: {{run: envoy, because: it is for Envoy}}, request: {{path: /y}}, expect: route-unknown}}\n"
        ),
    );
    let place = file.display().to_string();
    let output = bartizan(&[
        &directory,
        "--native",
        "--format",
        "junit",
        "--output",
        &place,
        "--coverage-threshold",
        "100",
    ]);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    assert!(out(&output).contains("FAIL ") && out(&output).contains("FAILED 4 cases"), "{}", out(&output));
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    let xml = roxmltree::Document::parse(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let whole = xml.root_element();
    let number = |name: &str| whole.attribute(name).and_then(|n| n.parse::<usize>().ok());
    assert_eq!(
        (number("tests"), number("failures"), number("skipped"), number("errors")),
        (Some(5), Some(2), Some(1), Some(0))
    );
    let named = |name: &str| whole.descendants().find(|node| node.attribute("name") == Some(name));
    let wrong = named("<wrong> & \\u{1b}[1m").unwrap_or_else(|| panic!("{text}"));
    assert_eq!(wrong.attribute("line"), None, "a name with escapes is not looked for");
    let failure = wrong.first_element_child();
    assert_eq!(
        failure.and_then(|f| f.attribute("message")),
        Some("expected token-missing, 401, got allow, 200; upstream saw GET /healthz")
    );
    assert!(failure.and_then(|f| f.text()).is_some_and(|text| text.contains("\nreplay: bartizan test ")));
    assert_eq!(named("healthy").and_then(|node| node.attribute("line")), Some("3"));
    assert!(named("elsewhere").is_some_and(|node| node.descendants().any(|n| n.has_tag_name("skipped"))));
    assert!(named("coverage").is_some_and(|node| node.descendants().any(|n| n.has_tag_name("failure"))));
}

#[test]
fn runs_that_show_nothing_fail_and_say_what_to_do() {
    let empty = scratch("empty");
    let nothing = bartizan(&[&empty.display().to_string(), "--native"]);
    assert_eq!(nothing.status.code(), Some(2));
    assert!(
        err(&nothing).contains("has no *.cases.yaml in it; give a bundle or its cases"),
        "{}",
        err(&nothing)
    );
    write(&empty.join("bundle.yaml"), BUNDLE);
    let bundle = bartizan(&[&empty.display().to_string(), "--native"]);
    assert_eq!(bundle.status.code(), Some(2));
    assert!(
        err(&bundle).contains("tests/first.cases.yaml with `bundle: ..` and `cases:`"),
        "{}",
        err(&bundle)
    );
    let cases = small("filter", GOOD);
    let filtered = bartizan(&[&cases, "--native", "--filter", "heathy"]);
    assert_eq!(filtered.status.code(), Some(2));
    assert!(err(&filtered).contains("no case has `heathy` in its file, name or row"), "{}", err(&filtered));
    assert!(
        err(&filtered).contains("there are 2, such as `tests/a.cases.yaml: healthy`"),
        "{}",
        err(&filtered)
    );
    let elsewhere = "  - {name: a, only: {run: envoy, because: it is for Envoy}, request: {path: /y}, expect: route-unknown}\n";
    let skipped = bartizan(&[&small("skipped", elsewhere), "--native"]);
    assert_eq!(skipped.status.code(), Some(2), "{}", out(&skipped));
    assert!(out(&skipped).contains("SKIPPED 1 case: it is for Envoy"), "{}", out(&skipped));
    assert!(out(&skipped).contains("no case was run: 1 case left out here"), "{}", out(&skipped));
    let told = |format| bartizan(&[&small("skipped", elsewhere), "--native", "--format", format]);
    let report = json(&told("json"));
    assert_eq!(report["outcome"], "not_run");
    assert!(report["problems"][0].as_str().is_some_and(|why| why.starts_with("no case was run")), "{report}");
    let junit = out(&told("junit"));
    assert!(junit.contains("tests=\"2\" failures=\"0\" errors=\"1\" skipped=\"1\""), "{junit}");
    assert!(junit.contains("<error message=\"no case was run"), "{junit}");
    // With an Envoy too, which is not even started: any file will do.
    let simulated = "  - {name: a, only: {run: simulated, because: time moves}, request: {path: /y}, expect: route-unknown}\n";
    let directory = small("skipped-envoy", simulated);
    let file = Path::new(&directory).join("bundle.yaml").display().to_string();
    let skipped = bartizan(&[&directory, "--envoy", "--envoy-path", &file, "--module", &file]);
    assert_eq!(skipped.status.code(), Some(2), "{}", out(&skipped));
    assert!(out(&skipped).contains("SKIPPED 2 cases: time moves"), "{}{}", out(&skipped), err(&skipped));
    assert!(out(&skipped).contains("no case was run: 2 cases left out here"), "{}", out(&skipped));
}

#[test]
fn a_run_that_there_was_not_leaves_no_report_of_another() {
    let directory = small("stale", GOOD);
    let good = directory.as_str();
    let file = scratch("stale-report").join("report");
    let place = file.display().to_string();
    let no_program = Path::new(good).join("bundle.yaml").display().to_string();
    for (arguments, code, why) in [
        (vec![good, "--module", "/nonexistent.wasm"], 2, "no module at /nonexistent.wasm"),
        (vec![good, "--native", "--filter", "heathy"], 2, "no case has `heathy`"),
        (vec!["/nonexistent", "--native"], 3, "/nonexistent: there is no such file or directory"),
        (vec![good, "--envoy", "--envoy-path", "/nonexistent"], 2, "no Envoy at /nonexistent"),
        // One that does not start.
        (vec![good, "--envoy", "--envoy-path", &no_program, "--module", &no_program], 2, "cannot start "),
    ] {
        for format in ["json", "junit", "text"] {
            write(&file, "PASSED");
            let more = ["--coverage-threshold", "50", "--format", format, "--output", &place];
            let output = bartizan(&[arguments.as_slice(), &more].concat());
            let told = err(&output);
            assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
            assert!(told.contains(why), "{why}: {told}");
            let report = std::fs::read_to_string(&file).unwrap_or_default();
            assert!(report.contains(why) && !report.contains("PASSED"), "{why}: {report}");
            match format {
                "json" => {
                    let report: Value = serde_json::from_str(&report).unwrap_or_default();
                    assert_eq!(
                        (&report["outcome"], &report["summary"]["cases"]),
                        (&"not_run".into(), &0.into())
                    );
                    assert_eq!(report["problems"].as_array().map(Vec::len), Some(1), "{report:#}");
                }
                "junit" => assert!(report.contains("tests=\"1\" failures=\"0\" errors=\"1\""), "{report}"),
                _ => assert!(report.contains("FAILED 0 cases"), "{report}"),
            }
        }
    }
}

#[test]
fn what_cannot_be_run_is_an_error_and_stops_nothing_else() {
    let directory = small("errors", GOOD);
    let tests = Path::new(&directory).join("tests");
    write(&tests.join("b.cases.yaml"), "bundle: ..\ncases:\n  - {name: b, request: {pth: /}}\n");
    write(&tests.join("c.cases.yaml"), "bundle: {text: 'apiVersion: bartizan/v1'}\ncases:\n  - {name: c}\n");
    let output = bartizan(&[&directory, "--native"]);
    let text = out(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("PASS    ") && text.contains("a.cases.yaml: 2 passed"), "{text}");
    assert!(text.contains("b.cases.yaml:3:") && text.contains("unknown field `pth`"), "{text}");
    assert!(text.contains("does not compile"), "{text}");
    assert!(text.contains("2 passed, 2 errors"), "{text}");
}

#[test]
fn exit_codes_are_as_documented() {
    let good = small("good", GOOD);
    assert_eq!(bartizan(&[&good, "--native"]).status.code(), Some(0));
    let file = Path::new(&good).join("tests/a.cases.yaml").display().to_string();
    assert_eq!(bartizan(&[&file, "--native"]).status.code(), Some(0));
    let bad = small("bad", "  - {name: a, request: {path: /healthz}, expect: token-missing}\n");
    assert_eq!(bartizan(&[&bad, "--native"]).status.code(), Some(1));
    let nowhere = bartizan(&["/nonexistent", "--native"]);
    assert_eq!(nowhere.status.code(), Some(3));
    assert!(err(&nowhere).contains("/nonexistent: there is no such file or directory; give a bundle"));
    assert_eq!(bartizan(&[&good, "--native", "--seed", "x"]).status.code(), Some(2));
    assert_eq!(bartizan(&[&good, "--native", "--coverage-threshold", "101"]).status.code(), Some(2));
    let missing = bartizan(&[&good, "--module", "/nonexistent.wasm"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(
        err(&missing).contains("no module at /nonexistent.wasm; give the bartizan.wasm of a release"),
        "{}",
        err(&missing)
    );
    let envoyless = bartizan(&[&good, "--envoy", "--envoy-path", "/nonexistent/envoy"]);
    assert_eq!(envoyless.status.code(), Some(2));
    assert!(
        err(&envoyless)
            .contains("no Envoy at /nonexistent/envoy; give the path of an Envoy binary with --envoy-path")
    );
    for directory in [&good, &bad] {
        let unwritten = bartizan(&[directory, "--native", "-o", "/nonexistent/report"]);
        assert_eq!(unwritten.status.code(), Some(3));
        assert!(err(&unwritten).contains("/nonexistent/report: the report cannot be written: no such file"));
        assert!(out(&unwritten).contains("ED "), "the results are told all the same: {}", out(&unwritten));
    }
}

#[test]
fn a_threshold_is_kept() {
    let good = small("threshold", GOOD);
    let reached = bartizan(&[&good, "--native", "--coverage-threshold", "5"]);
    assert_eq!(reached.status.code(), Some(0), "{}", out(&reached));
    let below = bartizan(&[&good, "--native", "--coverage-threshold", "90%"]);
    assert_eq!(below.status.code(), Some(1), "{}", out(&below));
    assert!(out(&below).contains("below the 90 % that are wanted"), "{}", out(&below));
    // The place of what is missing, as an editor opens it.
    let place = format!("{good}/bundle.yaml:4  route `health`: never refused");
    assert!(out(&below).contains(&place), "{place}: {}", out(&below));
}

#[test]
fn a_seed_replays_and_colours_are_for_terminals() {
    let bad = small(
        "seed",
        &format!("{GOOD}  - {{name: it's wrong, request: {{path: /healthz}}, expect: token-missing}}\n"),
    );
    let module = module().display().to_string();
    let run = |seed: &str| {
        let mut report = json(&bartizan(&[&bad, "--module", &module, "--format", "json", "--seed", seed]));
        report["summary"]["seconds"] = Value::Null;
        for case in report["cases"].as_array_mut().into_iter().flatten() {
            case["seconds"] = Value::Null;
        }
        report
    };
    let once = run("99");
    assert_eq!(once, run("99"));
    let replay = once["cases"][2]["replay"].as_str().unwrap_or_default();
    assert!(replay.contains("--filter 'it'\\''s wrong' --seed 99 --module "), "{replay}");
    assert!(!out(&bartizan(&[&bad, "--native"])).contains('\u{1b}'));
    assert!(out(&bartizan(&[&bad, "--native", "--colour", "always"])).contains("\u{1b}[1;31mFAIL"));
}

/// `make e2e` runs it, for it needs an Envoy.
#[test]
#[ignore = "needs an Envoy, in $ENVOY"]
fn the_same_cases_go_through_a_real_envoy() {
    let envoy = std::env::var("ENVOY").unwrap_or_else(|e| panic!("ENVOY: {e}; `make e2e` sets it"));
    let module = module().display().to_string();
    let run = |directory: &str, more: &[&str]| {
        let mut all = vec!["--module", &module, "--envoy", "--envoy-path", &envoy, directory];
        all.extend(more);
        bartizan(&all)
    };
    let good = run(&iot_gateway(), &["--filter", "access", "--format", "json", "--coverage"]);
    assert_eq!(good.status.code(), Some(0), "{}{}", out(&good), err(&good));
    let report = json(&good);
    assert!(report["summary"]["passed"].as_u64() > Some(100), "{:#}", report["summary"]);
    assert!(
        report["cases"][0]["way"].as_str().is_some_and(|way| way.starts_with("HTTP/1.1")),
        "{:#}",
        report["cases"][0]
    );
    assert!(report["coverage"]["percent"].as_f64() > Some(30.0), "{}", report["coverage"]["percent"]);
    let less = changed("envoy", "viewer:   {permissions: [\"sensors:read\", ", "viewer:   {permissions: [");
    let broken = run(&less, &["--filter", "reading"]);
    let text = out(&broken);
    assert_eq!(broken.status.code(), Some(1), "{text}{}", err(&broken));
    assert!(text.contains("got       permission-denied, 403; upstream saw nothing"), "{text}");
    assert!(
        text.contains("the role `viewer` (logs:read, telemetry:read) does not grant `sensors:read`"),
        "{text}"
    );
    assert!(text.contains("envoy/bundle.yaml:50"), "{text}");
    let inline = "  - {name: a, request: {path: /healthz}}\n";
    let unbuilt = small("envoy-unbuilt", inline);
    write(&Path::new(&unbuilt).join("bundle.yaml"), "apiVersion: bartizan/v1\n");
    let error = run(&unbuilt, &[]);
    assert_eq!(error.status.code(), Some(2), "{}", out(&error));
    assert!(out(&error).contains("does not compile"), "{}", out(&error));
    // What Envoy's codecs refuse never reached the filter.
    let hostless = "  - {name: a, request: {host: null}, expect: {decision: host-malformed, proxy: {status: [400, 0], because: codecs ask for a host}}}\n";
    let by_proxy = run(&small("envoy-codec", hostless), &["--coverage"]);
    assert_eq!(by_proxy.status.code(), Some(0), "{}{}", out(&by_proxy), err(&by_proxy));
    assert!(out(&by_proxy).contains("host-malformed: never met"), "{}", out(&by_proxy));
    assert!(out(&by_proxy).contains("of 1 passed, 1 had an answer that Envoy gave"), "{}", out(&by_proxy));
    let by_proxy = json(&run(&small("envoy-codec", hostless), &["--format", "json"]));
    assert_eq!(by_proxy["summary"]["passed_by_proxy"], 1, "{by_proxy:#}");
}
