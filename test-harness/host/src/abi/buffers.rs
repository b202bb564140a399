//! Bodies, configurations and the answers of callouts as buffers.

use super::{Functions, offer};
use crate::Status;

pub(super) fn register(functions: &mut Functions) -> wasmtime::Result<()> {
    offer! { functions;
        "proxy_get_buffer_bytes" => |host, buffer: u32, start: u32, length: u32, address_at: u32, length_at: u32| {
            let bytes = host.state().buffer(buffer)?;
            // Behind the end there is nothing.
            let rest = bytes.get(start as usize..).unwrap_or_default();
            let part = rest.get(..length as usize).unwrap_or(rest).to_vec();
            host.hand_over(&part, address_at, length_at)
        };
        "proxy_get_buffer_status" => |host, buffer: u32, length_at: u32, flags_at: u32| {
            let length = host.state().buffer(buffer)?.len();
            host.write_u32(length_at, u32::try_from(length).unwrap_or(u32::MAX))?;
            host.write_u32(flags_at, 0)
        };
        "proxy_set_buffer_bytes" => |host, buffer: u32, start: u32, length: u32, data: u32, data_length: u32| {
            host.state().buffer(buffer)?;
            let data = host.read(data, data_length)?;
            let bytes = host.state().buffer_mut(buffer).ok_or(Status::BadArgument)?;
            Ok(edit(bytes, start as usize, length as usize, &data)?)
        };
    }
    Ok(())
}

/// `Buffer::copyFrom` of Envoy's `common/wasm/context.cc`: something at the front is replaced, or something is
/// put at the end; the middle cannot be edited.
fn edit(bytes: &mut Vec<u8>, start: usize, length: usize, data: &[u8]) -> Result<(), Status> {
    if start == 0 {
        let replaced = length.min(bytes.len());
        bytes.splice(..replaced, data.iter().copied());
        Ok(())
    } else if start >= bytes.len() {
        bytes.extend_from_slice(data);
        Ok(())
    } else {
        Err(Status::BadArgument)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(start: usize, length: usize) -> Result<String, Status> {
        let mut bytes = b"abcd".to_vec();
        edit(&mut bytes, start, length, b"XY")?;
        Ok(String::from_utf8(bytes).expect("letters"))
    }

    #[test]
    fn the_front_is_replaced_the_end_extended_and_the_middle_refused() {
        assert_eq!(edited(0, 0).as_deref(), Ok("XYabcd"));
        assert_eq!(edited(0, 1).as_deref(), Ok("XYbcd"));
        assert_eq!(edited(0, 4).as_deref(), Ok("XY"));
        assert_eq!(edited(0, 99).as_deref(), Ok("XY"));
        assert_eq!(edited(4, 0).as_deref(), Ok("abcdXY"));
        assert_eq!(edited(99, 7).as_deref(), Ok("abcdXY"));
        assert_eq!(edited(3, 1), Err(Status::BadArgument));
    }
}
