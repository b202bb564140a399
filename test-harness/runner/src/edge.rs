//! What the proxy around the filter does to a request, as `envoy/standalone/envoy.yaml` configures it.

use std::net::IpAddr;

use crate::format::Http;
use crate::wire::{Lines, Seen, Wire};

/// What the connection manager writes itself, in the place of what the client sent.
const OWN: [&str; 3] = ["x-forwarded-proto", "x-request-id", "x-envoy-external-address"];

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
    let own = |(name, _): &(Vec<u8>, Vec<u8>)| !OWN.iter().any(|own| name == own.as_bytes());
    for (name, value) in lower(&wire.headers).into_iter().filter(own) {
        // White space around a value is no part of it (RFC 9110, section 5.5). Over HTTP/2 Envoy leaves what is behind it,
        // as was seen in 1.40.0.
        let value = if http == Http::V1 { value.trim_ascii() } else { value.trim_ascii_start() };
        head.push((name, value.to_vec()));
    }
    if wire.chunked {
        // HTTP/2 has no transfer codings.
        if http == Http::V1 {
            head.push((b"transfer-encoding".to_vec(), b"chunked".to_vec()));
        }
    } else if wire.body.is_some() && !head.iter().any(|(name, _)| name == b"content-length") {
        head.push((b"content-length".to_vec(), wire.whole_body().len().to_string().into_bytes()));
    }
    let peer = wire.peer.to_string();
    // A certificate is shown in TLS.
    let scheme = if wire.certificate.is_some() { "https" } else { "http" };
    for (name, value) in OWN.into_iter().zip([scheme, "00000000-0000-4000-8000-000000000000", &peer]) {
        head.push((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Request;

    fn header(request: &str, http: Http, name: &str) -> Vec<String> {
        let request = Request::parse(request, "t").unwrap();
        let wire = crate::wire::render(&request, 7, crate::wire::Credentials::default()).unwrap();
        let lines = arrived(&wire, http).into_iter().filter(|(n, _)| n == name.as_bytes());
        lines.map(|(_, value)| String::from_utf8(value).unwrap()).collect()
    }

    // Each was seen in Envoy 1.40.0 by `make parity`.
    #[test]
    fn the_connection_manager_writes_what_a_client_may_not() {
        let forged =
            "{headers: {X-Forwarded-Proto: https, x-envoy-external-address: 10.0.0.1, x-request-id: mine}}";
        assert_eq!(header(forged, Http::V1, "x-forwarded-proto"), ["http"]);
        assert_eq!(header(forged, Http::V1, "x-envoy-external-address"), ["127.1.0.7"]);
        assert_ne!(header(forged, Http::V1, "x-request-id"), ["mine"]);
    }

    #[test]
    fn codecs_take_white_space_away() {
        assert_eq!(header("{headers: {x-a: ' b '}}", Http::V1, "x-a"), ["b"]);
        assert_eq!(header("{headers: {x-a: ' b '}}", Http::V2, "x-a"), ["b "]);
    }

    #[test]
    fn only_one_protocol_has_transfer_codings() {
        let chunked = "{method: POST, body: {text: a, framing: chunked}}";
        assert_eq!(header(chunked, Http::V1, "transfer-encoding"), ["chunked"]);
        assert!(header(chunked, Http::V2, "transfer-encoding").is_empty());
        assert_eq!(header("{method: POST, body: a}", Http::V2, "content-length"), ["1"]);
    }
}
