//! Decides whether a text is TOML, and finds every place where it is not. It knows no keys.

use std::borrow::Cow;

use toml_edit::Document;

use crate::{Source, problem::code, report::Report};

/// Most syntax errors reported for one document; beyond, it is not TOML at all.
const ERRORS_MAX: usize = 20;

/// A text as TOML.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) document: Document<String>,
    /// Whether all of the text is in it. Otherwise lines with errors are missing, so that a key
    /// that is not there may still be written.
    pub(crate) whole: bool,
}

/// Parses `source`, reporting syntax errors. Lines with an error are left out and the rest is
/// read, so that one error does not hide the others; none when what is left means nothing.
pub(crate) fn parse(source: &Source<'_>, report: &mut Report<'_>) -> Option<Parsed> {
    let mut text = Cow::Borrowed(source.text);
    let mut left_out = Vec::new();
    for errors in 0..ERRORS_MAX {
        let error = match Document::parse(text.to_string()) {
            Ok(document) => return Some(Parsed { document, whole: errors == 0 }),
            Err(error) => error,
        };
        let at = error.span().map_or(0, |span| span.start).min(text.len());
        let place = report.place(at);
        // An error on a line left out, or on the one after it, is a consequence of leaving it out.
        if left_out.iter().any(|line| (*line..=*line + 1).contains(&place.line)) {
            return None;
        }
        let message = error.message().trim().to_owned();
        report.error(place, code::SYNTAX, format!("not TOML: {message}"), None);
        left_out.push(place.line);
        let (line, without) = without_line(&text, at);
        // Without a header the keys below it would be read as another table's.
        if line.trim_start().starts_with('[') {
            return None;
        }
        text = Cow::Owned(without);
    }
    None
}

/// The line at `offset`, and the text with that line as blanks: every other place stays.
fn without_line(text: &str, offset: usize) -> (&str, String) {
    let begin = text.get(..offset).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let rest = text.get(begin..).unwrap_or_default();
    let end = begin + rest.find('\n').unwrap_or(rest.len());
    let line = text.get(begin..end).unwrap_or_default();
    let mut without = text.to_owned();
    without.replace_range(begin..end, &" ".repeat(line.len()));
    (line, without)
}
