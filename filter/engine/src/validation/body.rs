//! The body's way through this room: judged by its headers first, held back if it must be read, read once.

use std::collections::BTreeSet;

use super::form::{self, FormError};
use super::inspect::Looking;
use super::json::parse::{self, JsonError};
use super::media::{self, MediaType};
use super::plan::{BodyPlan, ContentPlan, JsonLimits, ReadPlan, ValidationPlan};
use super::schema::Outcome;
use super::schema::machine::Machine;
use crate::authentication::signed::BodyDigest;
use crate::intake::request::Headers;
use crate::pipeline::Room;
use crate::plan::PlanError;
use crate::reason::Reason;
use crate::refusal::Refusal;
use crate::trace::{Finding, Trace};

/// The deepest nesting a plan may allow: evaluation of a schema recurses as deep as the document.
pub const MAX_JSON_DEPTH: u32 = 128;

/// The largest body that a plan may hold back to read.
pub const MAX_HELD_BYTES: u64 = 64 * 1024 * 1024;

/// What the pipeline does with the body of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyDuty {
    /// There is no body, and none is needed.
    None,
    /// The body passes as it comes; only its bytes are counted, with [`Validator::size`].
    Count {
        /// The most bytes.
        max: u64,
        /// How it is judged.
        how: Reading,
    },
    /// The headers and the body wait for the verdict: sizes go to [`Validator::size`] as they grow, and
    /// the whole body to [`Validator::body`].
    Hold {
        /// The most bytes.
        max: u64,
        /// How it is judged.
        how: Reading,
    },
}

impl BodyDuty {
    /// The duty where a signature says what the body must be: what would pass as it comes is held until it is known.
    ///
    /// # Errors
    /// When there is no body, and there should be one.
    pub fn under(self, digest: Option<&BodyDigest>) -> Result<Self, Refusal> {
        match (self, digest) {
            (Self::None, Some(digest)) if !digest.fits(b"") => Err(mismatch()),
            (Self::Count { max, how }, Some(_)) => Ok(Self::Hold { max: max.min(MAX_HELD_BYTES), how }),
            (duty, _) => Ok(duty),
        }
    }
}

fn mismatch() -> Refusal {
    Refusal::new(Reason::DigestMismatch, "the body has another digest than what was signed")
}

/// How a body is judged. Made by [`Validator::head`], understood by [`Validator::body`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    body: usize,
    inspection: usize,
    as_what: As,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum As {
    /// By this content rule.
    Content(usize),
    /// There must be none: whatever comes is refused for this reason.
    Nothing(Reason),
}

/// The loaded rules for bodies.
#[derive(Debug)]
pub struct Validator {
    bodies: Vec<BodyPlan>,
    schemas: Vec<Machine>,
    inspections: Vec<Inspected>,
}

#[derive(Debug)]
struct Inspected {
    looking: Looking,
}

impl Validator {
    /// Loads the rules and checks every index, bound and pattern in them.
    ///
    /// # Errors
    /// The first thing in the plan that cannot be used, with its place.
    pub fn load(plan: &ValidationPlan) -> Result<Self, PlanError> {
        for (position, body) in plan.bodies.iter().enumerate() {
            check_body(body, plan.schemas.len()).map_err(|(place, problem)| {
                PlanError::new(format!("validation.bodies[{position}]{place}"), problem)
            })?;
        }
        let mut schemas = Vec::with_capacity(plan.schemas.len());
        for (position, program) in plan.schemas.iter().enumerate() {
            schemas.push(Machine::load(program).map_err(|unsound| {
                let problem = PlanError::from(unsound);
                PlanError::new(format!("validation.schemas[{position}].{}", problem.place), problem.problem)
            })?);
        }
        let inspections = plan.inspections.iter().map(|inspection| Inspected {
            // What is not looked for in bodies is looked for nowhere here.
            looking: if inspection.body { Looking::from(inspection) } else { Looking::default() },
        });
        Ok(Self { bodies: plan.bodies.clone(), schemas, inspections: inspections.collect() })
    }

    /// Number of body rules: routes point below it.
    #[must_use]
    pub fn bodies(&self) -> usize {
        self.bodies.len()
    }

