//! The components of a message that a signature covers (RFC 9421, section 2), and what their values are.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::problem::Problem;
use super::target::Target;
use crate::authentication::error::excerpt;
use crate::authentication::sources::is_lower_case_token;
use crate::intake::percent::{Plus, decode};
use crate::intake::request::Headers;
use crate::structured::{self, Bare, Dictionary, InnerList, Item, Member};

/// The field that covers the body.
pub(super) const DIGEST: &str = "content-digest";

/// The digests in it that are compared.
const COMPARED: [&str; 2] = ["sha-256", "sha-512"];

/// The most components of a signature.
const MAX_COMPONENTS: usize = 64;

/// The most of them that are a part of something that is read for it: a member, a parameter of the query.
const MAX_PARTS: usize = 16;

/// The longest text that is signed. What is covered many times over would make much of a small request, for whoever
/// knows the name of a key.
const MAX_BASE: usize = 64 * 1024;

/// Fields that are known to be dictionaries, for `sf`: their canonical form depends on the type.
const DICTIONARIES: [&str; 8] = [
    "accept-signature",
    "content-digest",
    "priority",
    "repr-digest",
    "signature",
    "signature-input",
    "want-content-digest",
    "want-repr-digest",
];

/// A component that is covered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Component {
    /// A field name, or a derived component with its `@`.
    pub(super) name: String,
    form: Form,
    /// As it stands in the signature base.
    identifier: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    /// The value, or the values joined.
    Plain,
    /// In its canonical structured form.
    Structured,
    /// One member of a dictionary.
    Member(String),
    /// Each line as bytes.
    Bytes,
    /// A query parameter of this encoded name.
    Parameter(String),
}

impl Component {
    /// Whether the whole value is covered, and not a part of it.
    pub(super) fn is_whole(&self) -> bool {
        !matches!(self.form, Form::Member(_) | Form::Parameter(_))
    }

    fn read(item: &Item) -> Result<Self, Problem> {
        let Bare::String(name) = &item.value else {
            return Err(Problem::invalid("a component is not a string"));
        };
        let mut identifier = String::new();
        structured::write_item(item, &mut identifier)
            .map_err(|_| Problem::invalid("a component cannot be written"))?;
        let refused =
            || Problem::invalid(format!("the component `{}` cannot be covered here", excerpt(&identifier)));
        let derived = name.starts_with('@');
        let mut form = Form::Plain;
        for (key, value) in &item.parameters {
            let next = match (key.as_str(), value) {
                ("sf", Bare::Boolean(true)) if !derived => Form::Structured,
                ("bs", Bare::Boolean(true)) if !derived => Form::Bytes,
                ("key", Bare::String(key)) if !derived => Form::Member(key.clone()),
                ("name", Bare::String(parameter)) if name == "@query-param" => {
                    Form::Parameter(parameter.clone())
                }
                // `req` is for responses, trailers (`tr`) are dropped on the way, and the rest nobody knows.
                _ => return Err(refused()),
            };
            // `key` implies `sf` (section 2.1.2), any other two contradict each other.
            form = match (form, next) {
                (Form::Plain, next) => next,
                (Form::Structured, member @ Form::Member(_))
                | (member @ Form::Member(_), Form::Structured) => member,
                _ => return Err(refused()),
            };
        }
        let known = match name.as_str() {
            "@method" | "@target-uri" | "@authority" | "@scheme" | "@request-target" | "@path" | "@query" => {
                true
            }
            "@query-param" => matches!(form, Form::Parameter(_)),
            field => !derived && is_lower_case_token(field),
        };
        if known { Ok(Self { name: name.clone(), form, identifier }) } else { Err(refused()) }
    }

