//! What the proxy around the filter does to a request, as `envoy/standalone/envoy.yaml` configures it.

use std::net::IpAddr;

use crate::format::Http;
use crate::wire::{Lines, Seen, Wire};

/// The header map that the filter gets: what the client sent, as the codec hands it over, and what the
/// connection manager adds.
pub(crate) fn arrived(wire: &Wire, http: Http) -> Lines {
    let mut head: Lines = Vec::new();
    if let Some(host) = &wire.host {
        head.push((b":authority".to_vec(), host.clone()));
    }
    head.push((b":path".to_vec(), wire.path.clone()));
    head.push((b":method".to_vec(), wire.method.clone().into_bytes()));
    head.push((b":scheme".to_vec(), wire.scheme.clone().into_bytes()));
    head.append(&mut lower(&wire.headers));
    if wire.chunked {
        // HTTP/2 has no transfer codings.
        if http == Http::V1 {
            head.push((b"transfer-encoding".to_vec(), b"chunked".to_vec()));
        }
    } else if wire.body.is_some() && !head.iter().any(|(name, _)| name == b"content-length") {
        head.push((b"content-length".to_vec(), wire.whole_body().len().to_string().into_bytes()));
    }
    head.push((b"x-forwarded-proto".to_vec(), b"http".to_vec()));
    head.push((b"x-request-id".to_vec(), b"00000000-0000-4000-8000-000000000000".to_vec()));
    head
}

/// The request as upstream sees it, from the header map that the filter left. The route appends the peer to
/// `x-forwarded-for`.
pub(crate) fn forwarded(request: Lines, body: Vec<u8>, peer: IpAddr) -> Seen {
    let mut seen = Seen { body, ..Seen::default() };
    for (name, value) in request {
        match name.as_slice() {
            b":method" => seen.method = String::from_utf8_lossy(&value).into_owned(),
            b":path" => seen.path = value,
            b":authority" => seen.host = value,
            b":scheme" => {}
            _ => seen.headers.push((name, value)),
        }
    }
    seen.headers.push((b"x-forwarded-for".to_vec(), peer.to_string().into_bytes()));
    seen
}

/// Names in lower case, as codecs make them.
pub(crate) fn lower(lines: &Lines) -> Lines {
    lines.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect()
}
