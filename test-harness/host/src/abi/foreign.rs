//! Foreign functions.

use super::{Functions, Stop, offer};
use crate::Status;
use crate::foreign::{self, ForeignContext};
use crate::properties::{ConnectionState, FilterState, LifeSpan, Prototype};
use crate::vm::State;

pub(super) fn register(functions: &mut Functions) -> wasmtime::Result<()> {
    offer! { functions;
        "proxy_call_foreign_function" => |host, name: u32, name_length: u32, arguments: u32, arguments_length: u32,
                address_at: u32, length_at: u32| {
            let (name, arguments) = (host.read(name, name_length)?, host.read(arguments, arguments_length)?);
            host.charge(work_of(&name, arguments.len()))?;
            let result = foreign::call(&name, &arguments, host.state());
            if result == Err(Status::NotFound) && !foreign::NAMES.iter().any(|known| known.as_bytes() == name) {
                return Err(Status::NotFound.into());
            }
            // Envoy writes address and length whatever the function answers, unless the module does not want them.
            let bytes = result.as_deref().unwrap_or_default();
            if address_at != 0 {
                let address = if bytes.is_empty() { 0 } else { host.place(bytes)? };
                host.write_u32(address_at, address)?;
            }
            if length_at != 0 {
                host.write_u32(length_at, u32::try_from(bytes.len()).unwrap_or(u32::MAX))?;
            }
            result.map(drop).map_err(Stop::from)
        };
    }
    Ok(())
}

/// What a foreign function costs beyond the bytes it is given and gives: about its time, in units of fuel.
fn work_of(name: &[u8], length: usize) -> u64 {
    match name {
        b"sign" => 10_000_000,
        b"verify_signature" => 1_000_000,
        b"compress" => (length as u64).saturating_mul(100),
        // A bomb makes a thousand bytes of each of its own.
        b"uncompress" => (length as u64).saturating_mul(1000),
        _ => 0,
    }
}

impl ForeignContext for State {
    fn declare_property(&mut self, name: &[u8], prototype: Prototype) -> Result<(), Status> {
        let context = self.context();
        self.prototypes_mut(context).ok_or(Status::BadArgument)?.declare(name, prototype)
    }

    fn set_filter_state(&mut self, name: &[u8], value: &[u8], span: LifeSpan) -> Result<(), Status> {
        let context = self.context();
        match self.exchange_mut(context) {
            Some(exchange) => exchange.filter_state.set_object(name, value, span),
            None => {
                // Name and value are looked at first, on a state that nobody sees.
                FilterState::new(ConnectionState::default()).set_object(name, value, span)?;
                Err(Status::NotFound)
            }
        }
    }

    /// There are no routes here to choose anew.
    fn clear_route_cache(&mut self) {}
}
