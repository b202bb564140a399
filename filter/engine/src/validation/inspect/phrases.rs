//! Phrases of SQL and script that the grammars of libinjection do not know.
//!
//! libinjection judges the first five tokens of a value and forgives much of what does not begin like an
//! injection. What follows is read as words and marks, with comments and white space gone and case folded,
//! and compared with phrases that have no meaning but to a database or a browser. A phrase needs syntax as
//! well as words: `(select 1`, `; drop table`, `waitfor delay '`. Words alone are prose.

/// A text as words and marks.
struct Words {
    text: Vec<u8>,
    /// Start and end in `text`; a word is a run of letters, digits, `_` and `@`, a mark is one byte.
    spans: Vec<(u32, u32)>,
}

/// The most words that are looked at: what an attack needs stands near its beginning or end, and reading is
/// linear, but memory is dear.
const MOST_WORDS: usize = 4096;

impl Words {
    fn read(text: &[u8]) -> Self {
        let mut clean = Vec::with_capacity(text.len());
        let mut rest = text;
        // Comments separate words, as white space does; `/*!` and `*/` of MySQL hide code, so it stays.
        while let Some((first, after)) = rest.split_first() {
            rest = after;
            if *first == b'/' && after.first() == Some(&b'*') {
                let comment = after.get(1..).unwrap_or(b"");
                if let Some(code) = comment.strip_prefix(b"!") {
                    let digits = code.iter().take_while(|b| b.is_ascii_digit()).count();
                    rest = code.get(digits..).unwrap_or(b"");
                } else {
                    let end = comment.windows(2).position(|pair| pair == b"*/");
                    rest = end.and_then(|end| comment.get(end + 2..)).unwrap_or(b"");
                }
                clean.push(b' ');
            } else if *first == b'*' && after.first() == Some(&b'/') {
                rest = after.get(1..).unwrap_or(b"");
                clean.push(b' ');
            } else {
                clean.push(first.to_ascii_lowercase());
            }
        }
        let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'@' || b >= 0x80;
        let mut spans = Vec::new();
        let mut start = None;
        for (at, byte) in clean.iter().enumerate() {
            if is_word(*byte) {
                start.get_or_insert(at);
                continue;
            }
            if let Some(start) = start.take() {
                spans.push((start as u32, at as u32));
            }
            if *byte > b' ' {
                spans.push((at as u32, at as u32 + 1));
            }
            if spans.len() >= MOST_WORDS {
                break;
            }
        }
        if let Some(start) = start {
            spans.push((start as u32, clean.len() as u32));
        }
        Self { text: clean, spans }
    }

    fn at(&self, position: usize) -> &[u8] {
        let span = self.spans.get(position);
        span.and_then(|(start, end)| self.text.get(*start as usize..*end as usize)).unwrap_or(b"")
    }

    fn before(&self, position: usize) -> &[u8] {
        position.checked_sub(1).map_or(b"", |before| self.at(before))
    }

    fn is(&self, position: usize, words: &[&str]) -> bool {
        let word = self.at(position);
        words.iter().any(|w| w.as_bytes() == word)
    }

    /// Whether a word is followed by an opening parenthesis.
    fn is_call(&self, position: usize) -> bool {
        self.at(position + 1) == b"("
    }

    fn is_number(&self, position: usize) -> bool {
        self.at(position).first().is_some_and(u8::is_ascii_digit)
    }

    fn is_quote(&self, position: usize) -> bool {
        self.is(position, &["'", "\"", "`"])
    }
}

/// Functions and procedures of databases that are called for their side effects, or to spell a text without
/// quotes, and have no other use in a value.
const DATABASE_CALLS: &[&str] = &[
    "benchmark",
    "char_length",
    "crypt_key",
    "dbms_pipe",
    "extractvalue",
    "generate_series",
    "group_concat",
    "json_keys",
    "load_file",
    "pg_read_file",
    "pg_sleep",
    "randomblob",
    "regexp_substring",
    "rtrim",
    "sp_executesql",
    "sqlite_version",
    "unhex",
    "updatexml",
    "utl_http",
    "utl_inaddr",
    "xp_cmdshell",
    "xp_dirtree",
    "xp_regread",
];

/// Tables and schemas in which databases describe themselves.
const CATALOGUES: &[&str] = &[
    "information_schema",
    "mysql",
    "pg_catalog",
    "pg_shadow",
    "sqlite_master",
    "syscolumns",
    "sysobjects",
    "sys",
    "master",
    "msysobjects",
    "msdb",
    "user_tables",
    "all_tables",
    "user_users",
    "all_users",
];