    fn value<'r>(&self, message: &mut Message<'r>) -> Result<Cow<'r, str>, Problem> {
        let target = &message.target;
        Ok(match self.name.as_str() {
            "@method" => target.method.into(),
            "@target-uri" => target.uri()?.into(),
            "@authority" => target.authority().into(),
            "@scheme" => target.scheme()?.into(),
            "@request-target" => target.whole.into(),
            "@path" => target.path().into(),
            "@query" => format!("?{}", target.query().unwrap_or_default()).into(),
            "@query-param" => self.parameter(message)?.into(),
            _ => self.field(message)?.into(),
        })
    }

    /// RFC 9421, section 2.1.
    fn field(&self, message: &mut Message<'_>) -> Result<String, Problem> {
        if self.form == Form::Structured && !DICTIONARIES.contains(&self.name.as_str()) {
            return Err(self.invalid("is of a type that is not known, which `sf` needs"));
        }
        if self.is_part()
            && let Some((_, fields)) = message.fields.iter().find(|(name, _)| *name == self.name)
        {
            return self.structured(fields);
        }
        let mut lines: Vec<&[u8]> = message.headers.all(&self.name).map(<[u8]>::trim_ascii).collect();
        // Proxies keep `host` as `:authority`; intake has refused requests in which the two differ.
        if lines.is_empty() && self.name == "host" {
            lines.push(message.target.authority.as_bytes());
        }
        if lines.is_empty() {
            return Err(self.invalid("is covered, and there is none"));
        }
        if self.form == Form::Bytes {
            let encoded: Vec<_> = lines.iter().map(|line| format!(":{}:", STANDARD.encode(line))).collect();
            return Ok(encoded.join(", "));
        }
        let joined = lines.join(&b", "[..]);
        if !joined.is_ascii() {
            return Err(self.invalid("is covered and not ASCII; use `bs`"));
        }
        if self.form != Form::Plain {
            let parsed = structured::dictionary(&joined).map_err(|_| self.wrong())?;
            if parsed.repeated {
                return Err(self.wrong());
            }
            let text = self.structured(&parsed.value)?;
            message.fields.push((self.name.clone(), parsed.value));
            return Ok(text);
        }
        String::from_utf8(joined).map_err(|_| Problem::invalid("a covered field is not text"))
    }

    /// RFC 9421, sections 2.1.1 and 2.1.2.
    fn structured(&self, members: &Dictionary) -> Result<String, Problem> {
        let mut text = String::new();
        let written = match &self.form {
            Form::Member(key) => match members.iter().find(|(name, _)| name == key) {
                Some((_, Member::Item(item))) => structured::write_item(item, &mut text),
                Some((_, Member::Inner(list))) => structured::write_inner_list(list, &mut text),
                None => return Err(self.invalid("has no such member")),
            },
            _ => structured::write_dictionary(members, &mut text),
        };
        written.map(|()| text).map_err(|_| self.wrong())
    }

    fn invalid(&self, what: &str) -> Problem {
        Problem::invalid(format!("`{}` {what}", excerpt(&self.identifier)))
    }

    fn wrong(&self) -> Problem {
        self.invalid("is no dictionary without repetitions")
    }

    /// RFC 9421, section 2.2.8: the parameter is decoded as a form is, and encoded again in one way.
    fn parameter(&self, message: &mut Message<'_>) -> Result<String, Problem> {
        let Form::Parameter(wanted) = &self.form else {
            return Err(Problem::invalid("no name of a parameter"));
        };
        if message.parameters.is_empty() {
            let query = message.target.query().unwrap_or_default();
            for pair in query.split('&').filter(|pair| !pair.is_empty()) {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                message.parameters.push((encoded(name)?, value));
            }
        }
        let mut found = message.parameters.iter().filter(|(name, _)| name == wanted);
        match (found.next(), found.next()) {
            (Some((_, value)), None) => encoded(value),
            (None, _) => Err(Problem::invalid("a query parameter is covered, and there is none")),
            (Some(_), Some(_)) => Err(Problem::invalid("a query parameter is covered, and is there twice")),
        }
    }

    /// Whether it is a part of a field or of the query.
    const fn is_part(&self) -> bool {
        matches!(self.form, Form::Structured | Form::Member(_) | Form::Parameter(_))
    }
}

