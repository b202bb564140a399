//! `bartizan fmt`.

use crate::Scratch;

const UGLY: &str = "apiVersion: bartizan/v1\nname:   a   # us\n\n\n\nroutes:\n- {path: '/x', methods: [ GET ],access: public}\n";
const GOOD: &str =
    "apiVersion: bartizan/v1\nname: a  # us\n\nroutes:\n  - {path: \"/x\", methods: [GET], access: public}\n";
const CASES: &str = "bundle: ..\ncases:\n- name:   one\n  request:   {path: /x}\n";

#[test]
fn a_bundle_is_laid_out_and_means_the_same() {
    let scratch = Scratch::new("fmt");
    scratch.write("p/bundle.yaml", UGLY);
    scratch.write("p/tests/a.cases.yaml", CASES);
    scratch.write("p/other.yaml", "not:   ours\n");
    let plan =
        |scratch: &Scratch| scratch.ends(0, "build p --plan").replace("bundle.yaml:7", "bundle.yaml:5");
    let before = plan(&scratch);
    let told = scratch.ends(1, "fmt --check p");
    assert!(told.contains("would change p/bundle.yaml:2"), "{told}");
    assert!(told.ends_with("2 files: 2 would change\n"), "{told}");
    assert_eq!(scratch.read("p/bundle.yaml"), UGLY);
    let report = scratch.json(1, "fmt --check p");
    assert_eq!((&report["written"], &report["files"][1]["line"]), (&false.into(), &3.into()));
    assert!(scratch.ends(0, "fmt p").contains("laid out p/tests/a.cases.yaml, from line 3 on"));
    assert_eq!(scratch.read("p/bundle.yaml"), GOOD);
    assert_eq!(scratch.read("p/other.yaml"), "not:   ours\n");
    assert_eq!(plan(&scratch), before);
    assert_eq!(scratch.ends(0, "fmt --check p"), "2 files: 0 would change\n");
    scratch.write("p/bundle.yaml", UGLY);
    let report = scratch.json(0, "fmt p/bundle.yaml");
    assert_eq!((&report["written"], &report["files"][0]["changed"]), (&true.into(), &true.into()));
    assert_eq!(scratch.read("p/bundle.yaml"), GOOD);
}

/// Parts of a bundle too, and one that lies elsewhere is compiled along.
#[test]
fn parts_are_laid_out() {
    let scratch = Scratch::new("fmt-parts");
    let parts = "parts:\n- {name: b,  dir: ../b, root: {paths: [/b]}, allow: [public]}\n- {name: c, root: {paths: [/c]}, allow: [public]}\n";
    let part = "apiVersion: bartizan/v1\nname:  P\nroutes:\n- {path: /P, methods: [GET], access: public}\n";
    scratch.write("p/bundle.yaml", &(UGLY.to_owned() + parts));
    scratch.write("b/part.yaml", &part.replace('P', "b"));
    scratch.write("p/parts/c/part.yaml", &part.replace('P', "c"));
    scratch.ends(0, "check p");
    assert!(scratch.ends(0, "fmt p").ends_with("2 files: 2 changed\n"));
    assert!(scratch.ends(0, "fmt b").ends_with("1 file: 1 changed\n"));
    scratch.ends(0, "check p");
    assert!(scratch.read("b/part.yaml").contains("name: b\n"));
}

/// A bundle with errors is laid out too; what is no YAML stays, and the rest is done.
#[test]
fn what_cannot_be_laid_out_is_left_alone() {
    let scratch = Scratch::new("fmt-left");
    scratch.write("p/bundle.yaml", "a: [1\n");
    scratch.write("p/tests/a.cases.yaml", CASES);
    let told = scratch.ends(1, "fmt p");
    assert!(told.contains("left alone p/bundle.yaml:2: this is not YAML"), "{told}");
    assert!(told.ends_with("2 files: 1 changed, 1 left alone\n"), "{told}");
    assert_eq!(scratch.read("p/bundle.yaml"), "a: [1\n");
    scratch.write("p/bundle.yaml", "nmae:   x\n");
    scratch.ends(0, "fmt p");
    assert_eq!(scratch.read("p/bundle.yaml"), "nmae: x\n");
    scratch.write("nobody/readme.yaml", "a:   1\n");
    assert!(scratch.ends(3, "fmt nobody").contains("no bundle.yaml"));
    scratch.ends(3, "fmt nowhere.yaml");
    scratch.write("p/bundle.yaml", "# \u{e9}");
    std::fs::write(scratch.path("p/bundle.yaml"), b"a: \xff\n").unwrap_or_default();
    assert!(scratch.ends(1, "fmt p").contains("not UTF-8"));
}

#[cfg(unix)]
#[test]
fn links_stay_links_and_permissions_what_they_were() {
    use std::os::unix::fs::PermissionsExt as _;
    let scratch = Scratch::new("fmt-unix");
    scratch.write("p/real.yaml", UGLY);
    let (real, link) = (scratch.path("p/real.yaml"), scratch.path("p/bundle.yaml"));
    assert!(std::os::unix::fs::symlink("real.yaml", &link).is_ok());
    assert!(scratch.ends(1, "fmt p").contains("a link"));
    let mode = |mode| std::fs::set_permissions(&real, std::fs::Permissions::from_mode(mode));
    assert!(mode(0o640).is_ok());
    scratch.ends(0, "fmt p/real.yaml");
    assert_eq!(scratch.read("p/real.yaml"), GOOD);
    assert_eq!(real.metadata().map(|metadata| metadata.permissions().mode() & 0o777).ok(), Some(0o640));
    assert!(link.is_symlink());
}
