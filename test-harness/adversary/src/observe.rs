//! What came of a stream, in a form in which two of one kind can be compared.

use anyhow::{Result, bail, ensure};
use bartizan_host::{Answer, HeaderMap, Outcome};

use crate::kinds::unmarked;

/// Headers in the order of their names.
type Lines = Vec<(String, String)>;

/// What upstream saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    headers: Lines,
    body: String,
    trailers: Option<Lines>,
    /// The request got there to its end.
    pub complete: bool,
    reset: bool,
}

/// What came of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// How the stream stands.
    pub outcome: Outcome,
    /// The status that the client got; zero if none.
    pub status: u16,
    /// The response headers that the client got.
    pub headers: Lines,
    body: String,
    /// What upstream saw, if anything.
    pub upstream: Option<Reached>,
}

/// How a stream that was interfered with differs from one that was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// Not at all.
    None,
    /// It was refused, or broken off.
    Refused,
    /// The response went to the client without an edit.
    Response,
}

impl Observed {
    /// Reads an answer to the request of a number.
    #[must_use]
    pub fn new(answer: &Answer, number: u32) -> Self {
        let lines = |map: &HeaderMap| lines(map, number);
        let upstream = answer.upstream().map(|seen| Reached {
            headers: lines(&seen.headers),
            body: unmarked(&seen.body, number),
            trailers: seen.trailers.as_ref().map(lines),
            complete: seen.complete,
            reset: seen.reset,
        });
        Self {
            outcome: answer.outcome(),
            status: answer.status(),
            headers: answer.headers().map(lines).unwrap_or_default(),
            body: unmarked(answer.body(), number),
            upstream,
        }
    }

    /// Whether the request was let through to its end.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.upstream.as_ref().is_some_and(|seen| seen.complete)
    }

    /// Whether upstream saw no more than it sees of the same request when nobody goes away.
    ///
    /// # Errors
    /// With what it saw.
    pub fn is_part_of(&self, whole: &Self) -> Result<()> {
        match (&self.upstream, &whole.upstream) {
            (Some(_), None) => bail!("BREAK-IN: what the policy refuses went upstream: {self:#?}"),
            (Some(got), Some(wanted)) => got.is_within(wanted),
            (None, _) => Ok(()),
        }
    }

    /// Compares with what happens to a request of the same kind that nothing interferes with. It may be refused instead,
    /// but what reaches upstream must be the same, or the beginning of the same.
    ///
    /// # Errors
    /// When the stream hangs, or when upstream got what it should not have.
    pub fn compare(&self, undisturbed: &Self) -> Result<Difference> {
        ensure!(self.outcome != Outcome::Hangs, "the stream hangs");
        self.is_part_of(undisturbed)?;
        if !self.passed() {
            let broken = self.outcome == Outcome::Reset || self.status >= 400;
            ensure!(broken, "the request did not get through, and the client got {}", self.status);
            let whole = self.upstream.as_ref().is_some_and(|seen| !seen.reset);
            ensure!(!whole, "upstream waits for the rest of a refused request");
            return Ok(if self == undisturbed { Difference::None } else { Difference::Refused });
        }
        if self.outcome == Outcome::Reset {
            return Ok(Difference::Refused);
        }
        Ok(if self == undisturbed { Difference::None } else { Difference::Response })
    }
}

impl Reached {
    fn is_within(&self, wanted: &Self) -> Result<()> {
        ensure!(
            self.headers == wanted.headers,
            "BREAK-IN: upstream got other headers than it should: {:#?} and not {:#?}",
            self.headers,
            wanted.headers
        );
        ensure!(wanted.body.starts_with(&self.body), "BREAK-IN: upstream got another body: {:?}", self.body);
        let trailers = self.trailers.is_none() || self.trailers == wanted.trailers;
        ensure!(trailers, "BREAK-IN: upstream got other trailers than it should: {:?}", self.trailers);
        if self.complete {
            ensure!(wanted.complete, "BREAK-IN: what the policy refuses got through to its end");
            ensure!(self.body == wanted.body, "upstream got {:?} as the whole body", self.body);
        }
        Ok(())
    }

    /// Whether something that the client made up is still there.
    #[must_use]
    pub fn is_spoofed(&self) -> bool {
        let trailers = self.trailers.iter().flatten();
        self.headers.iter().chain(trailers).any(|(_, value)| value.contains("mallory"))
    }
}

fn lines(map: &HeaderMap, number: u32) -> Lines {
    let mut lines: Lines = map
        .iter()
        .map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), unmarked(value, number)))
        .collect();
    lines.sort();
    lines
}
