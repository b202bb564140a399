//! One repository of one registry, over HTTP: limits, credentials, redirects.
//!
//! INVARIANT: an authorization header goes to the scheme, host and port that the reference names, and to no other. The token
//! server that the registry names gets the name and the password; it is spoken to over TLS, or is this machine.

use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use rustls::crypto::ring;
use serde_json::Value;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Timeout};

use super::auth::{Challenge, challenge, token, token_url};
use super::credentials::Credentials;
use super::reference::{Reference, is_loopback};
use super::{Error, Kind, member};
use crate::text::clean;

/// The largest answer that is not a manifest or a blob: an error, or a token.
const SMALL: u64 = 64 * 1024;

/// How many redirects are followed to a blob.
const REDIRECTS: usize = 5;

/// How to speak to a registry.
#[derive(Debug, Clone)]
pub struct Transport {
    /// Without TLS. On this machine that is so by itself.
    pub plain_http: bool,
    /// How long one request may take.
    pub timeout: Duration,
}

impl Default for Transport {
    fn default() -> Self {
        Self { plain_http: false, timeout: Duration::from_secs(120) }
    }
}

/// A repository.
#[derive(Debug)]
pub struct Registry {
    agent: Agent,
    /// `https://r.internal:5000`
    origin: String,
    repository: String,
    /// What is wanted of it: `pull` or `pull,push`.
    actions: &'static str,
    credentials: Option<Credentials>,
    authorization: Option<String>,
}

/// A question.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) method: &'a Method,
    pub(super) url: &'a str,
    pub(super) headers: &'a [(&'static str, &'a str)],
    pub(super) body: Option<&'a [u8]>,
    /// The most bytes that an answer may have if it is the wanted one.
    pub(super) most: u64,
    /// Whether a redirect is followed.
    pub(super) follow: bool,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    asked: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Why the answer is not the wanted one.
    pub(super) fn refused(&self) -> Error {
        let kind = match self.status.as_u16() {
            401 | 403 => Kind::Unauthorized,
            404 | 410 => Kind::NotFound,
            300..=399 => Kind::Redirected,
            500.. => Kind::ServerError,
            _ => Kind::UnexpectedStatus,
        };
        Error::new(kind, format!("{}: status {}{}", self.asked, self.status.as_u16(), said(&self.body)))
    }

    /// It is not what the specification says.
    pub(super) fn wrong(&self, what: &str) -> Error {
        Error::new(Kind::InvalidAnswer, format!("{}: {what}", self.asked))
    }
}

/// What a registry says about an error, cleaned.
fn said(body: &[u8]) -> String {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return String::new() };
    let error = member(&body, "errors").get(0).unwrap_or(&Value::Null);
    let parts = [member(error, "code"), member(error, "message")];
    let parts: Vec<String> =
        parts.iter().filter_map(|part| part.as_str()).map(|part| clean(part.as_bytes())).collect();
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(": ")) }
}

impl Registry {
    /// A client for the repository of a reference. `actions` is what a token is asked for.
    ///
    /// # Errors
    /// When this machine has no root certificates, or a password would go out in clear.
    pub fn new(
        reference: &Reference,
        transport: &Transport,
        credentials: Option<Credentials>,
        push: bool,
    ) -> Result<Self, Error> {
        let plain = transport.plain_http || reference.is_loopback();
        if plain && credentials.is_some() && !reference.is_loopback() {
            let what =
                format!("{}: a password would be sent in clear; leave --plain-http out", reference.registry);
            return Err(Error::new(Kind::Unauthorized, what));
        }
        let scheme = if plain { "http" } else { "https" };
        Ok(Self {
            agent: agent(plain, reference.is_loopback(), transport.timeout)?,
            origin: format!("{scheme}://{}", reference.registry),
            repository: reference.repository.clone(),
            actions: if push { "pull,push" } else { "pull" },
            credentials,
            authorization: None,
        })
    }

    /// The address of something in the repository: `blobs/sha256:..`, `manifests/stable`.
    pub(super) fn url(&self, what: &str) -> String {
        format!("{}/v2/{}/{what}", self.origin, self.repository)
    }

