//! The manifest of a bundle: an OCI image manifest (1.1) with an artifact type, the empty config and one layer.

use std::collections::BTreeMap;

use bartizan_engine::envelope::canonical;
use bartizan_engine::envelope::dsse::{MAX_ENVELOPE_BYTES, PAYLOAD_TYPE};
use bartizan_engine::envelope::key::{hex, sha256};
use bartizan_engine::strict_json::{Bounds, parse_object};
use serde_json::{Value, json};

use super::reference::is_digest;
use super::{Error, Kind, member};
use crate::MEDIA_TYPE;
use crate::text::clean;

/// The largest manifest. Ours have less than a kilobyte.
pub(super) const MOST_BYTES: usize = 1 << 20;

/// How a manifest is read.
const BOUNDS: Bounds = Bounds { max_bytes: MOST_BYTES, max_depth: 16 };

/// What kind of artifact it is.
pub const ARTIFACT_TYPE: &str = PAYLOAD_TYPE;

/// The media type of a manifest.
pub(super) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// The config of an artifact that has none.
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";

/// Its bytes.
pub(super) const EMPTY: &[u8] = b"{}";

const TITLE: &str = "org.opencontainers.image.title";
const VERSION: &str = "org.opencontainers.image.version";

/// The annotation with the time at which it was made.
pub const CREATED: &str = "org.opencontainers.image.created";

pub(super) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&sha256(bytes)))
}

/// A manifest, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The digest of the artifact.
    pub layer: String,
    /// How many bytes it has.
    pub size: u64,
    /// Annotations. They are nobody's word but the publisher's.
    pub annotations: BTreeMap<String, String>,
}

/// The manifest of an artifact, as bytes. The same artifact has the same manifest, unless a time is given.
pub(super) fn write(artifact: &[u8], name: &str, revision: u64, created: Option<&str>) -> Vec<u8> {
    let mut annotations = json!({TITLE: name, VERSION: revision.to_string()});
    if let (Some(created), Some(annotations)) = (created, annotations.as_object_mut()) {
        annotations.insert(CREATED.to_owned(), created.into());
    }
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": ARTIFACT_TYPE,
        "config": {"mediaType": EMPTY_TYPE, "digest": digest(EMPTY), "size": EMPTY.len()},
        "layers": [{
            "mediaType": MEDIA_TYPE, "digest": digest(artifact), "size": artifact.len(),
            // The name under which `oras pull` writes it.
            "annotations": {TITLE: format!("{name}.bundle")},
        }],
        "annotations": annotations,
    });
    canonical::write(&manifest).into_bytes()
}

