//! Fields of mappings: unknown ones, missing ones, and choices between several mappings.

use serde_json::Value as Json;

use super::{Checker, Place, Schema, scalars};
use crate::suggest;
use crate::yaml::{Key, Node, Value};

impl<'s> Checker<'s, '_> {
    pub(super) fn check_object(&mut self, schema: &'s Schema, node: &mut Node, place: &Place<'_>) -> bool {
        let Value::Map(members) = &mut node.value else { return self.wrong_type(&[schema], node, place) };
        let properties = schema.get("properties").and_then(Json::as_object);
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
            .filter_map(Json::as_str)
            .collect();
        let missing: Vec<&str> = required
            .iter()
            .copied()
            .filter(|field| !members.iter().any(|(key, _)| key.text == *field))
            .collect();
        let known = || properties.into_iter().flat_map(Schema::keys).map(String::as_str);
        let unknown = members.iter().filter(|(key, _)| !known().any(|field| field == key.text)).take(100);
        // A misspelt field is not missing as well.
        let meant = |(key, _): &(Key, Node)| match is_key_in_clear(place.path, &key.text) {
            true => Some("hash"),
            false => suggest::nearest(&key.text, known()),
        };
        let meant: Vec<&str> = unknown.filter_map(meant).collect();
        for field in missing.iter().filter(|field| !meant.contains(*field)) {
            let about =
                properties.and_then(|p| p.get(*field)).and_then(|f| self.description(f)).unwrap_or_default();
            let message = format!("the field `{field}` is missing{}", place.inside());
            self.error("missing-field", place.span, message, format!("add `{field}`{about}"));
        }
        let mut sound = missing.is_empty();
        let names = schema.get("propertyNames");
        let others = schema.get("additionalProperties").filter(|s| s.as_bool() != Some(false));
        members.retain_mut(|(key, value)| {
            let path = place.member(&key.text);
            let here = Place { path: &path, span: key.span };
            let fits = match (properties.and_then(|p| p.get(&key.text)), others) {
                (Some(property), _) => self.check(property, value, &here),
                (None, Some(other)) => {
                    let good_name = names.is_none_or(|rule| self.check_name(rule, key, &here));
                    self.check(other, value, &here) && good_name
                }
                (None, None) => {
                    self.unknown_field(properties, key, place);
                    false
                }
            };
            // What cannot do without this field goes as well; it has been reported.
            sound &= fits || !required.contains(&key.text.as_str());
            fits
        });
        sound
    }

    /// The name of a member that the bundle's author has chosen.
    fn check_name(&mut self, rule: &'s Json, key: &Key, place: &Place<'_>) -> bool {
        let format = self.resolve(rule).and_then(|r| r.get("format")).and_then(Json::as_str);
        match format.and_then(|format| bartizan_spec::text::check(format, &key.text)) {
            Some(Err(problem)) => {
                self.error("bad-name", place.span, problem.message, problem.help);
                false
            }
            _ => true,
        }
    }

    /// Exactly one of several mappings, told apart by the field that each needs.
    pub(super) fn check_choice(
        &mut self,
        choices: &[&'s Schema],
        words: &[&'s str],
        node: &mut Node,
        place: &Place<'_>,
    ) -> bool {
        let needed = |choice: &&'s Schema| choice.get("required")?.as_array()?.first()?.as_str();
        let marks: Vec<&'s str> = choices.iter().filter_map(needed).collect();
        let there: Vec<&Key> = node.keys().filter(|key| marks.contains(&key.text.as_str())).collect();
        match there.as_slice() {
            [one] => {
                let chosen = choices.iter().find(|choice| needed(choice) == Some(one.text.as_str()));
                match chosen {
                    Some(chosen) => self.check_object(chosen, node, place),
                    None => false,
                }
            }
            [] => {
                let unknown = node.keys().next().map(|key| (key.text.clone(), key.span));
                let all = suggest::list(&marks);
                let or_word =
                    if words.is_empty() { String::new() } else { format!(", or {}", suggest::list(words)) };
                let (span, message, help) = match unknown {
                    Some((key, span)) => {
                        let help = match (suggest::nearest(&key, marks.iter().copied()), taught(&key)) {
                            (Some(mark), _) => format!("did you mean `{mark}`?"),
                            (None, Some(lesson)) => lesson.to_owned(),
                            (None, None) => format!("write one of {all}{or_word}"),
                        };
                        (span, format!("unknown field `{key}`{}", place.inside()), help)
                    }
                    None => {
                        let message = format!("`{}` is an empty mapping", place.path);
                        (place.span, message, format!("write one of {all}{or_word}"))
                    }
                };
                self.error("unknown-field", span, message, help);
                false
            }
            [first, second, ..] => {
                let message =
                    format!("`{}` and `{}` exclude each other{}", first.text, second.text, place.inside());
                let span = second.span;
                self.error("exclusive-fields", span, message, "keep one of them");
                false
            }
        }
    }

    fn unknown_field(&mut self, properties: Option<&'s Schema>, key: &Key, place: &Place<'_>) {
        if self.report.is_full() {
            self.error("unknown-field", key.span, String::new(), String::new());
            return;
        }
        if is_key_in_clear(place.path, &key.text) {
            let message =
                format!("`{}` is no field of an entry, and what stands here may be the key itself", key.text);
            self.error(scalars::SECRET, key.span, message, KEY_IN_CLEAR);
            return;
        }
        let known: Vec<&str> = properties.into_iter().flat_map(Schema::keys).map(String::as_str).collect();
        let help = match suggest::nearest(&key.text, known.iter().copied()) {
            Some(field) => format!("did you mean `{field}`?"),
            None => match (taught(&key.text), properties.and_then(|p| self.home_of(p, &key.text))) {
                (_, Some(home)) => format!("it belongs under `{home}`"),
                (Some(lesson), None) => lesson.to_owned(),
                (None, None) if place.path.is_empty() && self.is_of_the_bundle(&key.text) => {
                    "a part has no say in it: it belongs into the `bundle.yaml` that lists this part"
                        .to_owned()
                }
                (None, None) => format!("the fields here are {}", suggest::list(&known)),
            },
        };
        let message = format!("unknown field `{}`{}", crate::yaml::shorten(&key.text), place.inside());
        self.error("unknown-field", key.span, message, help);
    }

    /// Whether this is a part, and the field one that only bundles have.
    fn is_of_the_bundle(&self, field: &str) -> bool {
        let id = self.root.get("$id").and_then(Json::as_str);
        let bundle = bartizan_spec::schema::bundle_schema();
        let fields = bundle.get("properties").and_then(Json::as_object);
        id == Some(bartizan_spec::schema::PART_SCHEMA_ID) && fields.is_some_and(|f| f.contains_key(field))
    }

    /// The way to a field of this name in one of the fields here, at most two levels down.
    fn home_of(&self, properties: &'s Schema, name: &str) -> Option<String> {
        self.home_within(properties, name, 2)
    }

    fn home_within(&self, properties: &'s Schema, name: &str, levels: u8) -> Option<String> {
        let inner = |property: &'s Json| self.objects_of(property).into_iter();
        let direct = properties
            .iter()
            .find(|(_, property)| inner(property).any(|fields| fields.contains_key(name)))
            .map(|(field, _)| field.clone());
        if direct.is_some() || levels <= 1 {
            return direct;
        }
        properties.iter().find_map(|(field, property)| {
            let below = inner(property)
                .find_map(|fields| self.home_within(fields, name, levels.saturating_sub(1)))?;
            Some(format!("{field}.{below}"))
        })
    }

    /// The fields of a mapping, or of the mappings that a choice allows.
    fn objects_of(&self, property: &'s Json) -> Vec<&'s Schema> {
        let Some(schema) = self.resolve(property) else { return Vec::new() };
        let alternatives = ["oneOf", "anyOf"].iter().find_map(|key| schema.get(*key)?.as_array());
        let own = schema.get("properties").and_then(Json::as_object);
        let others = alternatives
            .into_iter()
            .flatten()
            .filter_map(|alternative| self.resolve(alternative)?.get("properties")?.as_object());
        own.into_iter().chain(others).collect()
    }

    /// What a field is for, as the rest of a sentence.
    fn description(&self, property: &'s Json) -> Option<String> {
        let own = property.get("description");
        let text = own.or_else(|| self.resolve(property)?.get("description"))?.as_str()?;
        let sentence = text.split(". ").next()?.trim_end_matches('.');
        let mut letters = sentence.chars();
        let first = letters.next()?.to_lowercase();
        Some(format!(": {first}{}", letters.as_str()))
    }
}

const KEY_IN_CLEAR: &str = "write `hash` with what `bartizan hash-key --stdin` prints; the key itself never stands in a bundle: take it out, and treat it as leaked";

/// Whether a field of an entry of a table of API keys has most likely the key itself.
fn is_key_in_clear(path: &str, field: &str) -> bool {
    path.starts_with("keys[")
        && !path.contains('.')
        && ["key", "api_key", "apikey", "secret", "value", "token"].contains(&field)
}

/// Fields that people bring from other tools or from what this language will have later.
fn taught(field: &str) -> Option<&'static str> {
    Some(match field {
        "match" => "write `path`, `methods` and `hosts` directly in the route",
        "when" | "condition" => "conditions are not part of this version; use permissions",
        "mode" => "every bundle is enforced in this version; remove the field",
        "cors" => "this version does not answer CORS requests; remove the field",
        "ban" => "bans are not part of this version; use a slower `rate`",
        "jwks_uri" | "jwksUri" => {
            "let the proxy fetch the key set: `keys: {remote: {cluster: NAME, uri: https://...}}`"
        }
        "basic" | "mtls" => "this version authenticates with `jwt`, `api_keys` and `signed_requests`",
        "version" => {
            "the language version is `apiVersion: bartizan/v1`; the bundle's own number is `revision`"
        }
        "auth" | "authorization" | "role" | "permission" | "public" => {
            "a route says who may use it with `access`"
        }
        "schema" => "a schema belongs under `body`: `body: {json: {schema: schemas/x.json}}`",
        "timeout" | "upstream" | "backend" | "service" => {
            "upstreams are the proxy's business, not the policy's"
        }
        _ => return None,
    })
}
