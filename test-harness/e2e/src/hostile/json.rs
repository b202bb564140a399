//! Every document of a public JSON test suite, sent as a body.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use super::NAME;
use crate::client::{Protocol, send};
use crate::config;
use crate::deploy::Stage;
use crate::message::{Body, Request};

/// Valid JSON that the policy language refuses on purpose: a member that comes twice has no one meaning.
const TWICE: &[&str] = &["y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"];

/// What came of the documents.
#[derive(Debug, Default)]
pub struct Documents {
    /// Files in the suite.
    pub files: usize,
    /// Requests sent: each file sized and chunked, over both protocols, to two routes.
    pub requests: usize,
    /// How many of them were let through.
    pub allowed: usize,
}

/// Where the public vectors are, if they are here.
fn vectors() -> Option<PathBuf> {
    let path = match std::env::var_os("BARTIZAN_VECTORS") {
        Some(path) => PathBuf::from(path),
        None => config::root().ok()?.join("../shared/conformance"),
    };
    path.join("jsontestsuite").is_dir().then_some(path)
}

/// Sends every document; `None` when there are no vectors on this machine.
///
/// # Errors
/// When a document that must parse is refused, one that must not is let through, an answer is a server
/// error, or the proxy is harmed. Without vectors when `CI` is set.
pub async fn documents(stage: &mut Stage) -> Result<Option<Documents>> {
    let Some(vectors) = vectors() else {
        ensure!(std::env::var_os("CI").is_none(), "no public vectors; set BARTIZAN_VECTORS");
        return Ok(None);
    };
    let files = files(&vectors.join("jsontestsuite"))?;
    let guard = stage.guard(NAME)?.clone();
    let token = guard.token("alice", &["writer"])?;
    let mut tally = Documents { files: files.len(), ..Documents::default() };
    let mut wrong = Vec::new();
    for file in &files {
        let name = file.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let bytes = std::fs::read(file)?;
        for protocol in Protocol::ALL {
            for chunked in [false, true] {
                for path in ["/json", "/things"] {
                    let mut request = Request::new("POST", path)
                        .header("x-forwarded-for", "192.0.2.7")
                        .bearer(&token)
                        .body("application/json", bytes.clone());
                    if chunked {
                        let pieces = bytes.chunks(1000).map(<[u8]>::to_vec).collect();
                        request.body = Body::Pieces { pieces, sized: false, trailers: Vec::new() };
                    }
                    let response = send(guard.address, None, protocol, &request)
                        .await
                        .with_context(|| format!("{name} over {protocol}, chunked: {chunked}"))?;
                    tally.requests += 1;
                    tally.allowed += usize::from(response.status == 200);
                    let right = match name.split('_').next() {
                        _ if response.status >= 500 => false,
                        _ if path == "/things" => true,
                        Some("y") if TWICE.contains(&name) => response.status == 400,
                        Some("y") => response.status == 200,
                        Some("n") => response.status == 400 && response.reason().is_some(),
                        _ => response.status == 200 || response.reason().is_some(),
                    };
                    if !right {
                        let reason = response.reason().unwrap_or_default();
                        wrong.push(format!("{name} over {protocol} to {path}: {} {reason}", response.status));
                    }
                }
            }
        }
    }
    stage.unharmed().await?;
    if !wrong.is_empty() {
        bail!("{} of {} answers are wrong:\n{}", wrong.len(), tally.requests, wrong.join("\n"));
    }
    Ok(Some(tally))
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory)? {
            let path = entry?.path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|e| e == "json") {
                files.push(path);
            }
        }
    }
    files.sort();
    ensure!(!files.is_empty(), "no documents in {}", directory.display());
    Ok(files)
}
