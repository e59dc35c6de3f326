//! The example of shipping on a Kafka of its own, in the hands of its operators: hosts that share
//! the work, groups and topics as the command line shows them, a reset, a topic that grows.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::client::Client;
use gristmill_tests::support::component::binary;
use gristmill_tests::support::example::{Example, Place, settle};
use gristmill_tests::support::home::{Home, Process};
use gristmill_tests::support::kafka::witness::Ground;
use gristmill_tests::support::wait;
use serde_json::Value;

use super::{CREATED, PATIENCE, Surroundings, created};

const HISTORY: &str = "shipping-api-shipment-consumer";
const LOG: &str = "identity-api-useractivitylogged-consumer";
const GROUPS: [&str; 4] =
    ["identity-api-shipmentcreated-consumer", LOG, HISTORY, "shipping-api-user-consumer"];

/// Runs a command in a host's folder; it must end well. What it prints is JSON.
fn gristmill(home: &Home, line: &str) -> Result<Value> {
    let output = Command::new(binary("debug"))
        .args(line.split_whitespace())
        .arg("--json")
        .current_dir(home.path())
        .stdin(Stdio::null())
        .output()?;
    ensure!(output.status.success(), "{line}: {output:?}");
    serde_json::from_slice(&output.stdout).with_context(|| format!("{line}: {output:?}"))
}

fn start(home: &Home, surroundings: &Surroundings) -> Result<(Process, Client)> {
    let mut host = home.start(&surroundings.variables())?;
    let client = host.must_be_ready()?;
    Ok((host, client))
}

#[test]
fn hosts_share_the_work_and_operators_see_and_change_it() -> Result<()> {
    let (example, ground) = (Example::of("shipping")?, Arc::new(Ground::start()?));
    let place = Place::Kafka(Arc::clone(&ground));
    let party = example.party(0)?;
    let surroundings = Surroundings::new(party.address().to_owned())?;
    let homes = [example.home(&place, "")?, example.home(&place, "")?];
    let (host, client) = start(&homes[0], &surroundings)?;
    let (mut other, _) = start(&homes[1], &surroundings)?;
    for group in GROUPS {
        let is_shared = ground.until(PATIENCE, |ground| {
            let members = ground.group(group)?.members;
            let is_shared = members.len() == 2 && members.iter().all(|it| !it.numbers.is_empty());
            Ok(is_shared.then_some(()))
        })?;
        is_shared.with_context(|| format!("{group} is not shared: {:?}", ground.group(group)))?;
    }
    example.publish(&client)?;
    other.kill()?;
    example.await_expected(&client, &host, &place)?;
    are_small_and_together(&ground)?;

    let listed = gristmill(&homes[0], &format!("groups list --url {}", client.url()))?;
    let groups = listed["groups"].as_array().context("groups")?;
    for group in GROUPS {
        let found = groups.iter().any(|it| it["group"] == group && it["lag"] == 0);
        ensure!(found, "{group} is not in {listed:#}");
    }
    host.stop()?;
    begins_anew((&example, &place), &homes[0], &surroundings)
}

/// A group that is reset to the earliest event makes the same state again; a topic grows under a
/// subscription that keeps state.
fn begins_anew(
    (example, place): (&Example, &Place),
    home: &Home,
    surroundings: &Surroundings,
) -> Result<()> {
    let reset = format!("groups reset {LOG} --to-earliest --clear-state --yes");
    let done = gristmill(home, &reset)?;
    ensure!(done["state"] == "clear", "{done:#}");
    let (host, client) = start(home, surroundings)?;
    example.await_expected(&client, &host, place)?;
    let topic = "shipping.shipment.created";
    let at = format!("--url {}", client.url());
    gristmill(home, &format!("topics grow {topic} --partitions 12 {at}"))?;
    let described = gristmill(home, &format!("topics describe {topic} {at}"))?;
    ensure!(described["partitions"].as_array().map(Vec::len) == Some(12), "{described:#}");
    let numbers = 0..24;
    for number in numbers.clone() {
        client.send(CREATED, &created(number))?;
    }
    let is_filled = |from: usize| -> Result<bool> {
        Ok(client.ends(topic)?.iter().skip(from).any(|end| *end > 0))
    };
    ensure!(is_filled(6)?, "nothing is in the new partitions: {:?}", client.ends(topic)?);
    for number in numbers {
        let path = format!("/state/{HISTORY}/shipment-{number}");
        let kept = wait::until(PATIENCE, || Ok((client.answer(&path)?.0 == 200).then_some(())))?;
        kept.with_context(|| format!("shipment {number} has no history:\n{}", host.tail()))?;
    }
    settle(&client, &host)?;
    host.stop()
}

/// On the broker's disk what was published is compressed with LZ4, and several records are in one
/// batch (source: Kafka's documentation, "Record Batch").
fn are_small_and_together(ground: &Ground) -> Result<()> {
    const HEAD: usize = 12;
    const ATTRIBUTES: usize = 21;
    const RECORDS: usize = 57;
    const LZ4: u16 = 3;
    let (mut are_small, mut are_together) = (false, false);
    for folder in fs::read_dir(ground.cluster().folder().join("broker-1/data"))? {
        let folder = folder?;
        if !folder.file_name().to_string_lossy().starts_with("shipping-events-") {
            continue;
        }
        let log = fs::read(folder.path().join("00000000000000000000.log"))?;
        let mut rest = &log[..];
        while let Some(length) = number(rest, 8).filter(|length| *length > 0) {
            let attributes = rest.get(ATTRIBUTES..ATTRIBUTES + 2).context("attributes")?;
            are_small |= u16::from_be_bytes([attributes[0], attributes[1]]) & 7 == LZ4;
            are_together |= number(rest, RECORDS).context("a count")? > 1;
            rest = rest.get(HEAD + length..).unwrap_or_default();
        }
    }
    ensure!(are_small, "no batch is compressed");
    ensure!(are_together, "every record is in a batch of its own");
    Ok(())
}

/// The four bytes there, as Kafka writes numbers.
fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let four: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(four)).ok()
}
