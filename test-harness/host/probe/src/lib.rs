//! A module that calls every host function, well and badly, in every callback, and tells what came of it in lines of its
//! log: `probe CALLBACK: CALL = STATUS VALUE`. The end-to-end tests run it in Envoy and in bartizan-host and compare the lines.
//!
//! What it does besides stands in the request header `x-do`: `CALLBACK=ACTION`, with commas between several.
#![expect(missing_docs, reason = "the callbacks are those of the ABI")]

mod abi;
mod calls;

use abi::{NOWHERE, at, given, pairs};

#[unsafe(no_mangle)]
pub extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    let mut bytes = std::mem::ManuallyDrop::new(Vec::<u8>::with_capacity(size));
    bytes.as_mut_ptr()
}

/// Writes a line.
pub(crate) fn say(line: &str) {
    let (text, length) = at(line.as_bytes());
    // SAFETY: the text lives until the call returns.
    unsafe { abi::proxy_log(2, text, length) };
}

/// Where the module is: the callback.
pub(crate) struct Here(&'static str);

impl Here {
    pub(crate) fn tell(&self, call: &str, status: u32, value: impl AsRef<[u8]>) {
        say(&format!("probe {}: {call} = {status} {}", self.0, value.as_ref().escape_ascii()));
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.0
    }
}

/// What a request wants done in a callback. It is kept as a property, since headers are not always in reach.
fn wanted(callback: &str) -> Option<String> {
    let (path, length) = at(b"probe_do");
    // SAFETY: the path lives until the call returns.
    let (_, list) = given(|address, size| unsafe { abi::proxy_get_property(path, length, address, size) });
    let list = String::from_utf8(list).ok()?;
    list.split(',').find_map(|entry| entry.strip_prefix(callback)?.strip_prefix('=')).map(str::to_owned)
}

fn remember_what_is_wanted() {
    let (name, length) = at(b"x-do");
    // SAFETY: names and values live until the calls return.
    unsafe {
        let (_, value) =
            given(|address, size| abi::proxy_get_header_map_value(0, name, length, address, size));
        let ((path, path_length), (value, length)) = (at(b"probe_do"), at(&value));
        abi::proxy_set_property(path, path_length, value, length);
    }
}

/// Does what is wanted here and gives what the callback returns.
fn act(here: &Here) -> u32 {
    let wanted = wanted(here.name()).unwrap_or_default();
    let reply = |status: u32, body: &[u8]| {
        let headers = pairs(&[(b"x-reply", b"yes"), (b"x-reply", b"twice")]);
        let ((details, details_length), (body, length)) = (at(b"probe says no"), at(body));
        let (headers, headers_length) = at(&headers);
        // SAFETY: all of it lives until the call returns.
        unsafe {
            let say_no = abi::proxy_send_local_response;
            say_no(status, details, details_length, body, length, headers, headers_length, u32::MAX)
        }
    };
    // SAFETY: these take numbers, or addresses that are ours.
    unsafe {
        match wanted.as_str() {
            "reply" => here.tell("reply", reply(403, b"no"), ""),
            "reply-bare" => here.tell("reply without a body", reply(204, b""), ""),
            "reply-twice" => {
                here.tell("reply", reply(403, b"no"), "");
                here.tell("reply again", reply(404, b"not here"), "");
            }
            "close-request" => here.tell("close request", abi::proxy_close_stream(0), ""),
            "close-response" => here.tell("close response", abi::proxy_close_stream(1), ""),
            "resume" => {
                here.tell("continue request", abi::proxy_continue_stream(0), "");
                return 1;
            }
            "resume-response" => {
                here.tell("continue response", abi::proxy_continue_stream(1), "");
                return 1;
            }
            "http" => calls::http(here, 500),
            "http-slow" => calls::http(here, 50),
            "grpc" => calls::grpc(here),
            "grpc-stream" => calls::grpc_stream(here),
            "trap" => std::process::abort(),
            "edit" => calls::edit(here),
            "return-2" => return 2,
            "return-3" => return 3,
            "return-4" => return 4,
            _ => {}
        }
    }
    u32::from(matches!(
        wanted.as_str(),
        "pause" | "http" | "http-slow" | "grpc" | "grpc-stream" | "reply-pause"
    ))
}

fn callback(name: &'static str) -> u32 {
    let here = Here(name);
    if wanted("all").is_some() {
        calls::everything(&here);
    } else {
        calls::some(&here);
    }
    act(&here)
}

/// Behind an answer, the request goes on.
fn answered(name: &'static str, numbers: &[u32], context: u32, last: bool) {
    let here = Here(name);
    here.tell("told", 0, format!("{numbers:?}"));
    calls::some(&here);
    calls::everything_delivered(&here);
    if last {
        // SAFETY: these take numbers.
        unsafe {
            here.tell("effective context", abi::proxy_set_effective_context(context), "");
            here.tell("continue request", abi::proxy_continue_stream(0), "");
            here.tell("no effective context", abi::proxy_set_effective_context(NOWHERE as u32), "");
        }
    }
}

/// The stream that waits for an answer; there is one at a time.
static WAITING: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

fn waiting() -> u32 {
    WAITING.load(std::sync::atomic::Ordering::Relaxed)
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_context_create(context: u32, root: u32) {
    if root != 0 {
        WAITING.store(context, std::sync::atomic::Ordering::Relaxed);
        calls::some(&Here("create"));
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_vm_start(_context: u32, _size: usize) -> u32 {
    1
}

/// Everything once, in the VM that comes first: the canary.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_configure(_context: u32, _size: usize) -> u32 {
    if calls::first() {
        calls::everything(&Here("configure"));
    }
    1
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_request_headers(_context: u32, headers: u32, end: u32) -> u32 {
    remember_what_is_wanted();
    Here("request_headers").tell("told", 0, format!("{headers} {end}"));
    callback("request_headers")
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_request_body(_context: u32, size: u32, end: u32) -> u32 {
    Here("request_body").tell("told", 0, format!("{size} {end}"));
    callback("request_body")
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_request_trailers(_context: u32, trailers: u32) -> u32 {
    Here("request_trailers").tell("told", 0, format!("{trailers}"));
    callback("request_trailers")
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_response_headers(_context: u32, headers: u32, end: u32) -> u32 {
    Here("response_headers").tell("told", 0, format!("{headers} {end}"));
    callback("response_headers")
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_response_body(_context: u32, size: u32, end: u32) -> u32 {
    Here("response_body").tell("told", 0, format!("{size} {end}"));
    callback("response_body")
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_response_trailers(_context: u32, trailers: u32) -> u32 {
    Here("response_trailers").tell("told", 0, format!("{trailers}"));
    callback("response_trailers")
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_http_call_response(
    _context: u32,
    token: u32,
    headers: u32,
    body: u32,
    trailers: u32,
) {
    answered("http_call_response", &[token, headers, body, trailers], waiting(), true);
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_grpc_receive_initial_metadata(_context: u32, token: u32, headers: u32) {
    answered("grpc_initial", &[token, headers], waiting(), false);
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_grpc_receive(_context: u32, token: u32, size: u32) {
    answered("grpc_receive", &[token, size], waiting(), token % 4 == 1);
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_grpc_receive_trailing_metadata(_context: u32, token: u32, headers: u32) {
    answered("grpc_trailing", &[token, headers], waiting(), false);
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_grpc_close(_context: u32, token: u32, status: u32) {
    answered("grpc_close", &[token, status], waiting(), true);
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_queue_ready(_context: u32, token: u32) {
    Here("queue_ready").tell("told", 0, format!("{token}"));
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_log(_context: u32) {
    callback("log");
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_done(_context: u32) -> u32 {
    callback("done");
    1
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_delete(_context: u32) {
    callback("delete");
    Here("delete").tell("end", 0, "");
}