    /// Judges a request's body by its headers, before any of it has come.
    ///
    /// `body` and `inspection` are the indices of the route; `end_of_stream` says that nothing follows the
    /// headers.
    ///
    /// # Errors
    /// When the headers alone say that the body is missing, malformed, too large or of a wrong type.
    pub fn head(
        &self,
        body: usize,
        inspection: usize,
        headers: Headers<'_>,
        end_of_stream: bool,
        trace: &mut Trace,
    ) -> Result<BodyDuty, Refusal> {
        let Some(plan) = self.bodies.get(body) else {
            // The plan was checked when it was loaded; whoever asks for more is refused.
            return Err(Refusal::new(Reason::NoPolicy, "the route points to a body rule that is not there"));
        };
        let declared = content_length(headers)?;
        if end_of_stream {
            if declared.is_some_and(|length| length > 0) {
                let detail = "the content length announces a body, and there is none";
                return Err(Refusal::new(Reason::BodyMalformed, detail));
            }
            return match missing(plan) {
                Some(refusal) => Err(refusal),
                None => Ok(BodyDuty::None),
            };
        }
        if declared.is_some_and(|length| length > plan.max_bytes) {
            trace.note(Room::Validation, &plan.at, || format!("a body may have {} bytes", plan.max_bytes));
            return Err(too_large(plan));
        }
        let reading = |as_what| Reading { body, inspection, as_what };
        if plan.max_bytes == 0 {
            // HTTP/2 clients may end a request without a body by an empty frame: wait and see.
            return Ok(BodyDuty::Hold { max: 0, how: reading(As::Nothing(Reason::BodyTooLarge)) });
        }
        let Some(content_type) = unique(headers, "content-type", Reason::BodyTypeUnsupported)? else {
            if declared.is_some_and(|length| length > 0) {
                return Err(Refusal::new(Reason::BodyTypeUnsupported, "the body has no content type"));
            }
            return Ok(BodyDuty::Hold { max: 0, how: reading(As::Nothing(Reason::BodyTypeUnsupported)) });
        };
        let Some(media_type) = MediaType::parse(content_type) else {
            return Err(Refusal::new(Reason::BodyTypeUnsupported, "the content type is malformed"));
        };
        let Some((position, content)) = accepted(plan, &media_type) else {
            return Err(Refusal::new(
                Reason::BodyTypeUnsupported,
                "the route does not accept this content type",
            ));
        };
        let how = reading(As::Content(position));
        trace.found(
            Room::Validation,
            &plan.at,
            || Finding::Content { body, content: position },
            || format!("the body is read as `{}`", content.media_type),
        );
        if content.read == ReadPlan::Opaque {
            return Ok(BodyDuty::Count { max: plan.max_bytes, how });
        }
        if !media_type.is_utf8() {
            return Err(Refusal::new(Reason::BodyTypeUnsupported, "the charset of the body is not UTF-8"));
        }
        refuse_codings(headers)?;
        Ok(BodyDuty::Hold { max: plan.max_bytes, how })
    }

    /// Judges how much of a body has come: while it comes, and once more with `end` when it is complete.
    ///
    /// # Errors
    /// When it is too large, when there should be none, or when it has ended and there was none.
    pub fn size(&self, duty: &BodyDuty, bytes: u64, end: bool) -> Result<(), Refusal> {
        let (BodyDuty::Count { max, how } | BodyDuty::Hold { max, how }) = duty else {
            return if bytes == 0 {
                Ok(())
            } else {
                Err(Refusal::new(Reason::BodyMalformed, "a body came where the headers announced none"))
            };
        };
        let Some(plan) = self.bodies.get(how.body) else {
            return Err(Refusal::new(Reason::NoPolicy, "the route points to a body rule that is not there"));
        };
        if let As::Nothing(reason) = how.as_what {
            if bytes > 0 {
                let detail = match reason {
                    Reason::BodyTooLarge => "the route takes no body",
                    _ => "the body has no content type",
                };
                return Err(Refusal::new(reason, detail));
            }
        } else if bytes > *max {
            return Err(too_large(plan));
        }
        if end
            && bytes == 0
            && let Some(refusal) = missing(plan)
        {
            return Err(refusal);
        }
        Ok(())
    }

