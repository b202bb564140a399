//! Canonical JSON: sorted members, no blanks. The same plan is always the same bytes.

use bartizan_engine::plan::Plan;
use serde_json::Value;

/// The plan as canonical JSON.
///
/// # Errors
/// When the plan cannot be written as JSON, which no plan from the compiler does.
pub fn plan(plan: &Plan) -> Result<String, serde_json::Error> {
    serde_json::to_value(plan).map(|value| json(&value))
}

/// Any value as canonical JSON.
#[must_use]
pub fn json(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            // Sorted here, whatever order the map keeps: that depends on a feature anybody may switch on.
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            out.push('{');
            for (index, (name, member)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write(member, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_sorted_and_nothing_is_lost() {
        let value = serde_json::json!({"b": [1, 2.5, null, {"z": "\"\n", "a": true}], "a": {}});
        let text = json(&value);
        assert_eq!(text, r#"{"a":{},"b":[1,2.5,null,{"a":true,"z":"\"\n"}]}"#);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
