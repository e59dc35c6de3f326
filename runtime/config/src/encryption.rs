//! Owns which fields an operator has encrypted, and for whom not, checked. It reads no key.

use std::collections::BTreeMap;

use crate::{
    Glob, Place, Secret, TopicNames, access,
    problem::code,
    report::Report,
    walk::{Checked, value::string},
};

/// Fields of some events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptionConfig {
    /// Topics whose events it is for, with those of their dead letters; not empty.
    pub topics: Vec<Glob>,
    /// Types of events that it is for; not empty.
    pub types: Vec<Glob>,
    /// JSON pointers to the fields, with `*` for any one name; not empty.
    pub fields: Vec<String>,
    /// Id of the key for new values; it is in `keys`.
    pub key: String,
    /// Keys by their ids, each 32 bytes in base64.
    pub keys: Vec<(String, Secret)>,
    /// Plugins whose manifests may grant that they see the fields.
    pub plugins: Vec<Glob>,
    /// Where its keys stand in its document.
    pub place: Place,
}

/// Reads `[encryption]`.
pub(crate) fn read(
    checked: &Checked,
    names: &TopicNames,
    report: &mut Report<'_>,
) -> BTreeMap<String, EncryptionConfig> {
    let mut rules = BTreeMap::new();
    for (name, table) in &checked.open {
        check_key(name, table, report);
        let topics = table.globs("topics");
        let topics = topics.iter().map(|it| names.pattern(it)).flat_map(access::with_letters);
        let keys = table.pairs("keys").iter();
        let rule = EncryptionConfig {
            topics: topics.collect(),
            types: table.globs("types"),
            fields: table.texts("fields").iter().map(|one| one.0.clone()).collect(),
            key: if table.written("key") { table.text("key").to_owned() } else { String::new() },
            keys: keys.map(|pair| (pair.name.clone(), pair.value.clone())).collect(),
            plugins: table.globs("plugins"),
            place: table.place("keys"),
        };
        rules.insert(name.clone(), rule);
    }
    rules
}

/// New values are encrypted under a key that there is.
fn check_key(name: &str, table: &Checked, report: &mut Report<'_>) {
    let keys: Vec<&str> = table.pairs("keys").iter().map(|pair| pair.name.as_str()).collect();
    if !table.written("keys") || !table.written("key") || keys.contains(&table.text("key")) {
        return;
    }
    let key = table.text("key");
    let known = if keys.is_empty() { "none".to_owned() } else { keys.join(", ") };
    let reason = format!("`keys` of `encryption.{name}` has no key \"{key}\": it has {known}");
    let instead = keys.last().map(|last| format!("key = {}", string(last)));
    report.error(table.place("key"), code::NO_SUCH_KEY, reason, instead);
}

/// A plugin sees only fields that the host lets it see, if one is asked.
pub(crate) fn check_grants(
    plugin: &str,
    grants: &Checked,
    rules: Option<&BTreeMap<String, Vec<Glob>>>,
    report: &mut Report<'_>,
) {
    let Some(rules) = rules else { return };
    for (name, place) in grants.texts("decrypt") {
        let reason = match rules.get(name) {
            None if rules.is_empty() => format!("the host has no `encryption.{name}`"),
            None => {
                let known: Vec<&str> = rules.keys().map(String::as_str).collect();
                let known = known.join(", ");
                format!("the host has no `encryption.{name}`; it has {known}")
            }
            Some(plugins) if plugins.iter().any(|pattern| pattern.matches(plugin)) => continue,
            Some(_) => format!(
                "plugin \"{plugin}\" may not see fields of `encryption.{name}`: its `plugins` in \
                 the host's configuration do not name it"
            ),
        };
        report.error(*place, code::GRANT_REFUSED, reason, None);
    }
}
