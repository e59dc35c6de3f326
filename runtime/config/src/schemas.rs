//! Owns what an operator decides about schemas, checked. It reads none of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use gristmill_engine::Millis;

use crate::{
    Glob, Place, Secret, TopicNames,
    problem::code,
    report::Report,
    walk::{Checked, checked::disagree, value::string},
};

/// Schemas, and where they come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schemas {
    /// Where those with a subject come from.
    pub registry: Option<RegistryConfig>,
    /// Each by its name.
    pub named: BTreeMap<String, SchemaConfig>,
}

/// A registry with the Confluent API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryConfig {
    /// Its address.
    pub url: String,
    /// Name and password.
    pub login: Option<(String, Secret)>,
    /// Longest wait for one answer, 100 ms to 1 min.
    pub timeout: Millis,
    /// How long what it said holds, 1 s to 1 day.
    pub refresh: Millis,
}

/// One schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaConfig {
    /// Topics whose events it judges; not empty.
    pub topics: Vec<Glob>,
    /// Types that it is for; not empty.
    pub types: Vec<Glob>,
    /// Versions that it is for; empty for all.
    pub versions: Vec<String>,
    /// Where it comes from.
    pub source: SchemaSource,
    /// Whether JSON is published with the id of its schema before it.
    pub framed: bool,
    /// The schema it comes after.
    pub follows: Option<String>,
    /// What it must be able to do with that.
    pub compatibility: Compatibility,
    /// Where its source stands in its document.
    pub place: Place,
}

/// Where a schema comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaSource {
    /// A file; the document's folder is already in it.
    File(PathBuf),
    /// A subject of the registry.
    Subject(String),
}

/// What a schema must be able to do with the one it comes after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compatibility {
    /// Nothing.
    None,
    /// Read what that wrote.
    Backward,
    /// Be read by it.
    Forward,
    /// Both.
    Full,
}

impl Compatibility {
    /// Whether it must read what the one before wrote.
    pub fn is_backward(self) -> bool {
        matches!(self, Self::Backward | Self::Full)
    }

    /// Whether it must be read by the one before.
    pub fn is_forward(self) -> bool {
        matches!(self, Self::Forward | Self::Full)
    }
}

/// How a schema begins that a registry has.
const REGISTRY: &str = "registry:";

/// Reads `[schemas]`; files are relative to `folder`.
pub(crate) fn read(
    checked: &Checked,
    (folder, topics): (&Path, &TopicNames),
    report: &mut Report<'_>,
) -> Schemas {
    let user = checked.text_if_any("user").map(ToOwned::to_owned);
    let password = checked.text_if_any("password_file");
    if user.is_none() && password.is_some() {
        let reason = "`password_file` says nothing without `user`";
        report.warning(checked.place("password_file"), code::CONTRADICTION, reason, None);
    }
    let password = match password {
        Some(file) => Secret::File(folder.join(file)),
        None => Secret::Text(String::new()),
    };
    let url = checked.text_if_any("registry").map(ToOwned::to_owned);
    let registry = url.map(|url| RegistryConfig {
        url,
        login: user.map(|user| (user, password)),
        timeout: checked.millis("timeout"),
        refresh: checked.millis("refresh"),
    });
    let known: BTreeSet<&str> = checked.open.iter().map(|(name, _)| name.as_str()).collect();
    let all = checked.open.iter().map(|(name, table)| {
        check_follows(name, table, &known, report);
        let source = source(name, table, (folder, registry.is_some()), report);
        (name.clone(), schema(table, topics, source))
    });
    let named = all.collect();
    Schemas { registry, named }
}

fn schema(table: &Checked, names: &TopicNames, source: SchemaSource) -> SchemaConfig {
    SchemaConfig {
        topics: table.globs("topics").iter().map(|it| names.pattern(it)).collect(),
        types: table.globs("types"),
        versions: table.texts("versions").iter().map(|one| one.0.clone()).collect(),
        source,
        framed: table.flag("framed"),
        follows: table.text_if_any("follows").map(ToOwned::to_owned),
        compatibility: match table.text("compatibility") {
            "none" => Compatibility::None,
            "backward" => Compatibility::Backward,
            "forward" => Compatibility::Forward,
            "full" => Compatibility::Full,
            _ => disagree("compatibility"),
        },
        place: table.place("schema"),
    }
}

/// A file, or a subject of the registry that there is.
fn source(
    name: &str,
    table: &Checked,
    (folder, has_registry): (&Path, bool),
    report: &mut Report<'_>,
) -> SchemaSource {
    // What is not written, or not well, is reported already.
    let written = if table.written("schema") { table.text("schema") } else { "" };
    let Some(subject) = written.strip_prefix(REGISTRY) else {
        return SchemaSource::File(folder.join(written));
    };
    if subject.is_empty() {
        let reason = format!("schema `{name}` names no subject of the registry");
        let instead = Some(format!("schema = \"{REGISTRY}{name}-value\""));
        report.error(table.place("schema"), code::MALFORMED, reason, instead);
    } else if !has_registry {
        let reason = format!("schema `{name}` comes from a registry, and there is no `registry`");
        let instead = Some("registry = \"http://127.0.0.1:8081\"".to_owned());
        report.error(table.place("schema"), code::CONTRADICTION, reason, instead);
    }
    SchemaSource::Subject(subject.to_owned())
}

/// It comes after another one.
fn check_follows(name: &str, table: &Checked, known: &BTreeSet<&str>, report: &mut Report<'_>) {
    let Some(before) = table.text_if_any("follows") else { return };
    if before == name || !known.contains(before) {
        let others: Vec<&str> = known.iter().copied().filter(|other| *other != name).collect();
        let reason = if before == name {
            format!("schema `{name}` follows itself")
        } else {
            format!("schema `{name}` follows `{before}`, which is not declared")
        };
        let instead = others.first().map(|other| format!("follows = {}", string(other)));
        report.error(table.place("follows"), code::CONTRADICTION, reason, instead);
    }
}
