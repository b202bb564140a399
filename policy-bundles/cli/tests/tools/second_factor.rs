//! `bartizan totp` and `bartizan password`.

use crate::Scratch;

/// The secret of RFC 6238, appendix B.
const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

#[test]
fn codes_are_those_of_the_standard() {
    let scratch = Scratch::new("totp-code");
    for (arguments, code) in [
        ("totp code --at 59 --digits 8", "94287082\n"),
        ("totp code --at 1111111109 --digits 8", "07081804\n"),
        ("totp code --at 59", "287082\n"),
    ] {
        assert_eq!(scratch.run(0, arguments, SECRET, &[]).0, code, "{arguments}");
    }
    let (out, err) = scratch.run(1, "totp code", "hunter2!", &[]);
    assert!(out.is_empty() && err.contains("Base32") && !err.contains("hunter2"), "{err}");
    assert!(scratch.run(2, "totp code --digits 7", SECRET, &[]).1.contains("6 or 8"));
}

#[test]
fn what_is_enrolled_can_be_sealed_and_opened_by_the_filter() {
    let scratch = Scratch::new("totp-enroll");
    let (out, err) = scratch.run(0, "totp enroll --user alice --issuer Example", "", &[]);
    assert!(out.contains("otpauth://totp/Example:alice?secret=") && out.contains("##"), "{out}");
    assert!(out.contains("for the table of users") && out.contains("each works once"), "{out}");
    assert!(err.contains("shown this once"), "{err}");
    let painted = scratch.run(0, "--color always totp enroll --user a --issuer b", "", &[]).0;
    assert!(painted.contains("\u{1b}[38;5;16;48;5;231m") && painted.contains('▀'));
    let made = scratch.json(0, "totp enroll --user alice --issuer Example --digits 8 --algorithm sha256");
    assert_eq!(made["users"]["alice"]["digits"], 8);
    assert_eq!(made["backup_codes"].as_array().map(Vec::len), Some(8));
    let table = serde_json::json!({"users": made["users"]}).to_string();
    scratch.run(0, "keygen --sealing -o filter", "", &[]);
    let (sealed, _) = scratch.run(0, "seal --table --for edge/staff --to filter.pub", &table, &[]);
    scratch.write("edge/staff.sealed", &sealed);
    scratch.write(
        "edge/bundle.yaml",
        "apiVersion: bartizan/v1\nname: edge\nauthentication:\n  basic: [{name: tools, users: users}]\n  totp: [{name: staff, users: \
         {file: staff.sealed, key: {env: FILTER_KEY}}}]\nroutes: [{path: /, access: authenticated, step_up: {totp: staff}}]\n",
    );
    let (user, _) = scratch.run(0, "password hash --user alice --cost 4", "secret\n", &[]);
    assert!(user.starts_with("alice:$2b$04$"), "{user}");
    scratch.write("edge/users", &user);
    scratch.run(0, "check edge", "", &[]);
    // Judged as the filter does, with its key: the backup code opens the route, and without it nothing does.
    let key = scratch.read("filter.key");
    let code = made["backup_codes"][0].as_str().unwrap_or_default();
    let with = format!("path: /\nbasic: 'alice:secret'\nheaders: {{x-totp-code: '{code}'}}\n");
    scratch.write("with.yaml", &with);
    scratch.write("without.yaml", "path: /\nbasic: 'alice:secret'\n");
    let key = [("FILTER_KEY", key.as_str())];
    assert!(scratch.run(0, "explain edge -r with.yaml", "", &key).0.contains("backup code"));
    let (out, _) = scratch.run(0, "explain edge -r without.yaml", "", &key);
    assert!(out.contains("second-factor-missing"), "{out}");
    for (input, told) in [(r#"{"users": {}}"#, "0 users"), ("hunter2", "table of users")] {
        let (out, err) = scratch.run(1, "seal --table --for edge/staff --to filter.pub", input, &[]);
        assert!(out.is_empty() && err.contains(told) && !err.contains("hunter2"), "{err}");
    }
}

#[test]
fn a_password_that_bcrypt_would_cut_is_not_hashed() {
    let scratch = Scratch::new("password-hash");
    for input in [String::new(), "x".repeat(73), "a\0b".to_owned(), "two\nlines".to_owned()] {
        let (out, err) = scratch.run(1, "password hash --cost 4", &input, &[]);
        assert!(out.is_empty() && err.contains("72 bytes"), "{err}");
    }
    assert!(scratch.run(0, "password hash --cost 4", &"x".repeat(72), &[]).0.starts_with("$2b$04$"));
    let json = scratch.run(0, "password hash --cost 5 --format json", "x", &[]).0;
    assert!(json.contains("\"cost\": 5"), "{json}");
    scratch.run(2, "password hash --cost 13", "x", &[]);
    scratch.run(2, "password hash --user a:b", "x", &[]);
}
