//! Resets a consumer group: shows what changes, asks what becomes of the state, and asks again
//! before anything is changed. It speaks to the cluster itself, since no host may run.

use gristmill_config::HostConfig;
use gristmill_node::{ConsumerGroups, Reset, ResetTo, StateChoice};
use serde_json::json;

use super::show;
use crate::confirm::{chosen, confirmed};
use crate::exit::Exit;
use crate::output::Output;
use crate::problem::Problem;
use crate::units;

/// What `gristmill groups reset` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The group
    group: String,
    #[command(flatten)]
    to: To,
    /// Only this topic
    #[arg(long)]
    topic: Option<String>,
    /// Only this partition of it
    #[arg(long, value_name = "N", requires = "topic")]
    partition: Option<u32>,
    #[command(flatten)]
    state: State,
    /// Says what would change, and changes nothing
    #[arg(long)]
    dry_run: bool,
    /// Does not ask
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct To {
    /// To the first event that is kept
    #[arg(long = "to-earliest")]
    earliest: bool,
    /// Behind the last event
    #[arg(long = "to-latest")]
    latest: bool,
    /// To the first event of this time or later: RFC 3339, Unix milliseconds, or a span ago such
    /// as 2h
    #[arg(long = "to-timestamp", value_name = "TIME", value_parser = units::moment)]
    timestamp: Option<u64>,
    /// To this offset, or the nearest there is
    #[arg(long = "to-offset", value_name = "N")]
    offset: Option<u64>,
}

#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct State {
    /// Keeps state, timers and parked events of the subscription
    #[arg(long = "keep-state")]
    keep: bool,
    /// Deletes state, timers, dedupe marks and parked events of the subscription
    #[arg(long = "clear-state", conflicts_with_all = ["topic", "partition"])]
    clear: bool,
}

impl To {
    fn wanted(&self) -> ResetTo {
        match *self {
            Self { timestamp: Some(time), .. } => ResetTo::TimestampMs(time),
            Self { offset: Some(offset), .. } => ResetTo::Offset(offset),
            Self { latest: true, .. } => ResetTo::Latest,
            // One of them is given, as the command line requires.
            Self { .. } => ResetTo::Earliest,
        }
    }
}

impl State {
    fn wanted(&self) -> Option<StateChoice> {
        match (self.keep, self.clear) {
            (true, _) => Some(StateChoice::Keep),
            (false, true) => Some(StateChoice::Clear),
            (false, false) => None,
        }
    }
}

/// Does it, if the operator means it.
pub(super) fn run(config: &HostConfig, args: &Args, output: &Output) -> anyhow::Result<Exit> {
    let groups = ConsumerGroups::connect(config).map_err(Problem::from)?;
    let only = args.topic.as_deref().map(|topic| (topic, args.partition));
    let plan = groups.plan(&args.group, args.to.wanted(), only).map_err(Problem::from)?;
    if args.dry_run {
        output.json(&plan);
        show::changes(&json!(plan), output);
        return Ok(Exit::Done);
    }
    plan.must_be_idle().map_err(Problem::from)?;
    if let Some(state) = args.state.wanted() {
        plan.check(state).map_err(Problem::from)?;
    }
    show::changes(&json!(plan), output);
    let Some(state) = state(args, &plan, output)? else { return Ok(Exit::Failed) };
    if !confirmed(&question(&plan, state), args.yes, output)? {
        return Ok(Exit::Failed);
    }
    let done = groups.carry_out(plan, state).map_err(Problem::from)?;
    output.json(&done);
    output.line(told(&done));
    Ok(Exit::Done)
}

/// What becomes of the state: as given, else as answered. `None` when the answer is neither.
fn state(args: &Args, plan: &Reset, output: &Output) -> Result<Option<StateChoice>, Problem> {
    let given = args.state.wanted();
    let (Some(subscription), Some(_)) = (&plan.subscription, &plan.changelog) else {
        return Ok(Some(given.unwrap_or(StateChoice::Keep)));
    };
    if given.is_some() {
        return Ok(given);
    }
    let question = format!(
        "keep or clear the state of subscription {subscription}: state, timers, parked events, \
         dedupe marks?"
    );
    let options = [("keep", StateChoice::Keep), ("clear", StateChoice::Clear)];
    chosen(&question, options, "give --keep-state or --clear-state", output)
}

fn question(plan: &Reset, state: StateChoice) -> String {
    let count = plan.offsets.iter().filter(|change| change.was != Some(change.becomes)).count();
    let offsets = if count == 1 { "1 offset".to_owned() } else { format!("{count} offsets") };
    let cleared = match (&plan.subscription, &plan.changelog, state) {
        (Some(subscription), Some(_), StateChoice::Clear) => {
            format!(" and delete the state of subscription {subscription}")
        }
        _ => String::new(),
    };
    let emptied = match &plan.repartition {
        Some(topic) => format!(", empty {topic}"),
        None => String::new(),
    };
    format!("change {offsets} of group {}{emptied}{cleared}?", plan.group)
}

fn told(done: &Reset) -> String {
    let state = match (&done.subscription, done.state) {
        (Some(subscription), Some(StateChoice::Keep)) => {
            format!("; the state of {subscription} is kept")
        }
        (Some(subscription), Some(StateChoice::Clear)) => {
            format!("; the state of {subscription} is deleted")
        }
        _ => String::new(),
    };
    format!("group {} is reset{state}", done.group)
}
