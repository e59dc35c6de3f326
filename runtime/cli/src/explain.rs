//! Tells which settings hold for a subscription and where each comes from, from the files alone.
//! It asks no host: one that runs may have been started with others.

use std::path::PathBuf;

use gristmill_config::{Because, Explanation, Problems, Setting, Source};
use serde_json::{Value, json};

use crate::check::documents;
use crate::complaints;
use crate::exit::Exit;
use crate::output::{Output, Style};
use crate::problem::Problem;
use crate::run::settings::{self, variable};
use crate::table::{Side, Table};

/// What `gristmill explain` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The subscription
    subscription: String,
    /// The host's configuration; without the option ./gristmill.toml, or every default if there
    /// is none
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Finds the subscription's manifest, and tells what holds for it.
///
/// # Errors
///
/// When there is no such subscription, or the plugin folder cannot be listed.
pub(crate) fn run(args: &Args, output: &Output) -> anyhow::Result<Exit> {
    match explain(args, output)? {
        Ok((file, explanation)) => {
            tell(&file, &explanation, output);
            Ok(Exit::Done)
        }
        Err(problems) => {
            complaints::refused(&problems, "nothing is explained", output);
            Ok(Exit::Failed)
        }
    }
}

/// The manifest's name and what holds, or what is wrong with a document that matters.
fn explain(
    args: &Args,
    output: &Output,
) -> Result<Result<(String, Explanation), Problems>, Problem> {
    let (host_name, host_text) = match settings::document(args.config.as_deref(), output) {
        Ok(document) => document,
        Err(problems) => return Ok(Err(problems)),
    };
    let host = Source { name: &host_name, text: &host_text };
    let config = match gristmill_config::host(&host, &variable) {
        Ok(config) => config,
        Err(problems) => return Ok(Err(problems)),
    };
    let (mut known, mut broken) = (Vec::new(), Problems::default());
    for path in documents(&config.plugins_dir)?.into_keys() {
        let name = path.display().to_string();
        let explained = gristmill_config::read::document(&path)
            .map_err(|problem| Problems::from_iter([problem]))
            .and_then(|text| {
                gristmill_config::explain(&host, &Source { name: &name, text: &text }, &variable)
            });
        for explanation in explained.unwrap_or_else(|problems| {
            broken.append(problems);
            Vec::new()
        }) {
            if explanation.subscription == args.subscription {
                return Ok(Ok((name, explanation)));
            }
            known.push(explanation.subscription);
        }
    }
    // It may be one of a document that cannot be read.
    if broken.has_errors() { Ok(Err(broken)) } else { Err(unknown(args, &known)) }
}

fn unknown(args: &Args, known: &[String]) -> Problem {
    let what = format!("no manifest has a subscription \"{}\"", args.subscription);
    let hint = match known {
        [] => "there is none at all: `gristmill check` says which folder is looked at".to_owned(),
        known => format!("there are {}", known.join(", ")),
    };
    Problem::usage("E0567", what).hint(hint)
}

fn tell(file: &str, explanation: &Explanation, output: &Output) {
    let Explanation { subscription, plugin, stages } = explanation;
    let listed = stages.iter().map(|stage| {
        let settings: Vec<Value> = stage.settings.iter().map(listed).collect();
        json!({ "stage": stage.name, "about": stage.about, "settings": settings })
    });
    output.json(&json!({
        "subscription": subscription, "plugin": plugin, "file": file,
        "stages": listed.collect::<Vec<_>>(),
    }));
    let name = output.paint(Style::Bold, subscription);
    output.line(format!("{name}, of plugin {plugin} in {file}"));
    for stage in stages {
        let name = output.paint(Style::Bold, stage.name);
        output.line(format!("\n{name}: {}", stage.about));
        let columns = [("  KEY", Side::Left), ("FROM", Side::Left), ("VALUE", Side::Left)];
        let mut table = Table::new(&columns);
        for Setting { key, value, because } in &stage.settings {
            table.row([format!("  {key}"), origin(because), value.clone()]);
        }
        table.print_rows(output);
    }
}

fn listed(Setting { key, value, because }: &Setting) -> Value {
    match because {
        Because::Written { file, line } => {
            json!({ "key": key, "value": value, "from": "written", "file": file, "line": line })
        }
        Because::Default => json!({ "key": key, "value": value, "from": "default" }),
        Because::Ceiling => json!({ "key": key, "value": value, "from": "ceiling" }),
        Because::Follows(other) => {
            json!({ "key": key, "value": value, "from": "follows", "follows": other })
        }
    }
}

fn origin(because: &Because) -> String {
    match because {
        Because::Written { file, line } => format!("{file}:{line}"),
        Because::Default => "default".to_owned(),
        Because::Ceiling => "ceiling".to_owned(),
        Because::Follows(other) => format!("by {other}"),
    }
}
