//! Wrong files, wrong names, wrong cases: each is told with its place and what to do.

use std::path::Path;

use crate::{BUNDLE, GOOD, bartizan, err, json, out, scratch, small, write};

#[test]
fn what_contradicts_a_case_file_is_an_error_with_its_place() {
    let only = "only: {run: envoy, because: \"\"}";
    for (name, case, problem) in [
        (
            "near",
            "{name: a, near: nobody, request: {path: /healthz}}",
            "a: `near: nobody` names no case of this file",
        ),
        (
            "deny",
            "{name: a, near: healthy, request: {path: /healthz}}",
            "a: `near: healthy` names a case that refuses nothing",
        ),
        (
            "because",
            &format!("{{name: a, {only}, request: {{path: /y}}}}"),
            "a: `only` has an empty `because`; say why",
        ),
        ("twice", "{name: lost, request: {path: /y}}", "lost: another case has this name"),
        ("filled", "{name: a, request: {path: '/${x}'}}", "a: request.path: `${x}` stands for nothing"),
    ] {
        let directory = small(&format!("wrong-{name}"), &format!("{GOOD}  - {case}\n"));
        let output = bartizan(&[&directory, "--native"]);
        assert_eq!(output.status.code(), Some(2), "{name}: {}", out(&output));
        // From where the command was called, as an editor opens it.
        let place = format!("  {directory}/tests/a.cases.yaml:5: {problem}");
        assert!(out(&output).contains(&place), "{place}\n{}", out(&output));
    }
    let typo = small("wrong-field", "  - {name: a, requst: {path: /}}\n");
    let told = out(&bartizan(&[&typo, "--native"]));
    assert!(told.contains(&format!("  {typo}/tests/a.cases.yaml:3:15: unknown field `requst`")), "{told}");
    assert!(!told.contains("at line"), "the place is told once: {told}");
}

