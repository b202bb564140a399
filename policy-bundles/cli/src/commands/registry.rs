//! What `push` and `pull` have in common: the registry, and who we are there.

use std::io::Read as _;

use bartizan_publish::oci::credentials::{self, Credentials, MAX_CONFIG_BYTES};
use bartizan_publish::oci::reference::Reference;
use bartizan_publish::oci::{Error, Registry, Transport};
use clap::Args;
use serde_json::json;

use crate::files;
use crate::output::{Failure, Format, Outcome, Screen, printable, shown};

/// The host that name and password of the environment are for.
const REGISTRY: &str = "BARTIZAN_REGISTRY";
/// The name, in the environment.
const USERNAME: &str = "BARTIZAN_REGISTRY_USERNAME";
/// The password, in the environment.
const PASSWORD: &str = "BARTIZAN_REGISTRY_PASSWORD";

/// The largest password.
const MAX_PASSWORD_BYTES: u64 = 64 * 1024;

/// Which registry, and who we are there.
#[derive(Debug, Args)]
pub(crate) struct Access {
    /// Speak HTTP without TLS, as is done with registries on this machine anyway. No password is sent that way.
    #[arg(long)]
    plain_http: bool,
    /// The user name at the registry. By default BARTIZAN_REGISTRY_USERNAME and BARTIZAN_REGISTRY_PASSWORD, if
    /// BARTIZAN_REGISTRY is this registry, or `auths` in docker's config.json (credential helpers are not run).
    #[arg(long, value_name = "NAME", requires = "password_stdin")]
    username: Option<String>,
    /// Read the password from standard input.
    #[arg(long, requires = "username")]
    password_stdin: bool,
}

impl Access {
    /// A client for a repository; or what is wrong with what was given.
    pub(crate) fn registry(&self, reference: &Reference, push: bool) -> Result<Registry, Trouble> {
        let credentials = self.credentials(&reference.registry)?;
        let transport = Transport { plain_http: self.plain_http, ..Transport::default() };
        Registry::new(reference, &transport, credentials, push).map_err(Trouble::Registry)
    }

    fn credentials(&self, registry: &str) -> Result<Option<Credentials>, Trouble> {
        let given = |username: &str, password: &str| {
            Credentials::new(username, password).map(Some).map_err(Trouble::Given)
        };
        if let Some(username) = &self.username {
            let mut password = String::new();
            let stdin = std::io::stdin().lock();
            stdin.take(MAX_PASSWORD_BYTES).read_to_string(&mut password).map_err(|error| {
                Failure::new(format!("standard input: {}", error.to_string().to_lowercase()))
            })?;
            // What `echo` adds is no part of it.
            return given(username, password.trim_end_matches(['\r', '\n']));
        }
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        match (set(REGISTRY), set(USERNAME), set(PASSWORD)) {
            // A reference may come from anybody; the password is for one registry.
            (Some(host), Some(username), Some(password)) if host == registry => {
                return given(&username, &password);
            }
            (Some(_), Some(_), Some(_)) | (None, None, None) => {}
            _ => {
                return Err(Trouble::Given(format!(
                    "set all of {REGISTRY} (HOST or HOST:PORT), {USERNAME} and {PASSWORD}, or none of them"
                )));
            }
        }
        let Some(config) = credentials::docker_config(|name| std::env::var_os(name)) else { return Ok(None) };
        if !config.exists() {
            return Ok(None);
        }
        let bytes = files::read(&config, MAX_CONFIG_BYTES)?;
        credentials::from_docker(&bytes, registry)
            .map_err(|what| Trouble::Given(format!("{}: {what}", shown(&config))))
    }
}

/// What went wrong on the way.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// With the registry.
    Registry(Error),
    /// With what was given.
    Given(String),
    /// With a file.
    Failed(Failure),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Registry(error)
    }
}

impl Trouble {
    /// Says it. What is wrong with an artifact or with what was given is one exit code, what is wrong with the way another.
    pub(crate) fn say(self, place: &str, format: Format, screen: &Screen) -> Result<Outcome, Failure> {
        let (kind, detail, outcome) = match self {
            Self::Failed(failure) => return Err(failure),
            Self::Given(what) => (None, what, Outcome::Problems),
            Self::Registry(error) => {
                let outcome =
                    if error.kind.is_about_the_artifact() { Outcome::Problems } else { Outcome::Failed };
                (Some(error.kind.code()), error.detail, outcome)
            }
        };
        match format {
            Format::Json => {
                screen.json(&json!({"reference": place, "done": false, "kind": kind, "detail": detail}))?;
            }
            Format::Text => {
                let kind = kind.map(|kind| format!("{kind}: ")).unwrap_or_default();
                screen.complain(&format!("{}: {kind}{}", printable(place), printable(&detail)));
            }
        }
        Ok(outcome)
    }
}
