//! What of a token's claims is believed (RFC 7519, section 4.1, and RFC 8725, section 3).
//!
//! Input: claims whose signature is good, the issuer's rules, and the time. A claim that is there and has
//! the wrong type refuses the token, optional or not: an issuer that sends `"exp": "soon"` or a role list
//! of numbers is not understood, and guessing would be granting.

mod path;

use serde_json::{Map, Value};

pub(super) use path::ClaimPath;

use super::binding::Confirmation;
use super::dates::{InForce, NumericDate, in_force};
use super::error::TokenError;
use super::forward;
use super::identity::{Identity, Strength};
use super::method::Kind;
use super::plan::{ClaimType, JwtPlan};
use crate::host::Now;

/// What one issuer's tokens must say, made ready.
#[derive(Debug)]
pub(super) struct Rules {
    issuer: String,
    audiences: Vec<String>,
    require_expiry: bool,
    max_lifetime_ns: Option<u64>,
    pub(super) leeway_ns: u64,
    require_type: Option<String>,
    require_claims: Vec<(ClaimPath, Value)>,
    require_types: Vec<(ClaimPath, ClaimType)>,
    subject: ClaimPath,
    roles: Vec<ClaimPath>,
    permissions: Vec<ClaimPath>,
    forward: Vec<(String, ClaimPath)>,
}

const NANOS: u64 = 1_000_000_000;
const MAX_SUBJECT_BYTES: usize = 256;

impl Rules {
    pub(super) fn new(plan: &JwtPlan) -> Self {
        let paths = |paths: &[String]| paths.iter().map(|path| ClaimPath::new(path)).collect();
        Self {
            issuer: plan.issuer.clone(),
            audiences: plan.audiences.clone(),
            require_expiry: plan.require_expiry,
            max_lifetime_ns: plan.max_lifetime_s.map(|s| s.saturating_mul(NANOS)),
            leeway_ns: plan.leeway_s.saturating_mul(NANOS),
            require_type: plan.require_type.as_deref().map(|typ| media_type(typ).to_owned()),
            require_claims: plan
                .require_claims
                .iter()
                .map(|(path, value)| (ClaimPath::new(path), value.clone()))
                .collect(),
            require_types: plan
                .require_types
                .iter()
                .map(|(path, kind)| (ClaimPath::new(path), *kind))
                .collect(),
            subject: ClaimPath::new(&plan.subject),
            roles: paths(&plan.roles),
            permissions: paths(&plan.permissions),
            forward: plan
                .forward_claims
                .iter()
                .map(|(name, path)| (name.clone(), ClaimPath::new(path)))
                .collect(),
        }
    }

    /// Judges claims whose signature is good, and makes an identity of them.
    pub(super) fn identity(
        &self,
        typ: Option<&str>,
        claims: Map<String, Value>,
        now: Now,
        issuer: (usize, &str),
    ) -> Result<Identity, TokenError> {
        self.check_type(typ)?;
        // The issuer was chosen by this claim; it is compared again so that the choice is not trusted.
        match claims.get("iss") {
            Some(Value::String(iss)) if *iss == self.issuer => {}
            _ => return Err(refused("iss", "is not this issuer")),
        }
        self.check_audience(&claims)?;
        let (expires_at, not_before, issued_at) = self.check_dates(&claims, now)?;
        for (path, wanted) in &self.require_claims {
            let (mut there, mut good) = (false, false);
            path.each(&claims, &mut |found| {
                there = true;
                good |= holds(found, wanted);
                Ok(())
            })?;
            match (there, good) {
                (false, _) => return Err(path.error("is missing")),
                (true, true) => {}
                (true, false) => return Err(path.error("does not have the value that the policy requires")),
            }
        }
        for (path, kind) in &self.require_types {
            let mut there = false;
            path.each(&claims, &mut |found| {
                there = true;
                if is_of(*kind, found) {
                    Ok(())
                } else {
                    Err(path.error("is not of the type that the policy requires"))
                }
            })?;
            if !there {
                return Err(path.error("is missing"));
            }
        }
        let mut forwarded = Vec::new();
        for (name, path) in &self.forward {
            if let Some(claim) = path.find(&claims)
                && let Some(value) = forward::header_value(claim).map_err(|problem| path.error(problem))?
            {
                forwarded.push((name.clone(), value));
            }
        }
        let mut identity = Identity::new(Kind::Jwt, issuer.0, issuer.1, self.subject(&claims)?);
        identity.roles = words(&self.roles, &claims)?;
        identity.permissions = words(&self.permissions, &claims)?;
        identity.forwarded = forwarded;
        (identity.expires_at, identity.not_before, identity.issued_at) = (expires_at, not_before, issued_at);
        identity.authenticated_at = claims.get("auth_time").and_then(|time| NumericDate::read(time).ok());
        identity.strength = strength(&claims);
        let confirmation = Confirmation::read(&claims).map_err(|problem| refused("cnf", problem))?;
        identity.confirmation = confirmation.is_bound().then(|| Box::new(confirmation));
        identity.claims = claims;
        Ok(identity)
    }

