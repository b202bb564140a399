//! What is signed of the request line: the bytes that the client sent.
//!
//! Later rooms judge the canonical form that intake made of the path and the host, and upstream gets that. Both come
//! from the bytes that are signed here by a function that has no other input. So whoever signs the bytes signs
//! what they are taken for, and no bytes that mean something else pass under the same signature. A few that mean the same do:
//! `/x` and `/x?` by `@path` and `@query`, a host with and without the port that the scheme has anyway.

use super::problem::Problem;
use crate::intake::request::Headers;

/// The request line, as it was sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'r> {
    pub(super) method: &'r str,
    scheme: Option<&'r str>,
    pub(super) authority: &'r str,
    /// Path and query.
    pub(super) whole: &'r str,
}

impl<'r> Target<'r> {
    /// Reads the pseudo-headers. A scheme of the policy counts instead of the one that the connection has.
    pub(super) fn of(headers: Headers<'r>, scheme: Option<&'r str>) -> Result<Self, Problem> {
        let text = |name| headers.get(name).and_then(|value| std::str::from_utf8(value).ok());
        let needed =
            |name| text(name).ok_or_else(|| Problem::invalid(format!("the request has no `{name}`")));
        Ok(Self {
            method: needed(":method")?,
            scheme: scheme.or_else(|| text(":scheme")),
            authority: needed(":authority")?,
            whole: needed(":path")?,
        })
    }

    /// RFC 9421, section 2.2.4.
    pub(super) fn scheme(&self) -> Result<String, Problem> {
        let scheme = self.scheme.filter(|scheme| !scheme.is_empty());
        scheme.map(str::to_ascii_lowercase).ok_or_else(|| Problem::invalid("the request has no scheme"))
    }

    /// RFC 9421, section 2.2.3: in lower case, without the port that the scheme has anyway.
    pub(super) fn authority(&self) -> String {
        let authority = self.authority.to_ascii_lowercase();
        let usual = match self.scheme {
            Some(scheme) if scheme.eq_ignore_ascii_case("http") => ":80",
            Some(scheme) if scheme.eq_ignore_ascii_case("https") => ":443",
            _ => return authority,
        };
        match authority.strip_suffix(usual) {
            Some(host) => host.to_owned(),
            None => authority,
        }
    }

    /// RFC 9421, section 2.2.2.
    pub(super) fn uri(&self) -> Result<String, Problem> {
        Ok(format!("{}://{}{}", self.scheme()?, self.authority(), self.whole))
    }

    /// RFC 9421, section 2.2.6.
    pub(super) fn path(&self) -> &'r str {
        match self.whole.split_once('?').map_or(self.whole, |(path, _)| path) {
            "" => "/",
            path => path,
        }
    }

    /// The query without `?`, if there is one.
    pub(super) fn query(&self) -> Option<&'r str> {
        self.whole.split_once('?').map(|(_, query)| query)
    }
}
