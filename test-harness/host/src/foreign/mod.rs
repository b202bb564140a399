//! Foreign functions: what Envoy offers to modules beyond the ABI (`proxy_call_foreign_function`).
//!
//! Arguments and results are protobuf messages, or plain bytes for the two about compression. Source:
//! `source/extensions/common/wasm/foreign.cc` in Envoy, and the messages in `ext/*.proto` beside it. Statuses and error
//! texts were compared with Envoy 1.40.0.
//!
//! Envoy also has `expr_create`, `expr_evaluate` and `expr_delete`, which run CEL. They need the whole language and
//! answer [`Status::Unimplemented`] here, so that nobody takes them for absent.

mod keys;
mod sign;
mod verify;
mod zlib;

use crate::properties::{LifeSpan, Prototype, StateType};
use crate::{Status, protobuf};

/// The functions that this host has.
pub const NAMES: [&str; 7] = [
    "clear_route_cache",
    "compress",
    "declare_property",
    "set_envoy_filter_state",
    "sign",
    "uncompress",
    "verify_signature",
];

/// What foreign functions do to the context that calls them.
pub trait ForeignContext {
    /// Declares a property in the current context, see [`Prototypes`](crate::properties::Prototypes).
    ///
    /// # Errors
    /// [`Status::BadArgument`] if it is declared already.
    fn declare_property(&mut self, name: &[u8], prototype: Prototype) -> Result<(), Status>;

    /// Sets an object in the filter state of the stream, see
    /// [`FilterState::set_object`](crate::properties::FilterState::set_object). Without a stream Envoy looks at name
    /// and value first, with the same errors, and then answers `NotFound`.
    ///
    /// # Errors
    /// [`Status::NotFound`] for an unknown name or without a stream, [`Status::BadArgument`] for a wrong value.
    fn set_filter_state(&mut self, name: &[u8], value: &[u8], span: LifeSpan) -> Result<(), Status>;

    /// Has the route chosen anew. Without a stream it does nothing.
    fn clear_route_cache(&mut self);
}

/// Calls a foreign function and gives its result, which is empty for those that only do something.
///
/// # Errors
/// [`Status::NotFound`] if there is no such function, [`Status::BadArgument`] if the arguments cannot be read,
/// [`Status::Unimplemented`] for what Envoy can and this host cannot, and what the functions say themselves.
pub fn call(name: &[u8], arguments: &[u8], context: &mut dyn ForeignContext) -> Result<Vec<u8>, Status> {
    match name {
        b"verify_signature" => verify::verify_signature(arguments),
        b"sign" => sign::sign(arguments),
        b"compress" => Ok(zlib::compress(arguments)),
        b"uncompress" => zlib::uncompress(arguments),
        b"declare_property" => declare_property(arguments, context),
        b"set_envoy_filter_state" => set_envoy_filter_state(arguments, context),
        b"clear_route_cache" => {
            context.clear_route_cache();
            Ok(Vec::new())
        }
        b"expr_create" | b"expr_evaluate" | b"expr_delete" => Err(Status::Unimplemented),
        _ => Err(Status::NotFound),
    }
}

/// {1: name, 2: bool read-only, 3: type, 4: schema, 5: life span}
fn declare_property(arguments: &[u8], context: &mut dyn ForeignContext) -> Result<Vec<u8>, Status> {
    let fields = protobuf::fields(arguments).ok_or(Status::BadArgument)?;
    let name = protobuf::text(&fields, 1).ok_or(Status::BadArgument)?;
    let prototype = Prototype {
        readonly: protobuf::number(&fields, 2) != 0,
        state_type: StateType::from_number(protobuf::number(&fields, 3)),
        schema: protobuf::bytes(&fields, 4).to_vec(),
        life_span: LifeSpan::from_number(protobuf::number(&fields, 5)),
    };
    context.declare_property(name.as_bytes(), prototype)?;
    Ok(Vec::new())
}

/// {1: name, 2: value, 3: life span}
fn set_envoy_filter_state(arguments: &[u8], context: &mut dyn ForeignContext) -> Result<Vec<u8>, Status> {
    let fields = protobuf::fields(arguments).ok_or(Status::BadArgument)?;
    let name = protobuf::text(&fields, 1).ok_or(Status::BadArgument)?;
    let value = protobuf::text(&fields, 2).ok_or(Status::BadArgument)?;
    let span = LifeSpan::from_number(protobuf::number(&fields, 3));
    context.set_filter_state(name.as_bytes(), value.as_bytes(), span)?;
    Ok(Vec::new())
}

#[cfg(test)]
mod tests;
