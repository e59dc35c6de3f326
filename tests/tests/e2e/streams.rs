//! Streams of events, on the embedded store and on Kafka alike: who reads from now on, and who
//! begins earlier, are told everything once.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::client::Client;
use gristmill_tests::support::component::binary;
use gristmill_tests::support::home::Home;
use serde_json::{Value, json};

use super::both::{on_both, start};

const TABLES: &str = "[topics.defaults]\npartitions = 3\n[topics.orders]\n[topics.others]\n";
/// Events published before and after the streams are opened.
const HALF: u64 = 20;

/// Opens a stream; it has begun when this returns.
fn open(client: &Client, query: &str) -> Result<BufReader<impl Read + use<>>> {
    let stream = client.patient().stream(&format!("/topics/orders/events{query}"))?;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while !line.starts_with("retry: ") {
        line.clear();
        ensure!(stream.read_line(&mut line)? > 0, "it ends at once");
    }
    Ok(stream)
}

/// The next so many events, and the id of the last.
fn events(stream: &mut impl BufRead, count: u64) -> Result<(Vec<Value>, String)> {
    let (mut events, mut id) = (Vec::new(), String::new());
    for line in stream.lines() {
        let line = line?;
        if let Some(next) = line.strip_prefix("id: ") {
            next.clone_into(&mut id);
        } else if let Some(data) = line.strip_prefix("data: ") {
            events.push(serde_json::from_str(data)?);
            if u64::try_from(events.len())? == count {
                return Ok((events, id));
            }
        }
    }
    Err(anyhow::anyhow!("it ended after {} of {count} events", events.len()))
}

/// Every number once, and offsets of a partition in order.
fn hold(events: &[Value], numbers: std::ops::Range<u64>) -> Result<()> {
    let mut seen: Vec<u64> = events.iter().filter_map(|it| it["payload"]["n"].as_u64()).collect();
    seen.sort_unstable();
    ensure!(seen == numbers.collect::<Vec<_>>(), "{seen:?}");
    let mut last = BTreeMap::new();
    for event in events {
        let offset = event["offset"].as_u64();
        let before = last.insert(event["partition"].to_string(), offset);
        ensure!(before < Some(offset), "{before:?} before {event}");
    }
    Ok(())
}

fn publish(client: &Client, numbers: std::ops::Range<u64>) -> Result<()> {
    for n in numbers {
        client.send(&format!("/topics/orders?key=k{n}"), &json!({ "n": n }))?;
        client.send("/topics/others?key=k", &json!({ "n": n }))?;
    }
    Ok(())
}

#[test]
fn readers_from_now_and_from_before_are_told_everything_once() -> Result<()> {
    on_both("streaming", TABLES, |ground| {
        let home = Home::new(&binary("debug"), &ground.config)?;
        let (host, client) = start(&home)?;
        publish(&client, 0..HALF)?;
        let mut now = open(&client, "").context("from now")?;
        let mut twin = open(&client, "").context("beside it")?;
        let mut before = open(&client, "?from=earliest").context("from the beginning")?;
        publish(&client, HALF..HALF * 2)?;
        for stream in [&mut now, &mut twin] {
            hold(&events(stream, HALF)?.0, HALF..HALF * 2)?;
        }
        let (all, id) = events(&mut before, HALF * 2)?;
        hold(&all, 0..HALF * 2)?;
        // Who comes back goes on after what it had.
        let mut back = open(&client, &format!("?last_event_id={id}")).context("again")?;
        publish(&client, HALF * 2..HALF * 3)?;
        hold(&events(&mut back, HALF)?.0, HALF * 2..HALF * 3)?;
        hold(&events(&mut now, HALF)?.0, HALF * 2..HALF * 3)?;
        host.stop()
    })
}
