//! Tells what a replay found, for humans, and how the command ends.

use serde_json::Value;

use crate::answer::{list, number, text};
use crate::exit::Exit;
use crate::output::Output;
use crate::problem::Problem;

/// Tells it; beside the answer where that is what each event did.
pub(super) fn run(report: &Value, is_beside: bool, output: &Output) -> anyhow::Result<Exit> {
    if !output.is_json() {
        for line in lines(report) {
            if is_beside { output.note(line) } else { output.line(line) }
        }
    }
    if let Some(error) = report.get("error").filter(|error| !error.is_null()) {
        let (code, message) = (text(error, "code").to_owned(), text(error, "message").to_owned());
        return Err(Problem::new(code, Exit::Failed, message).hint(text(error, "hint")).into());
    }
    let is_whole = matches!(text(report, "status"), "done" | "limited");
    let failed = report.get("failed").and_then(Value::as_object);
    let has_failed = failed.is_some_and(|it| !it.is_empty())
        || number(report, "unreplayable").is_some_and(|count| count > 0);
    Ok(if is_whole && !has_failed { Exit::Done } else { Exit::Failed })
}

fn lines(report: &Value) -> Vec<String> {
    let count = |name: &str| number(report, name).unwrap_or_default();
    let topic = text(report, "topic");
    let mut lines = Vec::new();
    for span in list(report, "partitions") {
        let at = |name: &str| number(span, name).unwrap_or_default();
        let (partition, from, next, to) = (at("partition"), at("from"), at("next"), at("to"));
        lines.push(format!("{topic}/{partition}: {from} to {next} of {to}"));
    }
    let events = count("events");
    if text(report, "effects") == "apply" {
        lines.push(format!(
            "{events} events are handled once more by {}",
            text(report, "subscription")
        ));
    } else {
        lines.push(format!("{events} events: {} would succeed", count("succeeded")));
        for (name, what) in [("filtered", "not wanted by the filter"), ("duplicates", "duplicates")]
        {
            if count(name) > 0 {
                lines.push(format!("{} {what}", count(name)));
            }
        }
        if count("timers_fired") > 0 {
            lines.push(format!("{} timers among them", count("timers_fired")));
        }
        let failed = report.get("failed").and_then(Value::as_object);
        for (class, count) in failed.into_iter().flatten() {
            lines.push(format!("{count} would fail: {class}"));
        }
        if count("unreplayable") > 0 {
            lines.push(format!("{} ask for requests, and are not known", count("unreplayable")));
        }
        for failure in list(report, "failures") {
            let at = |name: &str| number(failure, name).unwrap_or_default();
            let (partition, offset) = (at("partition"), at("offset"));
            lines.push(format!("  {topic}/{partition}/{offset}  {}", text(failure, "reason")));
        }
        for emitted in list(report, "emitted") {
            let count = number(emitted, "count").unwrap_or_default();
            let (topic, kind) = (text(emitted, "topic"), text(emitted, "type"));
            lines.push(format!("would emit {count} {kind} to {topic}"));
        }
    }
    match text(report, "status") {
        "limited" => lines.push(format!("that is the limit of {}; there is more", count("limit"))),
        "cancelled" => lines.push("cancelled; what is named above is done".to_owned()),
        _ => {}
    }
    lines
}
