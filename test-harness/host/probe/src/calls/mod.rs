//! The calls. What differs from run to run (times, ports, ids) is told by its length or not at all.

mod callouts;
mod outside;
mod properties;
mod stores;
mod streams;

pub(crate) use callouts::{everything_delivered, grpc, grpc_stream, http};
pub(crate) use streams::edit;

use crate::Here;
use crate::abi::{self, NOWHERE, at, given, names, number};
use properties::{LENGTHS, TEXTS, property};
use streams::header;

const MAPS: [u32; 9] = [0, 1, 2, 3, 4, 5, 6, 7, 8];
const BUFFERS: [u32; 10] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

/// Whether this is the VM that comes first. The main thread keeps it in shared data, which all have in common.
pub(crate) fn first() -> bool {
    let ((key, length), (value, size)) = (at(b"probe first"), at(b"x"));
    // SAFETY: key and value live until the calls return.
    unsafe {
        let (absent, _) =
            given(|address, size| abi::proxy_get_shared_data(key, length, address, size, &raw mut ANY));
        abi::proxy_set_shared_data(key, length, value, size, 0);
        absent != 0
    }
}

/// Numbers that nobody wants to know. A module has one thread.
static mut ANY: usize = 0;

/// What changes nothing, in any callback: which maps, buffers and properties are in reach.
pub(crate) fn some(here: &Here) {
    for map in MAPS {
        for name in [&b":path"[..], b":status", b"x-probe", b"absent"] {
            let (status, value) = header(map, name);
            here.tell(&format!("map {map} get {}", name.escape_ascii()), status, value);
        }
        // SAFETY: the host writes to addresses that are ours.
        let (status, list) =
            given(|address, size| unsafe { abi::proxy_get_header_map_pairs(map, address, size) });
        here.tell(&format!("map {map} pairs"), status, names(&list));
        // SAFETY: as above.
        let (status, size) = number(|size| unsafe { abi::proxy_get_header_map_size(map, size) });
        here.tell(&format!("map {map} size"), status, (size > 0).to_string());
    }
    for buffer in BUFFERS {
        for (start, most) in [(0, 9), (3, 2), (1000, 5), (0, u32::MAX)] {
            // SAFETY: as above.
            let (status, bytes) = given(|address, size| unsafe {
                abi::proxy_get_buffer_bytes(buffer, start, most, address, size)
            });
            here.tell(&format!("buffer {buffer} get {start} {most}"), status, bytes);
        }
        let mut flags = 7;
        // SAFETY: as above.
        let (status, length) =
            number(|size| unsafe { abi::proxy_get_buffer_status(buffer, size, &raw mut flags) });
        here.tell(&format!("buffer {buffer} status"), status, format!("{length} {flags}"));
    }
    for path in TEXTS {
        let (status, value) = property(path.replace('.', "\0").as_bytes());
        here.tell(&format!("property {path}"), status, value);
    }
    for path in LENGTHS {
        let (status, value) = property(path.replace('.', "\0").as_bytes());
        here.tell(&format!("property {path}"), status, format!("of {} bytes", value.len()));
    }
}

/// Every function, good calls and bad ones.
pub(crate) fn everything(here: &Here) {
    some(here);
    streams::maps(here);
    streams::buffers(here);
    general(here);
    stores::shared(here);
    stores::queues(here);
    stores::metrics(here);
    properties::properties(here);
    callouts::callouts(here);
    outside::foreign_functions(here);
    outside::wasi(here);
    some(here);
}

fn general(here: &Here) {
    let mut time = 0_u64;
    // SAFETY: the host writes to addresses that are ours, or where no memory is.
    unsafe {
        here.tell("log from nowhere", abi::proxy_log(2, NOWHERE, 32), "");
        here.tell("log at level 6", abi::proxy_log(6, 0, 0), "");
        here.tell("log level to nowhere", abi::proxy_get_log_level(NOWHERE as _), "");
        let (status, level) = number(|level| abi::proxy_get_log_level(level));
        here.tell("log level", status, level.to_string());
        here.tell(
            "time",
            abi::proxy_get_current_time_nanoseconds(&raw mut time),
            (time > 1 << 60).to_string(),
        );
        here.tell("time to nowhere", abi::proxy_get_current_time_nanoseconds(NOWHERE as _), "");
        here.tell("no ticks", abi::proxy_set_tick_period_milliseconds(0), "");
        here.tell("effective context 0", abi::proxy_set_effective_context(0), "");
        here.tell("effective context 99999", abi::proxy_set_effective_context(99_999), "");
        here.tell("done", abi::proxy_done(), "");
        for stream in [2, 3, 4, u32::MAX] {
            here.tell(&format!("continue {stream}"), abi::proxy_continue_stream(stream), "");
            here.tell(&format!("close {stream}"), abi::proxy_close_stream(stream), "");
        }
        let reply = abi::proxy_send_local_response;
        here.tell("reply from nowhere", reply(403, NOWHERE, 32, 0, 0, 0, 0, 0), "");
        here.tell("reply from nowhere", reply(403, 0, 0, NOWHERE, 32, 0, 0, 0), "");
        here.tell("reply from nowhere", reply(403, 0, 0, 0, 0, NOWHERE, 32, 0), "");
    }
}
