//! Properties: what `proxy_get_property` and `proxy_set_property` reach.
//!
//! A path is a list of names with NULs between them. The first name is looked up among the attributes of CEL, then
//! among four names of Envoy's own, then in the filter state that modules set. What is absent is `NotFound`.
//! Numbers come as eight bytes, little-endian; booleans as one byte; times and durations as nanoseconds in eight
//! bytes; maps and lists as [pairs](crate::pairs::encode); messages as protobuf.
//!
//! Sources in Envoy: `getProperty`, `findValue` and `serializeValue` in `source/extensions/common/wasm/context.cc`;
//! `StreamActivation::FindValue` in `source/extensions/filters/common/expr/evaluator.cc`; the lookup tables in
//! `source/extensions/filters/common/expr/context.cc`.
//!
//! The statuses and values of all this were compared with Envoy 1.40.0, except those about TLS.
//!
//! What surprises people:
//!
//! - `route_name`, `cluster_name`, `node` and their like are **gone** from the top level (Envoy 1.33 removed them): they
//!   are found under `xds`.
//! - `request` or `xds` alone is no property: it cannot be written down and gives `SerializationFailure`.
//! - The headers are there only while Envoy lends them, see [`Progress`].
//! - Only the first name of a path finds a property that a module set. One set as `a`, NUL, `b` is never found.

mod attributes;
mod filter_state;
mod lookup;
mod value;

pub use self::attributes::{
    Address, Attributes, Certificate, Connection, Listener, Metadata, Node, Plugin, Progress, Route, Tls,
    Upstream, UpstreamCluster, VirtualHost,
};
pub use self::filter_state::{ConnectionState, FilterState, LifeSpan, Prototype, Prototypes, StateType};
pub use self::lookup::{Scope, StreamScope, get};
pub use self::value::Value;

#[cfg(test)]
mod tests;