/// Whether a text holds a phrase of SQL.
pub(super) fn has_sql(text: &[u8]) -> bool {
    let words = Words::read(text);
    (0..words.spans.len()).any(|at| is_sql_at(&words, at))
}

fn is_sql_at(words: &Words, at: usize) -> bool {
    let preceded_by_method = || words.before(at) == b".";
    match words.at(at) {
        b"select" => is_select(words, at),
        b"union" => {
            let next = at + 1 + usize::from(words.is(at + 1, &["all", "distinct"]));
            let opened = (next..next + 3).find(|p| words.at(*p) != b"(").unwrap_or(next);
            let last = words.at(opened + 1).is_empty();
            words.is(opened, &["select"])
                && (last || is_select_list(words, opened + 1) || words.is_quote(at.wrapping_sub(1)))
        }
        b"waitfor" => words.is(at + 1, &["delay", "time"]) && words.is_quote(at + 2),
        b"into" => {
            words.is(at + 1, &["outfile", "dumpfile"])
                && !words.at(at + 2).first().is_some_and(u8::is_ascii_alphabetic)
        }
        b"in" => words.is(at + 1, &["boolean"]) && words.is(at + 2, &["mode"]) && words.at(at + 3) == b")",
        b"procedure" => words.is(at + 1, &["analyse"]) && words.is_call(at + 1),
        b"sleep" => words.is_call(at) && words.is_number(at + 2) && !preceded_by_method(),
        b"case" => words.is(at + 1, &["when"]) && has_comparison(words, at + 2),
        b"iif" => words.is_call(at) && has_comparison(words, at + 2),
        b"declare" => words.at(at + 1).starts_with(b"@") && words.at(at + 1).len() > 1,
        b"exec" | b"execute" => {
            words.at(at + 1).starts_with(b"xp_")
                || (words.is(at + 1, &["master"]) && words.is(at + 2, &["."]))
        }
        b"$" => is_document_operator(words, at),
        b"char" | b"chr" | b"nchar" => {
            words.is_call(at) && words.is_number(at + 2) && is_concatenated(words, at)
        }
        b";" => is_statement(words, at + 1),
        b"from" => {
            CATALOGUES.iter().any(|c| c.as_bytes() == words.at(at + 1))
                && (words.at(at + 2) == b"."
                    || words.at(at + 1).contains(&b'_')
                    || words.at(at + 1).starts_with(b"sys"))
        }
        b"@@version" | b"@@datadir" | b"@@hostname" | b"@@basedir" => true,
        call => {
            words.is_call(at) && !preceded_by_method() && DATABASE_CALLS.iter().any(|c| c.as_bytes() == call)
        }
    }
}

/// An operator of a document database as PHP and Node.js read it from a form: `user[$ne]=1`.
fn is_document_operator(words: &Words, at: usize) -> bool {
    const OPERATORS: &[&str] = &[
        "eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "regex", "where", "exists", "or", "not", "mod",
        "all", "size", "type",
    ];
    words.before(at) == b"[" && words.is(at + 1, OPERATORS) && words.at(at + 2) == b"]"
}

/// `select` where a query may begin, with a list that no sentence has.
fn is_select(words: &Words, at: usize) -> bool {
    let opened = words.is(at.wrapping_sub(1), &["(", ";", "'", "\"", ")", "}", "|", "="])
        || words.is_number(at.wrapping_sub(1));
    let stacked = words.is(at.wrapping_sub(1), &[";"]) && at > 1 && words.is_quote(at - 2);
    stacked || (opened && is_select_list(words, at + 1))
}

fn is_select_list(words: &Words, at: usize) -> bool {
    words.is(at, &["*", "(", "'", "\"", "case", "null", "@", "top", "distinct", "-", "~", "!"])
        || words.is_number(at)
        || words.at(at).starts_with(b"@@")
        || (words.is_call(at) && !words.at(at).is_empty())
        || (words.is(at + 1, &["from"])
            && words.is(at + 3, &["where", "limit", "--", "-", "#", ")", "", "order", "union"]))
        || (words.at(at + 1) == b"," && (at..at + 40).any(|p| words.is(p, &["from"])))
}

/// A comparison of two literals within the next few words: `1=1`, `'a' like 'a`, `5451=5451`.
fn has_comparison(words: &Words, from: usize) -> bool {
    (from..from + 6).any(|p| {
        words.is(p, &["=", "<", ">", "like"])
            && (words.is_number(p.wrapping_sub(1))
                || words.is_quote(p.wrapping_sub(1))
                || words.at(p.wrapping_sub(1)) == b")")
    })
}