    /// Asks, with credentials if that is wanted, and follows redirects if that is allowed.
    pub(super) fn ask(&mut self, ask: Ask<'_>) -> Result<Answer, Error> {
        let mut url = ask.url.to_owned();
        for _ in 0..=REDIRECTS {
            let mut answer = self.once(Ask { url: &url, ..ask })?;
            if answer.status == StatusCode::UNAUTHORIZED && self.is_ours(&url) {
                self.authorize(&answer)?;
                answer = self.once(Ask { url: &url, ..ask })?;
            }
            let moved = matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308);
            if !(ask.follow && moved) {
                return Ok(answer);
            }
            url = self.location(&answer, &url)?;
        }
        Err(Error::new(
            Kind::Redirected,
            format!("{}: more than {REDIRECTS} redirects", shown(ask.method, ask.url)),
        ))
    }

    /// Where an answer leads, as a whole address.
    pub(super) fn location(&self, answer: &Answer, from: &str) -> Result<String, Error> {
        let target = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let target = target.ok_or_else(|| answer.wrong("no `location` that can be read"))?;
        let url = if target.starts_with('/') && !target.starts_with("//") {
            // Scheme and authority as they stand there.
            format!("{}{target}", from.splitn(4, '/').take(3).collect::<Vec<_>>().join("/"))
        } else {
            target.to_owned()
        };
        let Some(to) = origin(&url) else { return Err(answer.wrong("a `location` that is no address")) };
        // Without TLS to nobody but the registry, and others on this machine if it is on this machine: an answer that
        // anybody may have written must not lead into a network that only we can reach.
        let plain = to.strip_prefix("http://").is_some_and(|to| {
            let ours = self.origin.strip_prefix("http://").is_some_and(is_loopback);
            !(self.is_ours(&url) || ours && is_loopback(to))
        });
        if plain {
            let what = format!("{}: it leads to plain HTTP at `{}`", answer.asked, clean(to.as_bytes()));
            return Err(Error::new(Kind::Redirected, what));
        }
        Ok(url)
    }

    pub(super) fn is_ours(&self, url: &str) -> bool {
        origin(url).is_some() && origin(url) == origin(&self.origin)
    }

    fn once(&self, ask: Ask<'_>) -> Result<Answer, Error> {
        let mut headers = ask.headers.to_vec();
        if let (Some(authorization), true) = (&self.authorization, self.is_ours(ask.url)) {
            headers.push((AUTHORIZATION.as_str(), authorization));
        }
        self.send(Ask { headers: &headers, ..ask })
    }

    /// Asks once, with these headers and no others.
    fn send(&self, ask: Ask<'_>) -> Result<Answer, Error> {
        let asked = shown(ask.method, ask.url);
        let mut request = Request::builder().method(ask.method).uri(ask.url);
        for (name, value) in ask.headers {
            request = request.header(*name, *value);
        }
        let unusable =
            |_| Error::new(Kind::InvalidAnswer, format!("{asked}: an address that cannot be asked"));
        let response = match ask.body {
            Some(body) => self.agent.run(request.body(body).map_err(unusable)?),
            None => self.agent.run(request.body(()).map_err(unusable)?),
        };
        let mut response = response.map_err(|error| failed(&asked, &error))?;
        let most = if response.status().is_success() { ask.most } else { SMALL };
        // One byte more, so that what has exactly the most is not refused.
        let body = response.body_mut().with_config().limit(most.saturating_add(1)).read_to_vec();
        let body = match body {
            Ok(body) if u64::try_from(body.len()).is_ok_and(|bytes| bytes <= most) => body,
            // What an error says is not needed.
            _ if !response.status().is_success() => Vec::new(),
            Ok(_) | Err(ureq::Error::BodyExceedsLimit(_)) => {
                return Err(Error::new(Kind::Oversized, format!("{asked}: more than {most} bytes")));
            }
            Err(error) => return Err(failed(&asked, &error)),
        };
        Ok(Answer { status: response.status(), headers: response.headers().clone(), body, asked })
    }

    /// Gets what a registry that has answered with 401 asks for.
    fn authorize(&mut self, refused: &Answer) -> Result<(), Error> {
        let wants = |what: String| Error::new(Kind::Unauthorized, format!("{}: {what}", refused.asked));
        let headers = refused.headers.get_all(WWW_AUTHENTICATE);
        let challenge = challenge(headers.iter().filter_map(|value| value.to_str().ok()));
        let (realm, service) = match challenge {
            None => return Err(wants("status 401, and nothing that it asks for can be given".to_owned())),
            Some(Challenge::Basic) => {
                let credentials = self.credentials.as_ref().ok_or_else(|| {
                    wants("it asks for a name and a password; give --username and --password-stdin, or log in with docker".to_owned())
                })?;
                self.authorization = Some(credentials.basic());
                return Ok(());
            }
            Some(Challenge::Bearer { realm, service }) => (realm, service),
        };
        // Whoever can name any realm could have the password sent in clear.
        let server = origin(&realm).filter(|server| {
            server.starts_with("https://") || server.strip_prefix("http://").is_some_and(is_loopback)
        });
        if server.is_none() {
            return Err(wants(format!("its token server `{}` is not one with TLS", clean(realm.as_bytes()))));
        }
        let url = token_url(&realm, service.as_deref(), &self.repository, self.actions);
        let basic = self.credentials.as_ref().map(Credentials::basic);
        let headers: Vec<_> = basic.iter().map(|basic| (AUTHORIZATION.as_str(), basic.as_str())).collect();
        let ask = Ask {
            method: &Method::GET,
            url: &url,
            headers: &headers,
            body: None,
            most: SMALL,
            follow: false,
        };
        let answer = self.send(ask)?;
        if answer.status != StatusCode::OK {
            let mut error = answer.refused();
            if self.credentials.is_none() && error.kind == Kind::Unauthorized {
                error.detail += "; give --username and --password-stdin, or log in with docker";
            }
            return Err(error);
        }
        let token = token(&answer.body).ok_or_else(|| answer.wrong("no token in it"))?;
        self.authorization = Some(format!("Bearer {token}"));
        Ok(())
    }
}

