//! Owns a plugin's manifest as a whole: its name and its subscriptions. It never loads the
//! plugin.

use std::{collections::BTreeMap, path::Path};

use crate::{
    Ceilings, Env, Problems, Source, SubscriptionConfig,
    keys::manifest::MANIFEST,
    problem::code,
    report::Report,
    subscription::build,
    text::{NAME_MAX, Text},
    walk::{Checked, walk},
};

/// The checked content of a plugin's `NAME.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The document it came from, as it was named.
    pub file: String,
    /// The plugin's name; the file's stem without `[plugin] name`.
    pub name: String,
    /// One or more, with distinct names.
    pub subscriptions: Vec<SubscriptionConfig>,
    /// What was accepted but is probably not what was meant.
    pub warnings: Problems,
}

/// The manifest, and the keys it was made from.
pub(crate) fn read(
    source: &Source<'_>,
    env: Env<'_>,
    ceilings: &Ceilings,
) -> Result<(Manifest, Checked), Problems> {
    let (checked, mut report) = walk(source, env, &MANIFEST)?;
    let name = plugin_name(&checked, &mut report);
    let tables = checked.tables("subscription");
    let subscriptions: Vec<SubscriptionConfig> = tables
        .iter()
        .map(|table| build::subscription(table, &name, ceilings, &mut report))
        .collect();
    check_names(&subscriptions, &mut report);
    let problems = report.into_problems();
    if problems.has_errors() {
        return Err(problems);
    }
    let file = source.name.to_owned();
    Ok((Manifest { file, name, subscriptions, warnings: problems }, checked))
}

/// The name written, or the file's stem.
fn plugin_name(checked: &Checked, report: &mut Report<'_>) -> String {
    let plugin = checked.table("plugin");
    if let Some(name) = plugin.text_if_any("name") {
        return name.to_owned();
    }
    let stem = Path::new(report.source().name).file_stem().unwrap_or_default().to_string_lossy();
    let sound = checked.sound("plugin") && plugin.sound("name");
    if sound && let Err(misfit) = Text::Name.check(&stem) {
        let reason = format!("the file's name is the plugin's, but {}", misfit.reason);
        let name = misfit.instead.unwrap_or_else(|| "plugin".to_owned());
        let instead = format!("plugin.name = \"{name}\"");
        report.error(plugin.place, code::BAD_NAME, reason, Some(instead));
    }
    stem.into_owned()
}

/// Names of subscriptions are distinct; one that is not given is the plugin's.
fn check_names(subscriptions: &[SubscriptionConfig], report: &mut Report<'_>) {
    let mut first = BTreeMap::new();
    for (index, subscription) in subscriptions.iter().enumerate() {
        let name = subscription.name.as_str();
        let Some(line) = first.get(name) else {
            first.insert(name, subscription.place().line);
            continue;
        };
        let reason = format!("subscription \"{name}\" is already that of line {line}");
        let suffix = format!("-{}", index + 1);
        let kept: String = name.chars().take(NAME_MAX - suffix.len()).collect();
        let instead = format!("name = \"{kept}{suffix}\"");
        report.error(subscription.place(), code::DUPLICATE, reason, Some(instead));
    }
}
