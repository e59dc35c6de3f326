//! Owns everything the process prints: answers on standard output, the rest on standard error.
//! It never decides what a command answers. Colours appear on a terminal only, and not at all
//! when `NO_COLOR` is set.

use std::{
    env,
    io::{self, IsTerminal, Write},
};

use serde::Serialize;
use serde_json::json;

use crate::problem::Problem;

/// Where and how a command prints.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    json: bool,
    colour_out: bool,
    colour_err: bool,
}

/// How a piece of text stands out on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Bold,
    Dim,
    Good,
    Bad,
    Hint,
}

impl Style {
    const fn sequence(self) -> &'static str {
        match self {
            Self::Bold => "\x1b[1m",
            Self::Dim => "\x1b[2m",
            Self::Good => "\x1b[32m",
            Self::Bad => "\x1b[31m",
            Self::Hint => "\x1b[36m",
        }
    }
}

impl Output {
    /// Answers in JSON with `json`, else for humans.
    pub(crate) fn new(json: bool) -> Self {
        let wanted = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            json,
            colour_out: wanted && io::stdout().is_terminal(),
            colour_err: wanted && io::stderr().is_terminal(),
        }
    }

    /// Whether the answer is JSON.
    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// Prints one line of an answer; nothing when the answer is JSON.
    pub(crate) fn line(&self, text: impl AsRef<str>) {
        if !self.json {
            write_line(&mut io::stdout(), text.as_ref());
        }
    }

    /// Prints the whole answer as one JSON document; nothing when it is for humans.
    pub(crate) fn json(&self, answer: &impl Serialize) {
        if self.json {
            let text = serde_json::to_string_pretty(answer);
            write_line(&mut io::stdout(), &text.unwrap_or_else(|error| error.to_string()));
        }
    }

    /// Prints text that is the same for humans and programs, such as a script.
    #[expect(clippy::unused_self, reason = "all printing goes through an output")]
    pub(crate) fn text(&self, text: &str) {
        drop(io::stdout().write_all(text.as_bytes()));
    }

    /// Prints one line of an answer without end, whatever its form. False when nobody reads on.
    #[expect(clippy::unused_self, reason = "all printing goes through an output")]
    pub(crate) fn stream(&self, line: &str) -> bool {
        let mut out = io::stdout();
        writeln!(out, "{line}").and_then(|()| out.flush()).is_ok()
    }

    /// Prints one line beside the answer, such as progress.
    #[expect(clippy::unused_self, reason = "all printing goes through an output")]
    pub(crate) fn note(&self, text: impl AsRef<str>) {
        write_line(&mut io::stderr(), text.as_ref());
    }

    /// Shows how far something is, in one line of a terminal that the next call writes anew;
    /// nothing elsewhere. An empty text takes it away.
    pub(crate) fn progress(&self, text: &str) {
        let mut err = io::stderr();
        if !self.json && err.is_terminal() {
            let written = write!(err, "\r\x1b[2K{text}").and_then(|()| err.flush());
            drop(written);
        }
    }

    /// `text` as it looks in an answer.
    pub(crate) fn paint(&self, style: Style, text: &str) -> String {
        paint(self.colour_out, style, text)
    }

    /// `text` as it looks in a note.
    pub(crate) fn paint_note(&self, style: Style, text: &str) -> String {
        paint(self.colour_err, style, text)
    }

    /// Whether notes may have colours.
    pub(crate) const fn colours_notes(&self) -> bool {
        self.colour_err
    }

    /// Prints an error once: its chain, its hint, and where its page is.
    pub(crate) fn error(&self, error: &anyhow::Error) {
        let problem = Problem::of(error);
        if self.json {
            let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
            let code = problem.map(|problem| &*problem.code);
            let hint = problem.and_then(|problem| problem.hint.as_deref());
            self.json(&json!({ "error": { "code": code, "chain": chain, "hint": hint } }));
            return;
        }
        let code = problem.map(|problem| format!("[{}]", problem.code)).unwrap_or_default();
        let label = paint(self.colour_err, Style::Bad, &format!("error{code}:"));
        self.note(format!("{label} {error:#}"));
        if let Some(hint) = problem.and_then(|problem| problem.hint.as_deref()) {
            let label = paint(self.colour_err, Style::Hint, "hint:");
            self.note(format!("{label} {hint}"));
        }
    }
}

fn paint(colour: bool, style: Style, text: &str) -> String {
    if colour { format!("{}{text}\x1b[0m", style.sequence()) } else { text.to_owned() }
}

/// Writes a line. A reader that has gone away (`gristmill … | head`) is no error of ours.
fn write_line(to: &mut dyn Write, text: &str) {
    let written = writeln!(to, "{text}").and_then(|()| to.flush());
    drop(written);
}
