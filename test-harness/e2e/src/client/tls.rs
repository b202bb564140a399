//! TLS with a client certificate, for clients that speak plainly: a relay on loopback, which encrypts.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use bartizan_cases::mint::certificate::{self, Made};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The name of the servers of this harness, in their certificate.
pub const SERVER: &str = "localhost";

/// Opens a relay for one connection, and gives its address: what comes in there goes to `to`, from `from`, over TLS with
/// this certificate.
///
/// # Errors
/// When the certificate cannot be used, or nothing can listen.
pub async fn relay(to: SocketAddr, from: Option<IpAddr>, client: &Made) -> Result<SocketAddr> {
    let config = Arc::new(config(client)?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        // Whatever breaks here closes both connections, and the client says what that meant to it.
        let (plain, _) = listener.accept().await?;
        let secure = super::connect(to, from).await?;
        let server = ServerName::try_from(SERVER)?;
        pump(plain, secure, ClientConnection::new(config, server)?).await
    });
    Ok(address)
}

fn config(client: &Made) -> Result<ClientConfig> {
    let authority = certificate::authority().map_err(|error| anyhow!(error))?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority.der))?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(client.key.clone()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![CertificateDer::from(client.der.clone())], key)
        .context("the client certificate cannot be used")
}

/// Carries bytes both ways until one side ends.
async fn pump(mut plain: TcpStream, mut secure: TcpStream, mut tls: ClientConnection) -> Result<()> {
    let (mut clear, mut cipher) = (vec![0; 16 * 1024], vec![0; 32 * 1024]);
    flush(&mut tls, &mut secure).await?;
    loop {
        tokio::select! {
            read = plain.read(&mut clear), if !tls.is_handshaking() => match read? {
                0 => {
                    tls.send_close_notify();
                    return flush(&mut tls, &mut secure).await;
                }
                size => tls.writer().write_all(clear.get(..size).unwrap_or_default())?,
            },
            read = secure.read(&mut cipher) => {
                let mut came = cipher.get(..read?).unwrap_or_default();
                if came.is_empty() {
                    return Ok(());
                }
                while !came.is_empty() {
                    tls.read_tls(&mut came)?;
                    let state = tls.process_new_packets()?;
                    let mut text = vec![0; state.plaintext_bytes_to_read()];
                    tls.reader().read_exact(&mut text)?;
                    plain.write_all(&text).await?;
                }
            }
        }
        flush(&mut tls, &mut secure).await?;
    }
}

async fn flush(tls: &mut ClientConnection, secure: &mut TcpStream) -> Result<()> {
    let mut bytes = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut bytes)?;
    }
    Ok(secure.write_all(&bytes).await?)
}
