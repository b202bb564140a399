//! A hostile module in the simulated Envoy: whatever it calls with whatever arguments, the host answers, and answers the
//! same the second time.
//!
//! An input is a program: in each line the callback it is for, a function of the ABI without `proxy_`, and its arguments.
//! A text in quotes is an address and a length. `return` says what the callback gives back.
//!
//! ```text
//! configure define_metric 0 "a.b" 0
//! request_headers get_property "request\0path" 0 4
//! request_headers return 1
//! any log 2 -1 70000
//! ```

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::Duration;

use bartizan_host::clusters::Answer;
use bartizan_host::{FailurePolicy, Module, Protocol, Proxy, Request, Response};

use self::abi::{CALLBACKS, FUNCTIONS};

mod abi;

/// Where the module keeps its program, where the texts of it are, and where it allocates: see [`text`].
const PROGRAM: usize = 4096;
const TEXTS: usize = 16_384;
const HEAP: usize = 65_536;

/// The most lines of a program, and the words of each: callback, function, arguments.
const LINES: usize = 128;
const WORDS: usize = 16;

/// What a line has for its callback if it is for all of them, and if it is for the allocator; and `return` as a function.
const ANY: u32 = 255;
const ALLOCATE: u32 = 253;
const RETURN: u32 = 254;

static MODULE: LazyLock<Module> = LazyLock::new(|| {
    let wasm = wat::parse_str(text()).expect("the text is a module");
    Module::load(&wasm).unwrap_or_else(|e| panic!("the module does not load: {e}"))
});

/// Any bytes as a program.
pub fn run(data: &[u8]) -> bool {
    let program = Program::read(&String::from_utf8_lossy(data));
    let (first, second) = (play(&program), play(&program));
    assert_eq!(first, second, "the same calls, and two outcomes");
    program.lines > 0 && first.contains("took the configuration")
}

/// Runs a program through the life of a proxy, and tells what could be seen of it.
fn play(program: &Program) -> String {
    let mut story = String::new();
    let proxy = Proxy::builder(&MODULE)
        .workers(2)
        .vm_id("v")
        .plugin_name("guest")
        .variable("A", "1")
        .failure_policy(if program.lines.is_multiple_of(2) {
            FailurePolicy::Closed
        } else {
            FailurePolicy::Reload
        })
        .allow_on_headers_stop_iteration(program.lines.is_multiple_of(3))
        .buffer_limit(64)
        .fuel(2_000_000)
        .drain_time(Duration::from_millis(100))
        .configuration(program.image())
        .start();
    let proxy = match proxy {
        Ok(proxy) => proxy,
        Err(refused) => return format!("refused: {refused}"),
    };
    story.push_str("took the configuration\n");
    proxy
        .clusters()
        .add("up", |_| Answer::status(200).header("a", "b").body("hello").after(Duration::from_millis(5)));
    proxy.clusters().add("rpc", |_| Answer::grpc("hello").after(Duration::from_millis(5)));
    proxy.clusters().add("down", |_| Answer::reset());
    let upstream = || Response::new(200).header("server", "s").body("x").body("y").trailer("t", "u");
    let post = Request::post("/a?b=c").header("cookie", "a=b").body("abc").body("de").trailer("x", "y");
    for request in [
        post.clone().upstream(upstream()),
        Request::get("/").protocol(Protocol::Http2),
        post.body([b'x'; 100]).protocol(Protocol::Http2).upstream(upstream()),
    ] {
        let answer = proxy.worker(0).send(request);
        let _ = writeln!(story, "{:?} {} {:?}", answer.outcome(), answer.status(), answer.headers());
        let _ = writeln!(story, "{:?} {:?} {:?}", answer.body(), answer.upstream(), answer.details());
        proxy.advance(Duration::from_millis(10));
    }
    let mut stream = proxy.worker(1).open();
    stream.request_headers(
        &vec![(b":path".to_vec(), b"/".to_vec()), (b":method".to_vec(), b"PUT".to_vec())],
        false,
    );
    stream.request_body("z", false);
    proxy.advance(Duration::from_millis(20));
    stream.reset();
    drop(stream);
    // Another configuration, so that the first one drains and is done.
    let mut next = program.image();
    next.push(0);
    let _ = writeln!(story, "{:?}", proxy.configure(next).map_err(|refused| refused.to_string()));
    proxy.advance(Duration::from_millis(150));
    for line in proxy.take_log() {
        let _ = writeln!(story, "{line:?}");
    }
    for (thread, size) in proxy.memory() {
        let _ = writeln!(story, "{thread} has {size} bytes; {:?}", proxy.worker(0).failure());
    }
    story
}

