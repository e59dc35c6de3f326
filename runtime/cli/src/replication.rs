//! Shows how topics are copied to other clusters.

use clap::Subcommand;
use serde_json::Value;

use crate::answer::{count, list, number, text};
use crate::exit::Exit;
use crate::output::Output;
use crate::remote::{Remote, Request};
use crate::table::{Side, Table};
use crate::units;

/// What `gristmill replication` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: Command,
}

/// The commands of `gristmill replication`.
#[derive(Debug, Subcommand)]
enum Command {
    /// Lists topics that are copied to other clusters, how far behind they are, and what is wrong
    List,
}

/// Runs one command.
///
/// # Errors
///
/// When no host answers, or it refuses.
pub(crate) fn run(args: &Args, output: &Output) -> anyhow::Result<Exit> {
    let Command::List = args.command;
    let answer = args.remote.client()?.get(Request::to("/api/v1/replication"))?;
    output.json(&answer);
    let mut table = Table::new(&[
        ("REPLICATION", Side::Left),
        ("TO", Side::Left),
        ("TOPIC", Side::Left),
        ("THERE", Side::Left),
        ("STATE", Side::Left),
        ("LAG", Side::Right),
        ("SECONDS", Side::Right),
    ]);
    let replications = list(&answer, "replications");
    for replication in replications {
        for topic in list(replication, "topics") {
            table.row([
                text(replication, "name").to_owned(),
                text(replication, "to_cluster").to_owned(),
                text(topic, "topic").to_owned(),
                text(topic, "to").to_owned(),
                state(replication, topic),
                count(topic, "lag"),
                seconds(topic),
            ]);
        }
    }
    table.print(output, "no topics are copied");
    for replication in replications {
        tell(replication, output);
    }
    Ok(Exit::Done)
}

/// How a topic is; where nothing is copied at all, how that is.
fn state(replication: &Value, topic: &Value) -> String {
    match text(replication, "state") {
        "runs" => text(topic, "state").to_owned(),
        whole => whole.to_owned(),
    }
}

fn seconds(topic: &Value) -> String {
    let seconds = topic.get("lag_seconds").and_then(Value::as_f64);
    seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.1}"))
}

/// What is wrong, a line each.
fn tell(replication: &Value, output: &Output) {
    let name = text(replication, "name");
    if let Some(error) = error(replication) {
        let (state, since) = (text(replication, "state"), number(replication, "since_ms"));
        output.line(format!("{name}: {state} since {}: {error}", units::shown_moment(since)));
    }
    for topic in list(replication, "topics") {
        let of = format!("{name}: {}", text(topic, "topic"));
        if let Some(error) = error(topic) {
            output.line(format!("{of}: {error}"));
        }
        for waiting in list(topic, "waiting") {
            let partition = count(waiting, "partition");
            if let Some(error) = error(waiting) {
                output.line(format!("{of}/{partition}: {error}"));
            }
        }
    }
}

/// An error with its code.
fn error(of: &Value) -> Option<String> {
    let error = of.get("error").filter(|error| error.is_object())?;
    Some(format!("[{}] {}", text(error, "code"), text(error, "text")))
}
