//! One request, one answer.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;

use super::Shared;
use super::conditions;
use super::shelf::Artifact;
use crate::MEDIA_TYPE;

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Answers a request. Its body is not looked at.
pub(super) async fn answer<B>(
    request: &Request<B>,
    client: IpAddr,
    shared: &Shared,
) -> Response<Full<Bytes>> {
    let Some(name) = name(request.uri().path()) else { return plain(StatusCode::NOT_FOUND, "not found") };
    let Some(artifact) = on_shelf(shared, &name) else { return plain(StatusCode::NOT_FOUND, "not found") };
    let head = *request.method() == Method::HEAD;
    if !head && *request.method() != Method::GET {
        let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    let (artifact, waited) = changed(request, client, shared, &name, artifact).await;
    let mut response = match artifact {
        None => plain(StatusCode::NOT_FOUND, "not found"),
        Some(artifact) => {
            whole(&artifact, head, conditions::has(request.headers(), artifact.etag.as_bytes()))
        }
    };
    if let Some(applied) =
        waited.and_then(|waited| HeaderValue::from_str(&format!("wait={}", waited.as_secs())).ok())
    {
        response.headers_mut().insert(PREFERENCE_APPLIED, applied);
    }
    response
}

fn on_shelf(shared: &Shared, name: &str) -> Option<Arc<Artifact>> {
    shared.shelf.borrow().get(name).cloned()
}

/// Waits for another artifact, if the client has this one and would wait. What there is then, and how long the wait
/// was allowed to be.
async fn changed<B>(
    request: &Request<B>,
    client: IpAddr,
    shared: &Shared,
    name: &str,
    artifact: Arc<Artifact>,
) -> (Option<Arc<Artifact>>, Option<Duration>) {
    let wait = conditions::wait(request.headers()).unwrap_or_default().min(shared.limits.longest_wait);
    if wait.is_zero() || !conditions::has(request.headers(), artifact.etag.as_bytes()) {
        return (Some(artifact), None);
    }
    // Whoever waits holds memory. Past the limit the answer is what it would be without the preference.
    let Some(_share) = shared.places.waiting(client, shared.limits.waiting_per_address) else {
        return (Some(artifact), None);
    };
    let Ok(_place) = shared.waiting.try_acquire() else { return (Some(artifact), None) };
    let (mut shelf, mut stopping) = (shared.shelf.clone(), shared.stopping.clone());
    let another = async {
        // It looks at what there is first, so a change since we looked is not missed.
        let other = |shelf: &Arc<super::Shelf>| shelf.get(name).is_none_or(|now| now.etag != artifact.etag);
        if shelf.wait_for(other).await.is_err() {
            // Nobody looks at the files any more. Whoever waits is told by the clock, or that we stop.
            std::future::pending::<()>().await;
        }
    };
    let stopped = async { drop(stopping.wait_for(|stopped| *stopped).await) };
    tokio::select! {
        () = another => {}
        () = stopped => {}
        () = tokio::time::sleep(wait) => {}
    }
    (on_shelf(shared, name), Some(wait))
}

/// The artifact, or that the client has it.
fn whole(artifact: &Artifact, head: bool, has_it: bool) -> Response<Full<Bytes>> {
    let body = if head || has_it { Bytes::new() } else { artifact.bytes.clone() };
    let mut response = Response::new(Full::new(body));
    if has_it {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        response.headers_mut().insert(CONTENT_LENGTH, artifact.bytes.len().into());
    }
    response.headers_mut().insert(ETAG, artifact.etag.clone());
    // A cache may keep it and must ask each time: the tag makes that cheap.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

pub(super) fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// The name that a path asks for: one segment, percent-decoded. It is looked up among the names that are served, and
/// never in the file system.
fn name(path: &str) -> Option<Cow<'_, str>> {
    let segment = path.strip_prefix('/')?;
    if !segment.contains('%') {
        return Some(Cow::Borrowed(segment));
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let (high, low) = (digit(rest.next())?, digit(rest.next())?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_segment_decoded_once() {
        for (path, want) in [
            ("/edge.bundle", Some("edge.bundle")),
            ("/edge%2Ebundle", Some("edge.bundle")),
            ("/%65%64ge.bundle", Some("edge.bundle")),
            ("/gr%C3%BCn.bundle", Some("grün.bundle")),
            // Looked up as they are, and not there.
            ("/", Some("")),
            ("//edge.bundle", Some("/edge.bundle")),
            ("/%252e", Some("%2e")),
            ("/..%2fx", Some("../x")),
            ("edge.bundle", None),
            ("*", None),
            ("/%", None),
            ("/%4", None),
            ("/%zz", None),
            ("/%+1", None),
            ("/%ff", None),
        ] {
            assert_eq!(name(path).as_deref(), want, "{path}");
        }
    }
}
