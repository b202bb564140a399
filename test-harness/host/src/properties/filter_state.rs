//! The filter state of streams and connections: what modules set as properties, and objects of Envoy's own.
//!
//! Sources in Envoy: `setProperty`, `setEnvoyFilterState` and `declareProperty` in `common/wasm/context.cc`, `cel_state.h` in
//! `source/extensions/filters/common/expr`, `source/common/stream_info/filter_state_impl.cc`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
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
    /// An object of Envoy's own, in the form in which it is read, if it can be read.
    Envoy(Option<Value>),
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
    /// Envoy knows the names that its extensions register. These are here, with what Envoy 1.40.0 takes and gives back:
    ///
    /// - texts for `envoy.string`, `envoy.hashable_string`, `envoy.tcp_proxy.cluster`,
    ///   `envoy.network.upstream_server_name`, `envoy.network.upstream_subject_alt_names`,
    ///   `envoy.network.network_namespace` and `envoy.upstream.dynamic_host`;
    /// - any text for `envoy.network.application_protocols`, which cannot be read, and for
    ///   `envoy.tcp_proxy.disable_tunneling`, which reads `true` or else `false`;
    /// - numbers for `envoy.tcp_proxy.per_connection_idle_timeout_ms`, `envoy.ratelimit.hits_addend` and
    ///   `envoy.upstream.dynamic_port`, which may be larger than a port;
    /// - an address with a port for `envoy.network.transport_socket.original_dst_address`, which has the fields `ip` and
    ///   `port`, and an address without one for `envoy.network.ip`, which reads with a port of zero.
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
            Object::Envoy(value) => value.clone().ok_or(Status::NotFound),
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

/// An object from bytes, as the factory of that name makes it; `None` if it cannot be read.
fn envoy_object(name: &[u8], value: &[u8]) -> Result<Option<Value>, Status> {
    let text = std::str::from_utf8(value).map_err(|_| Status::BadArgument)?;
    Ok(Some(match name {
        b"envoy.string"
        | b"envoy.hashable_string"
        | b"envoy.tcp_proxy.cluster"
        | b"envoy.network.upstream_server_name"
        | b"envoy.network.upstream_subject_alt_names"
        | b"envoy.network.network_namespace"
        | b"envoy.upstream.dynamic_host" => Value::text(text),
        b"envoy.network.application_protocols" => return Ok(None),
        b"envoy.tcp_proxy.disable_tunneling" => Value::text((text == "true").to_string()),
        b"envoy.tcp_proxy.per_connection_idle_timeout_ms" | b"envoy.ratelimit.hits_addend" => {
            number::<u64>(text)?
        }
        b"envoy.upstream.dynamic_port" => number::<u32>(text)?,
        b"envoy.network.transport_socket.original_dst_address" => {
            let address: SocketAddr = text.parse().map_err(|_| Status::BadArgument)?;
            let fields =
                [("ip", Value::text(address.ip().to_string())), ("port", Value::Int(address.port().into()))];
            Value::Object(fields.into())
        }
        b"envoy.network.ip" => {
            let address: IpAddr = text.parse().map_err(|_| Status::BadArgument)?;
            Value::text(SocketAddr::new(address, 0).to_string())
        }
        _ => return Err(Status::NotFound),
    }))
}

/// A number as the text that Envoy makes of it.
fn number<T: FromStr + Display>(text: &str) -> Result<Value, Status> {
    text.parse::<T>().map(|number| Value::text(number.to_string())).map_err(|_| Status::BadArgument)
}