/// What components are of, each part of it read once.
struct Message<'r> {
    target: &'r Target<'r>,
    headers: Headers<'r>,
    /// The fields that were read as dictionaries.
    fields: Vec<(String, Dictionary)>,
    /// The names of the query's parameters as they are compared, and the values as they were sent.
    parameters: Vec<(String, &'r str)>,
}

/// The one spelling of a name or a value of a query: all but letters, digits and `*-._` is percent-encoded.
fn encoded(raw: &str) -> Result<String, Problem> {
    let bytes = decode(raw.as_bytes(), Plus::Space).ok_or_else(|| Problem::invalid("a malformed query"))?;
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes.iter() {
        match byte {
            b'*' | b'-' | b'.' | b'_' => text.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => text.push(char::from(byte)),
            _ => crate::intake::percent::push_triplet(&mut text, byte),
        }
    }
    Ok(text)
}

/// Reads the components of a signature: each may be there once (RFC 9421, section 2).
pub(super) fn read(list: &InnerList) -> Result<Vec<Component>, Problem> {
    if list.items.len() > MAX_COMPONENTS {
        return Err(Problem::invalid(format!("more than {MAX_COMPONENTS} components are covered")));
    }
    let mut components: Vec<Component> = Vec::with_capacity(list.items.len());
    for item in &list.items {
        let component = Component::read(item)?;
        if components.iter().any(|known| known.identifier == component.identifier) {
            return Err(Problem::invalid("a component is covered twice"));
        }
        components.push(component);
    }
    if components.iter().filter(|component| component.is_part()).count() > MAX_PARTS {
        return Err(Problem::invalid(format!("more than {MAX_PARTS} components are parts of something")));
    }
    Ok(components)
}

/// The text that is signed (RFC 9421, section 2.5).
pub(super) fn base(
    list: &InnerList,
    components: &[Component],
    target: &Target<'_>,
    headers: Headers<'_>,
) -> Result<String, Problem> {
    let mut message = Message { target, headers, fields: Vec::new(), parameters: Vec::new() };
    let mut base = String::with_capacity(512);
    for component in components {
        let value = component.value(&mut message)?;
        // Neither a path nor a header has a line break once intake has seen it; here it would forge a line.
        if !value.is_ascii() || value.contains(['\n', '\r']) {
            return Err(Problem::invalid("a covered value is not one line of ASCII"));
        }
        let _ = writeln!(base, "{}: {value}", component.identifier);
        if base.len() > MAX_BASE {
            return Err(Problem::invalid(format!("more than {MAX_BASE} bytes are covered")));
        }
    }
    base.push_str("\"@signature-params\": ");
    structured::write_inner_list(list, &mut base)
        .map_err(|_| Problem::invalid("the parameters cannot be written"))?;
    Ok(base)
}

/// Whether what the policy requires is covered. `@target-uri` covers all that it is made of.
pub(super) fn covers(components: &[Component], wanted: &str) -> bool {
    let by: &[&str] = match wanted {
        "@path" => &["@path", "@request-target", "@target-uri"],
        "@query" => &["@query", "@request-target", "@target-uri"],
        "@request-target" => &["@request-target", "@target-uri"],
        "@authority" => &["@authority", "@target-uri", "host"],
        "@scheme" => &["@scheme", "@target-uri"],
        other => &[other],
    };
    components.iter().any(|component| component.is_whole() && by.contains(&component.name.as_str()))
}

/// Whether a digest of the body is covered, in whatever form.
pub(super) fn covers_digest(components: &[Component]) -> Result<bool, Problem> {
    let mut forms = components.iter().filter(|component| component.name == DIGEST);
    if forms
        .clone()
        .any(|component| matches!(&component.form, Form::Member(key) if !COMPARED.contains(&&**key)))
    {
        return Err(Problem::Digest("what is covered of `content-digest` is no sha-256 and no sha-512"));
    }
    Ok(forms.next().is_some())
}