#[test]
fn an_allow_without_a_deny_is_a_warning_and_with_strict_a_failure() {
    let directory = small("alone", "  - {name: healthy, request: {path: /healthz}}\n");
    let place = format!("{directory}/tests/a.cases.yaml:3: healthy: allows, and no case near it refuses");
    let lenient = bartizan(&[&directory, "--native"]);
    assert_eq!(lenient.status.code(), Some(0), "{}", out(&lenient));
    assert!(out(&lenient).contains(&format!("WARNING {place}")), "{}", out(&lenient));
    assert!(out(&lenient).contains("PASSED 1 case: 1 passed, 1 warning;"), "{}", out(&lenient));
    let strict = bartizan(&[&directory, "--native", "--strict"]);
    assert_eq!(strict.status.code(), Some(1), "{}", out(&strict));
    assert!(out(&strict).contains("FAILED 1 case: 1 passed, 1 warning;"), "{}", out(&strict));
    let report = json(&bartizan(&[&directory, "--native", "--strict", "--format", "json"]));
    assert_eq!((&report["summary"]["warnings"], &report["warnings"][0]["line"]), (&1.into(), &3.into()));
    for (more, failures) in [(None, "0"), (Some("--strict"), "1")] {
        let mut arguments = vec![directory.as_str(), "--native", "--format", "junit"];
        arguments.extend(more);
        let text = out(&bartizan(&arguments));
        let xml = roxmltree::Document::parse(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        assert_eq!(xml.root_element().attribute("failures"), Some(failures), "{text}");
        assert!(text.contains("no case near it refuses"), "{text}");
    }
    // What is not run is not warned of.
    let beside =
        small("alone-filtered", &format!("{GOOD}  - {{name: other, request: {{path: /healthz}}}}\n"));
    assert!(out(&bartizan(&[&beside, "--native"])).contains("1 warning"));
    assert!(!out(&bartizan(&[&beside, "--native", "--filter", "lost"])).contains("warning"));
}

#[test]
fn no_case_file_is_left_out_in_silence() {
    let directory = small("names", GOOD);
    let root = Path::new(&directory);
    let inside = format!("bundle: .\ncases:\n{GOOD}");
    let beside = format!("bundle: ..\ncases:\n{GOOD}");
    write(&root.join("beside.cases.yaml"), &inside);
    write(&root.join("test/singular.cases.yaml"), &beside);
    let output = bartizan(&[&directory, "--native", "--strict"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", out(&output), err(&output));
    assert!(out(&output).contains("PASSED 6 cases"), "{}", out(&output));
    for (name, text, told) in [
        (
            "tests/b.cases.yml",
            beside.as_str(),
            "case files are called *.cases.yaml, and others are not run; rename it to b.cases.yaml",
        ),
        ("tests/c.Cases.YAML", &beside, "rename it to c.cases.yaml"),
        ("tests/d.yaml", &beside, "rename it to d.cases.yaml"),
        ("e.cases.yml", &inside, "rename it to e.cases.yaml"),
    ] {
        write(&root.join(name), text);
        let output = bartizan(&[&directory, "--native"]);
        assert_eq!(output.status.code(), Some(2), "{name}: {}", out(&output));
        assert!(
            out(&output).contains(&format!("{directory}/{name}: ")) && out(&output).contains(told),
            "{}",
            out(&output)
        );
        let alone = bartizan(&[&root.join(name).display().to_string(), "--native"]);
        assert_eq!(alone.status.code(), Some(2), "{name}");
        let _ = std::fs::remove_file(root.join(name));
    }
    write(&root.join("tests/compose.yaml"), "services: {}\n");
    let output = bartizan(&[&directory, "--native"]);
    assert_eq!(output.status.code(), Some(0), "{}", out(&output));
    assert!(
        out(&output).contains("tests/compose.yaml: is YAML among the tests and no case file"),
        "{}",
        out(&output)
    );
    assert_eq!(bartizan(&[&directory, "--native", "--strict"]).status.code(), Some(1));
    // And where nothing else is there.
    let only = scratch("names-only");
    write(&only.join("bundle.yaml"), BUNDLE);
    write(&only.join("tests/b.cases.yml"), &beside);
    let output = bartizan(&[&only.display().to_string(), "--native"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(out(&output).contains("rename it to b.cases.yaml"), "{}{}", out(&output), err(&output));
}

#[test]
fn a_newcomer_is_told_what_to_do() {
    let directory = small("newcomer", GOOD);
    let root = Path::new(&directory);
    let bundle = bartizan(&[&root.join("bundle.yaml").display().to_string()]);
    assert!(err(&bundle).contains(&format!("for the cases of this bundle give its directory, {directory}")));
    let empty = scratch("newcomer-empty");
    let nothing = bartizan(&[&empty.display().to_string()]);
    assert!(err(&nothing).contains("or make a bundle with `bartizan init DIR`"), "{}", err(&nothing));
    for (name, bytes, told) in [
        ("text.wasm", &b"hello"[..], "this is no wasm module: it begins with `hell`"),
        ("void.wasm", b"", "this is no wasm module"),
        ("bare.wasm", b"\0asm\x01\0\0\0", "not a proxy-wasm module: it has no export `proxy_abi_version_*`"),
    ] {
        let module = empty.join(name);
        let _ = std::fs::write(&module, bytes);
        let output = bartizan(&[&directory, "--module", &module.display().to_string()]);
        assert_eq!(output.status.code(), Some(2), "{name}");
        assert!(err(&output).contains(&format!("{}: {told}", module.display())), "{}", err(&output));
        assert_eq!(err(&output).lines().count(), 1, "{}", err(&output));
    }
    for (text, told) in [
        ("", "b.cases.yaml: is empty; a case file has a `bundle:` and `cases:`"),
        ("bundle: ..\ncases: []\n", "b.cases.yaml: has no cases; write some under `cases:`"),
        ("bundle: ../../nix\ncases:\n  - {name: a, expect: route-unknown}\n", "there is no directory"),
    ] {
        write(&root.join("tests/b.cases.yaml"), text);
        let output = bartizan(&[&directory, "--native"]);
        assert!(out(&output).contains(told), "{told}: {}", out(&output));
    }
    let late =
        "bundle: ..\ncases:\n  - {name: a, expect: route-unknown, steps: [{}, {request: {token: {}}}]}\n";
    write(&root.join("tests/b.cases.yaml"), late);
    let text = out(&bartizan(&[&directory, "--native"]));
    assert!(text.contains("b.cases.yaml:3: a\n  step 2 of 2: the bundle has no issuer"), "{text}");
    // What is wrong with a bundle is told once, and where.
    write(&root.join("tests/b.cases.yaml"), &format!("bundle: ..\ncases:\n{GOOD}"));
    write(&root.join("bundle.yaml"), "routes: [\n");
    let text = out(&bartizan(&[&directory, "--native"]));
    assert_eq!(text.matches(&format!("the bundle in {directory} does not compile:")).count(), 2, "{text}");
    assert!(text.contains("healthy, and 1 case more"), "{text}");
    assert!(text.contains("--> bundle.yaml:1:10"), "{text}");
}

/// A module that is proxy-wasm and nothing else.
fn module(start: &str, request: &str, imports: &str) -> Vec<u8> {
    let text = format!(
        "(module {imports}
          (memory (export \"memory\") 1)
          (func (export \"proxy_abi_version_0_2_1\"))
          (func (export \"proxy_on_memory_allocate\") (param i32) (result i32) (i32.const 1024))
          (func (export \"proxy_on_context_create\") (param i32 i32))
          (func (export \"proxy_on_vm_start\") (param i32 i32) (result i32) {start} (i32.const 1))
          (func (export \"proxy_on_configure\") (param i32 i32) (result i32) (i32.const 1))
          (func (export \"proxy_on_request_headers\") (param i32 i32 i32) (result i32) {request} (i32.const 0)))"
    );
    wat::parse_str(text).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn a_module_that_misbehaves_is_an_error_and_not_a_hang() {
    let directory = small("misbehaves", GOOD);
    let file = Path::new(&directory).join("m.wasm");
    let endless = "it ran for more than 2000000000 units of fuel and may never return\n";
    let trap = "wasm trap: wasm `unreachable` instruction executed\n";
    for (start, request, imports, told) in [
        (
            "",
            "(loop $l (br $l))",
            "",
            format!("  the module broke: `proxy_on_request_headers` failed: {endless}"),
        ),
        (
            "(loop $l (br $l))",
            "",
            "",
            format!("  the policy is not taken: `proxy_on_vm_start` failed: {endless}"),
        ),
        ("", "unreachable", "", format!("  the module broke: `proxy_on_request_headers` failed: {trap}")),
        ("unreachable", "", "", format!("  the policy is not taken: `proxy_on_vm_start` failed: {trap}")),
        (
            "",
            "",
            "(import \"env\" \"proxy_dance\" (func))",
            "m.wasm: the module imports what no host".to_owned(),
        ),
    ] {
        std::fs::write(&file, module(start, request, imports)).unwrap_or_else(|e| panic!("{e}"));
        let output = bartizan(&[&directory, "--module", &file.display().to_string()]);
        let text = out(&output) + &err(&output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(&told), "{told}: {text}");
    }
    // One that lets everything through is not the engine that explains.
    std::fs::write(&file, module("", "", "")).unwrap_or_else(|e| panic!("{e}"));
    let output = bartizan(&[&directory, "--module", &file.display().to_string()]);
    assert_eq!(output.status.code(), Some(1), "{}", out(&output));
    assert!(
        out(&output).contains("note      the engine in this command decides otherwise"),
        "{}",
        out(&output)
    );
}
