//! Bodies and inspections, each distinct one once.

use std::collections::BTreeMap;

use bartizan_engine::validation::plan as engine;
use bartizan_spec::routes::Method;
use bartizan_spec::text::MediaType;
use bartizan_spec::validation::{Attack, Body, Inspect, JsonBody, Place};

use super::schemas::Schemas;
use crate::diagnostic::Report;
use crate::files::Files;
use crate::yaml::Cursor;

/// The body rules and inspections so far.
#[derive(Debug)]
pub(super) struct Rules {
    bodies: Vec<engine::BodyPlan>,
    /// Body rules by where they were written: the one in `defaults` serves many routes.
    written: BTreeMap<(String, bool), usize>,
    inspections: Vec<engine::InspectionPlan>,
    schemas: Schemas,
}

/// The content type of forms.
const FORM: &str = "application/x-www-form-urlencoded";

/// The number of the rule that takes no body.
pub(super) const NO_BODY: usize = 0;

impl Default for Rules {
    fn default() -> Self {
        let none = engine::BodyPlan { at: String::new(), max_bytes: 0, required: false, content: Vec::new() };
        Self {
            bodies: vec![none],
            written: BTreeMap::new(),
            inspections: Vec::new(),
            schemas: Schemas::default(),
        }
    }
}

impl Rules {
    pub(super) fn into_plan(self) -> engine::ValidationPlan {
        engine::ValidationPlan {
            bodies: self.bodies,
            schemas: self.schemas.into_programs(),
            inspections: self.inspections,
        }
    }

    /// Reports what an inspection says twice or in vain.
    pub(super) fn check_inspect(inspect: &Inspect, at: Cursor<'_>, report: &mut Report) {
        repeated(&inspect.attacks, at.get("for"), report);
        repeated(&inspect.places, at.get("in"), report);
        repeated(&inspect.headers, at.get("headers"), report);
        let looks_at_headers = inspect.places.contains(&Place::Headers);
        if at.get("headers").node().is_some() && !looks_at_headers {
            report.error(
                "inspect-in-vain",
                at.key_of("headers"),
                "`headers` names what is inspected, and `in` does not have `headers`",
                "add `headers` to `in`, or remove this list",
            );
        }
        if looks_at_headers && inspect.headers.is_empty() {
            report.error(
                "inspect-in-vain",
                at.key_of("headers"),
                "`in` has `headers`, and none is named",
                "name them, or remove `headers` from `in`",
            );
        }
    }

    /// The number of what is inspected.
    pub(super) fn inspection(&mut self, inspect: Option<&Inspect>) -> usize {
        let plan = inspect.map_or_else(nothing_inspected, inspection);
        number(&mut self.inspections, plan)
    }

