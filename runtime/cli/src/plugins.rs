//! Shows the plugins of a running host, goes back to earlier versions, pauses and resumes their
//! subscriptions.

use clap::Subcommand;
use serde_json::json;

use crate::answer::{is, joined, list, number, short, text};
use crate::exit::Exit;
use crate::output::{Output, Style};
use crate::problem::Problem;
use crate::remote::{Client, Remote, Request, segment};
use crate::table::{Side, Table};
use crate::units;

/// What `gristmill plugins` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: Command,
}

/// The commands of `gristmill plugins`.
#[derive(Debug, Subcommand)]
enum Command {
    /// Lists plugins, what state they are in, and why newest files were refused
    List,
    /// Lists the versions kept of a plugin, newest first
    History {
        /// The plugin
        name: String,
    },
    /// Goes back to an earlier version, and stays there until the files change
    Rollback {
        /// The plugin
        name: String,
        /// Digest of the version, or its beginning; the one before without
        #[arg(long, value_name = "DIGEST")]
        to: Option<String>,
    },
    /// Pauses a subscription, also over restarts
    Pause {
        /// The subscription
        subscription: String,
    },
    /// Lets a paused subscription go on
    Resume {
        /// The subscription
        subscription: String,
    },
}

/// Runs one command.
///
/// # Errors
///
/// When no host answers, or it refuses.
pub(crate) fn run(args: Args, output: &Output) -> anyhow::Result<Exit> {
    let client = args.remote.client()?;
    match args.command {
        Command::List => show_all(&client, output)?,
        Command::History { name } => history(&client, &name, output)?,
        Command::Rollback { name, to } => {
            let path = format!("/api/v1/plugins/{}/rollback", segment(&name));
            let answer = client.post(&path, &json!({ "to": to }))?;
            output.json(&answer);
            let digest = short(text(&answer, "digest"));
            output.line(format!("plugin {name} runs {digest} until its files change"));
        }
        Command::Pause { subscription } => set_paused(&client, &subscription, "pause", output)?,
        Command::Resume { subscription } => set_paused(&client, &subscription, "resume", output)?,
    }
    Ok(Exit::Done)
}

fn show_all(client: &Client, output: &Output) -> Result<(), Problem> {
    let answer = client.get(Request::to("/api/v1/plugins"))?;
    output.json(&answer);
    let mut table = Table::new(&[
        ("PLUGIN", Side::Left),
        ("STATE", Side::Left),
        ("DIGEST", Side::Left),
        ("PINNED", Side::Left),
        ("SUBSCRIPTIONS", Side::Left),
    ]);
    let plugins = list(&answer, "plugins");
    for plugin in plugins {
        table.row([
            text(plugin, "name").to_owned(),
            text(plugin, "state").to_owned(),
            short(text(plugin, "digest")),
            if is(plugin, "pinned") { "yes" } else { "no" }.to_owned(),
            joined(plugin, "subscriptions"),
        ]);
    }
    table.print(output, "no plugins: put NAME.wasm and NAME.toml into the host's plugin folder");
    for plugin in plugins {
        let error = text(plugin, "error");
        if !error.is_empty() {
            let label = output.paint(Style::Bad, "refused");
            output.line(format!("\n{label} {}: {error}", text(plugin, "name")));
        }
    }
    Ok(())
}

fn history(client: &Client, name: &str, output: &Output) -> Result<(), Problem> {
    let path = format!("/api/v1/plugins/{}/history", segment(name));
    let answer = client.get(Request::to(path))?;
    output.json(&answer);
    let mut table = Table::new(&[
        ("", Side::Left),
        ("DIGEST", Side::Left),
        ("COMPONENT", Side::Left),
        ("ACTIVATED", Side::Left),
    ]);
    for version in list(&answer, "history") {
        table.row([
            if is(version, "active") { "*" } else { "" }.to_owned(),
            short(text(version, "digest")),
            short(text(version, "component_digest")),
            units::shown_moment(number(version, "activated_ms")),
        ]);
    }
    table.print(output, "no version of it ran yet");
    Ok(())
}

fn set_paused(
    client: &Client,
    subscription: &str,
    verb: &str,
    output: &Output,
) -> Result<(), Problem> {
    let path = format!("/api/v1/subscriptions/{}/{verb}", segment(subscription));
    let answer = client.post(&path, &json!({}))?;
    output.json(&answer);
    output.line(match text(&answer, "paused") {
        "" => format!("subscription {subscription} runs"),
        why => format!("subscription {subscription} is paused: {why}"),
    });
    Ok(())
}
