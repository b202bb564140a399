//! Texts, numbers and truth values.

use bartizan_spec::bundle::MAX_REVISION;
use bartizan_spec::text;
use serde_json::Value as Json;

use super::{Checker, Place, Schema, words};
use crate::yaml::{Meaning, Node, Scalar, Value};

/// The code of a diagnostic whose line is not shown: a secret may stand in it.
pub(super) const SECRET: &str = crate::render::HIDDEN;

pub(super) fn is_null(scalar: &Scalar) -> bool {
    scalar.meaning == Meaning::Null
}

/// JSON has no infinities, and a whole number that no double holds is another one for some readers (RFC 7493, section
/// 2.2), so canonical JSON has none.
pub(super) fn json_can_hold(scalar: &Scalar) -> bool {
    match scalar.meaning {
        Meaning::Integer(value) => value.is_some_and(|value| value.unsigned_abs() <= MAX_REVISION),
        Meaning::Float(value) => value.is_finite(),
        Meaning::Null | Meaning::Bool(_) | Meaning::Text => true,
    }
}

impl<'s> Checker<'s, '_> {
    pub(super) fn check_text(&mut self, schema: &'s Schema, node: &Node, place: &Place<'_>) -> bool {
        let allowed = words::of(schema);
        let Value::Scalar(scalar) = &node.value else { return self.wrong_type(&[schema], node, place) };
        if !allowed.is_empty() {
            return self.check_word(&allowed, &[], node, place);
        }
        let format = schema.get("format").and_then(Json::as_str);
        let problem = format.and_then(|format| text::check(format, &scalar.text)).and_then(Result::err);
        // `leeway: 10` is first of all a duration without a unit.
        if let Some(problem) = problem {
            // What stands where the name of a secret belongs may be the secret.
            let secret =
                matches!(format, Some("bartizan-env-name" | "bartizan-sealed" | "bartizan-key-hash"));
            let code = if secret { SECRET } else { "bad-value" };
            self.error(code, node.span, format!("{}: {}", place.path, problem.message), problem.help);
            return false;
        }
        if scalar.meaning != Meaning::Text {
            let message = format!("`{}` must be a text, found {}", place.path, node.describe());
            self.error("wrong-type", node.span, message, format!("put it in quotes: \"{}\"", scalar.text));
            return false;
        }
        true
    }

    pub(super) fn check_integer(&mut self, schema: &'s Schema, node: &Node, place: &Place<'_>) -> bool {
        let Value::Scalar(scalar) = &node.value else { return self.wrong_type(&[schema], node, place) };
        let bound = |key: &str| schema.get(key).and_then(Json::as_i64);
        let (least, most) = (bound("minimum").unwrap_or(i64::MIN), bound("maximum").unwrap_or(i64::MAX));
        match scalar.meaning {
            Meaning::Integer(Some(value)) if (least..=most).contains(&value) => true,
            Meaning::Integer(_) => {
                let message =
                    format!("`{}` is out of range: {}", place.path, crate::yaml::shorten(&scalar.text));
                self.error("out-of-range", node.span, message, range(least, most));
                false
            }
            _ => {
                let message = format!("`{}` must be a whole number, found {}", place.path, node.describe());
                let quoted = scalar.text.parse::<i64>().is_ok();
                let help = if quoted { "remove the quotes".to_owned() } else { range(least, most) };
                self.error("wrong-type", node.span, message, help);
                false
            }
        }
    }

    pub(super) fn check_truth(&mut self, node: &Node, place: &Place<'_>) -> bool {
        let Value::Scalar(Scalar { meaning, text }) = &node.value else {
            let message = format!("`{}` must be `true` or `false`, found {}", place.path, node.describe());
            self.error("wrong-type", place.span, message, "write `true` or `false`");
            return false;
        };
        if matches!(meaning, Meaning::Bool(_)) {
            return true;
        }
        let message = format!("`{}` must be `true` or `false`, found {}", place.path, node.describe());
        let help = match text.to_ascii_lowercase().as_str() {
            "yes" | "on" | "1" => "write `true`",
            "no" | "off" | "0" => "write `false`",
            "true" | "false" => "remove the quotes",
            _ => "write `true` or `false`",
        };
        self.error("wrong-type", node.span, message, help);
        false
    }
}

fn range(least: i64, most: i64) -> String {
    match (least, most) {
        (i64::MIN, i64::MAX) => "write a whole number".to_owned(),
        (least, i64::MAX) => format!("write a whole number from {least}"),
        (i64::MIN, most) => format!("write a whole number up to {most}"),
        (least, most) => format!("write a whole number from {least} to {most}"),
    }
}