fn is_concatenated(words: &Words, at: usize) -> bool {
    let around = [at.wrapping_sub(1), at + 4];
    around.iter().any(|p| words.is(*p, &["|", "+", "=", ","])) || words.is(at + 3, &[","])
}

/// The beginning of a statement after a semicolon.
fn is_statement(words: &Words, at: usize) -> bool {
    let next = |list: &[&str]| words.is(at + 1, list);
    match words.at(at) {
        b"drop" | b"truncate" => next(&["table", "database", "schema", "view", "user", "index"]),
        b"alter" => next(&["table", "database", "user", "login"]),
        b"create" => {
            next(&["table", "database", "user", "function", "procedure", "trigger", "login"])
                || (next(&["or"]) && words.is(at + 2, &["replace"]))
        }
        b"insert" => next(&["into"]),
        b"delete" => next(&["from"]),
        b"update" => words.is(at + 2, &["set"]),
        b"exec" | b"execute" => next(&["master", "(", "sp_executesql", "xp_cmdshell", "@", "immediate"]),
        b"shutdown" => words.at(at + 1).is_empty() || next(&["-", "with", ";", "#"]),
        b"grant" => next(&["all", "select", "execute"]),
        b"begin" => words.at(at + 2) == b".",
        _ => false,
    }
}

/// A name, the mark after it, and the names that may come next; none stands for a quote.
type ScriptName = (&'static [u8], &'static [u8], &'static [&'static [u8]]);

/// Names that only scripts use.
const SCRIPT_NAMES: &[ScriptName] = &[
    (
        b"document",
        b".",
        &[
            b"cookie",
            b"domain",
            b"queryselector",
            b"createelement",
            b"write",
            b"writeln",
            b"location",
            b"body",
            b"documentelement",
        ],
    ),
    (b"window", b".", &[b"location", b"name", b"onerror", b"open"]),
    (b"string", b".", &[b"fromcharcode", b"fromcodepoint", b"raw"]),
    (b"self", b"[", &[]),
    (b"window", b"[", &[]),
    (b"globalthis", b"[", &[]),
    (b"document", b"[", &[]),
];

/// Whether a text holds script that needs no markup around it: in an attribute, a URL, or a script block.
pub(super) fn has_script(text: &[u8]) -> bool {
    // `<` in UTF-7, which old browsers guessed.
    if is_script_url(text) || text.windows(5).any(|five| five == b"+ADw-") {
        return true;
    }
    let words = Words::read(text);
    (0..words.spans.len()).any(|at| is_script_at(&words, at))
}

fn is_script_at(words: &Words, at: usize) -> bool {
    let word = words.at(at);
    match word {
        b"alert" | b"prompt" | b"confirm" | b"eval" | b"settimeout" | b"setinterval" | b"atob" | b"fetch"
        | b"import" => {
            let argument = words.at(at + 2);
            let called = words.at(at + 1) == b"(" && is_adjacent(words, at);
            let ticked = words.at(at + 1) == b"`" && word != b"import";
            let plausible = words.is_quote(at + 2)
                || words.is_number(at + 2)
                || matches!(
                    argument,
                    b"/" | b")"
                        | b"("
                        | b"document"
                        | b"window"
                        | b"this"
                        | b"location"
                        | b"name"
                        | b"string"
                        | b"atob"
                        | b"unescape"
                        | b"self"
                        | b"top"
                        | b"parent"
                        | b"\\"
                );
            let deferred = matches!(word, b"settimeout" | b"setinterval");
            (called && (plausible || deferred)) || (ticked && is_adjacent(words, at))
        }
        b"expression" => words.is_call(at) && words.is(at.wrapping_sub(1), &[":"]),
        b"binding" => words.is(at.wrapping_sub(2), &["moz"]) && words.at(at + 1) == b":",
        b"innerhtml" | b"outerhtml" => words.at(at + 1) == b"=",
        b"constructor" => {
            words.before(at) == b"." && words.at(at + 1) == b"("
                || words.is(at + 1, &["."]) && words.is(at + 2, &["constructor"])
        }
        b"call" | b"apply" | b"bind" => words.before(at) == b"." && words.at(at + 1) == b"`",
        b"function" => words.before(at) == b"new" && words.is_call(at),
        b"entity" => words.before(at) == b"!" && (at..at + 8).any(|p| words.is(p, &["system", "public"])),
        b"<" => is_active_tag(words, at + 1) || is_server_side_include(words, at + 1),
        handler if handler.starts_with(b"on") && handler.len() > 4 => is_handler(words, at),
        name => SCRIPT_NAMES.iter().any(|(first, mark, members)| {
            *first == name
                && words.at(at + 1) == *mark
                && (words.is_quote(at + 2) && members.is_empty() || members.contains(&words.at(at + 2)))
                || *first == name
                    && words.is(at + 1, &[")"])
                    && words.is(at + 2, &["["])
                    && words.is_quote(at + 3)
        }),
    }
}

