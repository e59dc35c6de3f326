//! Owns how the use of a database fails, and what whoever uses it may do then. It decides
//! nothing.

use std::error::Error as _;
use std::fmt;

use tokio_postgres::error::SqlState;

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Try again: it passes by itself.
    Retry,
    /// An operator must act, here or in the database; then trying again helps.
    Reject,
}

/// Why a database cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Its parameters say nothing that can be used.
    #[error("read the parameters of the database")]
    Parameters {
        /// Why.
        #[source]
        source: Cause,
    },
    /// It is away, or went away.
    #[error("{doing}")]
    Away {
        /// What was being done.
        doing: String,
        /// Why.
        #[source]
        source: Cause,
    },
    /// It does not let this user in, or not do that.
    #[error("{doing}")]
    Refused {
        /// What was being done.
        doing: String,
        /// Why.
        #[source]
        source: Cause,
    },
    /// The table, or its columns, are not as they must be.
    #[error("table {table:?}: {what}")]
    Table {
        /// The table.
        table: String,
        /// What is wrong, and what would help.
        what: String,
    },
    /// It does not do what it was asked.
    #[error("{doing}")]
    Statement {
        /// What was being done.
        doing: String,
        /// Why.
        #[source]
        source: Cause,
    },
}

/// What the database, or its client, says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause(String);

impl Error {
    /// What the client says about `doing`.
    pub(crate) fn of(doing: impl Into<String>, error: &tokio_postgres::Error) -> Self {
        let (doing, source) = (doing.into(), Cause::of(error));
        let Some(code) = error.code() else { return Self::Away { doing, source } };
        match code.code().get(..2).unwrap_or_default() {
            // Of a connection, of resources, of an operator, of the system.
            "08" | "53" | "57" | "58" => Self::Away { doing, source },
            "28" | "3D" => Self::Refused { doing, source },
            _ if *code == SqlState::INSUFFICIENT_PRIVILEGE => Self::Refused { doing, source },
            _ => Self::Statement { doing, source },
        }
    }

    /// Nothing came for too long.
    pub(crate) fn silent(doing: impl Into<String>) -> Self {
        Self::Away { doing: doing.into(), source: Cause("it does not answer".to_owned()) }
    }

    /// Stable code; `docs/errors` has a page for each.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Parameters { .. } => "E0130",
            Self::Away { .. } => "E0480",
            Self::Refused { .. } => "E0481",
            Self::Table { .. } => "E0482",
            Self::Statement { .. } => "E0484",
        }
    }

    /// What to do about it.
    pub fn class(&self) -> Class {
        match self {
            Self::Away { .. } => Class::Retry,
            Self::Parameters { .. }
            | Self::Refused { .. }
            | Self::Table { .. }
            | Self::Statement { .. } => Class::Reject,
        }
    }
}

impl Cause {
    /// An error with what caused it.
    pub(crate) fn of(error: &tokio_postgres::Error) -> Self {
        if let Some(told) = error.as_db_error() {
            let detail = told.detail().map(|it| format!(" ({it})")).unwrap_or_default();
            return Self(format!("{}: {}{detail}", told.code().code(), told.message()));
        }
        let (mut text, mut cause) = (error.to_string(), error.source());
        while let Some(inner) = cause {
            text = format!("{text}: {inner}");
            cause = inner.source();
        }
        Self(text)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Cause {}
