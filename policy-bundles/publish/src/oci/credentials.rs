//! A name and a password for a registry.

use std::fmt;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::member;

/// The largest configuration of docker that is read.
pub const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// A name and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    username: String,
    password: String,
}

// By hand, so that no password reaches a log through `{:?}`.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Takes a name and a password.
    ///
    /// # Errors
    /// When they cannot be sent: a name with a colon would end there, and nothing may be empty.
    pub fn new(username: &str, password: &str) -> Result<Self, String> {
        if username.is_empty() || username.contains(':') || username.chars().any(char::is_control) {
            return Err("the user name is empty, or has a colon or a control character".to_owned());
        }
        if password.is_empty() || password.chars().any(char::is_control) {
            return Err("the password is empty or has a control character, such as a line break".to_owned());
        }
        Ok(Self { username: username.to_owned(), password: password.to_owned() })
    }

    /// The value of the authorization header (RFC 7617).
    pub(super) fn basic(&self) -> String {
        format!("Basic {}", STANDARD.encode(format!("{}:{}", self.username, self.password)))
    }
}

/// Where docker keeps its configuration: the environment is asked by `variable`.
#[must_use]
pub fn docker_config(variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> Option<PathBuf> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let directory = set("DOCKER_CONFIG").or_else(|| Some(set("HOME")?.join(".docker")))?;
    Some(directory.join("config.json"))
}

/// What docker's configuration has for a registry in its `auths`. Credential helpers are programs, and are not run.
///
/// # Errors
/// When it cannot be read. No message repeats anything of it.
pub fn from_docker(config: &[u8], registry: &str) -> Result<Option<Credentials>, String> {
    let config: Value = serde_json::from_slice(config).map_err(|_| "not JSON".to_owned())?;
    let Some(auths) = member(&config, "auths").as_object() else { return Ok(None) };
    let found = auths.iter().find(|(key, _)| host_of(key) == registry);
    let Some((_, entry)) = found else { return Ok(None) };
    if member(entry, "identitytoken").as_str().is_some_and(|token| !token.is_empty()) {
        return Err(format!(
            "it has an identity token for {registry}, which is not supported; give --username"
        ));
    }
    // `docker login` writes `auth`; some write the two parts.
    let auth = member(entry, "auth").as_str().unwrap_or_default();
    let pair = if auth.is_empty() {
        match (member(entry, "username").as_str(), member(entry, "password").as_str()) {
            (Some(username), Some(password)) => Some((username.to_owned(), password.to_owned())),
            // An empty entry is what docker leaves when a helper has the password.
            _ => return Ok(None),
        }
    } else {
        let decoded = STANDARD.decode(auth).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        decoded.and_then(|text| text.split_once(':').map(|(name, word)| (name.to_owned(), word.to_owned())))
    };
    let wrong = || format!("what it has for {registry} is not a name and a password");
    let (username, password) = pair.ok_or_else(wrong)?;
    // Some versions of docker fill up with zeros.
    Credentials::new(&username, password.trim_end_matches('\0')).map(Some).map_err(|_| wrong())
}

/// The host that a key of `auths` is about: `r.internal:5000`, or `https://r.internal:5000/v2/`.
fn host_of(key: &str) -> &str {
    let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    rest.split('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(config: &str, registry: &str) -> Result<Option<Credentials>, String> {
        from_docker(config.as_bytes(), registry)
    }

    #[test]
    fn docker_has_them_by_registry() {
        // `user:pass:word`
        let config = r#"{"auths": {"r.internal:5000": {"auth": "dXNlcjpwYXNzOndvcmQ="},
            "https://q.internal/v2/": {"username": "u", "password": "p"}, "empty.internal": {}}, "credsStore": "desktop"}"#;
        assert_eq!(
            found(config, "r.internal:5000").unwrap(),
            Some(Credentials::new("user", "pass:word").unwrap())
        );
        assert_eq!(found(config, "q.internal").unwrap(), Some(Credentials::new("u", "p").unwrap()));
        for other in ["r.internal", "r.internal:50", "internal:5000", "empty.internal", "", "https:"] {
            assert_eq!(found(config, other).unwrap(), None, "{other}");
        }
        for (config, registry) in [
            ("{", "r"),
            (r#"{"auths": {"r": {"auth": "!"}}}"#, "r"),
            (r#"{"auths": {"r": {"auth": "dXNlcg=="}}}"#, "r"),
            (r#"{"auths": {"r": {"identitytoken": "x"}}}"#, "r"),
            (r#"{"auths": {"r": {"username": "a:b", "password": "c"}}}"#, "r"),
        ] {
            assert!(found(config, registry).is_err(), "{config}");
        }
        for config in ["{}", "[]", r#"{"auths": []}"#, r#"{"auths": {"r": 1}}"#] {
            assert_eq!(found(config, "r").unwrap(), None, "{config}");
        }
    }

    #[test]
    fn credentials_are_sent_as_they_are_and_never_printed() {
        let credentials = Credentials::new("user", "pass:word").unwrap();
        assert_eq!(credentials.basic(), "Basic dXNlcjpwYXNzOndvcmQ=");
        assert!(!format!("{credentials:?}").contains("word"));
        for (username, password) in [("", "p"), ("a:b", "p"), ("a\n", "p"), ("a", ""), ("a", "p\n")] {
            assert!(Credentials::new(username, password).is_err());
        }
    }

    #[test]
    fn the_configuration_lies_where_the_environment_says() {
        let config = |set: &'static [(&str, &str)]| {
            docker_config(move |name| {
                set.iter().find(|(other, _)| *other == name).map(|(_, value)| value.into())
            })
        };
        assert_eq!(config(&[("HOME", "/h")]), Some("/h/.docker/config.json".into()));
        assert_eq!(config(&[("HOME", "/h"), ("DOCKER_CONFIG", "/d")]), Some("/d/config.json".into()));
        assert_eq!(config(&[("HOME", "/h"), ("DOCKER_CONFIG", "")]), Some("/h/.docker/config.json".into()));
        assert_eq!(config(&[]), None);
    }
}
