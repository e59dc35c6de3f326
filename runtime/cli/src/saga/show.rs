//! Shows what happened to the sagas of one key.

use serde_json::json;

use super::kept::{Lane, Saga};
use crate::exit::Exit;
use crate::output::{Output, Style};
use crate::remote::Client;
use crate::table::{Side, Table};

/// Prints each saga with its history.
pub(super) fn run(client: &Client, lane: &Lane, output: &Output) -> anyhow::Result<Exit> {
    let sagas = lane.sagas(client)?;
    output.json(&json!({ "sagas": sagas }));
    for saga in &sagas {
        output.line(heading(saga, output));
        history(saga).print(output, "");
    }
    Ok(Exit::Done)
}

fn heading(saga: &Saga, output: &Output) -> String {
    let Saga { name, id, stage, step, attempt, due, ignored, .. } = saga;
    let style = match stage.as_str() {
        "stuck" => Style::Bad,
        _ => Style::Bold,
    };
    let mut text = format!("{name} {id}  {}", output.paint(style, stage));
    let trouble = saga.trouble();
    if !trouble.is_empty() {
        text = format!("{text}  {trouble}");
    }
    if let Some(due) = due {
        text = format!("{text}  {step} is waited for until {due}, attempt {attempt}");
    }
    if *ignored > 0 {
        text = format!("{text}  {ignored} late or repeated answers ignored");
    }
    text
}

fn history(saga: &Saga) -> Table {
    let mut table = Table::new(&[
        ("WHEN", Side::Left),
        ("WHAT", Side::Left),
        ("STEP", Side::Left),
        ("ATTEMPT", Side::Right),
        ("EVENT", Side::Left),
        ("WHY", Side::Left),
    ]);
    for entry in &saga.history {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        table.row([
            entry.at.clone(),
            entry.deed.clone(),
            text(&entry.step),
            entry.attempt.map_or_else(|| "-".to_owned(), |it| it.to_string()),
            text(&entry.event),
            entry.reason.clone().unwrap_or_default(),
        ]);
    }
    table
}
