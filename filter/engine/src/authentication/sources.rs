//! Where tokens are found in a request, and how they are taken out of it again.
//!
//! A request with two tokens has two meanings: the proxy may judge by one and upstream by the other. So
//! all places of all issuers are always looked at, and more than one token, even twice the same, refuses
//! the request. What counts as a token here is what upstream could take for one: names of query parameters
//! are compared decoded, and `cookie` headers are read all.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::plan::TokenSource;
use crate::intake::percent::{self, Plus};
use crate::intake::request::Headers;
use crate::plan::PlanError;

/// A set of places, as bits: what limits [`Sources`] to 64.
pub(super) type Places = u64;

/// The distinct places of all methods.
#[derive(Debug)]
pub(super) struct Sources {
    list: Vec<TokenSource>,
    /// The headers among them, ready to be named in an edit.
    headers: Vec<(Places, Rc<str>)>,
    /// The cookies and the query parameters among them.
    cookies: Places,
    parameters: Places,
}

/// A token, and the place it was found in as a set of one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found<'r> {
    pub(super) token: &'r [u8],
    pub(super) place: Places,
}

/// There is more than one token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ambiguous;

/// An edit that takes a token out of a request before upstream gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenRemoval {
    /// Remove this header.
    Header(Rc<str>),
    /// Replace all `cookie` headers by one with this value, or by none.
    Cookie(Option<Vec<u8>>),
    /// Replace the query (without `?`), or remove it.
    Query(Option<String>),
}

impl Sources {
    /// Collects and checks the places of all methods, and says which are whose. Each list comes with where it
    /// stands in the plan.
    pub(super) fn new(lists: &[(String, &[TokenSource])]) -> Result<(Self, Vec<Places>), PlanError> {
        let mut list: Vec<TokenSource> = Vec::new();
        let mut places = Vec::new();
        for (place, from) in lists {
            if from.is_empty() {
                return Err(PlanError::new(place, "no place to take credentials from; give at least one"));
            }
            let mut own = 0;
            for (index, source) in from.iter().enumerate() {
                check(source).map_err(|problem| PlanError::new(format!("{place}[{index}]"), problem))?;
                let source = normal(source);
                let known = list.iter().position(|known| *known == source).unwrap_or_else(|| {
                    list.push(source);
                    list.len() - 1
                });
                if known >= Places::BITS as usize {
                    let problem =
                        format!("more than {} places to take credentials from; use fewer", Places::BITS);
                    return Err(PlanError::new(place, problem));
                }
                own |= 1 << known;
            }
            places.push(own);
        }
        let whole: BTreeSet<&str> = list
            .iter()
            .filter_map(|source| match source {
                TokenSource::Header { name, scheme: None } => Some(name.as_str()),
                _ => None,
            })
            .collect();
        for source in &list {
            if let TokenSource::Header { name, scheme: Some(_) } = source
                && whole.contains(name.as_str())
            {
                let problem = format!("header `{name}` is named with and without a scheme; choose one");
                return Err(PlanError::new("authentication", problem));
            }
        }
        Ok((Self::of(list), places))
    }

    fn of(list: Vec<TokenSource>) -> Self {
        let (mut headers, mut cookies, mut parameters): (Vec<(Places, Rc<str>)>, _, _) = (Vec::new(), 0, 0);
        for (index, source) in list.iter().enumerate() {
            let place: Places = 1 << index;
            match source {
                TokenSource::Header { name, .. } => headers.push((place, name.as_str().into())),
                TokenSource::Cookie { .. } => cookies |= place,
                TokenSource::Query { .. } => parameters |= place,
            }
        }
        Self { list, headers, cookies, parameters }
    }

    /// The names of the headers among them.
    pub(super) fn header_names(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().map(|(_, name)| &**name)
    }

    /// Whether a place is a header with this scheme.
    pub(super) fn has_scheme(&self, place: Places, wanted: &str) -> bool {
        self.list.iter().enumerate().any(|(index, source)| match source {
            TokenSource::Header { scheme: Some(scheme), .. } => {
                place >> index & 1 == 1 && scheme.eq_ignore_ascii_case(wanted)
            }
            _ => false,
        })
    }

