//! The filter state of streams and connections: what modules set as properties, and objects of Envoy's own.
//!
//! Sources in Envoy: `setProperty`, `setEnvoyFilterState` and `declareProperty` in `common/wasm/context.cc`, `cel_state.h` in
//! `source/extensions/filters/common/expr`, `source/common/stream_info/filter_state_impl.cc`.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::value::Value;
use crate::Status;

/// How long something in the filter state lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LifeSpan {
    /// As long as the filters of a stream.
    #[default]
    FilterChain,
    /// As long as the request. It differs from the first one for internal redirects only, which are not simulated.
    Request,
    /// As long as the client's connection: the next stream of that connection finds it.
    Connection,
}

impl LifeSpan {
    /// The span of a number in the foreign functions' messages. An unknown number is the first span.
    pub const fn from_number(number: u64) -> Self {
        match number {
            1 => Self::Request,
            2 => Self::Connection,
            _ => Self::FilterChain,
        }
    }
}

/// The type of a declared property.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StateType {
    /// Bytes.
    #[default]
    Bytes,
    /// A text, which is read like bytes.
    Text,
    /// A flat buffer, whose schema is the declared one.
    FlatBuffers,
    /// A protobuf message, whose type URL is the declared schema.
    Protobuf,
}

impl StateType {
    /// The type of a number in `declare_property`. An unknown number is [`StateType::Bytes`].
    pub const fn from_number(number: u64) -> Self {
        match number {
            1 => Self::Text,
            2 => Self::FlatBuffers,
            3 => Self::Protobuf,
            _ => Self::Bytes,
        }
    }
}

/// How a property behaves once it is set. The default is for those that nobody declared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Prototype {
    /// Whether it can be set only once.
    pub readonly: bool,
    /// Its type.
    pub state_type: StateType,
    /// The schema or type URL.
    pub schema: Vec<u8>,
    /// How long it lives.
    pub life_span: LifeSpan,
}

/// What was declared in one context. Only declarations in the root context have an effect.
#[derive(Debug, Clone, Default)]
pub struct Prototypes(BTreeMap<Vec<u8>, Prototype>);

