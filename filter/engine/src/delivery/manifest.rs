//! The manifest of an OCI registry (image specification 1.1) under which a bundle lies.

use serde::Deserialize;

use super::failure::{Failure, Fault};
use super::source::{ARTIFACT, MANIFEST, is_digest};
use crate::envelope::dsse::PAYLOAD_TYPE;

/// The largest manifest: the distribution specification asks registries for at least four mebibytes, and ours have less than one
/// kibibyte.
pub const MAX_BYTES: usize = 64 * 1024;

/// What a manifest names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// Its bytes.
    pub size: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
    media_type: String,
    artifact_type: String,
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    media_type: String,
    digest: String,
    size: u64,
}

/// The one layer of a manifest. Members that the specification may add are ignored.
///
/// # Errors
/// When it is no manifest of a bundle, or of one that is too large.
pub fn read(bytes: &[u8], max_bytes: usize) -> Result<Blob, Failure> {
    let wrong = |detail: String| Failure::new(Fault::ManifestInvalid, detail);
    if bytes.len() > MAX_BYTES {
        return Err(wrong(format!("{} bytes; the most is {MAX_BYTES}", bytes.len())));
    }
    let manifest: Manifest =
        serde_json::from_slice(bytes).map_err(|error| wrong(format!("not a manifest: {error}")))?;
    if manifest.schema_version != 2 || manifest.media_type != MANIFEST {
        return Err(wrong(format!(
            "not an image manifest of version 2 but `{}`",
            short(&manifest.media_type)
        )));
    }
    if manifest.artifact_type != PAYLOAD_TYPE {
        let found = short(&manifest.artifact_type);
        return Err(wrong(format!("`artifactType` is `{found}`; expected `{PAYLOAD_TYPE}`")));
    }
    let [layer] = manifest.layers.as_slice() else {
        return Err(wrong(format!("{} layers; expected one", manifest.layers.len())));
    };
    if layer.media_type != ARTIFACT {
        return Err(wrong(format!(
            "the layer is of type `{}`; expected `{ARTIFACT}`",
            short(&layer.media_type)
        )));
    }
    if !is_digest(&layer.digest) {
        return Err(wrong(format!("the layer's digest is no SHA-256: `{}`", short(&layer.digest))));
    }
    let size = usize::try_from(layer.size).ok().filter(|size| *size <= max_bytes);
    let size =
        size.ok_or_else(|| wrong(format!("the layer has {} bytes; `max_bytes` is {max_bytes}", layer.size)))?;
    Ok(Blob { digest: layer.digest.clone(), size })
}

fn short(text: &str) -> String {
    text.chars().take(128).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn good() -> Value {
        json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": PAYLOAD_TYPE,
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "size": 2,
                       "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},
            "layers": [{"mediaType": ARTIFACT, "digest": format!("sha256:{}", "0a".repeat(32)), "size": 1000}],
            "annotations": {"org.opencontainers.image.created": "2026-01-01T00:00:00Z"},
        })
    }

    #[test]
    fn the_one_layer_is_named() {
        let blob = read(good().to_string().as_bytes(), 1000).unwrap();
        assert_eq!(blob, Blob { digest: format!("sha256:{}", "0a".repeat(32)), size: 1000 });
    }

    #[test]
    fn anything_else_is_refused() {
        for (pointer, value) in [
            ("/schemaVersion", json!(1)),
            ("/mediaType", json!("application/vnd.oci.image.index.v1+json")),
            ("/artifactType", json!("application/vnd.unknown.config.v1+json")),
            ("/layers", json!([])),
            ("/layers/0/mediaType", json!("application/vnd.oci.image.layer.v1.tar+gzip")),
            ("/layers/0/digest", json!("sha512:00")),
            ("/layers/0/digest", json!("sha256:../../x")),
            ("/layers/0/digest", json!(format!("sha256:{}", "0A".repeat(32)))),
            ("/layers/0/size", json!(1001)),
            ("/layers/0/size", json!(-1)),
            ("/layers", json!("x".repeat(MAX_BYTES))),
        ] {
            let mut manifest = good();
            *manifest.pointer_mut(pointer).unwrap() = value.clone();
            let refused = read(manifest.to_string().as_bytes(), 1000).map_err(|failure| failure.kind.code());
            assert_eq!(refused, Err("manifest-invalid"), "{pointer}: {value}");
        }
        let mut two = good();
        two["layers"] = json!([two["layers"][0], two["layers"][0]]);
        assert!(read(two.to_string().as_bytes(), 1000).is_err());
        assert!(read(b"{}", 1000).is_err() && read(b"", 1000).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(read(&bytes, 1000).is_err());
        }
    }
}