    /// Finds the credential of a request at these places, if it has one.
    pub(super) fn find<'r>(
        &self,
        places: Places,
        headers: Headers<'r>,
        query: Option<&'r str>,
    ) -> Result<Option<Found<'r>>, Ambiguous> {
        let mut found = None;
        let asked = self.list.iter().enumerate().filter(|(index, _)| places >> index & 1 == 1);
        for (index, source) in asked {
            let mut add = |token| match found.replace(Found { token, place: 1 << index }) {
                None => Ok(()),
                Some(_) => Err(Ambiguous),
            };
            match source {
                TokenSource::Header { name, scheme } => {
                    let mut values = headers.all(name);
                    let (first, second) = (values.next(), values.next());
                    if second.is_some() {
                        return Err(Ambiguous);
                    }
                    if let Some(token) = first.and_then(|value| in_header(value, scheme.as_deref())) {
                        add(token)?;
                    }
                }
                TokenSource::Cookie { name } => {
                    cookies(headers).filter_map(|c| cookie_named(c, name)).try_for_each(add)?;
                }
                TokenSource::Query { name } => {
                    parameters(query).filter_map(|p| parameter_named(p, name)).try_for_each(add)?;
                }
            }
        }
        Ok(found)
    }

    /// The edits that take whatever tokens are at these places out of a request.
    pub(super) fn remove(
        &self,
        places: Places,
        headers: Headers<'_>,
        query: Option<&str>,
        edits: &mut Vec<TokenRemoval>,
    ) {
        let at = |place: Places| self.list.get(place.trailing_zeros() as usize);
        for (place, name) in self.headers.iter().filter(|(place, _)| places & place != 0) {
            if let Some(TokenSource::Header { scheme, .. }) = at(*place)
                && headers.all(name).any(|value| in_header(value, scheme.as_deref()).is_some())
            {
                edits.push(TokenRemoval::Header(name.clone()));
            }
        }
        if places & (self.cookies | self.parameters) == 0 {
            return;
        }
        let chosen = || self.list.iter().enumerate().filter(|(i, _)| places >> i & 1 == 1).map(|(_, s)| s);
        let is_token_cookie = |cookie: &[u8]| {
            chosen()
                .any(|s| matches!(s, TokenSource::Cookie { name } if cookie_named(cookie, name).is_some()))
        };
        if cookies(headers).any(is_token_cookie) {
            let kept: Vec<&[u8]> = cookies(headers).filter(|cookie| !is_token_cookie(cookie)).collect();
            edits.push(TokenRemoval::Cookie((!kept.is_empty()).then(|| kept.join(&b"; "[..]))));
        }
        let is_token_parameter = |parameter: &str| {
            chosen().any(
                |s| matches!(s, TokenSource::Query { name } if parameter_named(parameter, name).is_some()),
            )
        };
        if parameters(query).any(is_token_parameter) {
            let kept: Vec<&str> = parameters(query).filter(|p| !is_token_parameter(p)).collect();
            edits.push(TokenRemoval::Query((!kept.is_empty()).then(|| kept.join("&"))));
        }
    }
}

/// Schemes are compared in any case (RFC 9110, section 11.1), so they are kept in one.
fn normal(source: &TokenSource) -> TokenSource {
    match source {
        TokenSource::Header { name, scheme } => {
            let scheme = scheme.as_ref().map(|scheme| scheme.to_ascii_lowercase());
            TokenSource::Header { name: name.clone(), scheme }
        }
        other => other.clone(),
    }
}

fn check(source: &TokenSource) -> Result<(), String> {
    match source {
        TokenSource::Header { name, .. } if !is_lower_case_token(name) => {
            Err(format!("`{name}` is not a lower-case header name"))
        }
        TokenSource::Header { name, .. } if name == "cookie" => {
            Err("a token in the cookie header is taken from a cookie by its name; use `cookie`".into())
        }
        TokenSource::Header { scheme: Some(scheme), .. } if !is_token(scheme) => {
            Err(format!("`{scheme}` is not an authentication scheme (RFC 9110, section 11.1)"))
        }
        TokenSource::Cookie { name } if !is_token(name) => {
            Err(format!("`{name}` is not a cookie name (RFC 6265, section 4.1.1)"))
        }
        TokenSource::Query { name } if name.is_empty() => Err("the query parameter has no name".into()),
        _ => Ok(()),
    }
}

/// A token as RFC 9110, section 5.6.2, has it.
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

pub(super) fn is_lower_case_token(name: &str) -> bool {
    is_token(name) && !name.bytes().any(|b| b.is_ascii_uppercase())
}

/// The credentials in a header value, if it has this scheme. `Bearer` without anything behind it is an
/// empty token: somebody meant to send one.
fn in_header<'r>(value: &'r [u8], scheme: Option<&str>) -> Option<&'r [u8]> {
    let value = value.trim_ascii();
    let Some(scheme) = scheme else { return Some(value) };
    let (head, rest) = value.split_at_checked(scheme.len())?;
    let separated = rest.first().is_none_or(|b| *b == b' ' || *b == b'\t');
    (head.eq_ignore_ascii_case(scheme.as_bytes()) && separated).then(|| rest.trim_ascii_start())
}

/// All cookies of all `cookie` headers (HTTP/2 may split them: RFC 9113, section 8.2.3).
fn cookies(headers: Headers<'_>) -> impl Iterator<Item = &[u8]> {
    headers
        .all("cookie")
        .flat_map(|value| value.split(|b| *b == b';'))
        .map(<[u8]>::trim_ascii)
        .filter(|cookie| !cookie.is_empty())
}

fn cookie_named<'r>(cookie: &'r [u8], name: &str) -> Option<&'r [u8]> {
    let equals = cookie.iter().position(|b| *b == b'=')?;
    let (found, value) = cookie.split_at_checked(equals)?;
    (found.trim_ascii_end() == name.as_bytes()).then(|| value.get(1..).unwrap_or_default().trim_ascii_start())
}

fn parameters(query: Option<&str>) -> impl Iterator<Item = &str> {
    query.into_iter().flat_map(|query| query.split('&')).filter(|parameter| !parameter.is_empty())
}

/// The raw value of a parameter with this name. It is not decoded: nothing in a token needs encoding, so
/// an encoded one is a second spelling of it and is refused as malformed.
fn parameter_named<'r>(parameter: &'r str, name: &str) -> Option<&'r [u8]> {
    let (found, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    // A malformed name would be compared with nothing; intake has refused those.
    let decoded = percent::decode(found.as_bytes(), Plus::Space)?;
    (*decoded == *name.as_bytes()).then_some(value.as_bytes())
}

#[cfg(test)]
mod tests;
