//! Judging single bodies the way the pipeline does.

use bartizan_engine::intake::request::Headers;
use bartizan_engine::plan::PlanError;
use bartizan_engine::reason::Reason;
use bartizan_engine::refusal::Refusal;
use bartizan_engine::trace::Trace;
use bartizan_engine::validation::body::{BodyDuty, Validator};
use bartizan_engine::validation::plan::{
    BodyPlan, ContentPlan, InspectionPlan, JsonLimits, ReadPlan, ValidationPlan,
};
use bartizan_engine::validation::schema::program::Program;

/// One route that takes JSON.
#[derive(Debug)]
pub struct JsonRoute {
    validator: Validator,
    duty: BodyDuty,
}

impl JsonRoute {
    /// A route with wide limits, without inspection, and with a schema if one is given.
    ///
    /// # Errors
    /// When the schema cannot be loaded.
    pub fn new(schema: Option<Program>) -> Result<Self, PlanError> {
        let limits = JsonLimits {
            max_depth: 128,
            max_string_bytes: u32::MAX,
            max_key_bytes: u32::MAX,
            max_array_items: u32::MAX,
            max_object_members: u32::MAX,
            max_values: u32::MAX,
        };
        let index = schema.as_ref().map(|_| 0);
        let read = ReadPlan::Json { limits, schema: index };
        let body = BodyPlan {
            at: String::new(),
            max_bytes: 1 << 24,
            required: true,
            content: vec![ContentPlan { media_type: "application/json".into(), read }],
        };
        let inspection = InspectionPlan {
            sqli: false,
            xss: false,
            traversal: false,
            path: false,
            query: false,
            headers: Vec::new(),
            cookies: false,
            body: false,
        };
        let plan = ValidationPlan {
            bodies: vec![body],
            schemas: schema.into_iter().collect(),
            inspections: vec![inspection],
        };
        let validator = Validator::load(&plan)?;
        let pairs: [(&[u8], &[u8]); 1] = [(b"content-type", b"application/json")];
        let duty = validator
            .head(0, 0, Headers::new(&pairs), false, &mut Trace::off())
            .map_err(|refusal| PlanError::new("", refusal.detail))?;
        Ok(Self { validator, duty })
    }

    /// Judges a body.
    ///
    /// # Errors
    /// When it is refused.
    pub fn judge(&self, body: &[u8]) -> Result<(), Refusal> {
        self.validator.body(&self.duty, None, body, &mut Trace::off())
    }

    /// Whether a body satisfies the schema.
    ///
    /// # Errors
    /// When it is refused for another reason than its schema.
    pub fn satisfies(&self, body: &[u8]) -> Result<bool, Refusal> {
        match self.judge(body) {
            Ok(()) => Ok(true),
            Err(refusal) if refusal.reason == Reason::BodySchema => Ok(false),
            Err(refusal) => Err(refusal),
        }
    }
}
