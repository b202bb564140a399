//! A real OCI registry on the loopback, and artifacts pushed to it.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Error, Result, bail, ensure};
use bartizan_engine::envelope::dsse::PAYLOAD_TYPE;
use bartizan_engine::envelope::key::{hex, sha256};
use bartizan_publish::MEDIA_TYPE;
use bartizan_publish::oci::reference::Reference;
use bartizan_publish::oci::{self, Transport};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::make::NAME;
use crate::client::{Protocol, send};
use crate::config;
use crate::message::{Request, Response};

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// How long the registry may take to start.
const START: Duration = Duration::from_secs(20);

/// A running registry. It ends when this is dropped.
pub(crate) struct Registry {
    address: SocketAddr,
    _child: Child,
    // Last: the directory goes after the process that writes into it.
    _directory: TempDir,
}

impl Registry {
    /// Starts the registry in use (`test-harness/tools/registry-path.sh`) on a free port.
    pub(crate) async fn start() -> Result<Self> {
        let script = config::root()?.join("test-harness/tools/registry-path.sh");
        let found = Command::new(&script).stdin(Stdio::null()).output().await?;
        let problem = String::from_utf8_lossy(&found.stderr).into_owned();
        ensure!(found.status.success(), "{}: {problem}", script.display());
        let program = String::from_utf8(found.stdout)?.trim().to_owned();
        let directory = tempfile::Builder::new().prefix("bartizan-registry-").tempdir()?;
        // It cannot be asked for any free port, and another program may be given the one that is found here.
        for _ in 0..5 {
            let free = tokio::net::TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
            let file = directory.path().join("registry.yml");
            let text = format!(
                "version: 0.1\nlog: {{accesslog: {{disabled: true}}, level: error}}\n\
                 storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{free}'}}\n",
                directory.path().join("data").display()
            );
            std::fs::write(&file, text)?;
            let mut child = Command::new(&program)
                .arg("serve")
                .arg(&file)
                .process_group(0)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .with_context(|| format!("cannot start {program}"))?;
            let started = Instant::now();
            while child.try_wait()?.is_none() {
                if ask(free, &request(free, "GET", "/v2/")).await.is_ok_and(|answer| answer.status == 200) {
                    return Ok(Self { address: free, _child: child, _directory: directory });
                }
                ensure!(started.elapsed() < START, "{program} does not answer after {START:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        bail!("{program} ends at once")
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Pushes the artifact of a revision under a tag, as `bartizan push` does, and returns the digest of its manifest.
    pub(crate) async fn push(
        &self,
        repository: &str,
        tag: &'static str,
        revision: u64,
        artifact: Vec<u8>,
    ) -> Result<String> {
        let reference =
            Reference::parse(&format!("{}/{repository}:{tag}", self.address)).map_err(Error::msg)?;
        let pushing = tokio::task::spawn_blocking(move || {
            let transport = Transport { plain_http: true, ..Transport::default() };
            let mut registry = oci::Registry::new(&reference, &transport, None, true)?;
            oci::push(&mut registry, tag, &artifact, NAME, revision, None)
        });
        let pushed = pushing.await?.map_err(|error| Error::msg(error.to_string()))?;
        ensure!(pushed.changed, "the registry had {} before it was pushed", pushed.digest);
        Ok(pushed.digest)
    }
}

/// The manifest under which an artifact lies in a registry.
pub(crate) fn manifest(artifact: &[u8]) -> Value {
    json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": PAYLOAD_TYPE,
        "config": {"mediaType": EMPTY, "digest": digest(b"{}"), "size": 2},
        "layers": [{"mediaType": MEDIA_TYPE, "digest": digest(artifact), "size": artifact.len()}],
    })
}

fn request(to: SocketAddr, method: &str, path: &str) -> Request {
    let mut request = Request::new(method, path).header("connection", "close");
    request.host = Some(to.to_string().into_bytes());
    request
}

async fn ask(to: SocketAddr, request: &Request) -> Result<Response> {
    Ok(send(to, None, Protocol::Http1, request).await?)
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&sha256(bytes)))
}