/// A program as the module reads it.
struct Program {
    lines: usize,
    words: Vec<u32>,
    texts: Vec<u8>,
}

impl Program {
    fn read(text: &str) -> Self {
        let mut program = Self { lines: 0, words: Vec::new(), texts: Vec::new() };
        for line in text.lines() {
            if program.lines < LINES && program.line(line).is_some() {
                program.lines += 1;
                program.words.resize(program.lines * WORDS, 0);
            }
            // What an unusable line has left.
            program.words.truncate(program.lines * WORDS);
        }
        program
    }

    fn line(&mut self, line: &str) -> Option<()> {
        let (callback, rest) = line.trim().split_once(' ')?;
        let (function, mut rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let callback = match callback {
            "any" => ANY,
            "allocate" => ALLOCATE,
            name => position(CALLBACKS.iter().map(|(name, _)| *name), name)?,
        };
        let function = match function {
            "return" => RETURN,
            name => position(FUNCTIONS.iter().map(|(_, name, _)| *name), name)?,
        };
        self.words.extend([callback, function]);
        let end = (self.lines + 1) * WORDS;
        while !rest.is_empty() && self.words.len() < end {
            rest = self.word(rest.trim_start());
        }
        Some(())
    }

    /// Reads an argument and gives what is behind it.
    fn word<'t>(&mut self, text: &'t str) -> &'t str {
        if let Some(quoted) = text.strip_prefix('"') {
            let (text, rest) = quoted.split_once('"').unwrap_or((quoted, ""));
            let from = self.texts.len();
            self.texts.extend(bytes(text));
            self.texts.truncate(TEXTS);
            let length = self.texts.len().saturating_sub(from);
            self.words.extend([TEXTS + from, length].map(|n| u32::try_from(n).unwrap_or(u32::MAX)));
            return rest;
        }
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let number = word.parse::<i64>().unwrap_or_default();
        self.words.push(number as u32);
        rest
    }

    /// The memory from [`PROGRAM`] on: the number of lines, the lines, the texts in their place.
    fn image(&self) -> Vec<u8> {
        let mut image = u32::try_from(self.lines).unwrap_or_default().to_le_bytes().to_vec();
        image.extend(self.words.iter().flat_map(|word| word.to_le_bytes()));
        image.resize(TEXTS - PROGRAM, 0);
        image.extend(&self.texts);
        image
    }
}

fn position<'n>(mut names: impl Iterator<Item = &'n str>, name: &str) -> Option<u32> {
    names.position(|known| known == name).and_then(|at| u32::try_from(at).ok())
}

/// A text with `\0`, `\n` and `\xFF` in it.
fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let hex = rest.get(..4).and_then(|four| u8::from_str_radix(four.strip_prefix("\\x")?, 16).ok());
        let (byte, length) = match (hex, rest) {
            (Some(byte), _) => (Some(byte), 4),
            (None, escaped) if escaped.starts_with("\\0") => (Some(0), 2),
            (None, escaped) if escaped.starts_with("\\n") => (Some(b'\n'), 2),
            _ => (None, c.len_utf8()),
        };
        let (here, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        match byte {
            Some(byte) => bytes.push(byte),
            None => bytes.extend(here.bytes()),
        }
        rest = after;
    }
    bytes
}

