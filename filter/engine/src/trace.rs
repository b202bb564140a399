//! What was considered on the way to a decision, for `bartizan explain` and for failing cases.
//!
//! The same code decides and explains. In the proxy the trace is off and costs one branch; the feature
//! `explain` (on in native builds, off in the module) keeps the formatting out of the module.

use crate::authentication::TokenError;
use crate::pipeline::Room;

/// Which rule of the plan was asked, and how it answered: what the coverage of tests is counted from. Numbers
/// are indices into the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The request is for this route.
    Route(usize),
    /// The list of denied networks was asked; the network that the address is in, as it was written.
    Denied(Option<String>),
    /// The list of allowed networks was asked; the network that the address is in, as it was written.
    Allowed(Option<String>),
    /// A limit was charged.
    Limit {
        /// Which one.
        limit: usize,
        /// Whether it had room.
        admitted: bool,
    },
    /// A token was judged.
    Token {
        /// The issuer it is from, as far as that was found out.
        issuer: Option<usize>,
        /// Why it is not believed; `None` if it is.
        refused: Option<TokenError>,
    },
    /// A role of the identity was held against a permission that the route requires.
    Role {
        /// The name of the role.
        role: String,
        /// Whether the role grants it.
        granted: bool,
    },
    /// A permission that the route requires.
    Permission {
        /// Which one of the requirements.
        requirement: usize,
        /// Whether the identity holds it.
        held: bool,
    },
    /// The body is read by this rule.
    Content {
        /// Which body.
        body: usize,
        /// Which content type of it.
        content: usize,
    },
}

/// One thing that a room looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consideration {
    /// Where in the pipeline.
    pub room: Room,
    /// Where in the bundle the rule was written (`bundle.yaml:12`), empty if it is built in.
    pub at: String,
    /// What was looked at and what came of it, as a sentence.
    pub what: String,
    /// The same for programs, if it was a rule that was asked.
    pub finding: Option<Finding>,
}

/// Collects considerations, if anybody wants them.
#[derive(Debug, Default)]
pub struct Trace {
    #[cfg(feature = "explain")]
    considered: Option<Vec<Consideration>>,
}

impl Trace {
    /// A trace that keeps nothing.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    /// A trace that keeps everything.
    #[cfg(feature = "explain")]
    #[must_use]
    pub fn on() -> Self {
        Self { considered: Some(Vec::new()) }
    }

    /// Whether anybody listens. Without the feature the compiler knows that nobody does.
    #[inline]
    #[must_use]
    pub fn listens(&self) -> bool {
        #[cfg(feature = "explain")]
        return self.considered.is_some();
        #[cfg(not(feature = "explain"))]
        false
    }

    /// Notes one consideration. The sentence is built only if somebody listens.
    #[inline]
    #[cfg_attr(not(feature = "explain"), expect(unused_variables, reason = "explain is compiled out"))]
    pub fn note(&mut self, room: Room, at: &str, what: impl FnOnce() -> String) {
        #[cfg(feature = "explain")]
        if let Some(considered) = &mut self.considered {
            considered.push(Consideration { room, at: at.to_owned(), what: what(), finding: None });
        }
    }

    /// Notes what a rule answered. Sentence and finding are built only if somebody listens.
    #[inline]
    #[cfg_attr(not(feature = "explain"), expect(unused_variables, reason = "explain is compiled out"))]
    pub fn found(
        &mut self,
        room: Room,
        at: &str,
        finding: impl FnOnce() -> Finding,
        what: impl FnOnce() -> String,
    ) {
        #[cfg(feature = "explain")]
        if let Some(considered) = &mut self.considered {
            let finding = Some(finding());
            considered.push(Consideration { room, at: at.to_owned(), what: what(), finding });
        }
    }

    /// What was noted, in order.
    #[cfg(feature = "explain")]
    #[must_use]
    pub fn into_considered(self) -> Vec<Consideration> {
        self.considered.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_that_is_off_builds_nothing() {
        let mut trace = Trace::off();
        assert!(!trace.listens());
        trace.note(Room::Intake, "", || panic!("nobody listens"));
        trace.found(Room::Intake, "", || panic!("nobody listens"), || panic!("nobody listens"));
        #[cfg(feature = "explain")]
        assert!(trace.into_considered().is_empty());
    }

    #[cfg(feature = "explain")]
    #[test]
    fn a_trace_that_is_on_keeps_what_is_found_in_order() {
        let mut trace = Trace::on();
        assert!(trace.listens());
        trace.note(Room::Intake, "", || "first".into());
        trace.found(Room::Intake, "b:1", || Finding::Route(3), || "second".into());
        let kept = trace.into_considered();
        let told: Vec<_> = kept.iter().map(|c| (c.what.as_str(), c.finding.clone())).collect();
        assert_eq!(told, [("first", None), ("second", Some(Finding::Route(3)))]);
    }
}
