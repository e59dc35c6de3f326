//! Owns what is wrong with a document and how an operator is told. It never decides what is
//! wrong.

use std::fmt;

/// Where something stands in a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl Place {
    /// The beginning of a document: where a missing thing is missed.
    pub const START: Self = Self { line: 1, column: 1 };
}

/// Whether a problem stops the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The document is refused.
    Error,
    /// The document is accepted; it probably does not do what was meant.
    Warning,
}

/// One thing that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The document's name as it was given.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Stable code `E0101` to `E0199`, each with a page in `docs/errors`.
    pub code: &'static str,
    /// Whether it stops the host.
    pub severity: Severity,
    /// What is wrong: lower case, no full stop.
    pub reason: String,
    /// The line to write instead, where one can be named.
    pub instead: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, code, reason, .. } = self;
        write!(f, "{file}:{line}: [{code}] ")?;
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        f.write_str(reason)?;
        if let Some(instead) = &self.instead {
            write!(f, "\n  write: `{instead}`")?;
        }
        Ok(())
    }
}

/// Everything that is wrong, sorted by file, line and column.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Adds one, keeping the order and dropping a repetition.
    pub fn push(&mut self, problem: Problem) {
        if let Err(at) = self.0.binary_search(&problem) {
            self.0.insert(at, problem);
        }
    }

    /// Adds all of `other`.
    pub fn append(&mut self, other: Self) {
        for problem in other.0 {
            self.push(problem);
        }
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many problems there are, warnings included.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether any of them is an error.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// In order of file, line and column.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    /// One problem after the other, a line each and one for what to write instead.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl FromIterator<Problem> for Problems {
    fn from_iter<I: IntoIterator<Item = Problem>>(problems: I) -> Self {
        let mut all = Self::default();
        for problem in problems {
            all.push(problem);
        }
        all
    }
}

/// The codes, by name. Each has a page `docs/errors/CODE.md`.
pub(crate) mod code {
    pub(crate) const SYNTAX: &str = "E0101";
    pub(crate) const UNKNOWN_SECTION: &str = "E0102";
    pub(crate) const UNKNOWN_KEY: &str = "E0103";
    pub(crate) const MISSING: &str = "E0104";
    pub(crate) const WRONG_TYPE: &str = "E0105";
    pub(crate) const WRONG_UNIT: &str = "E0106";
    pub(crate) const OUT_OF_RANGE: &str = "E0107";
    pub(crate) const NO_SUCH_CHOICE: &str = "E0108";
    pub(crate) const BAD_NAME: &str = "E0109";
    pub(crate) const BAD_TOPIC: &str = "E0110";
    pub(crate) const MALFORMED: &str = "E0111";
    pub(crate) const UNSET_VARIABLE: &str = "E0112";
    pub(crate) const BAD_SUBSTITUTION: &str = "E0113";
    pub(crate) const LATER_RELEASE: &str = "E0114";
    pub(crate) const OPEN_TO_ANYONE: &str = "E0115";
    pub(crate) const STATE_WITHOUT_ORDER: &str = "E0116";
    pub(crate) const ABOVE_CEILING: &str = "E0117";
    pub(crate) const GRANT_REFUSED: &str = "E0118";
    pub(crate) const DUPLICATE: &str = "E0119";
    pub(crate) const UNKNOWN_TOPIC: &str = "E0120";
    pub(crate) const GRANT_REACHES_NOTHING: &str = "E0121";
    pub(crate) const CONTRADICTION: &str = "E0122";
    pub(crate) const UNEQUAL_PARTITIONS: &str = "E0123";
    pub(crate) const UNREADABLE: &str = "E0124";
    pub(crate) const LOCAL_TOPIC: &str = "E0125";
    pub(crate) const NO_TOPIC_NAME: &str = "E0128";
    pub(crate) const NO_SUCH_KEY: &str = "E0129";
    pub(crate) const NO_DATABASE: &str = "E0130";
    pub(crate) const NO_SUCH_COLUMN: &str = "E0131";
    pub(crate) const SAME_CLUSTER: &str = "E0140";
    pub(crate) const NOT_COPIED: &str = "E0141";
}
