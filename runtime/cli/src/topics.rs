//! Lists, describes, makes, grows and deletes the topics of a running host.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::answer::{count, is, joined, list, number, text};
use crate::confirm::confirmed;
use crate::exit::Exit;
use crate::output::{Output, Style};
use crate::problem::Problem;
use crate::remote::{Client, Remote, Request, segment};
use crate::table::{Side, Table};
use crate::units;

/// What `gristmill topics` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: Command,
}

/// The commands of `gristmill topics`.
#[derive(Debug, Subcommand)]
enum Command {
    /// Lists all topics but the host's own
    List,
    /// Makes a topic; what is not said is as configured for topics of that name
    Create(Create),
    /// Shows a topic and the bounds of its partitions
    Describe {
        /// The topic
        name: String,
    },
    /// Gives a topic of a Kafka cluster more partitions, for ever
    Grow {
        /// The topic
        name: String,
        /// Partitions it has then
        #[arg(long, value_name = "N")]
        partitions: u32,
    },
    /// Deletes a topic, with all its events, that no subscription uses
    Delete {
        /// The topic
        name: String,
        /// Does not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Create {
    /// The topic
    name: String,
    /// Partitions, 1 to 1,024; on Kafka they can grow later, else they stay
    #[arg(long, value_name = "N")]
    partitions: Option<u32>,
    /// How long events are kept at least, such as 7d
    #[arg(long, value_name = "SPAN", value_parser = units::span)]
    retention: Option<u64>,
    /// Size of the whole topic beyond which its oldest events go, such as 10GiB
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    retention_bytes: Option<u64>,
    /// Keeps only the newest event of a key
    #[arg(long)]
    compacted: bool,
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
        Command::Create(create) => make(&client, &create, output)?,
        Command::Describe { name } => {
            let topic = client.get(Request::to(path(&name)))?;
            output.json(&topic);
            show(&topic, output);
        }
        Command::Grow { name, partitions } => grow(&client, &name, partitions, output)?,
        Command::Delete { name, yes } => {
            if !confirmed(&format!("delete topic {name:?} and all its events?"), yes, output)? {
                return Ok(Exit::Failed);
            }
            client.delete(&path(&name))?;
            output.json(&json!({ "deleted": name }));
            output.line(format!("topic {name} is deleted"));
        }
    }
    Ok(Exit::Done)
}

fn path(name: &str) -> String {
    format!("/api/v1/topics/{}", segment(name))
}

fn show_all(client: &Client, output: &Output) -> Result<(), Problem> {
    let answer = client.get(Request::to("/api/v1/topics"))?;
    output.json(&answer);
    let mut table = Table::new(&[
        ("TOPIC", Side::Left),
        ("PARTITIONS", Side::Right),
        ("EVENTS", Side::Right),
        ("SIZE", Side::Right),
        ("RETENTION", Side::Right),
        ("OLDEST", Side::Left),
    ]);
    for topic in list(&answer, "topics") {
        table.row([
            text(topic, "name").to_owned(),
            list(topic, "partitions").len().to_string(),
            count(topic, "events"),
            units::shown_size(number(topic, "bytes").unwrap_or_default()),
            retention(topic),
            units::shown_moment(number(topic, "oldest_ms")),
        ]);
    }
    table.print(output, "no topics: declare some in gristmill.toml, or `gristmill topics create`");
    Ok(())
}

fn make(client: &Client, create: &Create, output: &Output) -> Result<(), Problem> {
    let Create { name, partitions, retention, retention_bytes, compacted } = create;
    let body = json!({
        "name": name,
        "partitions": partitions,
        "retention_ms": retention,
        "retention_bytes": retention_bytes,
        "compacted": compacted.then_some(true),
    });
    let topic = client.post("/api/v1/topics", &body)?;
    output.json(&topic);
    let partitions = list(&topic, "partitions").len();
    output.line(format!("topic {name} is made, with {partitions} partitions"));
    Ok(())
}

fn grow(client: &Client, name: &str, wanted: u32, output: &Output) -> Result<(), Problem> {
    let path = format!("{}/partitions", path(name));
    let topic = client.post(&path, &json!({ "partitions": wanted }))?;
    output.json(&topic);
    let has = list(&topic, "partitions").len();
    output.line(format!("topic {name} has {has} partitions"));
    if let Some(declared) = number(&topic, "declared_partitions")
        && declared != u64::from(wanted)
    {
        let text = format!(
            "the configuration declares {declared}: write `partitions = {wanted}`, or no host \
             starts with it"
        );
        output.note(output.paint_note(Style::Hint, &text));
    }
    Ok(())
}

fn show(topic: &Value, output: &Output) {
    let bytes = number(topic, "bytes").unwrap_or_default();
    for (name, value) in [
        ("topic", text(topic, "name").to_owned()),
        ("events", format!("{} ({})", count(topic, "events"), units::shown_size(bytes))),
        ("oldest", units::shown_moment(number(topic, "oldest_ms"))),
        ("created", units::shown_moment(number(topic, "created_ms"))),
        ("retention", retention(topic)),
        ("compacted", if is(topic, "compacted") { "yes" } else { "no" }.to_owned()),
        ("used by", joined(topic, "used_by")),
    ] {
        output.line(format!("{name:<11}{value}"));
    }
    output.line("");
    let mut table =
        Table::new(&[("PARTITION", Side::Right), ("FIRST", Side::Right), ("NEXT", Side::Right)]);
    for partition in list(topic, "partitions") {
        table.row([
            count(partition, "partition"),
            count(partition, "start_offset"),
            count(partition, "end_offset"),
        ]);
    }
    table.print(output, "no partitions");
}

fn retention(topic: &Value) -> String {
    let age = number(topic, "retention_ms").map(units::shown_span);
    let bytes = number(topic, "retention_bytes").map(units::shown_size);
    let parts: Vec<String> = age.into_iter().chain(bytes).collect();
    if parts.is_empty() { "forever".to_owned() } else { parts.join(", ") }
}
