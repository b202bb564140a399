//! An artifact into a registry: what is there already is not sent again.

use http::{Method, StatusCode};

use super::auth::encoded;
use super::client::{Answer, Ask, Registry};
use super::manifest::{EMPTY, MANIFEST_TYPE, digest, write};
use super::reference::is_digest;
use super::{Error, Kind};

/// The largest answer to something that is sent.
const SMALL: u64 = 64 * 1024;

/// What was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The digest of the manifest: what a reference pins.
    pub digest: String,
    /// The digest of the artifact.
    pub layer: String,
    /// Whether the tag was another artifact's, or nobody's, before.
    pub changed: bool,
}

/// Pushes an artifact under a tag. `name` and `revision` are those of its bundle; `created` is a time for the annotations.
///
/// # Errors
/// When the registry does not take it. Then the tag is what it was.
pub fn push(
    registry: &mut Registry,
    tag: &str,
    artifact: &[u8],
    name: &str,
    revision: u64,
    created: Option<&str>,
) -> Result<Pushed, Error> {
    let manifest = write(artifact, name, revision, created);
    let ours = digest(&manifest);
    let mut pushed = Pushed { digest: ours.clone(), layer: digest(artifact), changed: false };
    let url = registry.url(&format!("manifests/{tag}"));
    let there = registry.ask(Ask { headers: &[("accept", MANIFEST_TYPE)], ..head(&url) })?;
    match there.status {
        StatusCode::OK if content_digest(&there) == Some(&ours) => return Ok(pushed),
        StatusCode::OK | StatusCode::NOT_FOUND => {}
        _ => return Err(there.refused()),
    }
    // The manifest last: a registry takes none whose blobs are not there, and the tag never leads to half of something.
    blob(registry, EMPTY)?;
    blob(registry, artifact)?;
    let put = Ask {
        method: &Method::PUT,
        headers: &[("content-type", MANIFEST_TYPE)],
        body: Some(&manifest),
        most: SMALL,
        ..head(&url)
    };
    let answer = registry.ask(put)?;
    if answer.status != StatusCode::CREATED {
        return Err(answer.refused());
    }
    if content_digest(&answer).is_some_and(|theirs| theirs != ours) {
        return Err(Error::new(
            Kind::DigestMismatch,
            "the registry has stored another manifest than was sent",
        ));
    }
    pushed.changed = true;
    Ok(pushed)
}

fn head(url: &str) -> Ask<'_> {
    Ask { method: &Method::HEAD, url, headers: &[], body: None, most: 0, follow: false }
}

/// What a registry says that something is.
pub(super) fn content_digest(answer: &Answer) -> Option<&str> {
    answer.header("docker-content-digest").filter(|digest| is_digest(digest))
}

/// Sends a blob that is not there: first where to, then what.
fn blob(registry: &mut Registry, bytes: &[u8]) -> Result<(), Error> {
    let digest = digest(bytes);
    let url = registry.url(&format!("blobs/{digest}"));
    // Some keep blobs elsewhere and redirect; that it leads anywhere means that it is there.
    let there = registry.ask(head(&url))?;
    match there.status.as_u16() {
        200 | 307 => return Ok(()),
        404 => {}
        _ => return Err(there.refused()),
    }
    let url = registry.url("blobs/uploads/");
    let begun = registry.ask(Ask { method: &Method::POST, body: Some(&[]), most: SMALL, ..head(&url) })?;
    if begun.status != StatusCode::ACCEPTED {
        return Err(begun.refused());
    }
    let location = registry.location(&begun, &url)?;
    if !registry.is_ours(&location) {
        // What is sent is for the registry, with the credentials that it has asked for.
        return Err(Error::new(Kind::Redirected, "the registry wants the artifact sent to somebody else"));
    }
    let sign = if location.contains('?') { '&' } else { '?' };
    let url = format!("{location}{sign}digest={}", encoded(&digest));
    let put = Ask {
        method: &Method::PUT,
        headers: &[("content-type", "application/octet-stream")],
        body: Some(bytes),
        most: SMALL,
        ..head(&url)
    };
    let answer = registry.ask(put)?;
    if answer.status != StatusCode::CREATED {
        return Err(answer.refused());
    }
    if content_digest(&answer).is_some_and(|theirs| theirs != digest) {
        return Err(Error::new(Kind::DigestMismatch, "the registry has stored another blob than was sent"));
    }
    Ok(())
}
