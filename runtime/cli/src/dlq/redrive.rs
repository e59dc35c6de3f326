//! Drives dead letters of a subscription again, or says what would come of it.

use serde_json::{Value, json};

use super::Filter;
use crate::answer::{list, number, text};
use crate::confirm::confirmed;
use crate::exit::Exit;
use crate::output::Output;
use crate::problem::Problem;
use crate::remote::{Client, Request, segment};

/// What `gristmill dlq redrive` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The subscription
    subscription: String,
    /// Exactly these: TOPIC/PARTITION/OFFSET; may be repeated
    #[arg(long = "id", value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    filter: Filter,
    /// Most dead letters driven again
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Runs them without their effects, and says how many would succeed
    #[arg(long)]
    dry_run: bool,
    /// Does not ask
    #[arg(long)]
    yes: bool,
}

/// Does it, if the operator means it.
pub(super) fn run(client: &Client, args: &Args, output: &Output) -> anyhow::Result<Exit> {
    // Whoever names each of them, or only looks, has said enough.
    let is_sure = args.yes || args.dry_run || !args.ids.is_empty();
    if !is_sure && !confirmed(&question(client, args)?, false, output)? {
        return Ok(Exit::Failed);
    }
    let path = format!("/api/v1/dlq/{}/redrive", segment(&args.subscription));
    let answer = client.post(&path, &body(args))?;
    output.json(&answer);
    let none = json!({});
    let result = answer.get("result").unwrap_or(&none);
    if !args.dry_run {
        let count = number(result, "redriven").unwrap_or_default();
        output.line(format!("{count} dead letters of {} are driven again", args.subscription));
        return Ok(Exit::Done);
    }
    show(result, output);
    let would_fail = result.get("would_fail").and_then(Value::as_object);
    Ok(if would_fail.is_none_or(serde_json::Map::is_empty) { Exit::Done } else { Exit::Failed })
}

fn body(args: &Args) -> Value {
    let Filter { class, code, event_id, since, before, redriven } = &args.filter;
    json!({
        "filter": {
            "ids": args.ids,
            "class": class,
            "code": code,
            "event_id": event_id,
            "since_ms": since,
            "before_ms": before,
            "redriven": redriven,
        },
        "dry_run": args.dry_run,
        "limit": args.limit,
    })
}

/// What the operator is asked, with what is at stake.
fn question(client: &Client, args: &Args) -> Result<String, Problem> {
    let answer = client.get(Request::to("/api/v1/dlq"))?;
    let mut entries = list(&answer, "dead_letters").iter();
    let own = entries.find(|entry| text(entry, "subscription") == args.subscription);
    let waiting = own.and_then(|entry| number(entry, "waiting")).unwrap_or_default();
    let of = if args.filter.query().is_empty() { "" } else { "those that are meant of " };
    Ok(format!("drive {of}{waiting} waiting dead letters of {} again?", args.subscription))
}

fn show(result: &Value, output: &Output) {
    let succeed = number(result, "would_succeed").unwrap_or_default();
    output.line(format!("{succeed} would succeed"));
    let classes = result.get("would_fail").and_then(Value::as_object);
    for (class, count) in classes.into_iter().flatten() {
        output.line(format!("{count} would fail: {class}"));
    }
    for failure in list(result, "failures") {
        output.line(format!("  {}  {}", text(failure, "id"), text(failure, "reason")));
    }
}
