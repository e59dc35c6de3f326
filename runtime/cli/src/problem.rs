//! Owns what an operator is told when a command fails: code, words, hint and exit code. It never
//! prints.

use std::{borrow::Cow, error::Error, fmt};

use crate::exit::Exit;

/// A failure with a stable code, whose page is `docs/errors/<code>.md`.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) code: Cow<'static, str>,
    pub(crate) exit: Exit,
    pub(crate) hint: Option<String>,
    what: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Problem {
    /// What was checked, built or tested is wrong.
    pub(crate) fn failed(code: &'static str, what: impl Into<String>) -> Self {
        Self::new(code, Exit::Failed, what.into())
    }

    /// The command line or a file it names is not what the command takes.
    pub(crate) fn usage(code: &'static str, what: impl Into<String>) -> Self {
        Self::new(code, Exit::Usage, what.into())
    }

    /// Something around the command failed.
    pub(crate) fn environment(code: &'static str, what: impl Into<String>) -> Self {
        Self::new(code, Exit::Environment, what.into())
    }

    /// With one line on what to do.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With the error beneath.
    #[must_use]
    pub(crate) fn source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Says first what it is about.
    pub(crate) fn prefix(&mut self, about: &str) {
        self.what = format!("{about}: {}", self.what);
    }

    /// The first problem in an error's chain.
    pub(crate) fn of(error: &anyhow::Error) -> Option<&Self> {
        error.chain().find_map(|cause| cause.downcast_ref())
    }

    pub(crate) fn new(code: impl Into<Cow<'static, str>>, exit: Exit, what: String) -> Self {
        Self { code: code.into(), exit, hint: None, what, source: None }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.what)
    }
}

impl Error for Problem {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
