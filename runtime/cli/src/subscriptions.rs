//! Shows what each subscription of a running host is doing and how far behind it is.

use clap::Subcommand;
use serde_json::Value;

use crate::answer::{count, joined, list, number, text};
use crate::exit::Exit;
use crate::output::Output;
use crate::remote::{Remote, Request};
use crate::table::{Side, Table};
use crate::units;

/// What `gristmill subscriptions` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: Command,
}

/// The commands of `gristmill subscriptions`.
#[derive(Debug, Subcommand)]
enum Command {
    /// Lists subscriptions with lag, events in flight, parked and dead
    List,
}

/// Runs one command.
///
/// # Errors
///
/// When no host answers, or it refuses.
pub(crate) fn run(args: &Args, output: &Output) -> anyhow::Result<Exit> {
    let Command::List = args.command;
    let answer = args.remote.client()?.get(Request::to("/api/v1/subscriptions"))?;
    output.json(&answer);
    let mut table = Table::new(&[
        ("SUBSCRIPTION", Side::Left),
        ("PLUGIN", Side::Left),
        ("TOPICS", Side::Left),
        ("STATE", Side::Left),
        ("LAG", Side::Right),
        ("IN FLIGHT", Side::Right),
        ("RETRIES", Side::Right),
        ("PARKED", Side::Right),
        ("TIMERS", Side::Right),
        ("DEAD", Side::Right),
        ("LAST", Side::Left),
    ]);
    for subscription in list(&answer, "subscriptions") {
        let paused = text(subscription, "paused");
        table.row([
            text(subscription, "name").to_owned(),
            text(subscription, "plugin").to_owned(),
            joined(subscription, "topics"),
            state(paused, text(subscription, "breaker")),
            lag(subscription).to_string(),
            count(subscription, "events_in_flight"),
            count(subscription, "retries_scheduled"),
            count(subscription, "parked_events"),
            count(subscription, "timers_pending"),
            count(subscription, "dead_letters"),
            units::shown_moment(number(subscription, "last_processed_ms")),
        ]);
    }
    table.print(output, "no subscriptions: no plugin is loaded");
    Ok(Exit::Done)
}

/// Whether it works: what an operator paused tells more than what a breaker does.
fn state(paused: &str, breaker: &str) -> String {
    match (paused, breaker) {
        ("", "" | "closed") => "runs".to_owned(),
        ("", breaker) => format!("breaker {breaker}"),
        (paused, _) => format!("paused ({paused})"),
    }
}

/// Events not finished, over all topics.
fn lag(subscription: &Value) -> u64 {
    let topics = list(subscription, "lag").iter();
    topics.filter_map(|topic| number(topic, "events")).fold(0, u64::saturating_add)
}
