//! What publishes bundles: [`serve`], a server that proxies follow over HTTP, and [`oci`], a client of registries.
//!
//! Neither vouches for a bundle: signatures do, and whoever fetches one judges it. What happens here is about
//! availability: nothing half-written, nothing that is no artifact, and no client that can hold the others up.
#![forbid(unsafe_code)]

pub mod oci;
pub mod serve;
mod text;

/// The media type of an artifact, over HTTP and as a layer in a registry.
pub const MEDIA_TYPE: &str = "application/vnd.dsse.envelope.v1+json";
