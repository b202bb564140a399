//! What is not a host function of the ABI proper: foreign functions and WASI.

use crate::Here;
use crate::abi::{self, NOWHERE, at, given};

fn foreign(name: &[u8], arguments: &[u8]) -> (u32, Vec<u8>) {
    let ((name, length), (arguments, size)) = (at(name), at(arguments));
    // SAFETY: name and arguments live until the call returns.
    given(|address, out| unsafe {
        abi::proxy_call_foreign_function(name, length, arguments, size, address, out)
    })
}

pub(super) fn foreign_functions(here: &Here) {
    let tell = |name: &str, arguments: &[u8]| {
        let (status, result) = foreign(name.as_bytes(), arguments);
        here.tell(&format!("foreign {name} {}", arguments.escape_ascii()), status, result);
    };
    tell("nothing_of_that_name", b"");
    let (status, packed) = foreign(b"compress", b"probe probe probe");
    here.tell("foreign compress", status, "");
    let (status, unpacked) = foreign(b"uncompress", &packed);
    here.tell("foreign uncompress", status, unpacked);
    tell("uncompress", b"this is not compressed");
    tell("verify_signature", b"");
    tell("verify_signature", b"\xff\xff");
    tell("verify_signature", b"\x0a\x06sha256\x12\x03abc\x1a\x03sig\x22\x04text");
    tell("verify_signature", b"\x0a\x03md5\x12\x03abc\x1a\x03sig\x22\x04text");
    tell("sign", b"");
    tell("sign", b"\x0a\x06sha256\x12\x03abc\x1a\x04text");
    tell("declare_property", b"\xff");
    let declared = format!("\x0a{}p{}\x10\x01", char::from(here.name().len() as u8 + 1), here.name());
    tell("declare_property", declared.as_bytes());
    tell("declare_property", declared.as_bytes());
    tell("set_envoy_filter_state", b"\xff");
    tell("set_envoy_filter_state", b"\x0a\x04none\x12\x01x");
    tell("set_envoy_filter_state", b"\x0a\x0cenvoy.string\x12\x01x");
    tell("clear_route_cache", b"");
    tell("expr_create", b"1");
    // SAFETY: these are addresses where no memory is.
    unsafe {
        let call = abi::proxy_call_foreign_function;
        here.tell("foreign from nowhere", call(NOWHERE, 32, 0, 0, NOWHERE as _, NOWHERE as _), "");
    }
}

pub(super) fn wasi(here: &Here) {
    let mut number = 0_usize;
    let mut time = 0_u64;
    let (bytes, _) = at(&[0; 64]);
    let (text, length) = at(b"probe standard output\n");
    let piece = [text, length];
    let piece = (&raw const piece) as usize;
    // SAFETY: the host writes to addresses that are ours, or where no memory is.
    unsafe {
        let number = &raw mut number;
        for file in [0, 1, 2, 3, 99] {
            here.tell(
                &format!("fd_write {file}"),
                abi::fd_write(file, piece, 1, number),
                (*number).to_string(),
            );
            here.tell(&format!("fd_read {file}"), abi::fd_read(file, piece, 1, number), "");
            here.tell(&format!("fd_seek {file}"), abi::fd_seek(file, 0, 0, number), "");
            here.tell(&format!("fd_close {file}"), abi::fd_close(file), "");
            here.tell(&format!("fd_fdstat_get {file}"), abi::fd_fdstat_get(file, bytes), "");
            here.tell(&format!("fd_prestat_get {file}"), abi::fd_prestat_get(file, bytes), "");
            here.tell(&format!("fd_prestat_dir_name {file}"), abi::fd_prestat_dir_name(file, bytes, 9), "");
        }
        here.tell("fd_write from nowhere", abi::fd_write(1, NOWHERE, 2, number), "");
        here.tell("fd_write to nowhere", abi::fd_write(1, piece, 0, NOWHERE as _), "");
        here.tell("environ_sizes_get", abi::environ_sizes_get(number, number), (*number).to_string());
        here.tell("environ_get", abi::environ_get(bytes, bytes), "");
        here.tell("environ_sizes_get to nowhere", abi::environ_sizes_get(NOWHERE as _, NOWHERE as _), "");
        here.tell("args_sizes_get", abi::args_sizes_get(number, number), (*number).to_string());
        here.tell("args_get", abi::args_get(bytes, bytes), "");
        for clock in 0..4 {
            here.tell(&format!("clock {clock}"), abi::clock_time_get(clock, 1, &raw mut time), "");
        }
        here.tell("clock to nowhere", abi::clock_time_get(0, 1, NOWHERE as _), "");
        here.tell("random_get", abi::random_get(bytes, 16), "");
        here.tell("random_get of nothing", abi::random_get(bytes, 0), "");
        here.tell("random_get to nowhere", abi::random_get(NOWHERE, 32), "");
    }
}