impl Manifest {
    /// Reads a manifest, and nothing but that of a bundle.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Error> {
        let wrong = |what: String| Error::new(Kind::ManifestInvalid, what);
        // Strictly: a member that is there twice is two manifests in one.
        let object = parse_object(bytes, BOUNDS).map_err(|error| wrong(format!("the manifest: {error}")))?;
        let value = Value::Object(object);
        let text = |value: &Value| {
            value
                .as_str()
                .map_or_else(|| "nothing".to_owned(), |text| format!("`{}`", clean(text.as_bytes())))
        };
        if member(&value, "schemaVersion") != 2 || member(&value, "mediaType") != MANIFEST_TYPE {
            return Err(wrong(format!(
                "it is {} and not a manifest of one artifact, `{MANIFEST_TYPE}`",
                text(member(&value, "mediaType"))
            )));
        }
        if member(&value, "artifactType") != ARTIFACT_TYPE {
            return Err(wrong(format!(
                "it holds {} and not a bundle, `{ARTIFACT_TYPE}`",
                text(member(&value, "artifactType"))
            )));
        }
        let layers = member(&value, "layers").as_array().map(Vec::as_slice);
        let Some([layer]) = layers else {
            return Err(wrong("it does not have exactly one layer".to_owned()));
        };
        if member(layer, "mediaType") != MEDIA_TYPE {
            return Err(wrong(format!(
                "its layer is {} and not `{MEDIA_TYPE}`",
                text(member(layer, "mediaType"))
            )));
        }
        let digest = member(layer, "digest").as_str().filter(|digest| is_digest(digest));
        let digest = digest
            .ok_or_else(|| wrong(format!("its layer has {} for a digest", text(member(layer, "digest")))))?;
        let size = member(layer, "size").as_u64().ok_or_else(|| wrong("its layer has no size".to_owned()))?;
        let most = u64::try_from(MAX_ENVELOPE_BYTES).unwrap_or(u64::MAX);
        if size > most {
            return Err(Error::new(
                Kind::Oversized,
                format!("its layer has {size} bytes, the most is {most}"),
            ));
        }
        let annotations = member(&value, "annotations").as_object().into_iter().flatten();
        let annotations = annotations
            .filter_map(|(name, value)| value.as_str().map(|value| (name.clone(), value.to_owned())))
            .collect();
        Ok(Self { layer: digest.to_owned(), size, annotations })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_the_same_each_time_and_read_back() {
        let bytes = write(b"artifact", "edge", 7, None);
        assert_eq!(bytes, write(b"artifact", "edge", 7, None));
        let read = Manifest::read(&bytes).unwrap();
        assert_eq!((read.layer, read.size), (digest(b"artifact"), 8));
        assert_eq!(read.annotations[TITLE], "edge");
        assert_eq!(read.annotations[VERSION], "7");
        assert!(!read.annotations.contains_key(CREATED));
        let dated = write(b"artifact", "edge", 7, Some("2026-01-01T00:00:00Z"));
        assert_eq!(Manifest::read(&dated).unwrap().annotations[CREATED], "2026-01-01T00:00:00Z");
        // What every registry knows the empty config by.
        assert_eq!(digest(EMPTY), "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
    }

    #[test]
    fn other_manifests_are_refused() {
        let good: Value = serde_json::from_slice(&write(b"artifact", "edge", 7, None)).unwrap();
        let cases: [(&str, Value); 14] = [
            ("/schemaVersion", json!(1)),
            ("/mediaType", json!("application/vnd.oci.image.index.v1+json")),
            ("/mediaType", json!(null)),
            ("/artifactType", json!("application/vnd.example")),
            ("/artifactType", json!(null)),
            ("/layers", json!([])),
            ("/layers", json!([good["layers"][0], good["layers"][0]])),
            ("/layers", json!({})),
            ("/layers/0/mediaType", json!("application/json")),
            ("/layers/0/digest", json!("sha256:../../etc")),
            ("/layers/0/digest", json!("sha512:00")),
            ("/layers/0/digest", json!(7)),
            ("/layers/0/size", json!(-1)),
            ("/layers/0/size", json!((16 << 20) + 1)),
        ];
        for (place, value) in cases {
            let mut bad = good.clone();
            *bad.pointer_mut(place).unwrap() = value.clone();
            let error = Manifest::read(bad.to_string().as_bytes()).unwrap_err();
            let kind = if value == json!((16 << 20) + 1) { Kind::Oversized } else { Kind::ManifestInvalid };
            assert_eq!(error.kind, kind, "{place} {value}");
        }
        // Twice the same member, and a text that goes on and steers a terminal.
        let twice = good.to_string().replacen('{', "{\"schemaVersion\":2,", 1);
        for bytes in [&b""[..], b"[]", b"null", b"{\"schemaVersion\":2", twice.as_bytes()] {
            assert_eq!(Manifest::read(bytes).unwrap_err().kind, Kind::ManifestInvalid);
        }
        let mut long = good.clone();
        long["artifactType"] = format!("\u{1b}[2J{}", "x".repeat(10_000)).into();
        let detail = Manifest::read(long.to_string().as_bytes()).unwrap_err().detail;
        assert!(detail.len() < 500 && detail.contains("\\x1b[2J"), "{detail}");
    }
}
