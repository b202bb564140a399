//! Bodies as large as a policy allows: held back whole, over either protocol, and refused when larger.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::client::{Protocol, send};
use crate::config;
use crate::demo::BUNDLE;
use crate::deploy::{Policy, Post, Signatures, Stage};
use crate::message::{Body, Request};

/// How a PNG begins, in base64.
const PNG: &str = "iVBORw0KGgo";

/// What the policy is called in Envoy.
const NAME: &str = "large bodies";

/// The policy that the bodies are sent to.
///
/// # Errors
/// When the bundle does not compile.
pub fn post() -> Result<Post> {
    Ok(Post::new(NAME, Policy::compile(&config::root()?.join(BUNDLE))?, Signatures::Auto))
}

/// Sends images of 10 MiB, and larger ones, and returns how many requests that took.
///
/// # Errors
/// When the largest image that the policy allows is refused, or a larger one is not.
pub async fn large(stage: &mut Stage) -> Result<usize> {
    let guard = stage.guard(NAME)?.clone();
    let token = guard.token("otto", &["operator"])?;
    // 10 MiB are 10485760 bytes, and four characters for every three of them.
    let allowed = 10_485_760_usize.div_ceil(3) * 4;
    let mut requests = 0;
    for protocol in Protocol::ALL {
        for chunked in [false, true] {
            for (length, status, reason) in [
                (allowed, 200, None),
                (allowed + 4, 400, Some("body-schema")),
                (16 * 1024 * 1024, 413, Some("body-too-large")),
            ] {
                let image = json!({"image": format!("{PNG}{}", "A".repeat(length - PNG.len()))}).to_string();
                let mut request = Request::new("POST", "/api/v1/sensors/sensor-7/image")
                    .bearer(&token)
                    .body("application/json", image.clone());
                if chunked {
                    let pieces = image.as_bytes().chunks(65_536).map(<[u8]>::to_vec).collect();
                    request.body = Body::Pieces { pieces, sized: false, trailers: Vec::new() };
                }
                let response = send(guard.address, None, protocol, &request).await?;
                requests += 1;
                let got = response.reason();
                ensure!(
                    response.status == status && got.as_deref() == reason,
                    "an image of {length} characters over {protocol}, chunked: {chunked}: expected {status} {reason:?}, got {} {got:?}",
                    response.status
                );
            }
        }
    }
    stage.unharmed().await?;
    Ok(requests)
}