    /// Judges a whole body that was held back; `digest` is what a signature says of it.
    ///
    /// # Errors
    /// When it is another one than was signed, missing, too large, malformed, over a limit, hostile, or does not match its schema.
    pub fn body(
        &self,
        duty: &BodyDuty,
        digest: Option<&BodyDigest>,
        bytes: &[u8],
        trace: &mut Trace,
    ) -> Result<(), Refusal> {
        self.size(duty, bytes.len() as u64, true)?;
        // Nothing is made of bytes that nobody stands for.
        if digest.is_some_and(|digest| !digest.fits(bytes)) {
            return Err(mismatch());
        }
        let BodyDuty::Hold { how, .. } = duty else { return Ok(()) };
        let As::Content(content) = how.as_what else { return Ok(()) };
        if bytes.is_empty() {
            // Not required, or `size` had refused it.
            return Ok(());
        }
        let (Some(plan), Some(inspected)) = (self.bodies.get(how.body), self.inspections.get(how.inspection))
        else {
            return Err(Refusal::new(Reason::NoPolicy, "the route points to rules that are not there"));
        };
        match plan.content.get(content).map(|c| &c.read) {
            Some(ReadPlan::Json { limits, schema }) => {
                self.json(bytes, limits, *schema, inspected, plan, trace)
            }
            Some(ReadPlan::Form { max_fields, max_value_bytes }) => {
                form::check(bytes, *max_fields, *max_value_bytes, &inspected.looking)
                    .map_err(form_refusal)?;
                trace.note(Room::Validation, &plan.at, || "the form is well-formed and harmless".into());
                Ok(())
            }
            Some(ReadPlan::Opaque) => Ok(()),
            None => {
                Err(Refusal::new(Reason::NoPolicy, "the route points to a content rule that is not there"))
            }
        }
    }

    fn json(
        &self,
        bytes: &[u8],
        limits: &JsonLimits,
        schema: Option<usize>,
        inspected: &Inspected,
        plan: &BodyPlan,
        trace: &mut Trace,
    ) -> Result<(), Refusal> {
        let tape = parse::parse(bytes, limits, &inspected.looking).map_err(json_refusal)?;
        let Some(schema) = schema else {
            trace.note(Room::Validation, &plan.at, || "the JSON is well-formed and within its limits".into());
            return Ok(());
        };
        let Some(machine) = self.schemas.get(schema) else {
            return Err(Refusal::new(Reason::NoPolicy, "the route points to a schema that is not there"));
        };
        match machine.run(tape.view()) {
            Outcome::Satisfied => {
                trace.note(Room::Validation, &plan.at, || "the JSON satisfies its schema".into());
                Ok(())
            }
            Outcome::TooDear => {
                let detail = "checking the body against its schema takes too many steps";
                Err(Refusal::new(Reason::BodyLimits, detail))
            }
            Outcome::Violated(violations) => {
                let mut refusal = Refusal::new(Reason::BodySchema, "the body does not match its schema");
                refusal.violations = violations;
                Err(refusal)
            }
        }
    }
}

/// The content rule that fits best. Two fit alike only if they are of one type, which [`check_body`] refuses.
fn accepted<'p>(plan: &'p BodyPlan, media_type: &MediaType<'_>) -> Option<(usize, &'p ContentPlan)> {
    let mut best: Option<(usize, &ContentPlan, u8)> = None;
    for (position, content) in plan.content.iter().enumerate() {
        let fit = media_type.fit(&content.media_type);
        if fit > best.map_or(0, |(_, _, fit)| fit) {
            best = Some((position, content, fit));
        }
    }
    best.map(|(position, content, _)| (position, content))
}

/// A header that may be there once. Twice, even with the same value, is a request with two meanings.
fn unique<'a>(headers: Headers<'a>, name: &str, reason: Reason) -> Result<Option<&'a [u8]>, Refusal> {
    let mut values = headers.all(name);
    let value = values.next();
    if values.next().is_some() {
        return Err(Refusal::new(reason, format!("the header `{name}` is there twice")));
    }
    Ok(value)
}

