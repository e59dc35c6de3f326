//! Owns the problems found in one document and knows its lines. It finds none itself.

use std::ops::Range;

use crate::{Place, Problem, Problems, Severity, Source};

/// Collects the problems of one document.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    source: Source<'a>,
    /// Byte offset of each line's beginning.
    lines: Vec<usize>,
    problems: Problems,
}

impl<'a> Report<'a> {
    pub(crate) fn new(source: Source<'a>) -> Self {
        let begins = source.text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            source,
            lines: std::iter::once(0).chain(begins).collect(),
            problems: Problems::default(),
        }
    }

    /// Adds an error.
    pub(crate) fn error(
        &mut self,
        place: Place,
        code: &'static str,
        reason: impl Into<String>,
        instead: Option<String>,
    ) {
        self.add(place, code, (Severity::Error, reason.into()), instead);
    }

    /// Adds a warning.
    pub(crate) fn warning(
        &mut self,
        place: Place,
        code: &'static str,
        reason: impl Into<String>,
        instead: Option<String>,
    ) {
        self.add(place, code, (Severity::Warning, reason.into()), instead);
    }

    /// Where a byte offset is.
    pub(crate) fn place(&self, offset: usize) -> Place {
        let line = self.lines.partition_point(|begin| *begin <= offset);
        let begin = line.checked_sub(1).and_then(|index| self.lines.get(index)).copied();
        let before = self.source.text.get(begin.unwrap_or_default()..offset).unwrap_or_default();
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Place { line: number(line), column: number(before.chars().count() + 1) }
    }

    /// What was written at `span`, unless it is more than a line.
    pub(crate) fn written(&self, span: Option<Range<usize>>) -> Option<&'a str> {
        self.source.text.get(span?).filter(|text| !text.contains('\n'))
    }

    /// How many problems of `code` were found so far.
    pub(crate) fn count(&self, code: &str) -> usize {
        self.problems.iter().filter(|problem| problem.code == code).count()
    }

    pub(crate) fn source(&self) -> &Source<'a> {
        &self.source
    }

    pub(crate) fn into_problems(self) -> Problems {
        self.problems
    }

    fn add(
        &mut self,
        place: Place,
        code: &'static str,
        (severity, reason): (Severity, String),
        instead: Option<String>,
    ) {
        self.problems.push(Problem {
            file: self.source.name.to_owned(),
            line: place.line,
            column: place.column,
            code,
            severity,
            reason,
            instead,
        });
    }
}