/// Whether a mark follows its word without white space: `confirm (by mail)` is prose.
fn is_adjacent(words: &Words, at: usize) -> bool {
    let end = words.spans.get(at).map(|(_, end)| *end);
    end.is_some() && end == words.spans.get(at + 1).map(|(start, _)| *start)
}

/// Tags that libinjection lets pass, in forms that only browsers make something of.
fn is_active_tag(words: &Words, at: usize) -> bool {
    // `<body onload!#$%&()=...>`: browsers skip the marks.
    words.is(
        at,
        &[
            "body", "img", "svg", "video", "audio", "iframe", "input", "details", "marquee", "a", "div",
            "script", "embed", "object", "base", "form", "math", "link", "meta", "style", "isindex",
            "textarea", "select", "button", "x",
        ],
    ) && (at + 1..at + 12).any(|p| {
        words.at(p).starts_with(b"on")
            && words.at(p).len() > 4
            && (p + 1..p + 40).any(|q| words.at(q) == b"=")
    }) || words.is(at, &["script", "iframe", "embed", "object", "applet", "meta", "base"])
        && is_tag_end(words, at + 1)
}

/// `<!--#exec ...`.
fn is_server_side_include(words: &Words, at: usize) -> bool {
    [b"!", b"-", b"-", b"#"].iter().enumerate().all(|(offset, mark)| words.at(at + offset) == mark.as_slice())
}

fn is_tag_end(words: &Words, at: usize) -> bool {
    words.is(at, &[">", "/", "src", "href", "data", "http", "srcdoc", "<", "type", "code", "x"])
}

/// An event handler: `onload=` after something that ends an attribute, with script after it.
fn is_handler(words: &Words, at: usize) -> bool {
    let begins = words.is_quote(at.wrapping_sub(1))
        || words.is(at.wrapping_sub(1), &["/", ">", "<"])
        || is_spaced(words, at);
    let runs = || {
        (at + 2..at + 8)
            .any(|p| words.is(p, &["(", "`", "javascript", "document", "window", "eval", "location"]))
    };
    words.at(at + 1) == b"=" && words.at(at + 2) != b"=" && begins && runs()
}

fn is_spaced(words: &Words, at: usize) -> bool {
    let start = words.spans.get(at).map_or(0, |(start, _)| *start);
    start.checked_sub(1).and_then(|b| words.text.get(b as usize)).is_some_and(u8::is_ascii_whitespace)
}

/// A URL that is script, alone or as the value of an attribute. Browsers ignore white space and control
/// characters within the scheme.
fn is_script_url(text: &[u8]) -> bool {
    const SCHEMES: &[&[u8]] = &[
        b"javascript:",
        b"vbscript:",
        b"livescript:",
        b"mocha:",
        b"data:text/html",
        b"data:image/svg+xml",
        b"data:text/javascript",
    ];
    let squeezed = text.iter().filter(|b| **b > b' ').map(u8::to_ascii_lowercase);
    let squeezed: Vec<u8> = squeezed.collect();
    let colons = squeezed.iter().enumerate().filter(|(_, b)| **b == b':').map(|(at, _)| at);
    for colon in colons {
        let hit = SCHEMES.iter().find_map(|scheme| {
            let head = scheme.iter().position(|b| *b == b':')?;
            let start = colon.checked_sub(head)?;
            squeezed.get(start..)?.starts_with(scheme).then_some((start, scheme.len()))
        });
        let Some((start, length)) = hit else { continue };
        let before = start.checked_sub(1).and_then(|b| squeezed.get(b));
        let alone =
            before.is_none_or(|b| matches!(b, b'=' | b'"' | b'\'' | b'`' | b'(' | b'>' | b'/' | b',' | b';'));
        let rest = squeezed.get(start + length..).unwrap_or(b"");
        // `JavaScript: The Good Parts` is a book.
        let runs = rest.iter().any(|b| matches!(b, b'(' | b'=' | b'`' | b'%' | b'<' | b',' | b';'));
        if alone && runs {
            return true;
        }
    }
    false
}
