//! A request as bytes, the same for every driver, and what came back.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use crate::format::{Framing, Request, Simulate};
use crate::mint::certificate::Made;

/// The header by which a driver tells its upstream which run a request belongs to.
pub const RUN_HEADER: &str = "x-bartizan-case";

/// Header lines as bytes.
pub type Lines = Vec<(Vec<u8>, Vec<u8>)>;

/// A request ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wire {
    /// The number of the run, also in [`RUN_HEADER`].
    pub number: u32,
    /// The address to connect from.
    pub peer: IpAddr,
    /// The method.
    pub method: String,
    /// The scheme.
    pub scheme: String,
    /// `host` or `:authority`; `None` sends none.
    pub host: Option<Vec<u8>>,
    /// Path and query.
    pub path: Vec<u8>,
    /// All other headers in order, [`RUN_HEADER`] among them, `content-length` not.
    pub headers: Lines,
    /// The body in the pieces to send; `None` ends the request with its headers.
    pub body: Option<Vec<Vec<u8>>>,
    /// Whether HTTP/1.1 uses the chunked coding; trailers imply it.
    pub chunked: bool,
    /// Trailers after the body.
    pub trailers: Lines,
    /// What upstream answers.
    pub answer: WireAnswer,
    /// What only a simulated proxy does to it.
    pub simulate: Simulate,
    /// The client certificate that the connection is opened with.
    pub certificate: Option<Made>,
}

/// What upstream answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireAnswer {
    /// The status.
    pub status: u16,
    /// Headers, without `content-length` and `date`.
    pub headers: Lines,
    /// The body.
    pub body: Vec<u8>,
}

/// What came of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// The status; zero if the connection closed or nothing came in time.
    pub status: u16,
    /// Response headers in order, names in lower case, no pseudo-headers.
    pub headers: Lines,
    /// The response body.
    pub body: Vec<u8>,
    /// What upstream saw, if the request got there.
    pub upstream: Option<Seen>,
    /// Whether the connection was closed or reset instead of an answer, when the request was on its way. Without that a
    /// status of zero is silence.
    pub closed: bool,
    /// Why there is no answer.
    pub note: Option<String>,
    /// The code of the reason for which operators are told that the request is refused, where that is seen.
    pub reason: Option<String>,
    /// What else operators are told of a refusal, where that is seen.
    pub detail: Option<String>,
    /// What only a simulated proxy shows.
    pub inside: Option<Inside>,
}

/// What the filter did beside its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inside {
    /// By how much its counters grew, those that did.
    pub counters: BTreeMap<String, u64>,
    /// What it logged; true: of level warn or above.
    pub log: Vec<(bool, String)>,
}

/// A request as upstream saw it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: Vec<u8>,
    /// `host` or `:authority`.
    pub host: Vec<u8>,
    /// Headers in order, names in lower case.
    pub headers: Lines,
    /// The body.
    pub body: Vec<u8>,
    /// Trailers after the body, names in lower case.
    pub trailers: Lines,
}

impl Observed {
    /// No answer, and why.
    #[must_use]
    pub fn broken(why: impl Into<String>) -> Self {
        Self { note: Some(why.into()), ..Self::default() }
    }
}

impl Wire {
    /// What the proxy tells of the client certificate: its digest, its subject, itself.
    #[must_use]
    pub fn presented(&self) -> Option<[Vec<u8>; 3]> {
        let made = self.certificate.as_ref()?;
        Some([made.sha256.clone(), made.subject.clone(), made.url_encoded_pem()].map(String::into_bytes))
    }

    /// The whole body.
    #[must_use]
    pub fn whole_body(&self) -> Vec<u8> {
        self.body.iter().flatten().flatten().copied().collect()
    }
}

/// The loopback address that only this run connects from. A client on Linux may bind to any of
/// `127.0.0.0/8`, so budgets by address stay apart without any header.
#[must_use]
pub fn peer_of(number: u32) -> IpAddr {
    // 127.0.x.y is left to people.
    let [first, second, third, fourth] = number.to_be_bytes();
    let high = u32::from(first) * 256 + u32::from(second);
    let high = u8::try_from(high % 254).unwrap_or(0).saturating_add(1);
    Ipv4Addr::new(127, high, third, fourth).into()
}

/// An address that only this run has and nobody connects from, for `x-forwarded-for`.
#[must_use]
pub fn visitor_of(number: u32) -> IpAddr {
    let [_, second, third, fourth] = number.to_be_bytes();
    Ipv4Addr::new(10, second, third, fourth).into()
}

