//! Runs a range of a topic through a subscription of a running host once more: to see what it does,
//! or to have it done again.

mod place;
mod show;

use serde_json::{Value, json};

pub(crate) use self::place::rate;

use self::place::Place;
use crate::answer::number;
use crate::confirm::confirmed;
use crate::exit::Exit;
use crate::follow;
use crate::output::Output;
use crate::remote::{Remote, segment};

/// Events that are applied without asking; the host's default as well.
const LIMIT: u64 = 1_000;

/// What `gristmill replay` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The subscription
    subscription: String,
    /// The topic
    #[arg(long)]
    topic: String,
    /// Only this partition of it
    #[arg(long, value_name = "N")]
    partition: Option<u32>,
    /// The first event: earliest, latest, an offset, RFC 3339 or Unix milliseconds
    #[arg(long, value_name = "PLACE", value_parser = place::read)]
    from: Place,
    /// The first event that is left out
    #[arg(long, value_name = "PLACE", value_parser = place::read)]
    to: Place,
    /// Most events replayed
    #[arg(long, value_name = "COUNT", default_value_t = LIMIT,
          value_parser = clap::value_parser!(u64).range(1..=100_000))]
    limit: u64,
    /// Most events per second, such as 50/s
    #[arg(long, value_name = "N/s", value_parser = place::rate)]
    rate: Option<u32>,
    /// Whether effects are only told, or done once more
    #[arg(long, value_enum, default_value_t = Effects::Suppress)]
    effects: Effects,
    /// What the state begins with that events see while effects are suppressed
    #[arg(long, value_enum, default_value_t = State::Empty)]
    state: State,
    /// Prints what each event does, as JSON lines
    #[arg(long)]
    show: bool,
    /// Does not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Effects {
    Suppress,
    Apply,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum State {
    Empty,
    Live,
}

/// Replays until the end of the range, the limit, or Ctrl-C.
///
/// # Errors
///
/// When no host answers, it refuses, or the replay ends early.
pub(crate) fn run(args: &Args, output: &Output) -> anyhow::Result<Exit> {
    let client = args.remote.client()?;
    if args.effects == Effects::Apply && args.limit > LIMIT {
        let (topic, subscription, limit) = (&args.topic, &args.subscription, args.limit);
        let question =
            format!("have {subscription} handle up to {limit} events of {topic} once more?");
        if !confirmed(&question, args.yes, output)? {
            return Ok(Exit::Failed);
        }
    }
    let path = format!("/api/v1/subscriptions/{}/replay", segment(&args.subscription));
    client.post(&path, &body(args))?;
    let report = follow::to_its_end(&client, &path, output, line)?;
    if output.is_json() && args.show {
        // One more line of many.
        output.stream(&report.to_string());
    } else {
        output.json(&report);
    }
    show::run(&report, args.show, output)
}

/// How far it is, of what is allowed.
fn line(report: &Value) -> String {
    let of = |name: &str| number(report, name).unwrap_or_default();
    follow::bar(of("events"), of("total").min(of("limit")))
}

fn body(args: &Args) -> Value {
    json!({
        "topic": args.topic,
        "partition": args.partition,
        "from": args.from.to_json(),
        "to": args.to.to_json(),
        "limit": args.limit,
        "rate": args.rate,
        "effects": match args.effects {
            Effects::Suppress => "suppress",
            Effects::Apply => "apply",
        },
        "state": match args.state {
            State::Empty => "empty",
            State::Live => "live",
        },
        "show": args.show,
    })
}
