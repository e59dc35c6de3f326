//! Finds everything that is wrong with a host's configuration and its plugins' manifests before a
//! host runs. It compiles nothing and starts nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::ValueEnum;
use gristmill_config::{
    Ceilings, HostConfig, Manifest, Place, Problems, Severity, Source, cross_check,
};
use serde_json::json;

use crate::answer::{list, text};
use crate::complaints;
use crate::exit::Exit;
use crate::output::{Output, Style};
use crate::problem::Problem;
use crate::remote::{Remote, Request};
use crate::run::settings::{self, variable};

/// What a manifest may be held against only when the host's configuration is right.
const OF_THE_HOST: [&str; 2] = ["E0117", "E0118"];

/// What `gristmill check` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The host's configuration; without the option ./gristmill.toml, or every default if there
    /// is none
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Prints the JSON Schema of a document instead, for editors
    #[arg(long, value_name = "DOCUMENT", conflicts_with_all = ["config", "url"])]
    schema: Option<Document>,
    /// Also counts the topics of a running host as known, such as those made by
    /// `gristmill topics create`
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

/// A document that has a schema.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Document {
    /// gristmill.toml
    Host,
    /// A plugin's NAME.toml
    Manifest,
}

/// Checks, and tells every problem at once.
///
/// # Errors
///
/// When a host that was named does not answer, or the plugin folder cannot be listed.
pub(crate) fn run(args: &Args, output: &Output) -> anyhow::Result<Exit> {
    if let Some(document) = args.schema {
        let schema = match document {
            Document::Host => gristmill_config::host_schema(),
            Document::Manifest => gristmill_config::manifest_schema(),
        };
        output.text(&format!("{schema:#}\n"));
        return Ok(Exit::Done);
    }
    let existing = existing(args.url.as_deref())?;
    let checked = check(args.config.as_deref(), &existing, output)?;
    Ok(tell(&checked, output))
}

/// What was found.
#[derive(Debug, Default)]
struct Checked {
    problems: Problems,
    host: String,
    manifests: usize,
    subscriptions: usize,
}

fn check(named: Option<&Path>, existing: &[String], output: &Output) -> Result<Checked, Problem> {
    let mut checked = Checked::default();
    let host = match settings::host(named, output) {
        Ok(host) => Some(host),
        Err(problems) => {
            checked.problems.append(problems);
            None
        }
    };
    let file = named.unwrap_or_else(|| Path::new(settings::FILE));
    checked.host = file.display().to_string();
    let fallback = host.is_none().then(defaults).flatten();
    // Where the configuration does not say, the folder's usual place beside it is looked at.
    let beside = || file.parent().unwrap_or_else(|| Path::new("")).join("plugins");
    let folder = host.as_ref().map_or_else(beside, |host| host.plugins_dir.clone());
    let Some(ceilings) = host.as_ref().or(fallback.as_ref()).map(|host| &host.ceilings) else {
        return Ok(checked);
    };
    let manifests = manifests(&folder, ceilings, (host.is_some(), &mut checked))?;
    checked.subscriptions = manifests.iter().map(|it| it.subscriptions.len()).sum();
    if let Some(host) = host {
        checked.problems.append(cross_check(&host, &manifests, existing));
        checked.problems.append(gristmill_node::check_schemas(&host));
        checked.problems.append(gristmill_node::check_encryption(&host));
        checked.problems.append(gristmill_node::check_outbox(&host));
        checked.problems.append(host.warnings);
    }
    Ok(checked)
}

/// A host of which nothing is said.
fn defaults() -> Option<HostConfig> {
    gristmill_config::host(&Source { name: settings::FILE, text: "" }, &|_| None).ok()
}

fn manifests(
    folder: &Path,
    ceilings: &Ceilings,
    (is_host_right, checked): (bool, &mut Checked),
) -> Result<Vec<Manifest>, Problem> {
    let mut manifests = Vec::new();
    for (path, has_component) in documents(folder)? {
        checked.manifests += 1;
        let name = path.display().to_string();
        if !has_component {
            checked.problems.push(without_component(&name));
        }
        let text = match gristmill_config::read::document(&path) {
            Ok(text) => text,
            Err(problem) => {
                checked.problems.push(problem);
                continue;
            }
        };
        let source = Source { name: &name, text: &text };
        match gristmill_config::manifest(&source, &variable, ceilings) {
            Ok(manifest) => {
                checked.problems.append(manifest.warnings.clone());
                manifests.push(manifest);
            }
            Err(problems) => checked.problems.append(
                problems
                    .into_iter()
                    .filter(|it| is_host_right || !OF_THE_HOST.contains(&it.code))
                    .collect(),
            ),
        }
    }
    Ok(manifests)
}

/// Manifests of the plugin folder, and whether a component is beside each.
pub(crate) fn documents(folder: &Path) -> Result<BTreeMap<PathBuf, bool>, Problem> {
    let unlisted = |error: io::Error| {
        Problem::environment("E0565", format!("list {}", folder.display())).source(error)
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        // The host makes it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(unlisted(error)),
    };
    let mut found = BTreeMap::new();
    for entry in entries {
        let path = entry.map_err(unlisted)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let is_temporary = name.unwrap_or_default().starts_with(['.', '#', '~']);
        let is_manifest = path.extension().is_some_and(|extension| extension == "toml");
        if is_manifest && !is_temporary && path.is_file() {
            let has_component = path.with_extension("wasm").is_file();
            found.insert(path, has_component);
        }
    }
    Ok(found)
}

fn without_component(name: &str) -> gristmill_config::Problem {
    let component = Path::new(name).with_extension("wasm");
    gristmill_config::Problem {
        file: name.to_owned(),
        line: Place::START.line,
        column: Place::START.column,
        code: "E0564",
        severity: Severity::Warning,
        reason: format!("{} is not there, so the plugin does not run", component.display()),
        instead: None,
    }
}

/// Topics of a running host that is named.
fn existing(url: Option<&str>) -> Result<Vec<String>, Problem> {
    let Some(url) = url else { return Ok(Vec::new()) };
    let client = Remote::at(url).client()?;
    let answer = client.get(Request::to("/api/v1/topics"))?;
    Ok(list(&answer, "topics").iter().map(|topic| text(topic, "name").to_owned()).collect())
}

fn tell(checked: &Checked, output: &Output) -> Exit {
    let Checked { problems, host, manifests, subscriptions } = checked;
    output.json(&json!({
        "ok": !problems.has_errors(),
        "host": host,
        "manifests": manifests,
        "subscriptions": subscriptions,
        "problems": complaints::listed(problems),
    }));
    if !output.is_json() {
        complaints::notes(problems, output);
    }
    let errors = complaints::errors(problems);
    let warnings = problems.len() - errors;
    let what = format!("{host} and {}", counted(*manifests, "manifest"));
    if problems.has_errors() {
        let count = output.paint(Style::Bad, &counted(errors, "error"));
        output.line(format!("{count} and {} in {what}", counted(warnings, "warning")));
        return Exit::Failed;
    }
    let verdict = output.paint(Style::Good, "right");
    let but =
        if warnings > 0 { format!(", {}", counted(warnings, "warning")) } else { String::new() };
    let with = counted(*subscriptions, "subscription");
    output.line(format!("{what} with {with}: {verdict}{but}"));
    Exit::Done
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
