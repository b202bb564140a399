//! Header maps and bodies: read, changed, misused.

use super::{BUFFERS, MAPS};
use crate::Here;
use crate::abi::{self, NOWHERE, at, given, names, pairs};

pub(super) fn header(map: u32, name: &[u8]) -> (u32, Vec<u8>) {
    let (name, length) = at(name);
    // SAFETY: the name lives until the call returns.
    given(|address, size| unsafe { abi::proxy_get_header_map_value(map, name, length, address, size) })
}

pub(super) fn maps(here: &Here) {
    let ((name, length), (value, size)) = (at(b"X-Added"), at(b"1"));
    let mixed = pairs(&[(b"x-set", b"a"), (b"x-set", b"b")]);
    let (broken, broken_length) = at(mixed.split_last().map_or(&[], |(_, rest)| rest));
    let ((mixed, mixed_length), (joined, joined_length)) = (at(&mixed), at(b"accept"));
    for map in MAPS {
        // SAFETY: names and values live until the calls return, or are where no memory is.
        unsafe {
            let tell = |what: &str, status| here.tell(&format!("map {map} {what}"), status, "");
            tell("add", abi::proxy_add_header_map_value(map, name, length, value, size));
            tell("add again", abi::proxy_add_header_map_value(map, name, length, value, size));
            tell("add to one", abi::proxy_add_header_map_value(map, joined, joined_length, value, size));
            tell("add to one", abi::proxy_add_header_map_value(map, joined, joined_length, value, size));
            tell("add from nowhere", abi::proxy_add_header_map_value(map, NOWHERE, 32, value, size));
            tell("replace", abi::proxy_replace_header_map_value(map, name, length, value, 0));
            tell("replace with nothing", abi::proxy_replace_header_map_value(map, name, length, NOWHERE, 32));
            let (status, list) = given(|address, size| abi::proxy_get_header_map_pairs(map, address, size));
            here.tell(&format!("map {map} pairs"), status, names(&list));
            tell("remove", abi::proxy_remove_header_map_value(map, name, length));
            tell("remove again", abi::proxy_remove_header_map_value(map, name, length));
            tell("remove from nowhere", abi::proxy_remove_header_map_value(map, NOWHERE, 32));
            tell(
                "get to nowhere",
                abi::proxy_get_header_map_value(map, joined, joined_length, NOWHERE as _, NOWHERE as _),
            );
            tell("pairs to nowhere", abi::proxy_get_header_map_pairs(map, NOWHERE as _, NOWHERE as _));
            tell("size to nowhere", abi::proxy_get_header_map_size(map, NOWHERE as _));
            tell("set from nowhere", abi::proxy_set_header_map_pairs(map, NOWHERE, 32));
            let (status, value) = header(map, b"accept");
            here.tell(&format!("map {map} joined"), status, value);
            tell("remove joined", abi::proxy_remove_header_map_value(map, joined, joined_length));
            // Trailers may be lost without harm.
            if map == 1 || map == 3 || map > 7 {
                tell("set", abi::proxy_set_header_map_pairs(map, mixed, mixed_length));
                let (status, list) =
                    given(|address, size| abi::proxy_get_header_map_pairs(map, address, size));
                here.tell(&format!("map {map} pairs"), status, names(&list));
                tell("set what is cut off", abi::proxy_set_header_map_pairs(map, broken, broken_length));
                let (status, list) =
                    given(|address, size| abi::proxy_get_header_map_pairs(map, address, size));
                here.tell(&format!("map {map} pairs"), status, names(&list));
            }
        }
    }
}

pub(super) fn buffers(here: &Here) {
    let (bytes, length) = at(b"PROBE");
    for buffer in BUFFERS {
        // SAFETY: the bytes live until the calls return, or are where no memory is.
        unsafe {
            let tell = |what: &str, status| here.tell(&format!("buffer {buffer} {what}"), status, "");
            tell("get to nowhere", abi::proxy_get_buffer_bytes(buffer, 0, 4, NOWHERE as _, NOWHERE as _));
            tell("status to nowhere", abi::proxy_get_buffer_status(buffer, NOWHERE as _, NOWHERE as _));
            tell("set from nowhere", abi::proxy_set_buffer_bytes(buffer, 0, 4, NOWHERE, 32));
            tell("set in the middle", abi::proxy_set_buffer_bytes(buffer, 2, 1, bytes, length));
            tell("set in front", abi::proxy_set_buffer_bytes(buffer, 0, 0, bytes, length));
            tell("set the front", abi::proxy_set_buffer_bytes(buffer, 0, 2, bytes, length));
            tell("set behind", abi::proxy_set_buffer_bytes(buffer, 5000, 2, bytes, length));
            tell("set nothing", abi::proxy_set_buffer_bytes(buffer, 0, 3, bytes, 0));
            let (status, bytes) =
                given(|address, size| abi::proxy_get_buffer_bytes(buffer, 0, 99, address, size));
            here.tell(&format!("buffer {buffer} then"), status, bytes);
        }
    }
}

/// Edits headers and bodies, so that client and upstream see it.
pub(crate) fn edit(here: &Here) {
    let map = match here.name() {
        "request_headers" => 0,
        "request_trailers" => 1,
        "response_headers" => 2,
        "response_trailers" => 3,
        _ => 8,
    };
    let ((name, length), (value, size)) = (at(b"x-edited"), at(b"by the probe"));
    let (bytes, bytes_length) = at(b"EDITED");
    // SAFETY: names and values live until the calls return.
    unsafe {
        here.tell("edit", abi::proxy_add_header_map_value(map, name, length, value, size), "");
        let buffer = u32::from(here.name().starts_with("response"));
        here.tell("edit body", abi::proxy_set_buffer_bytes(buffer, 0, 2, bytes, bytes_length), "");
    }
}