/// What speaks HTTP. It follows nothing by itself, and every status is an answer.
fn agent(plain: bool, loopback: bool, timeout: Duration) -> Result<Agent, Error> {
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .https_only(!plain)
        .user_agent(concat!("bartizan/", env!("CARGO_PKG_VERSION")))
        .max_response_header_size(SMALL_HEAD)
        .timeout_connect(Some(timeout.min(Duration::from_secs(10))))
        .timeout_per_call(Some(timeout));
    if loopback {
        // A proxy of the environment would look for the registry on its own machine.
        config = config.proxy(None);
    }
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()));
    let tls = if plain { tls } else { tls.root_certs(roots()?) };
    Ok(config.tls_config(tls.build()).build().new_agent())
}

/// The largest head of an answer.
const SMALL_HEAD: usize = 32 * 1024;

/// The certificates that this machine trusts, or those of `SSL_CERT_FILE`.
fn roots() -> Result<RootCerts, Error> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let what = "this machine has no root certificates; install them, or name a file in SSL_CERT_FILE";
        return Err(Error::new(Kind::NoAnswer, what));
    }
    Ok(found.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect::<Vec<_>>().into())
}

/// Scheme, host and port of an address; the host in lower case, the port also if it is the usual one.
fn origin(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let authority = uri.authority()?;
    if authority.as_str().contains('@') {
        return None;
    }
    let port = match (authority.port_u16(), scheme.as_str()) {
        (Some(port), "http" | "https") => port,
        (None, "http") => 80,
        (None, "https") => 443,
        _ => return None,
    };
    Some(format!("{scheme}://{}:{port}", authority.host().to_ascii_lowercase()))
}

/// A question for people, without the query: the state of an upload is nobody's business.
fn shown(method: &Method, url: &str) -> String {
    let url = url.split('?').next().unwrap_or_default();
    format!("{method} {}", clean(url.as_bytes()))
}

fn failed(asked: &str, error: &ureq::Error) -> Error {
    use ureq::Error as E;
    let timed_out = |error: &std::io::Error| {
        matches!(error.kind(), std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock)
    };
    let kind = match error {
        E::Timeout(_) => Kind::Timeout,
        E::Io(error) if timed_out(error) => Kind::Timeout,
        E::Protocol(_) | E::LargeResponseHeader(..) | E::Http(_) | E::BadUri(_) => Kind::InvalidAnswer,
        _ => Kind::NoAnswer,
    };
    let what = match error {
        E::Timeout(Timeout::Connect | Timeout::Resolve) => "nobody took the connection in time".to_owned(),
        E::Timeout(_) => "no whole answer in time".to_owned(),
        E::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
            format!("{error}; for an authority of your own, name its certificate in SSL_CERT_FILE")
        }
        E::Io(error) => error.to_string().to_lowercase(),
        error => error.to_string().to_lowercase(),
    };
    Error::new(kind, format!("{asked}: {}", clean(what.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_compared_as_a_whole() {
        let one = origin("https://r.internal/v2/x?y");
        assert_eq!(one.as_deref(), Some("https://r.internal:443"));
        assert_eq!(one, origin("HTTPS://R.internal:443"));
        for other in [
            "http://r.internal/",
            "https://r.internal:444/",
            "https://r.internal.example/",
            "https://q.internal/",
        ] {
            assert_ne!(one, origin(other), "{other}");
        }
        for none in [
            "",
            "/x",
            "//r.internal/x",
            "ftp://r.internal/",
            "https://user@r.internal/",
            "r.internal",
            "https:///x",
        ] {
            assert_eq!(origin(none), None, "{none}");
        }
    }

    #[test]
    fn what_a_registry_says_is_cleaned() {
        assert_eq!(
            said(b"{\"errors\":[{\"code\":\"DENIED\",\"message\":\"no\\n\\u001b[2J\"}]}"),
            " (DENIED: no\\x0a\\x1b[2J)"
        );
        for none in [&b"<html>"[..], b"{}", b"[]", b"{\"errors\":[]}", b"{\"errors\":[{\"code\":1}]}"] {
            assert_eq!(said(none), "");
        }
    }
}