/// The module: it copies its configuration to [`PROGRAM`], and in each callback makes the calls of the lines for it.
fn text() -> String {
    let mut imports = String::new();
    let mut calls = String::new();
    for (number, (module, name, parameters)) in FUNCTIONS.iter().enumerate() {
        let types: String = parameters.chars().map(|c| if c == 'l' { " i64" } else { " i32" }).collect();
        let prefix = if *module == "env" { "proxy_" } else { "" };
        let _ = writeln!(
            imports,
            r#"(import "{module}" "{prefix}{name}" (func $f{number} (param{types}) (result i32)))"#
        );
        let arguments: String = parameters
            .chars()
            .enumerate()
            .map(|(at, c)| {
                let load = format!("(i32.load offset={} (local.get $line))", 8 + 4 * at);
                if c == 'l' { format!(" (i64.extend_i32_s {load})") } else { format!(" {load}") }
            })
            .collect();
        let _ = writeln!(
            calls,
            "(if (i32.eq (local.get $function) (i32.const {number})) (then (drop (call $f{number}{arguments})) (return)))"
        );
    }
    let mut callbacks = String::new();
    for (number, (name, parameters)) in CALLBACKS.iter().enumerate() {
        let types = " i32".repeat(parameters.len() - usize::from(parameters.ends_with('>')));
        let result = if parameters.ends_with('>') { "(result i32)" } else { "" };
        let load = if *name == "configure" { "(call $load (local.get 1))" } else { "" };
        let give = if parameters.ends_with('>') { "" } else { "drop" };
        let _ = writeln!(
            callbacks,
            r#"(func (export "proxy_on_{name}") (param{types}) {result} {load} (call $run (i32.const {number})) {give})"#
        );
    }
    let size = LINES * WORDS * 4;
    let line = WORDS * 4;
    format!(
        r#"(module {imports}
    (memory (export "memory") 4)
    (global $free (mut i32) (i32.const {HEAP}))
    (global $result (mut i32) (i32.const 0))
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
        (local $at i32)
        (if (i32.gt_u (global.get $free) (i32.const 200000)) (then (global.set $free (i32.const {HEAP}))))
        (local.set $at (global.get $free))
        (global.set $free (i32.add (global.get $free) (i32.and (local.get $size) (i32.const 0xffff))))
        (drop (call $run (i32.const {ALLOCATE})))
        (local.get $at))
    (func $load (param $size i32)
        (i32.store (i32.const {PROGRAM}) (i32.const 0))
        (drop (call $f{get_buffer} (i32.const 7) (i32.const 0) (local.get $size) (i32.const 0) (i32.const 4)))
        (memory.copy (i32.const {PROGRAM}) (i32.load (i32.const 0))
            (select (i32.load (i32.const 4)) (i32.const 28672) (i32.lt_u (i32.load (i32.const 4)) (i32.const 28672)))))
    (func $run (param $callback i32) (result i32)
        (local $line i32) (local $end i32) (local $for i32)
        (global.set $result (i32.eqz (local.get $callback)))
        (local.set $line (i32.const {first}))
        (local.set $end (i32.add (i32.const {first})
            (i32.and (i32.mul (i32.load (i32.const {PROGRAM})) (i32.const {line})) (i32.const {mask}))))
        (block $done (loop $next
            (br_if $done (i32.ge_u (local.get $line) (local.get $end)))
            (local.set $for (i32.load (local.get $line)))
            (if (i32.or (i32.eq (local.get $for) (local.get $callback))
                    (i32.and (i32.eq (local.get $for) (i32.const {ANY}))
                        (i32.ne (local.get $callback) (i32.const {ALLOCATE}))))
                (then (call $do (local.get $line) (i32.load offset=4 (local.get $line)))))
            (local.set $line (i32.add (local.get $line) (i32.const {line})))
            (br $next)))
        (global.get $result))
    (func $do (param $line i32) (param $function i32)
        (if (i32.eq (local.get $function) (i32.const {RETURN}))
            (then (global.set $result (i32.load offset=8 (local.get $line))) (return)))
        {calls})
    {callbacks})"#,
        first = PROGRAM + 4,
        mask = size * 2 - 1,
        get_buffer = abi::GET_BUFFER_BYTES,
    )
}
