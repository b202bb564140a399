//! An artifact out of a registry. What it says is judged by whoever asked for it; here it is only held against its digests.

use http::{Method, StatusCode};

use super::client::{Ask, Registry};
use super::manifest::{MANIFEST_TYPE, MOST_BYTES, Manifest, digest};
use super::push::content_digest;
use super::reference::Which;
use super::{Error, Kind};

/// What was pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The artifact.
    pub artifact: Vec<u8>,
    /// The digest of the manifest.
    pub digest: String,
    /// What the manifest says.
    pub manifest: Manifest,
}

/// Pulls an artifact.
///
/// # Errors
/// When there is none, or what comes is not what its digests say.
pub fn pull(registry: &mut Registry, which: &Which) -> Result<Pulled, Error> {
    let url = registry.url(&format!("manifests/{which}"));
    let get = Ask {
        method: &Method::GET,
        url: &url,
        headers: &[("accept", MANIFEST_TYPE)],
        body: None,
        most: u64::try_from(MOST_BYTES).unwrap_or(u64::MAX),
        follow: true,
    };
    let answer = registry.ask(get)?;
    if answer.status != StatusCode::OK {
        return Err(answer.refused());
    }
    let is = digest(&answer.body);
    let wanted = match which {
        Which::Digest(wanted) => Some(wanted.as_str()),
        Which::Tag(_) => content_digest(&answer),
    };
    if let Some(wanted) = wanted.filter(|wanted| *wanted != is) {
        return Err(Error::new(Kind::DigestMismatch, format!("the manifest is {is} and should be {wanted}")));
    }
    let manifest = Manifest::read(&answer.body)?;
    let url = registry.url(&format!("blobs/{}", manifest.layer));
    let answer = registry.ask(Ask { url: &url, headers: &[], most: manifest.size, ..get })?;
    if answer.status != StatusCode::OK {
        return Err(answer.refused());
    }
    let artifact = answer.body;
    let (layer, bytes) = (digest(&artifact), u64::try_from(artifact.len()).unwrap_or(u64::MAX));
    if bytes != manifest.size || layer != manifest.layer {
        let what = format!(
            "the artifact is {layer} with {bytes} bytes and should be {} with {}",
            manifest.layer, manifest.size
        );
        return Err(Error::new(Kind::DigestMismatch, what));
    }
    Ok(Pulled { artifact, digest: is, manifest })
}
