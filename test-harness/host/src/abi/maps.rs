//! Header maps: requests, responses, trailers.
//!
//! Envoy keeps a pointer to each map for as long as the filter may use it: from the callback that brings the map
//! until a callback answers `Continue`. Afterwards writing is `BadArgument`, reading one value is `BadArgument`
//! too (`NotFound` while the access log is written), and reading the whole map gives an empty one. Source:
//! `getMap`, `getConstMap`, `decodeHeaders` and their kin in Envoy's `common/wasm/context.cc`.

use super::{Functions, offer};
use crate::Status;
use crate::pairs;

pub(super) fn register(functions: &mut Functions) -> wasmtime::Result<()> {
    offer! { functions;
        "proxy_add_header_map_value" => |host, map: u32, name: u32, name_length: u32, value: u32, value_length: u32| {
            map_exists(map)?;
            let (name, value) = (host.read(name, name_length)?, host.read(value, value_length)?);
            host.state().map_mut(map).ok_or(Status::BadArgument)?.add(name, value);
            Ok(())
        };
        "proxy_replace_header_map_value" => |host, map: u32, name: u32, name_length: u32, value: u32, value_length: u32| {
            map_exists(map)?;
            let (name, value) = (host.read(name, name_length)?, host.read(value, value_length)?);
            host.state().map_mut(map).ok_or(Status::BadArgument)?.set(name, value);
            Ok(())
        };
        "proxy_remove_header_map_value" => |host, map: u32, name: u32, name_length: u32| {
            map_exists(map)?;
            let name = host.read(name, name_length)?;
            host.state().map_mut(map).ok_or(Status::BadArgument)?.remove(name);
            Ok(())
        };
        "proxy_get_header_map_value" => |host, map: u32, name: u32, name_length: u32, address_at: u32, length_at: u32| {
            map_exists(map)?;
            let name = host.read(name, name_length)?;
            let value = host.state().header(map, &name)?;
            host.hand_over(&value, address_at, length_at)
        };
        "proxy_get_header_map_pairs" => |host, map: u32, address_at: u32, length_at: u32| {
            map_exists(map)?;
            let bytes = host.state().map(map).map(|map| pairs::encode_map(map.as_pairs())).unwrap_or_default();
            host.hand_over(&bytes, address_at, length_at)
        };
        "proxy_set_header_map_pairs" => |host, map: u32, address: u32, length: u32| {
            map_exists(map)?;
            let bytes = host.read(address, length)?;
            host.state().map_mut(map).ok_or(Status::BadArgument)?.replace_all(pairs::decode(&bytes));
            Ok(())
        };
        "proxy_get_header_map_size" => |host, map: u32, at: u32| {
            map_exists(map)?;
            let size = host.state().map_mut(map).ok_or(Status::BadArgument)?.byte_size();
            host.write_u32(at, u32::try_from(size).unwrap_or(u32::MAX))
        };
    }
    Ok(())
}

/// `WasmHeaderMapType` ends at 7.
fn map_exists(map: u32) -> Result<(), Status> {
    if map > 7 { Err(Status::BadArgument) } else { Ok(()) }
}
