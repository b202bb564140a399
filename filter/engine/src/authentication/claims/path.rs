//! Claims by their path in the policy.
//!
//! A top-level claim whose name is the whole path comes first: claims like `https://example.com/roles` or
//! `resource.roles` exist, and only the issuer chooses names at the top level. Otherwise the path is split
//! at its dots and walked through objects; `groups[].name` is the `name` of every object of the list `groups`.

use serde_json::{Map, Value};

use crate::authentication::error::TokenError;

/// A claim by its path, made ready.
#[derive(Debug)]
pub(in crate::authentication) struct ClaimPath {
    pub(in crate::authentication) written: String,
    steps: Vec<Step>,
}

/// One name, and whether what is there is a list whose elements are all meant.
#[derive(Debug)]
struct Step {
    name: String,
    each: bool,
}

impl ClaimPath {
    pub(in crate::authentication) fn new(written: &str) -> Self {
        let steps = written.split('.').map(|step| match step.strip_suffix("[]") {
            Some(name) => Step { name: name.to_owned(), each: true },
            None => Step { name: step.to_owned(), each: false },
        });
        Self { written: written.to_owned(), steps: steps.collect() }
    }

    /// Whether it may stand for several values.
    pub(in crate::authentication) fn is_plural(&self) -> bool {
        self.steps.iter().any(|step| step.each)
    }

    /// The value of a path that stands for one.
    pub(in crate::authentication) fn find<'c>(&self, claims: &'c Map<String, Value>) -> Option<&'c Value> {
        if let Some(value) = claims.get(&self.written) {
            return Some(value);
        }
        let (first, rest) = self.steps.split_first()?;
        rest.iter().try_fold(claims.get(&first.name)?, |value, step| value.as_object()?.get(&step.name))
    }

    /// Calls `visit` with every value that the path stands for. An object without the member is passed over, as
    /// a claim that is not there.
    ///
    /// # Errors
    /// What `visit` says, and that there is something else where the path goes through a list of objects.
    pub(in crate::authentication) fn each<'c>(
        &self,
        claims: &'c Map<String, Value>,
        visit: &mut dyn FnMut(&'c Value) -> Result<(), TokenError>,
    ) -> Result<(), TokenError> {
        if !self.is_plural() || claims.contains_key(&self.written) {
            return self.find(claims).map_or(Ok(()), visit);
        }
        self.walk(claims, &self.steps, visit)
    }

    /// The depth is that of the path, which the plan bounds.
    fn walk<'c>(
        &self,
        object: &'c Map<String, Value>,
        steps: &[Step],
        visit: &mut dyn FnMut(&'c Value) -> Result<(), TokenError>,
    ) -> Result<(), TokenError> {
        let Some((step, rest)) = steps.split_first() else { return Ok(()) };
        let Some(value) = object.get(&step.name) else { return Ok(()) };
        let list = match (step.each, value) {
            (true, Value::Array(list)) => list.as_slice(),
            (true, _) => return Err(self.error("goes through what is not a list")),
            (false, single) => std::slice::from_ref(single),
        };
        for item in list {
            match (rest.is_empty(), item) {
                (true, last) => visit(last)?,
                (false, Value::Object(object)) => self.walk(object, rest, visit)?,
                (false, _) if step.each => {
                    return Err(self.error("goes through what is not a list of objects"));
                }
                (false, _) => {}
            }
        }
        Ok(())
    }

    pub(in crate::authentication) fn error(&self, problem: &'static str) -> TokenError {
        TokenError::Claim { claim: self.written.clone(), problem }
    }
}
