//! Owns how a record, or a request, fails to be an event. Whoever meets it decides what follows:
//! a dead letter, or an answer to a client.

use std::fmt;

/// What is wrong with an event, all of it at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invalid {
    /// Stable code, `E0401` to `E0409`; its page is `docs/errors/CODE.md`.
    pub(crate) code: &'static str,
    /// At least one sentence without a full stop; each names what it is about.
    pub(crate) violations: Vec<String>,
}

impl Invalid {
    /// Not a CloudEvent where only those are accepted.
    pub(super) const NOT_CLOUD_EVENT: &'static str = "E0401";
    /// A CloudEvent that breaks the specification.
    pub(super) const CLOUD_EVENT: &'static str = "E0402";
    /// A header that must be text is not UTF-8.
    pub(super) const HEADER: &'static str = "E0403";
    /// The payload is not JSON where an envelope of JSON is expected.
    pub(super) const JSON: &'static str = "E0404";
    /// A JSON envelope carries no id.
    pub(super) const ID: &'static str = "E0405";
    /// A time that cannot be read.
    pub(super) const TIME: &'static str = "E0406";
    /// The data breaks its schema.
    pub(crate) const SCHEMA: &'static str = "E0407";
    /// The topic's events have schemas, and none is for this one.
    pub(crate) const NO_SCHEMA: &'static str = "E0408";
    /// Fields cannot be encrypted, or decrypted.
    pub(crate) const ENCRYPTION: &'static str = "E0409";

    pub(super) fn one(code: &'static str, violation: impl Into<String>) -> Self {
        Self { code, violations: vec![violation.into()] }
    }

    pub(super) fn not_utf8(header: &str) -> Self {
        Self::one(Self::HEADER, format!("header \"{header}\" is not UTF-8"))
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.violations.join("; "))
    }
}

impl std::error::Error for Invalid {}
