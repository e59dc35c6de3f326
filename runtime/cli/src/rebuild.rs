//! Has a running host make the state of a subscription anew from its topics, and follows that.

use serde_json::{Value, json};

use crate::answer::{list, number, text};
use crate::exit::Exit;
use crate::follow;
use crate::output::Output;
use crate::problem::Problem;
use crate::remote::{Remote, segment};
use crate::replay::rate;

/// What `gristmill rebuild` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The subscription
    subscription: String,
    /// Where to begin in each topic
    #[arg(long, value_enum, default_value_t = From::Earliest)]
    from: From,
    /// A snapshot to begin with, and to replay what came after it
    #[arg(long, value_name = "NAME")]
    from_snapshot: Option<String>,
    /// Most events per second and partition, such as 500/s
    #[arg(long, value_name = "N/s", value_parser = rate)]
    rate: Option<u32>,
    /// Says what differs, and changes nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum From {
    /// Where the subscription began, which must still be there
    Earliest,
    /// At the first event that is still held
    EarliestHeld,
}

/// Rebuilds until every partition of the host is done, or Ctrl-C.
///
/// # Errors
///
/// When no host answers, it refuses, or the rebuild ends early.
pub(crate) fn run(args: &Args, output: &Output) -> anyhow::Result<Exit> {
    let client = args.remote.client()?;
    let path = format!("/api/v1/subscriptions/{}/rebuild", segment(&args.subscription));
    let from = match args.from {
        From::Earliest => "earliest",
        From::EarliestHeld => "earliest_held",
    };
    let wanted = json!({
        "from": from, "from_snapshot": args.from_snapshot, "rate": args.rate,
        "dry_run": args.dry_run,
    });
    client.post(&path, &wanted)?;
    let report = follow::to_its_end(&client, &path, output, line)?;
    output.json(&report);
    for line in lines(&report) {
        output.line(line);
    }
    if let Some(error) = report.get("error").filter(|error| !error.is_null()) {
        let (code, message) = (text(error, "code").to_owned(), text(error, "message").to_owned());
        return Err(Problem::new(code, Exit::Failed, message).hint(text(error, "hint")).into());
    }
    Ok(if text(&report, "status") == "done" { Exit::Done } else { Exit::Failed })
}

/// How far it is: `partition 2 of 4 held  [####################] 100 %  1000 events`.
fn line(report: &Value) -> String {
    let parts = list(report, "partitions");
    let is_over = |part: &&Value| text(part, "step") == "done";
    let Some(part) = parts.iter().find(|part| !is_over(part)) else { return String::new() };
    let (events, total) = (number(part, "events"), number(part, "total"));
    let bar = follow::bar(events.unwrap_or_default(), total.unwrap_or_default());
    let place = parts.iter().filter(is_over).count() + 1;
    format!("partition {place} of {} {}  {bar}", parts.len(), text(part, "step"))
}

fn lines(report: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for part in list(report, "partitions") {
        let count = |name: &str| number(part, name).unwrap_or_default();
        let differs = match part.get("differs").filter(|it| !it.is_null()) {
            None => format!("{}, not compared", text(part, "step")),
            Some(differs) => {
                let of = |name: &str| number(differs, name).unwrap_or_default();
                format!(
                    "{} keys differ: {} values added, {} changed, {} removed, {} timers",
                    of("keys"),
                    of("added"),
                    of("changed"),
                    of("removed"),
                    of("timers")
                )
            }
        };
        let (partition, events) = (count("partition"), count("events"));
        lines.push(format!("partition {partition}: {events} events, {differs}"));
        let failed = part.get("failed").and_then(Value::as_object);
        for (class, count) in failed.into_iter().flatten() {
            lines.push(format!("  {count} failed: {class}"));
        }
        let first = part.get("differs").map(|it| list(it, "first")).unwrap_or_default();
        for difference in first {
            let key = difference.get("key").map(Value::to_string).unwrap_or_default();
            let (name, what) = (text(difference, "name"), text(difference, "what"));
            lines.push(format!("  {key} {name}: {what}"));
        }
    }
    let elsewhere = list(report, "partitions_elsewhere").len();
    if elsewhere > 0 {
        lines.push(format!("{elsewhere} partitions are other hosts': rebuild them there"));
    }
    if text(report, "status") == "cancelled" {
        lines.push("cancelled; partitions that are not done have their state as it was".to_owned());
    }
    lines
}
