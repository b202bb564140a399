//! The regression tests of the OWASP core rule set, read as their runner go-ftw reads them.

use std::path::Path;

use bartizan_engine::intake::{self, plan::IntakePlan, request::Headers};
use bartizan_engine::trace::Trace;
use bartizan_engine::validation::body::{BodyDuty, Validator};
use bartizan_engine::validation::inspect::inspect_request;
use bartizan_engine::validation::plan::{
    BodyPlan, ContentPlan, InspectionPlan, JsonLimits, ReadPlan, ValidationPlan,
};
use serde_json::Value;

/// One request, and what the rule set says of it.
#[derive(Debug)]
pub struct Stage {
    /// Rule and number of the test: `942100-1`.
    pub name: String,
    /// The rule the test is about.
    pub rule: u32,
    /// Rules that must match.
    pub expected: Vec<u32>,
    method: String,
    uri: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It got through.
    Passed,
    /// Attack detection refused it.
    Attack,
    /// Something before attack detection refused it.
    Other,
}

/// Reads the tests of one rule.
///
/// # Errors
/// When they are not what go-ftw reads.
pub fn stages(yaml: &Value) -> Result<Vec<Stage>, String> {
    let rule = number(yaml.get("rule_id")).ok_or("no rule_id")?;
    let mut stages = Vec::new();
    for test in list(yaml.get("tests")) {
        for stage in list(test.get("stages")) {
            let input = stage.get("input").ok_or("a stage without input")?;
            let log = stage.get("output").and_then(|o| o.get("log"));
            let expected = list(log.and_then(|l| l.get("expect_ids")));
            let headers = input.get("headers").and_then(Value::as_object);
            let text = |name: &str| input.get(name).and_then(Value::as_str);
            let mut headers: Vec<(String, String)> = headers
                .into_iter()
                .flatten()
                .map(|(n, v)| {
                    (n.to_ascii_lowercase(), v.as_str().map_or_else(|| v.to_string(), str::to_owned))
                })
                .collect();
            let mut body = text("data").map(|d| d.as_bytes().to_vec());
            let declared = headers.iter().find(|(n, _)| n == "content-type").map(|(_, v)| v.clone());
            if let Some(data) = &mut body {
                const FORM: &str = "application/x-www-form-urlencoded";
                if declared.is_none() {
                    headers.push(("content-type".into(), FORM.into()));
                }
                if declared.is_none_or(|d| d.starts_with(FORM)) && !is_encoded(data) {
                    *data = encoded(data);
                }
            }
            stages.push(Stage {
                name: format!("{rule}-{}", number(test.get("test_id")).unwrap_or(0)),
                rule,
                expected: expected.iter().filter_map(|id| number(Some(id))).collect(),
                method: text("method").unwrap_or("GET").to_owned(),
                uri: text("uri").unwrap_or("/").to_owned(),
                headers,
                body,
            });
        }
    }
    Ok(stages)
}

/// The rules that only paranoia levels above 1 switch on, among those of files 930, 941 and 942.
#[must_use]
pub fn paranoia_level(rule: u32) -> u8 {
    match rule {
        930_121 | 941_101 | 941_120 | 941_150 | 941_181 | 941_320 | 941_330 | 941_340 | 941_380 | 942_101
        | 942_120 | 942_130 | 942_131 | 942_150 | 942_152 | 942_180 | 942_200 | 942_210 | 942_260
        | 942_300 | 942_310 | 942_321 | 942_330 | 942_340 | 942_361 | 942_362 | 942_370 | 942_380
        | 942_390 | 942_400 | 942_410 | 942_430 | 942_440 | 942_450 | 942_470 | 942_480 | 942_510
        | 942_520 | 942_521 | 942_522 => 2,
        942_251 | 942_420 | 942_431 | 942_460 | 942_490 | 942_511 => 3,
        942_421 | 942_432 => 4,
        _ => 1,
    }
}

/// Whether form data is encoded already: go-ftw encodes what has characters that would have to be.
fn is_encoded(data: &[u8]) -> bool {
    data.iter().all(|b| b.is_ascii_alphanumeric() || b"-._~%+&=*".contains(b))
}