fn content_length(headers: Headers<'_>) -> Result<Option<u64>, Refusal> {
    let Some(value) = unique(headers, "content-length", Reason::BodyMalformed)? else { return Ok(None) };
    // RFC 9110, section 8.6: digits and nothing else; `+5` and `5, 5` have been used to smuggle requests.
    let digits = !value.is_empty() && value.len() <= 19 && value.iter().all(u8::is_ascii_digit);
    let parsed = std::str::from_utf8(value).ok().filter(|_| digits).and_then(|v| v.parse().ok());
    match parsed {
        Some(length) => Ok(Some(length)),
        None => Err(Refusal::new(Reason::BodyMalformed, "the content length is not a number")),
    }
}

/// What is read here must be what the application reads: no coding in between.
fn refuse_codings(headers: Headers<'_>) -> Result<(), Refusal> {
    for value in headers.all("content-encoding") {
        let plain = value.split(|b| *b == b',').all(|c| {
            let coding = c.trim_ascii();
            coding.is_empty() || coding.eq_ignore_ascii_case(b"identity")
        });
        if !plain {
            let detail = "the body is compressed, and a compressed body cannot be read";
            return Err(Refusal::new(Reason::BodyTypeUnsupported, detail));
        }
    }
    for value in headers.all("transfer-encoding") {
        if !value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
            let detail = "the body has a transfer coding other than chunked";
            return Err(Refusal::new(Reason::BodyTypeUnsupported, detail));
        }
    }
    Ok(())
}

fn missing(plan: &BodyPlan) -> Option<Refusal> {
    plan.required.then(|| Refusal::new(Reason::BodyMissing, "the route needs a body"))
}

fn too_large(plan: &BodyPlan) -> Refusal {
    Refusal::new(Reason::BodyTooLarge, format!("the body has more than {} bytes", plan.max_bytes))
}

fn json_refusal(error: JsonError) -> Refusal {
    match error {
        JsonError::Malformed { at, what } => {
            Refusal::new(Reason::BodyMalformed, format!("not acceptable JSON at byte {at}: {what}"))
        }
        JsonError::Limit { pointer, what } => {
            Refusal::new(Reason::BodyLimits, format!("{what} at `{}`", pointer.escape_debug()))
        }
        JsonError::Attack { pointer, attack } => Refusal::new(
            attack.reason(),
            format!("{} in the body at `{}`", attack.name(), pointer.escape_debug()),
        ),
    }
}

fn form_refusal(error: FormError) -> Refusal {
    match error {
        FormError::Malformed(what) => {
            Refusal::new(Reason::BodyMalformed, format!("not acceptable as a form: {what}"))
        }
        FormError::Limit(what) => Refusal::new(Reason::BodyLimits, format!("{what} in the form")),
        FormError::Attack(field, attack) => {
            Refusal::new(attack.reason(), format!("{} in form field {field}", attack.name()))
        }
    }
}

/// Checks a body rule; the place is relative to the rule.
fn check_body(body: &BodyPlan, schemas: usize) -> Result<(), (String, String)> {
    let mut types = BTreeSet::new();
    for (position, content) in body.content.iter().enumerate() {
        let fail = |place: &str, problem: String| Err((format!(".content[{position}].{place}"), problem));
        let lower = content.media_type.bytes().all(|b| !b.is_ascii_uppercase());
        if !lower || !media::is_pattern(&content.media_type) {
            let shown = &content.media_type;
            return fail(
                "media_type",
                format!("`{shown}` is no lower-case media type; write `type/subtype`"),
            );
        }
        // Here the first of two would win, and for another reader of the plan the last.
        if !types.insert(content.media_type.as_str()) {
            let shown = &content.media_type;
            return fail(
                "media_type",
                format!("`{shown}` is there twice; keep one, a body is read in one way"),
            );
        }
        match &content.read {
            ReadPlan::Opaque => continue,
            ReadPlan::Form { .. } => {}
            ReadPlan::Json { limits, schema } => {
                if limits.max_depth == 0 || limits.max_depth > MAX_JSON_DEPTH {
                    let depth = limits.max_depth;
                    return fail("read", format!("max_depth is {depth}; use 1 to {MAX_JSON_DEPTH}"));
                }
                if schema.is_some_and(|index| index >= schemas) {
                    return fail("read", "points to a schema that is not there; rebuild the bundle".into());
                }
            }
        }
        if body.max_bytes > MAX_HELD_BYTES {
            let max = body.max_bytes;
            return fail(
                "read",
                format!("a body of {max} bytes cannot be held back; the most is {MAX_HELD_BYTES}"),
            );
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