    /// The number of a body rule for a route with these methods.
    pub(super) fn body(
        &mut self,
        body: &Body,
        methods: Option<&[Method]>,
        at: Cursor<'_>,
        files: &mut Files,
        report: &mut Report,
    ) -> usize {
        let carries = |methods: &[Method]| methods.iter().all(|method| method.carries_body());
        let always_carried = methods.is_some_and(carries);
        let required = body.required.unwrap_or(always_carried);
        if let Some(number) = self.written.get(&(at.at(), required)) {
            return *number;
        }
        let mut content = Vec::new();
        if let Some(json) = &body.json {
            let schema = json
                .schema
                .as_ref()
                .and_then(|file| self.schemas.number(file, at.get("json").get("schema"), files, report));
            for (index, media_type) in json.types.iter().enumerate() {
                let is_form = body.form.is_some() && media_type.as_str() == FORM;
                if is_form || json.types.iter().take(index).any(|other| other == media_type) {
                    twice(media_type, at.get("json").get("types").item(index), report);
                }
                let read = engine::ReadPlan::Json { limits: json_limits(json), schema };
                content.push(engine::ContentPlan { media_type: media_type.as_str().to_owned(), read });
            }
        }
        if let Some(form) = &body.form {
            let read = engine::ReadPlan::Form {
                max_fields: form.max_fields,
                max_value_bytes: form.max_value.bytes_u32(),
            };
            content.push(engine::ContentPlan { media_type: FORM.to_owned(), read });
        }
        for (index, media_type) in body.opaque.iter().enumerate() {
            if media_type.as_str() == FORM && body.form.is_some() {
                twice(media_type, at.get("opaque").item(index), report);
            } else if let Some(json) = &body.json
                && json.types.contains(media_type)
            {
                twice(media_type, at.get("opaque").item(index), report);
            } else if body.opaque.iter().take(index).any(|other| other == media_type) {
                twice(media_type, at.get("opaque").item(index), report);
            }
            let media_type = media_type.as_str().to_owned();
            content.push(engine::ContentPlan { media_type, read: engine::ReadPlan::Opaque });
        }
        if content.is_empty() {
            report.error(
                "body-without-content",
                at.key(),
                "this `body` accepts no content type",
                "add `json: {}`, `form: {}` or `opaque: [type/subtype]`; for no body at all write `body: none`",
            );
        }
        if body.max_size.bytes() == 0 {
            report.error(
                "body-without-size",
                at.get("max_size").span(),
                "a `max_size` of zero accepts nothing",
                "raise it, or write `body: none`",
            );
        }
        if body.required == Some(true) && !always_carried {
            report.warning(
                "body-required",
                at.get("required").span(),
                "a body is required, and not every method of this route carries one",
                "list only POST, PUT and PATCH under `methods`, or remove `required`",
            );
        }
        let number = self.bodies.len();
        self.bodies.push(engine::BodyPlan {
            at: at.at(),
            max_bytes: body.max_size.bytes(),
            required,
            content,
        });
        self.written.insert((at.at(), required), number);
        number
    }
}

fn repeated<T: PartialEq>(list: &[T], at: Cursor<'_>, report: &mut Report) {
    for (index, item) in list.iter().enumerate() {
        if list.iter().take(index).any(|other| other == item) {
            report.error("listed-twice", at.item(index).span(), "this is listed twice", "remove one of them");
        }
    }
}

fn number<T: PartialEq>(list: &mut Vec<T>, item: T) -> usize {
    match list.iter().position(|known| *known == item) {
        Some(number) => number,
        None => {
            list.push(item);
            list.len().saturating_sub(1)
        }
    }
}

fn twice(media_type: &MediaType, at: Cursor<'_>, report: &mut Report) {
    report.error(
        "content-type-twice",
        at.span(),
        format!("the content type `{media_type}` is accepted twice"),
        "keep one of them: a body is read in one way",
    );
}

fn json_limits(json: &JsonBody) -> engine::JsonLimits {
    engine::JsonLimits {
        max_depth: json.max_depth,
        max_string_bytes: json.max_string.bytes_u32(),
        max_key_bytes: json.max_key.bytes_u32(),
        max_array_items: json.max_array,
        max_object_members: json.max_members,
        max_values: json.max_values,
    }
}

fn nothing_inspected() -> engine::InspectionPlan {
    engine::InspectionPlan {
        sqli: false,
        xss: false,
        traversal: false,
        path: false,
        query: false,
        headers: Vec::new(),
        cookies: false,
        body: false,
    }
}

fn inspection(inspect: &Inspect) -> engine::InspectionPlan {
    let looks_for = |attack: Attack| inspect.attacks.contains(&attack);
    let looks_in = |place: Place| inspect.places.contains(&place);
    let headers = inspect.headers.iter().map(|name| name.as_str().to_owned());
    engine::InspectionPlan {
        sqli: looks_for(Attack::Sqli),
        xss: looks_for(Attack::Xss),
        traversal: looks_for(Attack::Traversal),
        path: looks_in(Place::Path),
        query: looks_in(Place::Query),
        headers: if looks_in(Place::Headers) { headers.collect() } else { Vec::new() },
        cookies: looks_in(Place::Cookies),
        body: looks_in(Place::Body),
    }
}