    /// RFC 8725, section 3.11: a token that says what it is for is not taken for something else. Without a
    /// rule in the policy that means: of the explicit types `*+jwt` only access tokens (RFC 9068) pass, so
    /// that a logout token or a `DPoP` proof of the same issuer never logs anybody in.
    fn check_type(&self, typ: Option<&str>) -> Result<(), TokenError> {
        let found = typ.map(media_type);
        let good = match (&self.require_type, found) {
            (Some(wanted), Some(found)) => found.eq_ignore_ascii_case(wanted),
            (Some(_), None) => false,
            (None, None) => true,
            (None, Some(found)) => {
                found.eq_ignore_ascii_case("at+jwt") || !found.to_ascii_lowercase().ends_with("+jwt")
            }
        };
        if good {
            Ok(())
        } else {
            Err(TokenError::Header { member: "typ", problem: "is not the type of token that is wanted" })
        }
    }

    fn check_audience(&self, claims: &Map<String, Value>) -> Result<(), TokenError> {
        const MALFORMED: &str = "is not a string or a list of strings";
        let wanted = |aud: &String| self.audiences.contains(aud);
        let good = match claims.get("aud") {
            None if self.audiences.is_empty() => return Ok(()),
            None => return Err(refused("aud", "is missing")),
            Some(Value::String(aud)) => wanted(aud),
            Some(Value::Array(list)) => {
                let mut any = false;
                for aud in list {
                    let Value::String(aud) = aud else { return Err(refused("aud", MALFORMED)) };
                    any |= wanted(aud);
                }
                any
            }
            Some(_) => return Err(refused("aud", MALFORMED)),
        };
        if good || self.audiences.is_empty() {
            Ok(())
        } else {
            Err(refused("aud", "names none of the audiences of the policy"))
        }
    }

    fn check_dates(&self, claims: &Map<String, Value>, now: Now) -> Result<Dates, TokenError> {
        let date = |claim: &'static str| {
            claims.get(claim).map(|v| NumericDate::read(v).map_err(|p| refused(claim, p))).transpose()
        };
        let (exp, nbf, iat) = (date("exp")?, date("nbf")?, date("iat")?);
        if self.require_expiry && exp.is_none() {
            return Err(refused("exp", "is missing"));
        }
        match in_force(exp, nbf, self.leeway_ns, now) {
            InForce::Yes => {}
            InForce::NoLonger => return Err(TokenError::Expired),
            InForce::NotYet => return Err(refused("nbf", "is in the future")),
        }
        if iat.is_some_and(|iat| iat.nanos() > now.nanos().saturating_add(self.leeway_ns)) {
            return Err(refused("iat", "is in the future"));
        }
        if let Some(most) = self.max_lifetime_ns {
            let iat = iat.ok_or_else(|| refused("iat", "is missing, and the lifetime is limited"))?;
            let exp = exp.ok_or_else(|| refused("exp", "is missing, and the lifetime is limited"))?;
            let lifetime =
                exp.nanos().checked_sub(iat.nanos()).ok_or_else(|| refused("exp", "is before `iat`"))?;
            if lifetime > most {
                return Err(refused("exp", "is later than the lifetime that the policy allows"));
            }
        }
        Ok((exp, nbf, iat))
    }

    fn subject(&self, claims: &Map<String, Value>) -> Result<String, TokenError> {
        let path = &self.subject;
        match path.find(claims) {
            None => Err(path.error("is missing, and is the subject")),
            Some(Value::String(s)) if s.is_empty() => Err(path.error("is empty, and is the subject")),
            Some(Value::String(s)) if s.len() > MAX_SUBJECT_BYTES => {
                Err(path.error("is longer than a subject may be"))
            }
            // A subject becomes a key of limits and a field of events.
            Some(Value::String(s)) if s.chars().any(char::is_control) => {
                Err(path.error("has control characters, and is the subject"))
            }
            Some(Value::String(s)) => Ok(s.clone()),
            Some(_) => Err(path.error("is not a string, and is the subject")),
        }
    }
}

