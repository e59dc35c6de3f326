//! Reads: text to checked configuration. It opens no socket, starts nothing and knows no runtime;
//! the only files it reads are those [`read`] is asked for.
//!
//! Two documents: the host's `gristmill.toml` ([`host`]) and one manifest per plugin
//! ([`manifest`]). Both are described by one table of keys (`keys`), from which the reader, the
//! JSON Schemas and `docs/configuration.md` are made, so they cannot disagree. Every problem of a
//! document is reported at once, with its line and the line to write instead.

mod access;
mod broker;
mod check;
mod commands;
mod encryption;
mod envelope;
mod expand;
mod explain;
mod field;
mod glob;
mod host;
mod key_rule;
mod keys;
mod manifest;
mod names;
mod origin;
mod outbox;
mod problem;
pub mod read;
mod reference;
mod replication;
mod report;
mod schema;
mod schemas;
mod selector;
mod subscription;
mod suggest;
mod syntax;
mod telemetry;
mod text;
mod tokens;
mod units;
mod walk;

pub use access::AccessRule;
pub use broker::{Broker, GroupTemplate, Guarantee, Kafka};
pub use check::cross_check;
pub use commands::{CommandConfig, Commands};
pub use encryption::EncryptionConfig;
pub use explain::{Because, Explanation, Setting, Stage, explain};
pub use field::{Pointer, Secret};
pub use glob::Glob;
pub use host::{
    Ceilings, Checkpoint, HostConfig, Http, Plugins, Reserve, Retention, Storage, TopicConfig,
    Topics,
};
pub use key_rule::{KeyRule, KeyTemplate};
pub use manifest::Manifest;
pub use names::TopicNames;
pub use origin::{HttpHost, HttpOrigin};
pub use outbox::{OutboxColumn, OutboxConfig, OutboxRole, OutboxTopic};
pub use problem::{Place, Problem, Problems, Severity};
pub use reference::reference;
pub use replication::{CopyFrom, OnRefused, ReplicationConfig, TopicRename};
pub use schema::{host_schema, manifest_schema};
pub use schemas::{Compatibility, RegistryConfig, SchemaConfig, SchemaSource, Schemas};
pub use selector::{TopicExpression, TopicSelector};
pub use subscription::{
    Clock, DeadLetter, Envelope, Fields, Filter, Format, Grants, Limits, Start, StateOf,
    SubscriptionConfig,
};
pub use telemetry::{LogFormat, Otlp, Telemetry};
pub use tokens::{Role, TokenConfig};

/// A document: its name and its text.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Name as problems show it: the path the operator gave. Relative paths inside the document
    /// are relative to this path's folder, and a manifest's plugin name defaults to its stem.
    pub name: &'a str,
    /// The text, TOML 1.0.
    pub text: &'a str,
}

/// Looks an environment variable up, for `${NAME}` in strings.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads the host's configuration. An empty text gives every default.
///
/// # Errors
///
/// All problems of the document at once, when at least one of them is an error. Warnings alone
/// are in [`HostConfig::warnings`].
pub fn host(source: &Source<'_>, env: Env<'_>) -> Result<HostConfig, Problems> {
    host::read(source, env).map(|(config, _)| config)
}

/// Reads a plugin's manifest and holds it against the host's ceilings.
///
/// # Errors
///
/// All problems of the document at once, when at least one of them is an error. Warnings alone
/// are in [`Manifest::warnings`].
pub fn manifest(
    source: &Source<'_>,
    env: Env<'_>,
    ceilings: &Ceilings,
) -> Result<Manifest, Problems> {
    manifest::read(source, env, ceilings).map(|(manifest, _)| manifest)
}

/// What `gristmill init` writes: a commented `gristmill.toml` whose first line names its schema.
pub fn starter() -> &'static str {
    include_str!("starter.toml")
}
