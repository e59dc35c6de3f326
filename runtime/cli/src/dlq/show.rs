//! Shows one dead letter.

use serde_json::{Value, json};

use super::or_dash;
use crate::answer::{count, is, list, number, text};
use crate::event::Event;
use crate::output::{Output, Style};
use crate::problem::Problem;
use crate::remote::{Client, Request, segment};
use crate::units;

/// Shows the dead letter `id`, which is a topic, a partition and an offset.
pub(super) fn run(
    client: &Client,
    subscription: &str,
    id: &str,
    output: &Output,
) -> Result<(), Problem> {
    let place: Vec<String> = id.split('/').map(segment).collect();
    let subscription = segment(subscription);
    let path = format!("/api/v1/dlq/{subscription}/events/{}", place.join("/"));
    let letter = client.get(Request::to(path))?;
    output.json(&letter);
    if !output.is_json() {
        show(&letter, output);
    }
    Ok(())
}

fn show(letter: &Value, output: &Output) {
    let none = json!({});
    let failure = letter.get("failure").unwrap_or(&none);
    let event = letter.get("event").unwrap_or(&none);
    let line = |name: &str, value: &str| {
        output.line(format!("{} {value}", output.paint(Style::Bold, &format!("{name:<13}"))));
    };
    let failed = |name| units::shown_moment(number(failure, name));
    line("dead letter", text(letter, "id"));
    line("redriven", if is(letter, "redriven") { "yes" } else { "no" });
    line("class", text(failure, "class"));
    line("code", &or_dash(text(failure, "code")));
    line("reason", text(failure, "message"));
    line("attempts", &count(failure, "attempts"));
    line("first failed", &failed("first_failure_ms"));
    line("last failed", &failed("last_failure_ms"));
    let digest = text(failure, "plugin_digest");
    line("plugin", &format!("{} ({digest})", text(failure, "plugin")));
    line("event", text(failure, "event_id"));
    let (partition, offset) = (count(failure, "partition"), count(failure, "offset"));
    line("came from", &format!("{}/{partition}:{offset}", text(failure, "topic")));
    for header in list(event, "headers") {
        line("header", &format!("{}={}", text(header, "name"), text(header, "value")));
    }
    if let Some(event) = Event::read(event.to_string()) {
        line("key", event.key());
        line("payload", &event.payload());
    }
    let detail = text(failure, "detail");
    if !detail.is_empty() {
        output.line(format!("\n{detail}"));
    }
}