/// `exp`, `nbf` and `iat`.
type Dates = (Option<NumericDate>, Option<NumericDate>, Option<NumericDate>);

/// What the token says of how somebody was authenticated. Nobody needs it but routes that ask for it, so a form
/// that is not understood refuses nothing here: it is left out, and satisfies nothing.
fn strength(claims: &Map<String, Value>) -> Strength {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let amr = match claims.get("amr") {
        Some(Value::Array(list)) => list.iter().map(text).collect::<Option<Vec<_>>>().unwrap_or_default(),
        Some(Value::String(one)) => vec![one.clone()],
        _ => Vec::new(),
    };
    Strength { acr: claims.get("acr").and_then(text), amr }
}

fn refused(claim: &'static str, problem: &'static str) -> TokenError {
    TokenError::Claim { claim: claim.to_owned(), problem }
}

/// RFC 7515, section 4.1.9: `application/` may be left out of a type.
fn media_type(typ: &str) -> &str {
    match typ.split_at_checked(12) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("application/") => rest,
        _ => typ,
    }
}

/// Whether a claim has a required value, or one of several, or is a list that holds it.
fn holds(found: &Value, wanted: &Value) -> bool {
    let among = |item: &Value| match wanted {
        Value::Array(several) => several.iter().any(|one| equal(item, one)),
        one => equal(item, one),
    };
    match found {
        Value::Array(list) => list.iter().any(among),
        single => among(single),
    }
}

fn is_of(kind: ClaimType, found: &Value) -> bool {
    match (kind, found) {
        (ClaimType::String, Value::String(_))
        | (ClaimType::Number, Value::Number(_))
        | (ClaimType::Boolean, Value::Bool(_))
        | (ClaimType::Object, Value::Object(_))
        | (ClaimType::List, Value::Array(_)) => true,
        (ClaimType::Strings, Value::Array(list)) => list.iter().all(Value::is_string),
        _ => false,
    }
}

fn equal(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        // 1 and 1.0 are one number in JSON.
        (Value::Number(a), Value::Number(b)) => {
            a == b || (a.is_f64() != b.is_f64() && a.as_f64() == b.as_f64())
        }
        (Value::String(a), Value::String(b)) => a == b,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        _ => false,
    }
}

/// Collects words from claims that hold a list of strings, or one string with spaces between (as `scope`
/// does, RFC 6749, section 3.3). In a list a string is one word, spaces and all.
fn words(paths: &[ClaimPath], claims: &Map<String, Value>) -> Result<Vec<String>, TokenError> {
    const MALFORMED: &str = "is not a string or a list of strings";
    const MAX_WORDS: usize = 1024;
    let mut words: Vec<String> = Vec::new();
    // One word over the limit is kept, to be seen below; after it nothing is compared any more.
    let mut add = |word: &str| {
        if words.len() <= MAX_WORDS && !word.is_empty() && !words.iter().any(|known| known == word) {
            words.push(word.to_owned());
        }
    };
    for path in paths {
        // A word of an object in a list is one word, as a word in a list is.
        let whole = path.is_plural();
        path.each(claims, &mut |found| {
            match found {
                Value::String(word) if whole => add(word),
                Value::String(list) => list.split(' ').for_each(&mut add),
                Value::Array(list) => {
                    for word in list {
                        add(word.as_str().ok_or_else(|| path.error(MALFORMED))?);
                    }
                }
                _ => return Err(path.error(MALFORMED)),
            }
            Ok(())
        })?;
    }
    // Half a list of roles would be another list of roles.
    if let (true, Some(path)) = (words.len() > MAX_WORDS, paths.first()) {
        return Err(path.error("has more than 1,024 words"));
    }
    Ok(words)
}

#[cfg(test)]
mod tests;
