//! Has a running host take snapshots of what subscriptions keep, lists and deletes them.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::answer::{count, list, number, short, text};
use crate::confirm::confirmed;
use crate::exit::Exit;
use crate::output::Output;
use crate::problem::Problem;
use crate::remote::{Client, Remote, Request, segment};
use crate::table::{Side, Table};
use crate::units::{shown_age, shown_size};

/// What `gristmill snapshot` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: Command,
}

/// The commands of `gristmill snapshot`.
#[derive(Debug, Subcommand)]
enum Command {
    /// Copies what a subscription keeps, as of one checkpoint, while it runs
    Take {
        /// The subscription
        subscription: String,
        /// What it is called, of a-z, 0-9 and -; the moment it is taken unless given
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// Lists the snapshots of a host, the oldest first
    List {
        /// The subscription whose snapshots are listed; all unless given
        subscription: Option<String>,
    },
    /// Deletes a snapshot
    Delete {
        /// The subscription
        subscription: String,
        /// The snapshot
        name: String,
        /// Does not ask
        #[arg(long)]
        yes: bool,
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
        Command::Take { subscription, name } => {
            let answer = client.post(&path(&subscription), &json!({ "name": name }))?;
            output.json(&answer);
            for line in lines(&answer) {
                output.line(line);
            }
        }
        Command::List { subscription } => show(&client, subscription.as_deref(), output)?,
        Command::Delete { subscription, name, yes } => {
            let question = format!("delete snapshot {name:?} of {subscription}?");
            if !confirmed(&question, yes, output)? {
                return Ok(Exit::Failed);
            }
            client.delete(&format!("{}/{}", path(&subscription), segment(&name)))?;
            output.json(&json!({ "deleted": name }));
            output.line(format!("snapshot {name} of {subscription} is deleted"));
        }
    }
    Ok(Exit::Done)
}

fn path(subscription: &str) -> String {
    format!("/api/v1/subscriptions/{}/snapshots", segment(subscription))
}

fn partitions(of: &Value) -> String {
    let numbers = list(of, "partitions").iter().map(Value::to_string);
    numbers.collect::<Vec<String>>().join(",")
}

fn lines(answer: &Value) -> Vec<String> {
    let size = shown_size(number(answer, "bytes").unwrap_or_default());
    let count = |name: &str| count(answer, name);
    let mut lines = vec![
        format!("snapshot {} of {}", text(answer, "name"), text(answer, "subscription")),
        format!(
            "{size}: {} values, {} timers, {} parked events of partitions {}",
            count("values"),
            count("timers"),
            count("parked"),
            partitions(answer)
        ),
    ];
    let elsewhere = list(answer, "partitions_elsewhere").len();
    if elsewhere > 0 {
        lines.push(format!("{elsewhere} partitions are other hosts': take one there too"));
    }
    for older in list(answer, "deleted") {
        let name = older.as_str().unwrap_or_default();
        lines.push(format!("snapshot {name} was the oldest and is deleted"));
    }
    lines
}

fn show(client: &Client, of: Option<&str>, output: &Output) -> Result<(), Problem> {
    let path = of.map_or_else(|| "/api/v1/snapshots".to_owned(), path);
    let answer = client.get(Request::to(path))?;
    output.json(&answer);
    let mut table = Table::new(&[
        ("SUBSCRIPTION", Side::Left),
        ("SNAPSHOT", Side::Left),
        ("AGE", Side::Right),
        ("SIZE", Side::Right),
        ("PARTITIONS", Side::Left),
        ("VERSION", Side::Left),
    ]);
    for snapshot in list(&answer, "snapshots") {
        let age = number(snapshot, "age_seconds").map_or_else(|| "-".to_owned(), shown_age);
        table.row([
            text(snapshot, "subscription").to_owned(),
            text(snapshot, "name").to_owned(),
            age,
            shown_size(number(snapshot, "bytes").unwrap_or_default()),
            partitions(snapshot),
            short(text(snapshot, "digest")),
        ]);
    }
    table.print(output, "there is no snapshot");
    for snapshot in list(&answer, "snapshots") {
        let error = text(snapshot, "error");
        if !error.is_empty() {
            output.note(format!("{}: {error}", text(snapshot, "name")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::lines;

    #[test]
    fn what_was_taken_is_told() {
        let answer = json!({
            "subscription": "tally", "name": "first", "bytes": 2_048, "values": 7, "timers": 2,
            "parked": 1, "partitions": [0, 2], "partitions_elsewhere": [1], "deleted": ["old"],
        });
        let expected = [
            "snapshot first of tally",
            "2.0 KiB: 7 values, 2 timers, 1 parked events of partitions 0,2",
            "1 partitions are other hosts': take one there too",
            "snapshot old was the oldest and is deleted",
        ];
        assert_eq!(lines(&answer), expected);
    }
}
