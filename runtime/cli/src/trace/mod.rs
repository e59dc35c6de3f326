//! Shows what an event caused and what it was caused by: everything of one correlation id, in all
//! topics, as a tree. It takes part in no consumer group and changes nothing.

mod found;
mod tree;

use serde_json::json;

use self::found::Found;
use self::tree::Branch;
use crate::exit::Exit;
use crate::look::Look;
use crate::output::{Output, Style};
use crate::problem::Problem;
use crate::remote::Remote;

/// What `gristmill trace` takes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Id of the event; of one without an id of its own, TOPIC/PARTITION/OFFSET
    event: String,
    /// Looks only here; may be given several times
    #[arg(long = "topic", value_name = "TOPIC")]
    topics: Vec<String>,
    /// Where to begin to look: earliest, RFC 3339 or Unix milliseconds
    #[arg(long, value_name = "PLACE", default_value = "earliest")]
    from: String,
    #[command(flatten)]
    remote: Remote,
}

/// Prints the tree.
///
/// # Errors
///
/// When no host answers, it refuses, or no topic holds the event.
pub(crate) fn run(args: &Args, output: &Output) -> anyhow::Result<Exit> {
    let client = args.remote.client()?;
    let look = Look::new(&client, &args.topics, &args.from)?;
    // What began a chain gives it its correlation id; only what came later must be asked for.
    let begun =
        all(&look, |found| found.is_called(&args.event) || found.correlation == args.event)?;
    let Some(event) = begun.iter().find(|found| found.is_called(&args.event)) else {
        return Err(missing(args).into());
    };
    let (correlation, is_first) = (event.correlation.clone(), event.correlation == args.event);
    let events = if is_first {
        begun
    } else {
        all(&look, |found| found.is_called(&correlation) || found.correlation == correlation)?
    };
    let branches = tree::grown(&events);
    output.json(&json!({
        "event": args.event,
        "correlation_id": correlation,
        "events": branches.iter().map(|branch| branch.event).collect::<Vec<_>>(),
    }));
    for branch in &branches {
        output.line(line(branch, &args.event, output));
    }
    Ok(Exit::Done)
}

/// Everything that is wanted, topic by topic.
fn all(look: &Look<'_>, is_wanted: impl Fn(&Found) -> bool) -> Result<Vec<Found>, Problem> {
    let mut all = Vec::new();
    look.each(|event| {
        all.extend(Some(Found::of(&event)).filter(&is_wanted));
        Ok(())
    })?;
    Ok(all)
}

fn missing(args: &Args) -> Problem {
    let within = if args.topics.is_empty() { "no topic" } else { "none of these topics" };
    let what = format!("{within} holds an event {:?}", args.event);
    Problem::failed("E0570", what)
        .hint("it may be gone from its topic by retention, or older than `--from`")
}

fn line(branch: &Branch<'_>, asked: &str, output: &Output) -> String {
    let Branch { before, event } = branch;
    let is_asked = event.is_called(asked);
    let style = if is_asked { Style::Bold } else { Style::Hint };
    let kind = output.paint(style, &event.kind);
    let place = output.paint(Style::Dim, &event.place());
    let by = event.by.as_deref().map(|by| format!("  by {by}")).unwrap_or_default();
    let id = event.envelope_id.as_deref().unwrap_or(&event.id);
    let text = format!("{before}{kind}  {id}  {place}{by}");
    match &event.given_up {
        None => text,
        Some(why) => format!("{text}  {}", output.paint(Style::Bad, why)),
    }
}
