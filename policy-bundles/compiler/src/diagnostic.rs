//! What the compiler has to say, and to whom: an operator who can fix it.

use std::collections::BTreeSet;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// No plan comes out.
    Error,
    /// A plan comes out, and may not be what was meant.
    Warning,
}

impl Severity {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A place in a file. Lines and columns count from one, columns and lengths in characters; a line of zero
/// stands for the file as a whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The line.
    pub line: u32,
    /// The column of the first character.
    pub column: u32,
    /// The number of characters on that line.
    pub length: u32,
    /// Which of the files of policy: 0 is `bundle.yaml`, and others are counted by [`Report::add_file`].
    pub file: u16,
}

/// One thing that is wrong or doubtful.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Diagnostic {
    /// The file, relative to the bundle.
    pub file: String,
    /// Where in the file.
    pub span: Span,
    /// How bad it is.
    pub severity: Severity,
    /// A stable code, for suppressing and for searching.
    pub code: &'static str,
    /// What is wrong, with the offending value: lower case, one line, no full stop.
    pub message: String,
    /// What to do about it, in the same style. Never empty.
    pub help: String,
}

/// The file of policy that a place is in.
#[must_use]
pub fn file_of(files: &[String], span: Span) -> &str {
    let index = usize::from(span.file).checked_sub(1);
    index.and_then(|index| files.get(index)).map_or(crate::BUNDLE_FILE, String::as_str)
}

/// The most diagnostics of one bundle. Nobody reads more, and a hostile file could ask for millions.
pub const MAX_DIAGNOSTICS: usize = 1000;

/// Collects diagnostics.
#[derive(Debug, Default)]
pub struct Report {
    diagnostics: BTreeSet<Diagnostic>,
    left_out: bool,
    failed: bool,
    /// The files of policy beside `bundle.yaml`.
    files: Vec<String>,
}

impl Report {
    /// Adds a diagnostic.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.failed |= diagnostic.severity == Severity::Error;
        if self.is_full() {
            self.left_out = true;
        } else {
            self.diagnostics.insert(diagnostic);
        }
    }

    /// Whether whatever comes now is left out, so that there is no need to find words for it.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.diagnostics.len() >= MAX_DIAGNOSTICS
    }

    /// Adds a file of policy and gives its number, for places in it. A file that is there already keeps its number.
    pub fn add_file(&mut self, path: String) -> u16 {
        let known = self.files.iter().position(|file| *file == path).unwrap_or_else(|| {
            self.files.push(path);
            self.files.len().saturating_sub(1)
        });
        u16::try_from(known.saturating_add(1)).unwrap_or(u16::MAX)
    }

    /// The files of policy beside `bundle.yaml`: the one with number `n` stands at `n - 1`.
    #[must_use]
    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// Adds an error in a file of policy.
    pub fn error(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(Severity::Error, code, span, message.into(), help.into());
    }

    /// Adds a warning in a file of policy.
    pub fn warning(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(Severity::Warning, code, span, message.into(), help.into());
    }

    fn add(&mut self, severity: Severity, code: &'static str, span: Span, message: String, help: String) {
        let file = file_of(&self.files, span).to_owned();
        self.push(Diagnostic { file, span, severity, code, message, help });
    }

    /// Whether there is an error so far.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// All diagnostics, `bundle.yaml` first, then the other files by name; in a file from top to bottom.
    #[must_use]
    pub fn finish(self) -> Vec<Diagnostic> {
        let mut all: Vec<_> = self.diagnostics.into_iter().collect();
        if self.left_out {
            all.push(Diagnostic {
                // Sorted after everything else.
                file: crate::BUNDLE_FILE.to_owned(),
                span: Span::default(),
                // Nothing that was left out may turn a refused bundle into an accepted one.
                severity: if self.failed { Severity::Error } else { Severity::Warning },
                code: "more",
                message: format!("there is more to say than these {MAX_DIAGNOSTICS}"),
                help: "correct these first, then check again".to_owned(),
            });
        }
        // The set has already sorted by file and place; the sort is stable.
        all.sort_by_key(|d| d.file != crate::BUNDLE_FILE);
        all
    }
}