impl Prototypes {
    /// Declares a property, for the whole life of the context.
    ///
    /// # Errors
    /// [`Status::BadArgument`] if it is declared already, even in the same way.
    pub fn declare(&mut self, name: &[u8], prototype: Prototype) -> Result<(), Status> {
        if self.0.contains_key(name) {
            return Err(Status::BadArgument);
        }
        self.0.insert(name.to_vec(), prototype);
        Ok(())
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Object {
    /// A property that a module set.
    Property { prototype: Prototype, value: Vec<u8> },
    /// An object of Envoy's own, in the form in which it is read.
    Envoy(Value),
}

type Objects = BTreeMap<Vec<u8>, Object>;

/// What lives as long as a connection. Clones are handles on the same state.
#[derive(Debug, Clone, Default)]
pub struct ConnectionState(Arc<Mutex<Objects>>);

impl ConnectionState {
    fn lock(&self) -> MutexGuard<'_, Objects> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The filter state of one stream.
#[derive(Debug, Clone, Default)]
pub struct FilterState {
    own: Objects,
    connection: ConnectionState,
}

impl FilterState {
    /// The state of a new stream on this connection.
    pub const fn new(connection: ConnectionState) -> Self {
        Self { own: Objects::new(), connection }
    }

    /// Sets a property (`proxy_set_property` in a stream; without a stream it is `NotFound`).
    ///
    /// # Errors
    /// [`Status::BadArgument`] if it was declared read-only and is set already.
    pub fn set_property(&mut self, path: &[u8], value: &[u8], declared: &Prototypes) -> Result<(), Status> {
        let key = property_key(path);
        let mut shared = self.connection.lock();
        if let Some(Object::Property { prototype, value: present }) =
            self.own.get_mut(&key).or_else(|| shared.get_mut(&key))
        {
            if prototype.readonly {
                return Err(Status::BadArgument);
            }
            *present = value.to_vec();
            return Ok(());
        }
        let prototype = declared.0.get(path).cloned().unwrap_or_default();
        let objects = if prototype.life_span == LifeSpan::Connection { &mut *shared } else { &mut self.own };
        objects.insert(key, Object::Property { prototype, value: value.to_vec() });
        Ok(())
    }

    /// Sets an object of Envoy's own (`set_envoy_filter_state`).
    ///
    /// Envoy knows the names that its extensions register. These are here, with what they take: texts for
    /// `envoy.string`, `envoy.hashable_string`, `envoy.tcp_proxy.cluster`, `envoy.tcp_proxy.disable_tunneling`,
    /// `envoy.network.upstream_server_name`, `envoy.network.upstream_subject_alt_names`,
    /// `envoy.network.application_protocols` and `envoy.upstream.dynamic_host`; numbers for
    /// `envoy.tcp_proxy.per_connection_idle_timeout_ms`, `envoy.ratelimit.hits_addend` and `envoy.upstream.dynamic_port`;
    /// an address with a port for `envoy.network.transport_socket.original_dst_address` and an address without one for
    /// `envoy.network.ip`.
    ///
    /// If the name is there with the other life span nothing is set, without an error: Envoy logs a bug of its own.
    ///
    /// # Errors
    /// [`Status::NotFound`] for another name, [`Status::BadArgument`] if the name does not take the value.
    pub fn set_object(&mut self, name: &[u8], value: &[u8], span: LifeSpan) -> Result<(), Status> {
        let object = Object::Envoy(envoy_object(name, value)?);
        let mut shared = self.connection.lock();
        let (target, other) = match span {
            LifeSpan::Connection => (&mut *shared, &mut self.own),
            LifeSpan::FilterChain | LifeSpan::Request => (&mut self.own, &mut *shared),
        };
        if !other.contains_key(name) {
            target.insert(name.to_vec(), object);
        }
        Ok(())
    }

    /// A property that a module set, by the first name of a path; `last` says that no other name follows.
    pub(super) fn property(&self, name: &[u8], last: bool) -> Result<Value, Status> {
        self.read(&property_key(name), |object| match object {
            Object::Property { prototype, value } => match prototype.state_type {
                StateType::Protobuf | StateType::FlatBuffers if !last => Err(Status::Unimplemented),
                _ => Ok(Value::Text(value.clone())),
            },
            Object::Envoy(_) => Err(Status::NotFound),
        })
    }

    /// What `filter_state`, NUL, name gives. Properties have `wasm.` before their names there.
    pub(super) fn object(&self, name: &[u8]) -> Result<Value, Status> {
        self.read(name, |object| match object {
            Object::Property { prototype, value } => match prototype.state_type {
                StateType::Protobuf | StateType::FlatBuffers => Err(Status::Unimplemented),
                StateType::Bytes | StateType::Text => Ok(Value::Text(value.clone())),
            },
            Object::Envoy(value) => Ok(value.clone()),
        })
    }

    fn read(&self, key: &[u8], how: impl Fn(&Object) -> Result<Value, Status>) -> Result<Value, Status> {
        if let Some(object) = self.own.get(key) {
            return how(object);
        }
        self.connection.lock().get(key).ok_or(Status::NotFound).and_then(how)
    }
}

fn property_key(path: &[u8]) -> Vec<u8> {
    [b"wasm.", path].concat()
}

/// An object from bytes, as the factory of that name makes it.
fn envoy_object(name: &[u8], value: &[u8]) -> Result<Value, Status> {
    let text = std::str::from_utf8(value).ok();
    let taken = match name {
        b"envoy.string"
        | b"envoy.hashable_string"
        | b"envoy.tcp_proxy.cluster"
        | b"envoy.tcp_proxy.disable_tunneling"
        | b"envoy.network.upstream_server_name"
        | b"envoy.network.upstream_subject_alt_names"
        | b"envoy.network.application_protocols"
        | b"envoy.upstream.dynamic_host" => true,
        b"envoy.tcp_proxy.per_connection_idle_timeout_ms" | b"envoy.ratelimit.hits_addend" => {
            text.is_some_and(|text| text.parse::<u64>().is_ok())
        }
        b"envoy.upstream.dynamic_port" => text.is_some_and(|text| text.parse::<u16>().is_ok()),
        b"envoy.network.transport_socket.original_dst_address" => {
            text.is_some_and(|text| text.parse::<SocketAddr>().is_ok())
        }
        b"envoy.network.ip" => text.is_some_and(|text| text.parse::<IpAddr>().is_ok()),
        _ => return Err(Status::NotFound),
    };
    if taken { Ok(Value::text(value)) } else { Err(Status::BadArgument) }
}
