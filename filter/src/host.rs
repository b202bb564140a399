//! Every call from the filter to the proxy, in one file, so that one file has to be audited.
//!
//! The SDK's own wrappers panic on a status they do not expect and on a header value that is not UTF-8;
//! a panic here takes the worker's VM down with every request in it. These wrappers return what happened
//! instead. The calls and their statuses are those of the proxy-wasm ABI 0.2.1.

use std::cell::Cell;
use std::ptr::null_mut;

use proxy_wasm::types::Action;

/// The host did not do what it was asked; the number is the ABI's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status(pub(crate) u32);

impl Status {
    const OK: u32 = 0;
    pub(crate) const NOT_FOUND: Self = Self(1);
    pub(crate) const CAS_MISMATCH: Self = Self(8);

    fn check(status: u32) -> Result<(), Self> {
        if status == Self::OK { Ok(()) } else { Err(Self(status)) }
    }
}

/// Which header map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Map {
    Request = 0,
    RequestTrailers = 1,
    Response = 2,
    CallResponse = 6,
}

/// Which buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Buffer {
    RequestBody = 0,
    CallResponseBody = 4,
    PluginConfiguration = 7,
}

/// How loud a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub(crate) enum Level {
    Debug = 1,
    Info = 2,
    Error = 4,
}

// Of the SDK, in this module.
unsafe extern "C" {
    fn proxy_on_request_body(context: u32, size: usize, end: bool) -> Action;
}

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, message: *const u8, size: usize) -> u32;
    fn proxy_get_log_level(level: *mut u32) -> u32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        max: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_remove_header_map_value(map: u32, name: *const u8, name_size: usize) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_add_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_close_stream(stream: u32) -> u32;
    fn proxy_continue_stream(stream: u32) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
    fn proxy_get_property(path: *const u8, path_size: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
        version: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
        version: u32,
    ) -> u32;
    fn proxy_call_foreign_function(
        name: *const u8,
        name_size: usize,
        arguments: *const u8,
        arguments_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, by: i64) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_http_call(
        cluster: *const u8,
        cluster_size: usize,
        headers: *const u8,
        headers_size: usize,
        body: *const u8,
        body_size: usize,
        trailers: *const u8,
        trailers_size: usize,
        timeout: u32,
        token: *mut u32,
    ) -> u32;
}

/// Takes over memory that the host asked `proxy_on_memory_allocate` for and filled.
fn take(data: *mut u8, size: usize) -> Vec<u8> {
    if data.is_null() {
        return Vec::new();
    }
    // SAFETY: the host got `data` from the SDK's `proxy_on_memory_allocate(size)`, which leaks a boxed slice
    // of exactly `size` bytes from this module's allocator, and hands it over for good.
    unsafe { Vec::from_raw_parts(data, size, size) }
}

/// Writes a log line.
pub(crate) fn log(level: Level, message: &str) {
    // SAFETY: the host only reads `message.len()` bytes.
    let _ = unsafe { proxy_log(level as u32, message.as_ptr(), message.len()) };
}

/// Whether a line of this level would be written. Costs a call: ask where lines are rare.
pub(crate) fn logs(level: Level) -> bool {
    let mut current = u32::MAX;
    // SAFETY: the host writes one `u32`.
    let status = unsafe { proxy_get_log_level(&raw mut current) };
    status == Status::OK && level as u32 >= current
}

/// Nanoseconds since the Unix epoch.
pub(crate) fn now() -> Result<u64, Status> {
    let mut time = 0;
    // SAFETY: the host writes one `u64`.
    Status::check(unsafe { proxy_get_current_time_nanoseconds(&raw mut time) })?;
    Ok(time)
}

/// The bytes of a buffer.
pub(crate) fn buffer(buffer: Buffer, size: usize) -> Result<Vec<u8>, Status> {
    let (mut data, mut found) = (null_mut(), 0);
    // SAFETY: the host writes a pointer and a size, see `take`.
    Status::check(unsafe { proxy_get_buffer_bytes(buffer as u32, 0, size, &raw mut data, &raw mut found) })?;
    Ok(take(data, found))
}

/// A header map as the host serialised it; see [`pairs`].
pub(crate) fn header_map(map: Map) -> Result<Vec<u8>, Status> {
    let (mut data, mut size) = (null_mut(), 0);
    // SAFETY: the host writes a pointer and a size, see `take`.
    Status::check(unsafe { proxy_get_header_map_pairs(map as u32, &raw mut data, &raw mut size) })?;
    Ok(take(data, size))
}

