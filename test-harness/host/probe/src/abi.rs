//! Envoy's host functions, bare, and calls of them that say what came out.

/// Addresses and lengths that the host writes.
pub(crate) type At = *mut usize;

macro_rules! host {
    ($module:literal; $( $name:ident($($arg:ident: $ty:ty),*); )*) => {
        #[link(wasm_import_module = $module)]
        unsafe extern "C" {
            $( pub(crate) fn $name($($arg: $ty),*) -> u32; )*
        }
    };
}

host! { "env";
    proxy_log(level: u32, text: usize, length: usize);
    proxy_get_log_level(at: At);
    proxy_get_current_time_nanoseconds(at: *mut u64);
    proxy_set_tick_period_milliseconds(period: u32);
    proxy_set_effective_context(context: u32);
    proxy_done();
    proxy_add_header_map_value(map: u32, name: usize, name_length: usize, value: usize, length: usize);
    proxy_replace_header_map_value(map: u32, name: usize, name_length: usize, value: usize, length: usize);
    proxy_remove_header_map_value(map: u32, name: usize, name_length: usize);
    proxy_get_header_map_value(map: u32, name: usize, name_length: usize, at: At, length: At);
    proxy_get_header_map_pairs(map: u32, at: At, length: At);
    proxy_set_header_map_pairs(map: u32, pairs: usize, length: usize);
    proxy_get_header_map_size(map: u32, at: At);
    proxy_get_buffer_bytes(buffer: u32, start: u32, most: u32, at: At, length: At);
    proxy_get_buffer_status(buffer: u32, length: At, flags: At);
    proxy_set_buffer_bytes(buffer: u32, start: u32, most: u32, bytes: usize, length: usize);
    proxy_get_shared_data(key: usize, key_length: usize, at: At, length: At, version: At);
    proxy_set_shared_data(key: usize, key_length: usize, value: usize, length: usize, version: u32);
    proxy_register_shared_queue(name: usize, name_length: usize, token: At);
    proxy_resolve_shared_queue(vm: usize, vm_length: usize, name: usize, name_length: usize, token: At);
    proxy_enqueue_shared_queue(token: u32, item: usize, length: usize);
    proxy_dequeue_shared_queue(token: u32, at: At, length: At);
    proxy_define_metric(kind: u32, name: usize, length: usize, id: At);
    proxy_increment_metric(id: u32, by: i64);
    proxy_record_metric(id: u32, value: u64);
    proxy_get_metric(id: u32, value: *mut u64);
    proxy_get_property(path: usize, path_length: usize, at: At, length: At);
    proxy_set_property(path: usize, path_length: usize, value: usize, length: usize);
    proxy_http_call(cluster: usize, cluster_length: usize, headers: usize, headers_length: usize, body: usize,
        body_length: usize, trailers: usize, trailers_length: usize, timeout: u32, token: At);
    proxy_grpc_call(service: usize, service_length: usize, name: usize, name_length: usize, method: usize,
        method_length: usize, metadata: usize, metadata_length: usize, message: usize, length: usize, timeout: u32,
        token: At);
    proxy_grpc_stream(service: usize, service_length: usize, name: usize, name_length: usize, method: usize,
        method_length: usize, metadata: usize, metadata_length: usize, token: At);
    proxy_grpc_send(token: u32, message: usize, length: usize, end: u32);
    proxy_grpc_close(token: u32);
    proxy_grpc_cancel(token: u32);
    proxy_get_status(code: At, at: At, length: At);
    proxy_call_foreign_function(name: usize, name_length: usize, arguments: usize, arguments_length: usize, at: At,
        length: At);
    proxy_send_local_response(status: u32, details: usize, details_length: usize, body: usize, length: usize,
        headers: usize, headers_length: usize, grpc: u32);
    proxy_continue_stream(stream: u32);
    proxy_close_stream(stream: u32);
}

host! { "wasi_snapshot_preview1";
    fd_write(file: u32, pieces: usize, count: u32, written: At);
    fd_read(file: u32, pieces: usize, count: u32, read: At);
    fd_seek(file: u32, offset: i64, whence: u32, at: At);
    fd_close(file: u32);
    fd_fdstat_get(file: u32, at: usize);
    fd_prestat_get(file: u32, at: usize);
    fd_prestat_dir_name(file: u32, at: usize, length: usize);
    environ_get(addresses: usize, text: usize);
    environ_sizes_get(count: At, size: At);
    args_get(addresses: usize, text: usize);
    args_sizes_get(count: At, size: At);
    clock_time_get(clock: u32, precision: u64, at: *mut u64);
    random_get(at: usize, length: usize);
}

/// An address where the module has no memory.
pub(crate) const NOWHERE: usize = 0xffff_fff0;

/// Address and length of some bytes.
pub(crate) fn at(bytes: &[u8]) -> (usize, usize) {
    (bytes.as_ptr() as usize, bytes.len())
}

/// A status, and the bytes that came with it. The host had them allocated here, so they are ours.
pub(crate) fn given(call: impl FnOnce(At, At) -> u32) -> (u32, Vec<u8>) {
    let (mut address, mut length) = (0, 0);
    let status = call(&raw mut address, &raw mut length);
    if status != 0 || address == 0 || length == 0 {
        return (status, Vec::new());
    }
    // SAFETY: the host copied this many bytes to memory that `proxy_on_memory_allocate` gave it.
    let bytes = unsafe { Vec::from_raw_parts(address as *mut u8, length, length) };
    (status, bytes)
}

/// A status, and the number that came with it.
pub(crate) fn number(call: impl FnOnce(At) -> u32) -> (u32, usize) {
    let mut number = 0;
    let status = call(&raw mut number);
    (status, number)
}

/// A list of pairs in the form of the ABI.
pub(crate) fn pairs(list: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut out = (list.len() as u32).to_le_bytes().to_vec();
    for (name, value) in list {
        out.extend((name.len() as u32).to_le_bytes());
        out.extend((value.len() as u32).to_le_bytes());
    }
    for (name, value) in list {
        out.extend_from_slice(name);
        out.push(0);
        out.extend_from_slice(value);
        out.push(0);
    }
    out
}

/// The names of a list of pairs, for a line.
pub(crate) fn names(bytes: &[u8]) -> Vec<u8> {
    let word = |at: usize| {
        bytes.get(at..at + 4).map_or(0, |b| b.iter().rev().fold(0, |n, b| n << 8 | usize::from(*b)))
    };
    let count = word(0);
    let (mut text, mut out) = (4 + count * 8, Vec::new());
    for place in 0..count {
        let (name, value) = (word(4 + place * 8), word(8 + place * 8));
        out.extend_from_slice(bytes.get(text..text + name).unwrap_or_default());
        out.push(b' ');
        text += name + value + 2;
    }
    out
}
