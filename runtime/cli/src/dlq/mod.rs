//! Shows the dead letters of a running host and drives them again.

mod redrive;
mod show;

use clap::Subcommand;
use serde_json::{Value, json};

use crate::answer::{count, list, number, text};
use crate::exit::Exit;
use crate::output::{Output, Style};
use crate::problem::Problem;
use crate::remote::{Client, Remote, Request, segment};
use crate::table::{Side, Table};
use crate::units;

/// What `gristmill dlq` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: Command,
}

/// The commands of `gristmill dlq`.
#[derive(Debug, Subcommand)]
enum Command {
    /// Counts dead letters by subscription, or lists those of one
    List(List),
    /// Shows one dead letter: its failure, and the event as it first was
    Show {
        /// The subscription
        subscription: String,
        /// Where it stands: TOPIC/PARTITION/OFFSET, as `dlq list` says
        id: String,
    },
    /// Drives dead letters again, all that every option holds for
    Redrive(redrive::Args),
}

#[derive(Debug, clap::Args)]
struct List {
    /// The subscription whose dead letters are listed
    subscription: Option<String>,
    #[command(flatten)]
    filter: Filter,
    /// Most dead letters listed
    #[arg(long, value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u64).range(1..=1_000))]
    limit: u64,
}

/// Which dead letters are meant. Every condition given must hold.
#[derive(Debug, Clone, clap::Args)]
struct Filter {
    /// Failure class: retryable, rejected, invalid, output, trap, timeout, memory
    #[arg(long)]
    class: Option<String>,
    /// Error code
    #[arg(long)]
    code: Option<String>,
    /// Id of the event
    #[arg(long, value_name = "ID")]
    event_id: Option<String>,
    /// Failed at or after this time: RFC 3339, Unix milliseconds, or a span ago such as 2h
    #[arg(long, value_name = "TIME", value_parser = units::moment)]
    since: Option<u64>,
    /// Failed before this time
    #[arg(long, value_name = "TIME", value_parser = units::moment)]
    before: Option<u64>,
    /// Also those driven again already
    #[arg(long)]
    redriven: bool,
}

impl Filter {
    fn query(&self) -> Vec<(&'static str, String)> {
        let Self { class, code, event_id, since, before, redriven } = self;
        let given = [
            ("class", class.clone()),
            ("code", code.clone()),
            ("event_id", event_id.clone()),
            ("since_ms", since.map(|at| at.to_string())),
            ("before_ms", before.map(|at| at.to_string())),
            ("redriven", redriven.then(|| "true".to_owned())),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// Runs one command.
///
/// # Errors
///
/// When no host answers, or it refuses.
pub(crate) fn run(args: Args, output: &Output) -> anyhow::Result<Exit> {
    let client = args.remote.client()?;
    match args.command {
        Command::List(List { subscription: None, .. }) => totals(&client, output)?,
        Command::List(List { subscription: Some(subscription), filter, limit }) => {
            letters(&client, &subscription, (&filter, limit), output)?;
        }
        Command::Show { subscription, id } => show::run(&client, &subscription, &id, output)?,
        Command::Redrive(args) => return redrive::run(&client, &args, output),
    }
    Ok(Exit::Done)
}

fn totals(client: &Client, output: &Output) -> Result<(), Problem> {
    let answer = client.get(Request::to("/api/v1/dlq"))?;
    output.json(&answer);
    let mut table = Table::new(&[
        ("SUBSCRIPTION", Side::Left),
        ("WAITING", Side::Right),
        ("TOPIC", Side::Left),
        ("HELD", Side::Right),
    ]);
    for entry in list(&answer, "dead_letters") {
        for topic in list(entry, "topics") {
            table.row([
                text(entry, "subscription").to_owned(),
                count(topic, "waiting"),
                text(topic, "topic").to_owned(),
                count(topic, "held"),
            ]);
        }
    }
    table.print(output, "no subscription has a dead-letter topic");
    Ok(())
}

fn letters(
    client: &Client,
    subscription: &str,
    (filter, limit): (&Filter, u64),
    output: &Output,
) -> Result<(), Problem> {
    let mut request = Request::to(format!("/api/v1/dlq/{}/events", segment(subscription)));
    request.query = filter.query();
    request.query.push(("limit", limit.to_string()));
    let answer = client.get(request)?;
    output.json(&answer);
    let mut table = Table::new(&[
        ("ID", Side::Left),
        ("FAILED", Side::Left),
        ("CLASS", Side::Left),
        ("CODE", Side::Left),
        ("ATTEMPTS", Side::Right),
        ("", Side::Left),
        ("REASON", Side::Left),
    ]);
    let none = json!({});
    for letter in list(&answer, "events") {
        let failure = letter.get("failure").unwrap_or(&none);
        table.row([
            text(letter, "id").to_owned(),
            units::shown_moment(number(failure, "last_failure_ms")),
            text(failure, "class").to_owned(),
            or_dash(text(failure, "code")),
            count(failure, "attempts"),
            if letter.get("redriven") == Some(&Value::Bool(true)) { "redriven" } else { "" }
                .to_owned(),
            first_line(text(failure, "message")),
        ]);
    }
    table.print(output, "no dead letters");
    if answer.get("next").is_some_and(|next| !next.is_null()) {
        output
            .note(output.paint_note(Style::Dim, &format!("the first {limit}; more with --limit")));
    }
    Ok(())
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

/// As much of a reason as fits a table.
fn first_line(text: &str) -> String {
    const WIDTH: usize = 60;
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= WIDTH {
        return line.to_owned();
    }
    line.chars().take(WIDTH - 1).chain(['…']).collect()
}
