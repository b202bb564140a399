use super::*;

const ALL: Looking = Looking { sqli: true, xss: true, traversal: true };

#[test]
fn what_people_write_passes() {
    for benign in [
        "",
        "O'Brien",
        "it's 5 > 3",
        "# Title\n\n* one\n* two `code` **bold** [link](https://example.com/a?b=c&d=e)",
        "12 Rue de l'Église, 75005 Paris",
        "{\"name\": \"O'Neill\", \"tags\": [\"a\", \"b\"], \"n\": 1.5}",
        "$1,299.99 (incl. VAT)",
        "https://example.com/search?q=rust&page=2#results",
        "2026-11-20T18:44:32Z",
        "François Müller-Lüdenscheidt",
        "李小龍",
        "Владимир",
        "محمد",
        "select a colour and a size",
        "union of workers",
        "100% sure & 50% off",
        "100% sure, 50% off -- really!",
        "import ../lib",
        "please see ../docs/readme.md, it says more",
        "a..b",
        "wait...",
        "1..10",
        "AT&T",
        "C++ / C#",
        "user+tag@example.com",
        "550e8400-e29b-41d4-a716-446655440000",
        "eyJhbGciOiJIUzI1NiJ9",
        "a < b",
        "<3",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
        "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8",
    ] {
        assert_eq!(inspect(benign.as_bytes(), &ALL), None, "{benign}");
    }
}

#[test]
fn attacks_are_named() {
    for (attack, text) in [
        (Attack::Sqli, "1' or '1'='1"),
        (Attack::Sqli, "1 UNION SELECT password FROM users"),
        (Attack::Sqli, "'; drop table users; --"),
        (Attack::Sqli, "admin'--"),
        (Attack::Sqli, "1%27%20or%20%271%27=%271"),
        (Attack::Sqli, "1%2527%2520or%2520%25271%2527=%25271"),
        (Attack::Sqli, "MScgT1IgJzEnPScx"),
        (Attack::Xss, "<script>alert(1)</script>"),
        (Attack::Xss, "\" onmouseover=\"alert(1)"),
        (Attack::Xss, "<img src=x onerror=alert(1)>"),
        (Attack::Xss, "&lt;script&gt;alert(1)"),
        (Attack::Xss, "PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg=="),
        (Attack::Xss, "\u{ff1c}script\u{ff1e}"),
        (Attack::Traversal, "../../etc/passwd"),
        (Attack::Traversal, "..\\..\\windows\\win.ini"),
        (Attack::Traversal, "%2e%2e%2fsecret"),
        (Attack::Traversal, "..%252fsecret"),
        (Attack::Traversal, "/etc/passwd"),
        (Attack::Traversal, "file.png\0.jpg"),
        (Attack::Traversal, "/proc/self/environ"),
        (Attack::Traversal, "a/.."),
    ] {
        assert_eq!(inspect(text.as_bytes(), &ALL), Some(attack), "{text}");
    }
    assert_eq!(inspect(b"..\xc0\xafsecret", &ALL), Some(Attack::Traversal));
}

#[test]
fn only_what_is_looked_for_is_found() {
    let xss = Looking { xss: true, ..Looking::default() };
    assert_eq!(inspect(b"1' or '1'='1", &xss), None);
    assert_eq!(inspect(b"<script>", &xss), Some(Attack::Xss));
    assert_eq!(inspect(b"<script>", &Looking::default()), None);
}

#[test]
fn each_phrase_has_its_harmless_neighbour() {
    let mut wrong = Vec::new();
    for (attack, hostile, harmless) in [
        (Attack::Sqli, "1' in boolean mode) and sleep(5)#", "in boolean mode"),
        (Attack::Sqli, "x; drop table users", "drop table tennis; swim"),
        (Attack::Sqli, "x');(select * from(select(sleep(5)))a)#", "please (select the best)"),
        (Attack::Sqli, "1 waitfor delay '0:0:5'", "waitfor delay"),
        (Attack::Sqli, "1/**/union/*x*/all/**/select/**/1", "the union all selected"),
        (Attack::Sqli, "@@version", "me@@home"),
        (Attack::Sqli, "user[$ne]", "user[ne]"),
        (Attack::Sqli, "exec xp_cmdshell", "exec summary"),
        (Attack::Sqli, "50 -- really", "50% off -- really"),
        (Attack::Sqli, "50% 100 -- really", "50% of 100 -- really"),
        (Attack::Sqli, "50% off -- 1=1", "50% off -- 1 of 1 left"),
        (Attack::Sqli, "50% off -- it's", "50% off -- it is"),
        (Attack::Sqli, "50% off --really", "50% off, really"),
        (Attack::Sqli, "50% off -- a\nor 1=1", "50% off -- a or b"),
        (Attack::Xss, "javascript:alert(1)", "JavaScript: The Good Parts"),
        (Attack::Xss, "java\tscript:alert(1)", "java script: alert"),
        (Attack::Xss, "\";alert(1)//", "red alert (again)"),
        (Attack::Xss, "x document . cookie()", "a document with a cookie"),
        (Attack::Xss, "x onload=alert(1)", "one=1 (two)"),
        (Attack::Xss, "<!--#exec cmd=", "<-- #1"),
        (Attack::Traversal, "/....//secret", "and so on/..."),
        (Attack::Traversal, "x/.git/config", "x/git/config"),
        (Attack::Traversal, "/..0x2fx", "/..0x1fx"),
        (Attack::Traversal, "etc/passwd", "etc/password-policy"),
        (Attack::Traversal, "../lib", "import ../lib"),
        (Attack::Traversal, " ../lib", "at ../lib"),
        (Attack::Traversal, "import ../../lib", "import ../lib/a"),
        (Attack::Traversal, "import ../lib ../etc", "import ../lib and more"),
        (Attack::Traversal, "import=../lib", "import = lib/a"),
        (Attack::Traversal, "import: ../lib", "import: lib/..."),
        (Attack::Traversal, "import ..\\lib", "import .lib"),
        (Attack::Traversal, "import ../.env", "import ../env"),
        (Attack::Traversal, "import ../etc/passwd", "import ../etc/passwords-of-old"),
        (Attack::Traversal, "import %2e%2e/lib", "import %2elib"),
    ] {
        let (found, alarm) = (inspect(hostile.as_bytes(), &ALL), inspect(harmless.as_bytes(), &ALL));
        if found != Some(attack) || alarm.is_some() {
            wrong.push(format!("{hostile}: {found:?}, {harmless}: {alarm:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