/// What is made for a request, beside what it says itself.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// The token.
    pub token: Option<String>,
    /// The DPoP proof for it.
    pub proof: Option<String>,
    /// The client certificate.
    pub certificate: Option<Made>,
}

/// Makes the bytes of a request whose placeholders are filled in.
///
/// # Errors
/// If a value cannot be made.
pub fn render(request: &Request, number: u32, made: Credentials) -> Result<Wire, String> {
    let bytes = |octets: &Option<crate::format::Octets>| {
        octets.as_ref().map(crate::format::Octets::bytes).transpose()
    };
    let mut headers = request.headers.as_ref().map_or(Ok(Vec::new()), crate::format::HeaderLines::lines)?;
    let scheme = request.dpop.as_ref().map_or("Bearer", |proof| proof.scheme.as_deref().unwrap_or("DPoP"));
    if let Some(token) = made.token {
        headers.push((b"authorization".to_vec(), format!("{scheme} {token}").into_bytes()));
    }
    if let Some(proof) = made.proof.filter(|proof| !proof.is_empty()) {
        headers.push((b"dpop".to_vec(), proof.into_bytes()));
    }
    let body = request.body.as_ref().map(|body| body.bytes().map(|b| cut(b, &body.chunks))).transpose()?;
    if let Some(media_type) = request.body.as_ref().and_then(crate::format::Body::media_type)
        && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"content-type"))
    {
        headers.push((b"content-type".to_vec(), media_type.into_bytes()));
    }
    headers.push((RUN_HEADER.as_bytes().to_vec(), number.to_string().into_bytes()));
    let trailers = request.trailers.as_ref().map_or(Ok(Vec::new()), crate::format::HeaderLines::lines)?;
    let framing = request.body.as_ref().map_or(Framing::Length, |b| b.framing);
    let answer = request.answer.clone().unwrap_or_default();
    let peer = match &request.client {
        Some(text) => text.parse().map_err(|_| format!("client: `{text}` is not an address"))?,
        None => peer_of(number),
    };
    Ok(Wire {
        number,
        peer,
        method: request.method.clone().unwrap_or_else(|| "GET".into()),
        scheme: request.scheme.clone().unwrap_or_else(|| "http".into()),
        host: bytes(&request.host)?,
        path: bytes(&request.path)?.unwrap_or_else(|| b"/".to_vec()),
        headers,
        chunked: framing == Framing::Chunked || !trailers.is_empty(),
        body,
        trailers,
        simulate: request.simulate.clone().unwrap_or_default(),
        certificate: made.certificate,
        answer: WireAnswer {
            status: answer.status,
            headers: answer.headers.as_ref().map_or(Ok(Vec::new()), crate::format::HeaderLines::lines)?,
            body: bytes(&answer.body)?.unwrap_or_else(|| b"ok".to_vec()),
        },
    })
}

fn cut(body: Vec<u8>, sizes: &[usize]) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    let mut rest = body.as_slice();
    for &size in sizes {
        let (piece, after) = rest.split_at_checked(size).unwrap_or((rest, &[]));
        pieces.push(piece.to_vec());
        rest = after;
    }
    if !rest.is_empty() || pieces.is_empty() {
        pieces.push(rest.to_vec());
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_run_has_its_own_loopback_address() {
        let peers: BTreeSet<_> = (0..200_000).map(peer_of).collect();
        assert_eq!(peers.len(), 200_000);
        assert!(peers.iter().all(IpAddr::is_loopback));
        assert!(!peers.contains(&"127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn bodies_are_cut_without_losing_a_byte() {
        assert_eq!(cut(b"abcdef".to_vec(), &[1, 2]), [&b"a"[..], b"bc", b"def"]);
        assert_eq!(cut(b"abc".to_vec(), &[]), [b"abc"]);
        assert_eq!(cut(b"abc".to_vec(), &[9]), [b"abc"]);
        assert_eq!(cut(Vec::new(), &[]), [b""]);
    }

    #[test]
    fn a_request_says_its_type_once() {
        let request =
            Request::parse("{method: POST, headers: {Content-Type: text/x}, body: {json: 1}}", "t").unwrap();
        let wire = render(&request, 7, Credentials { token: Some("t.o.k".into()), ..Credentials::default() })
            .unwrap();
        let types = wire.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(b"content-type")).count();
        assert_eq!(types, 1);
        assert_eq!(wire.whole_body(), b"1");
        assert!(wire.headers.contains(&(b"authorization".to_vec(), b"Bearer t.o.k".to_vec())));
    }
}