/// Encodes names and values of a form, as go-ftw does.
fn encoded(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for byte in data {
        match byte {
            b'&' | b'=' | b'-' | b'.' | b'_' | b'~' | b'*' | b'+' | b'%' => out.push(*byte),
            b' ' => out.push(b'+'),
            plain if plain.is_ascii_alphanumeric() => out.push(*plain),
            other => out.extend_from_slice(format!("%{other:02X}").as_bytes()),
        }
    }
    out
}

fn list(value: Option<&Value>) -> Vec<Value> {
    value.and_then(Value::as_array).cloned().unwrap_or_default()
}

fn number(value: Option<&Value>) -> Option<u32> {
    value.and_then(Value::as_u64).and_then(|n| n.try_into().ok())
}

/// A route that accepts everything the tests send, and inspects all of it.
#[derive(Debug)]
pub struct Target {
    validator: Validator,
    inspection: InspectionPlan,
    intake: IntakePlan,
}

impl Target {
    /// Builds the route.
    ///
    /// # Errors
    /// Never, unless the plan format changed.
    pub fn new() -> Result<Self, String> {
        let limits = JsonLimits {
            max_depth: 64,
            max_string_bytes: 1 << 20,
            max_key_bytes: 1 << 16,
            max_array_items: 10_000,
            max_object_members: 10_000,
            max_values: 100_000,
        };
        let content = |media_type: &str, read| ContentPlan { media_type: media_type.into(), read };
        let body = BodyPlan {
            at: String::new(),
            max_bytes: 1 << 20,
            required: false,
            content: vec![
                content("application/json", ReadPlan::Json { limits, schema: None }),
                content(
                    "application/x-www-form-urlencoded",
                    ReadPlan::Form { max_fields: 1000, max_value_bytes: 1 << 16 },
                ),
                content("*/*", ReadPlan::Opaque),
            ],
        };
        let inspection = InspectionPlan {
            sqli: true,
            xss: true,
            traversal: true,
            path: true,
            query: true,
            headers: vec!["user-agent".into(), "referer".into()],
            cookies: true,
            body: true,
        };
        let plan =
            ValidationPlan { bodies: vec![body], schemas: Vec::new(), inspections: vec![inspection.clone()] };
        let intake = IntakePlan {
            max_path_bytes: 8192,
            max_query_bytes: 1 << 16,
            max_query_parameters: 1000,
            max_headers: 100,
            max_headers_bytes: 1 << 16,
            max_header_value_bytes: 1 << 16,
        };
        let validator = Validator::load(&plan).map_err(|e| e.to_string())?;
        Ok(Self { validator, inspection, intake })
    }

    /// Judges one request as the pipeline would.
    #[must_use]
    pub fn judge(&self, stage: &Stage) -> Verdict {
        let host = stage.headers.iter().find(|(n, _)| n == "host").map_or("localhost", |(_, v)| v);
        let mut pairs: Vec<(&[u8], &[u8])> = vec![
            (b":method", stage.method.as_bytes()),
            (b":scheme", b"http"),
            (b":path", stage.uri.as_bytes()),
            (b":authority", host.as_bytes()),
        ];
        let own = ["host", "content-length", "connection", "transfer-encoding"];
        let sent = stage.headers.iter().filter(|(n, _)| !own.contains(&n.as_str()));
        pairs.extend(sent.map(|(n, v)| (n.as_bytes(), v.as_bytes())));
        let headers = Headers::new(&pairs);
        let mut trace = Trace::off();
        let Ok(admission) = intake::admit(&self.intake, headers) else { return Verdict::Other };
        if inspect_request(&self.inspection, &admission.request, &mut trace).is_err() {
            return Verdict::Attack;
        }
        let Some(body) = &stage.body else { return Verdict::Passed };
        let refused = |refusal: bartizan_engine::refusal::Refusal| {
            if refusal.reason.code().starts_with("attack-") { Verdict::Attack } else { Verdict::Other }
        };
        match self.validator.head(0, 0, headers, false, &mut trace) {
            Err(refusal) => refused(refusal),
            Ok(duty @ BodyDuty::Hold { .. }) => {
                self.validator.body(&duty, None, body, &mut trace).map_or_else(refused, |()| Verdict::Passed)
            }
            Ok(_) => Verdict::Passed,
        }
    }
}

/// Reads a YAML file.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}
