//! Whether a body rule takes at most what another one takes.
//!
//! Only what can be shown counts: a schema is another one unless it is the same file, whatever it says.

use bartizan_spec::forms::OrNone;
use bartizan_spec::routes::Route;
use bartizan_spec::validation::{Body, FormBody, JsonBody};

/// The content type of forms.
const FORM: &str = "application/x-www-form-urlencoded";

/// What was said of the bodies of a route.
pub(super) struct Said {
    /// What it takes, if it takes bodies.
    pub(super) body: Option<Body>,
    /// Whether the `defaults` say so, and not the route.
    pub(super) by_default: bool,
    /// Whether there must be a body.
    required: bool,
}

impl Said {
    /// What the route, or the defaults for it, say; nothing if neither says anything, and then it takes none.
    pub(super) fn of(route: &Route, default: Option<&Body>) -> Option<Self> {
        let methods = route.methods.as_deref();
        let carries = methods.is_none_or(|methods| methods.iter().any(|method| method.carries_body()));
        let (body, by_default) = match (&route.body, default) {
            (Some(OrNone::None), _) => (None, false),
            (Some(OrNone::Some(body)), _) => (Some(body.clone()), false),
            (None, Some(body)) if carries => (Some(body.clone()), true),
            (None, _) => return None,
        };
        let always = methods.is_some_and(|methods| methods.iter().all(|method| method.carries_body()));
        let required = body.as_ref().is_some_and(|body| body.required.unwrap_or(always));
        Some(Self { body, by_default, required })
    }

    /// Of a route of which nothing was said.
    pub(super) const NOTHING: Self = Self { body: None, by_default: false, required: false };

    /// What the other one asks of bodies, and this one does not.
    pub(super) fn leaves_out(&self, other: &Self) -> Vec<String> {
        let mut less = Vec::new();
        if other.required && !self.required {
            less.push("that there must be a body".to_owned());
        }
        let Some(mine) = &self.body else { return less };
        let Some(theirs) = &other.body else {
            less.push("that there is none".to_owned());
            return less;
        };
        if self.by_default && other.by_default {
            return less;
        }
        if mine.max_size > theirs.max_size {
            less.push(format!("`max_size: {}`", theirs.max_size));
        }
        let (all, wider) = (readings(mine), readings(theirs));
        for (content_type, reading) in &all {
            // The narrowest of the patterns that take all of these types is the one that decides over them.
            let deciding = wider.iter().filter(|(pattern, _)| takes(pattern, content_type));
            match deciding.max_by_key(|(pattern, _)| narrowness(pattern)) {
                None => less.push(format!("that `{content_type}` is not taken")),
                Some((_, other)) => self.reads_less(content_type, *reading, *other, &mut less),
            }
            // Within a pattern of mine some types may be read in another way there: so they must be here.
            let within =
                wider.iter().filter(|(inner, _)| inner != content_type && takes(content_type, inner));
            let lost = within.filter(|(inner, _)| !all.iter().any(|(known, _)| known == inner));
            less.extend(lost.map(|(inner, _)| format!("how `{inner}` is read")));
        }
        let mut told = Vec::new();
        for what in less {
            if !told.contains(&what) {
                told.push(what);
            }
        }
        told
    }

    fn reads_less(&self, content_type: &str, mine: Reading<'_>, theirs: Reading<'_>, less: &mut Vec<String>) {
        match (mine, theirs) {
            (_, Reading::Opaque) => {}
            (Reading::Json(mine), Reading::Json(theirs)) => {
                if let Some(schema) = &theirs.schema
                    // A path in a part is another file than the same path in the bundle.
                    && !(self.by_default && mine.schema.as_ref() == Some(schema))
                {
                    less.push(format!("`schema: {schema}`"));
                }
                let numbers = [
                    ("max_depth", mine.max_depth, theirs.max_depth),
                    ("max_array", mine.max_array, theirs.max_array),
                    ("max_members", mine.max_members, theirs.max_members),
                    ("max_values", mine.max_values, theirs.max_values),
                ];
                let wider = numbers.iter().filter(|(_, mine, theirs)| mine > theirs);
                less.extend(wider.map(|(field, _, most)| format!("`{field}: {most}`")));
                let sizes = [
                    ("max_string", mine.max_string, theirs.max_string),
                    ("max_key", mine.max_key, theirs.max_key),
                ];
                let wider = sizes.iter().filter(|(_, mine, theirs)| mine > theirs);
                less.extend(wider.map(|(field, _, most)| format!("`{field}: {most}`")));
            }
            (Reading::Form(mine), Reading::Form(theirs)) => {
                if mine.max_fields > theirs.max_fields {
                    less.push(format!("`max_fields: {}`", theirs.max_fields));
                }
                if mine.max_value > theirs.max_value {
                    less.push(format!("`max_value: {}`", theirs.max_value));
                }
            }
            _ => less.push(format!("how `{content_type}` is read")),
        }
    }
}

/// How a body is read.
#[derive(Clone, Copy)]
enum Reading<'b> {
    Json(&'b JsonBody),
    Form(&'b FormBody),
    Opaque,
}

/// How a body of which content type is read.
fn readings(body: &Body) -> Vec<(&str, Reading<'_>)> {
    let json = body.json.iter().flat_map(|json| json.types.iter().map(move |name| (name, json)));
    let json = json.map(|(name, json)| (name.as_str(), Reading::Json(json)));
    let form = body.form.iter().map(|form| (FORM, Reading::Form(form)));
    let opaque = body.opaque.iter().map(|name| (name.as_str(), Reading::Opaque));
    json.chain(form).chain(opaque).collect()
}

/// Whether a pattern (`type/subtype`, `type/*+suffix` or `type/*`) takes all that the other one takes.
fn takes(pattern: &str, inner: &str) -> bool {
    let (Some((main, sub)), Some((inner_main, inner_sub))) = (pattern.split_once('/'), inner.split_once('/'))
    else {
        return pattern == inner;
    };
    let suffix = || sub.strip_prefix("*+").is_some_and(|suffix| after_plus(inner_sub) == Some(suffix));
    main == inner_main && (sub == "*" || sub == inner_sub || suffix())
}

fn after_plus(sub: &str) -> Option<&str> {
    sub.rsplit_once('+').map(|(_, suffix)| suffix)
}

/// Which of two patterns that take one type the engine prefers.
fn narrowness(pattern: &str) -> u8 {
    match pattern.split_once('/').map(|(_, sub)| sub) {
        Some("*") => 1,
        Some(sub) if sub.starts_with("*+") => 2,
        _ => 3,
    }
}
