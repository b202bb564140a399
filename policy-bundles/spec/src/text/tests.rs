use super::*;

fn all_good(format: &str, texts: &[&str]) {
    for text in texts {
        assert_eq!(check(format, text), Some(Ok(())), "{format}: {text:?}");
    }
}

fn all_bad(format: &str, texts: &[&str]) {
    for text in texts {
        let problem = check(format, text).unwrap().unwrap_err();
        assert!(!problem.message.is_empty() && !problem.help.is_empty(), "{format}: {text:?}");
        assert!(!problem.to_string().contains('\n'), "{format}: {text:?}");
    }
}

#[test]
fn networks_have_no_host_bits_and_one_way_to_be_written() {
    all_good("bartizan-network", &["0.0.0.0/0", "198.51.100.0/24", "203.0.113.7", "2001:db8::/32", "::/0"]);
    all_bad(
        "bartizan-network",
        &["", "1.2.3", "1.2.3.4/33", "1.2.3.4/24", "::1/64", "::ffff:1.2.3.4", "1.2.3.4/024"],
    );
    assert_eq!("203.0.113.7".parse::<Network>().unwrap().cidr(), "203.0.113.7/32");
    let bits = "198.51.100.9/24".parse::<Network>().unwrap_err();
    assert!(bits.help.contains("`198.51.100.0/24`"), "{bits}");
}

#[test]
fn permissions_have_two_or_three_parts() {
    all_good("bartizan-grant", &["*", "a:*", "a:b", "a:b:c", "a:*:c", "*:read"]);
    all_bad("bartizan-grant", &["", "a", "a:", ":b", "a:b:c:d", "a:re*", "a:b:{id}", "a b:c"]);
    all_good("bartizan-requirement", &["a:b", "a:b:c", "a:b:{id}", "a:b:x-{id}", "a:b:{x}/{y}"]);
    all_bad("bartizan-requirement", &["*", "a:*", "a:{id}", "a:b:{}", "a:b:{id", "a:b:id}", "a"]);
    let requirement: Requirement = "a:b:{x}/{y}".parse().unwrap();
    assert_eq!(requirement.parameters(), ["x", "y"]);
}

#[test]
fn header_texts_cannot_smuggle() {
    all_good("bartizan-header-name", &["x-a", "server"]);
    all_bad("bartizan-header-name", &["", ":path", "X-A", "x a", "x:a", "x\r\na"]);
    all_good("bartizan-header-value", &["a", "max-age=1; b"]);
    all_bad("bartizan-header-value", &["", "a\r\nb: c", "a\nb", " a", "a ", "a\0", "é"]);
}

#[test]
fn files_stay_inside_the_bundle() {
    all_good("bartizan-file", &["a.json", "keys/corp.pem"]);
    all_bad("bartizan-file", &["", "/etc/passwd", "../a", "a/../b", "./a", "a//b", "a\\b", "a\0b"]);
}

#[test]
fn hosts_are_bare_names() {
    all_good("bartizan-host", &["a.example.com", "*.example.com", "localhost", "10.0.0.1", "[::1]"]);
    all_bad(
        "bartizan-host",
        &["", "*", "A.com", "a.com:80", "https://a.com", "a..b", "*.*.com", "a*.com", "-a.com"],
    );
}

#[test]
fn other_texts() {
    all_good("bartizan-media-type", &["image/png", "image/*", "application/*+json"]);
    all_bad("bartizan-media-type", &["", "json", "image/png; a=b", "Image/PNG", "*/*", "image/"]);
    all_good("bartizan-name", &["api", "a-b_c", "1"]);
    all_bad("bartizan-name", &["", "-a", "A", "a b"]);
    all_bad("bartizan-bundle-name", &["", "-a", "a-", "A", "a_b"]);
    all_good("bartizan-claim-path", &["sub", "a.b", "https://x/roles"]);
    all_bad("bartizan-claim-path", &["", ".", "a..b", "a b"]);
}

#[test]
fn a_secret_written_where_its_name_belongs_is_not_repeated() {
    let problem = "hunter2!hunter2!".parse::<EnvName>().unwrap_err();
    assert!(!problem.to_string().contains("hunter2"));
}
