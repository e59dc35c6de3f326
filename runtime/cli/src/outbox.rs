//! Shows how outboxes of a running host stand, and has rows that cannot be published retried or
//! discarded.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::answer::{count, list, number, text};
use crate::confirm::confirmed;
use crate::exit::Exit;
use crate::output::{Output, Style};
use crate::problem::Problem;
use crate::remote::{Client, Remote, Request, segment};
use crate::table::{Side, Table};

/// What `gristmill outbox` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: Command,
}

/// The commands of `gristmill outbox`.
#[derive(Debug, Subcommand)]
enum Command {
    /// Says how every outbox stands, or lists the parked rows of one
    List {
        /// The outbox whose parked rows are listed
        outbox: Option<String>,
        /// Most rows listed
        #[arg(long, value_name = "N", default_value_t = 100,
              value_parser = clap::value_parser!(u64).range(1..=1_000))]
        limit: u64,
    },
    /// Shows one parked row
    Show {
        /// The outbox
        outbox: String,
        /// Id of the row
        id: String,
    },
    /// Has parked rows tried again
    Retry {
        /// The outbox
        outbox: String,
        /// Ids of the rows
        #[arg(required_unless_present = "all")]
        ids: Vec<String>,
        /// All rows that are parked
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
    /// Gives parked rows up: they are never published
    Discard {
        /// The outbox
        outbox: String,
        /// Ids of the rows
        #[arg(required = true)]
        ids: Vec<String>,
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
        Command::List { outbox: None, .. } => standing(&client, output)?,
        Command::List { outbox: Some(outbox), limit } => rows(&client, (&outbox, limit), output)?,
        Command::Show { outbox, id } => show(&client, (&outbox, &id), output)?,
        Command::Retry { outbox, ids, all } => {
            let path = format!("/api/v1/outbox/{}/retry", segment(&outbox));
            let answer = client.post(&path, &json!({ "ids": ids, "all": all }))?;
            output.json(&answer);
            output.line(format!("{} rows of {outbox} are tried again", count(&answer, "retried")));
        }
        Command::Discard { outbox, ids, yes } => {
            let question = format!("give up {} rows of {outbox} for good?", ids.len());
            if !yes && !confirmed(&question, false, output)? {
                return Ok(Exit::Failed);
            }
            let path = format!("/api/v1/outbox/{}/discard", segment(&outbox));
            let answer = client.post(&path, &json!({ "ids": ids }))?;
            output.json(&answer);
            output.line(format!("{} rows of {outbox} are given up", count(&answer, "discarded")));
        }
    }
    Ok(Exit::Done)
}

fn standing(client: &Client, output: &Output) -> Result<(), Problem> {
    let answer = client.get(Request::to("/api/v1/outbox"))?;
    output.json(&answer);
    let mut table = Table::new(&[
        ("OUTBOX", Side::Left),
        ("TABLE", Side::Left),
        ("STATE", Side::Left),
        ("SHARDS", Side::Right),
        ("PENDING", Side::Right),
        ("LAG", Side::Right),
        ("PARKED", Side::Right),
    ]);
    for outbox in list(&answer, "outboxes") {
        let lag = outbox.get("lag_seconds").and_then(Value::as_f64).unwrap_or_default();
        let shards = list(outbox, "shards").len();
        table.row([
            text(outbox, "name").to_owned(),
            text(outbox, "table").to_owned(),
            text(outbox, "state").to_owned(),
            format!("{shards}/{}", number(outbox, "shards_total").unwrap_or_default()),
            count(outbox, "pending"),
            format!("{lag:.1} s"),
            count(outbox, "parked"),
        ]);
    }
    table.print(output, "the host has no outbox");
    for outbox in list(&answer, "outboxes") {
        for trouble in list(outbox, "troubles") {
            let told = trouble.as_str().unwrap_or_default();
            output.note(format!("{}: {told}", text(outbox, "name")));
        }
    }
    Ok(())
}

fn rows(client: &Client, (outbox, limit): (&str, u64), output: &Output) -> Result<(), Problem> {
    let mut request = Request::to(format!("/api/v1/outbox/{}/rows", segment(outbox)));
    request.query.push(("limit", limit.to_string()));
    let answer = client.get(request)?;
    output.json(&answer);
    let mut table = Table::new(&[
        ("ROW", Side::Left),
        ("KEY", Side::Left),
        ("CODE", Side::Left),
        ("REASON", Side::Left),
    ]);
    for row in list(&answer, "rows") {
        table.row(["id", "aggregate", "code", "reason"].map(|name| text(row, name).to_owned()));
    }
    table.print(output, "no row is parked");
    Ok(())
}

fn show(client: &Client, (outbox, id): (&str, &str), output: &Output) -> Result<(), Problem> {
    let path = format!("/api/v1/outbox/{}/rows/{}", segment(outbox), segment(id));
    let row = client.get(Request::to(path))?;
    output.json(&row);
    for name in ["id", "code", "reason", "topic", "key", "type", "headers", "payload"] {
        let name_shown = output.paint(Style::Bold, &format!("{name:<8}"));
        output.line(format!("{name_shown} {}", text(&row, name)));
    }
    Ok(())
}