/// Reads a serialised header map: a count, as many pairs of sizes, then names and values, each followed by
/// a NUL; numbers are little-endian `u32`. `None` if the bytes are not that.
pub(crate) fn pairs(bytes: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let number = |bytes: &mut &[u8]| -> Option<usize> {
        let (number, tail) = bytes.split_first_chunk::<4>()?;
        *bytes = tail;
        usize::try_from(u32::from_le_bytes(*number)).ok()
    };
    let mut sizes = bytes;
    let count = number(&mut sizes)?;
    // The count is the host's word: it must fit what came before anything is reserved for it.
    let mut text = sizes.get(count.checked_mul(8)?..)?;
    let mut next = |size: usize| -> Option<&[u8]> {
        let (field, tail) = text.split_at_checked(size)?;
        text = tail.get(1..)?;
        Some(field)
    };
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        let (name, value) = (number(&mut sizes)?, number(&mut sizes)?);
        pairs.push((next(name)?, next(value)?));
    }
    Some(pairs)
}

/// Takes every value of a header away.
pub(crate) fn remove_header(map: Map, name: &str) -> Result<(), Status> {
    // SAFETY: the host only reads.
    Status::check(unsafe { proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) })
}

/// Makes a value the only one of a header.
pub(crate) fn set_header(map: Map, name: &str, value: &str) -> Result<(), Status> {
    // SAFETY: the host only reads.
    Status::check(unsafe {
        proxy_replace_header_map_value(map as u32, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    })
}

/// Adds a value to a header.
pub(crate) fn add_header(map: Map, name: &str, value: &str) -> Result<(), Status> {
    // SAFETY: the host only reads.
    Status::check(unsafe {
        proxy_add_header_map_value(map as u32, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    })
}

/// Answers in place of upstream. `details` is for access logs (`%RESPONSE_CODE_DETAILS%`).
pub(crate) fn reply(status: u16, details: &str, headers: &[(&str, &str)], body: &str) -> Result<(), Status> {
    let headers = serialise(headers);
    // SAFETY: the host only reads.
    Status::check(unsafe {
        proxy_send_local_response(
            u32::from(status),
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            -1, // not a gRPC status: Envoy translates for gRPC clients by itself
        )
    })
}

/// Resets the stream, on both sides.
pub(crate) fn close_stream() -> Result<(), Status> {
    const REQUEST: u32 = 0;
    // SAFETY: no memory is involved.
    Status::check(unsafe { proxy_close_stream(REQUEST) })
}

/// Lets a request go on that was held back. What is to be changed of it must have been changed before.
pub(crate) fn continue_request() -> Result<(), Status> {
    const REQUEST: u32 = 0;
    // SAFETY: no memory is involved.
    Status::check(unsafe { proxy_continue_stream(REQUEST) })
}

/// Makes the calls that follow in this callback those of another context: a stream that waits, or a root context.
pub(crate) fn act_for(context: u32) -> Result<(), Status> {
    // SAFETY: no memory is involved.
    Status::check(unsafe { proxy_set_effective_context(context) })
}

/// The form in which header maps cross the boundary; see [`pairs`].
fn serialise(headers: &[(&str, &str)]) -> Vec<u8> {
    let size = |text: &str| u32::try_from(text.len()).unwrap_or(0).to_le_bytes();
    let mut bytes = Vec::with_capacity(256);
    bytes.extend_from_slice(&u32::try_from(headers.len()).unwrap_or(0).to_le_bytes());
    for (name, value) in headers {
        bytes.extend_from_slice(&size(name));
        bytes.extend_from_slice(&size(value));
    }
    for (name, value) in headers {
        for field in [name, value] {
            bytes.extend_from_slice(field.as_bytes());
            bytes.push(0);
        }
    }
    bytes
}

/// A property; its path has a NUL between parts.
pub(crate) fn property(path: &str) -> Result<Vec<u8>, Status> {
    let (mut data, mut size) = (null_mut(), 0);
    // SAFETY: the host reads the path, and writes a pointer and a size, see `take`.
    Status::check(unsafe { proxy_get_property(path.as_ptr(), path.len(), &raw mut data, &raw mut size) })?;
    Ok(take(data, size))
}

/// A shared value and its version.
pub(crate) fn shared(key: &str) -> Result<(Vec<u8>, u32), Status> {
    let (mut data, mut size, mut version) = (null_mut(), 0, 0);
    // SAFETY: the host reads the key, and writes a pointer, a size and a version, see `take`.
    Status::check(unsafe {
        proxy_get_shared_data(key.as_ptr(), key.len(), &raw mut data, &raw mut size, &raw mut version)
    })?;
    Ok((take(data, size), version))
}

/// Replaces a shared value. Envoy ignores the version of a key that is not there, and a version of zero.
pub(crate) fn set_shared(key: &str, value: &[u8], version: u32) -> Result<(), Status> {
    // SAFETY: the host only reads.
    Status::check(unsafe {
        proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), version)
    })
}

