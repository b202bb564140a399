//! What was considered on the way to a decision, for `bartizan explain` and for failing cases.
//!
//! The same code decides and explains. In the proxy the trace is off and costs one branch; the feature
//! `explain` (on in native builds, off in the module) keeps the formatting out of the module.

use crate::pipeline::Room;

/// One thing that a room looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consideration {
    /// Where in the pipeline.
    pub room: Room,
    /// Where in the bundle the rule was written (`bundle.yaml:12`), empty if it is built in.
    pub at: String,
    /// What was looked at and what came of it, as a sentence.
    pub what: String,
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

    /// Notes one consideration. The sentence is built only if somebody listens.
    #[inline]
    #[cfg_attr(not(feature = "explain"), expect(unused_variables, reason = "explain is compiled out"))]
    pub fn note(&mut self, room: Room, at: &str, what: impl FnOnce() -> String) {
        #[cfg(feature = "explain")]
        if let Some(considered) = &mut self.considered {
            considered.push(Consideration { room, at: at.to_owned(), what: what() });
        }
    }

    /// What was noted, in order.
    #[cfg(feature = "explain")]
    #[must_use]
    pub fn into_considered(self) -> Vec<Consideration> {
        self.considered.unwrap_or_default()
    }
}
