//! Properties.

use super::{Functions, offer};

pub(super) fn register(functions: &mut Functions) -> wasmtime::Result<()> {
    offer! { functions;
        "proxy_get_property" => |host, path: u32, path_length: u32, address_at: u32, length_at: u32| {
            let path = host.read(path, path_length)?;
            let value = host.state().property(&path)?;
            host.hand_over(&value, address_at, length_at)
        };
        "proxy_set_property" => |host, path: u32, path_length: u32, value: u32, length: u32| {
            let (path, value) = (host.read(path, path_length)?, host.read(value, length)?);
            Ok(host.state().set_property(&path, &value)?)
        };
    }
    Ok(())
}