/// Calls one of the functions that only some hosts have.
pub(crate) fn foreign(name: &str, arguments: &[u8]) -> Result<Vec<u8>, Status> {
    let (mut data, mut size) = (null_mut(), 0);
    // SAFETY: the host reads name and arguments, and writes a pointer and a size, see `take`.
    Status::check(unsafe {
        proxy_call_foreign_function(
            name.as_ptr(),
            name.len(),
            arguments.as_ptr(),
            arguments.len(),
            &raw mut data,
            &raw mut size,
        )
    })?;
    Ok(take(data, size))
}

/// Which metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Metric {
    Counter = 0,
    Gauge = 1,
}

/// Defines a metric, or finds the one of this name.
pub(crate) fn define(metric: Metric, name: &str) -> Result<u32, Status> {
    let mut id = 0;
    // SAFETY: the host reads the name and writes one `u32`.
    Status::check(unsafe { proxy_define_metric(metric as u32, name.as_ptr(), name.len(), &raw mut id) })?;
    Ok(id)
}

/// Sets a gauge.
pub(crate) fn record(gauge: u32, value: u64) {
    // SAFETY: no memory is involved.
    let _ = unsafe { proxy_record_metric(gauge, value) };
}

/// Asks for ticks of the root context that is called just now.
pub(crate) fn set_tick_period(milliseconds: u32) -> Result<(), Status> {
    // SAFETY: no memory is involved.
    Status::check(unsafe { proxy_set_tick_period_milliseconds(milliseconds) })
}

/// Sends a request without body to a cluster, and gives the token with which the answer comes.
pub(crate) fn http_call(cluster: &str, headers: &[(&str, &str)], timeout: u32) -> Result<u32, Status> {
    let (headers, none) = (serialise(headers), serialise(&[]));
    let mut token = 0;
    // SAFETY: the host reads all of it and writes one `u32`.
    Status::check(unsafe {
        proxy_http_call(
            cluster.as_ptr(),
            cluster.len(),
            headers.as_ptr(),
            headers.len(),
            none.as_ptr(),
            0,
            none.as_ptr(),
            none.len(),
            timeout,
            &raw mut token,
        )
    })?;
    Ok(token)
}

/// The answer of a call. The SDK's own callback panics on a token that it has not given out itself, so the
/// export gets the name of the ABI when the module is trimmed (test-harness/tools/exports.py).
#[unsafe(no_mangle)]
extern "C" fn bartizan_on_http_call_response(root: u32, token: u32, headers: u32, body: usize, _: u32) {
    crate::root::answered(root, token, headers > 0, body);
}

thread_local! {
    /// Whether the callback that runs asks for [`stop_at_watermark`].
    static AT_WATERMARK: Cell<bool> = const { Cell::new(false) };
}

/// What the ABI calls "stop iteration and watermark" (2) for a piece of a body; the SDK has no word for it.
const STOP_AT_WATERMARK: u32 = 2;

/// A pause that the callback for the body returns now lets the proxy stop reading when it has as much as it may buffer. With
/// the usual pause it would refuse a larger body, and show all of it to the filter.
pub(crate) fn stop_at_watermark() {
    AT_WATERMARK.set(true);
}

/// The SDK's callback for the body, with an answer more; it gets its name as the one above.
#[unsafe(no_mangle)]
extern "C" fn bartizan_on_request_body(context: u32, size: usize, end: u32) -> u32 {
    // SAFETY: it is the SDK's own export, declared with its very types; no memory is handed over.
    let action = unsafe { proxy_on_request_body(context, size, end != 0) };
    match action {
        Action::Pause if AT_WATERMARK.replace(false) => STOP_AT_WATERMARK,
        action => action as u32,
    }
}

/// Counts one.
pub(crate) fn count(counter: u32) {
    // SAFETY: no memory is involved.
    let _ = unsafe { proxy_increment_metric(counter, 1) };
}
