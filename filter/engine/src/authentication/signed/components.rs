//! The components of a message that a signature covers (RFC 9421, section 2), and what their values are.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::problem::Problem;
use super::target::Target;
use crate::authentication::sources::is_lower_case_token;
use crate::intake::percent::{Plus, decode};
use crate::intake::request::Headers;
use crate::structured::{self, Bare, InnerList, Item, Member};

/// The most components of a signature.
const MAX_COMPONENTS: usize = 64;

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
        let refused = || Problem::invalid(format!("the component {identifier} cannot be covered here"));
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

    fn value<'r>(&self, target: &Target<'r>, headers: Headers<'r>) -> Result<Cow<'r, str>, Problem> {
        Ok(match self.name.as_str() {
            "@method" => target.method.into(),
            "@target-uri" => target.uri()?.into(),
            "@authority" => target.authority().into(),
            "@scheme" => target.scheme()?.into(),
            "@request-target" => target.whole.into(),
            "@path" => target.path().into(),
            "@query" => format!("?{}", target.query().unwrap_or_default()).into(),
            "@query-param" => self.parameter(target)?.into(),
            _ => self.field(target, headers)?.into(),
        })
    }

    /// RFC 9421, section 2.1.
    fn field(&self, target: &Target<'_>, headers: Headers<'_>) -> Result<String, Problem> {
        let mut lines: Vec<&[u8]> = headers.all(&self.name).map(<[u8]>::trim_ascii).collect();
        // Proxies keep `host` as `:authority`; intake has refused requests in which the two differ.
        if lines.is_empty() && self.name == "host" {
            lines.push(target.authority.as_bytes());
        }
        if lines.is_empty() {
            return Err(Problem::invalid(format!("`{}` is covered, and there is none", self.name)));
        }
        if self.form == Form::Bytes {
            let encoded: Vec<_> = lines.iter().map(|line| format!(":{}:", STANDARD.encode(line))).collect();
            return Ok(encoded.join(", "));
        }
        let joined = lines.join(&b", "[..]);
        if !joined.is_ascii() {
            return Err(Problem::invalid(format!("`{}` is covered and not ASCII; use `bs`", self.name)));
        }
        if self.form != Form::Plain {
            return self.structured(&joined);
        }
        String::from_utf8(joined).map_err(|_| Problem::invalid("a covered field is not text"))
    }

    /// RFC 9421, sections 2.1.1 and 2.1.2.
    fn structured(&self, joined: &[u8]) -> Result<String, Problem> {
        let wrong = || Problem::invalid(format!("`{}` is no dictionary without repetitions", self.name));
        if self.form == Form::Structured && !DICTIONARIES.contains(&self.name.as_str()) {
            return Err(Problem::invalid(format!(
                "the type of `{}` is not known, which `sf` needs",
                self.name
            )));
        }
        let parsed = structured::dictionary(joined).map_err(|_| wrong())?;
        if parsed.repeated {
            return Err(wrong());
        }
        let mut text = String::new();
        let written = match &self.form {
            Form::Member(key) => match parsed.value.iter().find(|(name, _)| name == key) {
                Some((_, Member::Item(item))) => structured::write_item(item, &mut text),
                Some((_, Member::Inner(list))) => structured::write_inner_list(list, &mut text),
                None => return Err(Problem::invalid(format!("`{}` has no member `{key}`", self.name))),
            },
            _ => structured::write_dictionary(&parsed.value, &mut text),
        };
        written.map(|()| text).map_err(|_| wrong())
    }

    /// RFC 9421, section 2.2.8: the parameter is decoded as a form is, and encoded again in one way.
    fn parameter(&self, target: &Target<'_>) -> Result<String, Problem> {
        let Form::Parameter(wanted) = &self.form else {
            return Err(Problem::invalid("no name of a parameter"));
        };
        let pairs = target.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let mut found = None;
        for pair in pairs {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if encoded(name)? == *wanted && found.replace(encoded(value)?).is_some() {
                return Err(Problem::invalid("a query parameter is covered, and is there twice"));
            }
        }
        found.ok_or_else(|| Problem::invalid("a query parameter is covered, and there is none"))
    }
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
    Ok(components)
}

/// The text that is signed (RFC 9421, section 2.5).
pub(super) fn base(
    list: &InnerList,
    components: &[Component],
    target: &Target<'_>,
    headers: Headers<'_>,
) -> Result<String, Problem> {
    let mut base = String::with_capacity(512);
    for component in components {
        let value = component.value(target, headers)?;
        // Neither a path nor a header has a line break once intake has seen it; here it would forge a line.
        if !value.is_ascii() || value.contains(['\n', '\r']) {
            return Err(Problem::invalid("a covered value is not one line of ASCII"));
        }
        let _ = writeln!(base, "{}: {value}", component.identifier);
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
