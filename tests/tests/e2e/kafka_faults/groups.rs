//! Hosts that are not alone as they think: reset behind their back, doubled, away for too long.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::client::Client;
use gristmill_tests::support::component::{binary, guest, root};
use gristmill_tests::support::home::Home;
use gristmill_tests::support::kafka::Cluster;
use gristmill_tests::support::kafka::witness::Ground;
use gristmill_tests::support::wait;
use serde_json::{Value, json};

use super::scene::{PATIENCE, SUBSCRIPTIONS, Scene, Story, complaints, wait_done};

#[test]
fn a_group_reset_by_its_own_tool_does_everything_again_and_once() -> Result<()> {
    let ground = Ground::of_faults()?;
    let cluster = ground.cluster();
    let scene = Scene::new(cluster, "reset", "");
    let home = scene.home()?;
    let mut host = home.start(&[])?;
    host.must_be_ready()?;
    let mut story = Story::begin(cluster, &scene)?;
    story.tell(1_500)?;
    let told = story.end()?;
    // The first time: everything once.
    scene.finish(cluster, vec![(&home, host)], told.clone(), &[])?;

    let [reset, _other] = scene.groups();
    for topic in told.keys() {
        cluster.reset_to_earliest(&reset, topic)?;
    }
    let mut host = home.start(&[])?;
    host.must_be_ready()?;
    scene.settle(cluster, &[&home])?;
    host.stop()?;
    let strays = complaints(&home, &[]);
    ensure!(strays.is_empty(), "{strays:?}");
    for (name, times) in SUBSCRIPTIONS.iter().zip([2, 1]) {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        let mut last: BTreeMap<String, u64> = BTreeMap::new();
        let effects = cluster.topic(&scene.topic(&format!("{name}-out")))?;
        for effect in effects.into_iter().flatten() {
            let id = effect.payload["id"].as_str().context("an id")?;
            *counts.entry(id.to_owned()).or_default() += 1;
            let number = last.entry(effect.key.context("a key")?).or_default();
            *number += 1;
            ensure!(effect.payload["number"] == *number, "{name}: {id} is not number {number}");
        }
        let wanted: BTreeSet<&str> = told
            .values()
            .flatten()
            .filter_map(|event| (!event.poison).then_some(event.id.as_str()))
            .collect();
        for id in &wanted {
            let count = counts.get(*id).copied().unwrap_or_default();
            ensure!(count == times, "{name}: {id} came out {count} times, not {times}");
        }
        let of_timers = counts.iter().filter(|(id, _)| id.starts_with("timer:"));
        let odd: Vec<_> = of_timers.filter(|(_, count)| **count != times).collect();
        ensure!(odd.is_empty(), "{name}: timers not {times} times: {odd:?}");
    }
    Ok(())
}

#[test]
fn of_two_hosts_with_one_identity_one_ends_and_says_why() -> Result<()> {
    let ground = Ground::of_faults()?;
    let cluster = ground.cluster();
    let scene = Scene::new(cluster, "twins", "");
    let (home, twin) = (scene.home()?, scene.home()?);
    let mut host = home.start(&[])?;
    let client = host.must_be_ready()?;
    let mut story = Story::begin(cluster, &scene)?;
    story.tell(500)?;
    wait_done(&client, 500)?;
    host.stop()?;
    copy(&home.path().join("data"), &twin.path().join("data"))?;

    let mut hosts = [home.start(&[])?, twin.start(&[])?];
    let status = story.during(|| {
        let ended = wait::until(PATIENCE, || {
            for (number, host) in hosts.iter_mut().enumerate() {
                if let Some(status) = host.ended(std::time::Duration::ZERO)? {
                    return Ok(Some((number, status)));
                }
            }
            Ok(None)
        })?;
        ended.context("both twins live on")
    })?;
    let (number, status) = status;
    let log = fs::read_to_string([&home, &twin][number].log())?;
    ensure!(!status.success() && log.contains("E0613"), "{status}:\n{}", hosts[number].tail());
    // The other may follow it, or go on: one that starts anew finds everything as it must be.
    drop(hosts);
    let mut host = home.start(&[])?;
    host.must_be_ready()?;
    let told = story.end()?;
    let allowed = ["E0613", "fenced", "an old epoch"];
    scene.finish(cluster, vec![(&home, host)], told, &allowed)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = Command::new("cp").arg("-r").args([from, to]).status()?;
    ensure!(copied.success(), "copy {}: {copied}", from.display());
    Ok(())
}

/// The time of day in so many seconds, as `date` writes it by `format`.
fn date(seconds: u32, format: &str) -> Result<String> {
    let arguments = ["-u", "-d", &format!("+{seconds} seconds"), format];
    let output = Command::new("date").args(arguments).output()?;
    ensure!(output.status.success(), "date: {}", output.status);
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// The plugins of ticketing that go by what was paid, on a cluster.
fn ticketing(bootstrap: &str) -> Result<Home> {
    let example = root().join("examples/ticketing");
    let config = fs::read_to_string(example.join("gristmill.toml"))?
        .replace("\".gristmill\"", "\"data\"")
        .replace("${GRISTMILL_LISTEN:-127.0.0.1:8080}", "127.0.0.1:0");
    let broker =
        format!("workers = 2\n\n[broker]\nkind = \"kafka\"\nbrokers = [\"{bootstrap}\"]\n");
    let config = config.replace("[topics.defaults]", &format!("{broker}\n[topics.defaults]"));
    let home = Home::new(&binary("debug"), &config)?;
    for plugin in ["expiry", "catalog"] {
        let manifest = fs::read(example.join(format!("plugins/{plugin}.toml")))?;
        home.put(&format!("{plugin}.toml"), &manifest)?;
        home.put(&format!("{plugin}.wasm"), &guest(plugin)?)?;
    }
    Ok(home)
}

fn reservation(seat: u32, expires: &str) -> Value {
    json!({
        "eventId": format!("reserved-{seat}"), "reservationId": format!("r-{seat}"),
        "customerId": "ada", "seatId": format!("seat-{seat}"), "seatNumber": "A-1-1",
        "section": "A", "basePrice": 80, "createdAt": "2026-01-01T12:00:00Z",
        "expiresAt": expires, "status": "active",
    })
}

fn payment(seat: u32) -> Value {
    json!({
        "eventId": format!("paid-{seat}"), "reservationId": format!("r-{seat}"),
        "orderId": format!("o-{seat}"), "customerId": "ada", "seatId": format!("seat-{seat}"),
        "amount": 80, "paidAt": "2026-01-01T12:04:00Z",
    })
}

fn timers(client: &Client) -> Result<u64> {
    Ok(client.subscriptions()?.iter().map(|it| it.timers_pending).sum())
}

/// Seats 0 to 39 are reserved, the even ones are paid in time, and nobody is there to hear of it
/// until their reservations have ended.
#[test]
fn a_payment_in_the_backlog_is_read_before_its_reservation_expires() -> Result<()> {
    const SEATS: u32 = 40;
    let cluster = Cluster::start(1)?;
    let home = ticketing(&cluster.bootstrap())?;
    let mut host = home.start(&[])?;
    let client = host.must_be_ready()?;
    let expires = date(10, "+%FT%TZ")?;
    let end = date(10, "+%s")?;
    for seat in 0..SEATS {
        let path = format!("/topics/reservation-created?key=seat{seat}");
        client.send(&path, &reservation(seat, &expires))?;
    }
    let set = wait::until(PATIENCE, || Ok((timers(&client)? == u64::from(SEATS)).then_some(())))?;
    set.context("not every reservation has a timer")?;
    host.kill()?;
    ensure!(date(0, "+%s")? < end, "the machine is too slow: reservations ended too early");

    // Thousands of payments that nobody reserved for lie before those that count.
    let payments = (1_000..4_000).chain((0..SEATS).step_by(2));
    let records: Vec<_> =
        payments.map(|seat| (format!("seat{seat}"), payment(seat).to_string())).collect();
    let records = records.iter().map(|(key, payload)| (key.as_str(), payload.clone()));
    cluster.produce("payment-succeeded", records)?;
    let late = wait::until(PATIENCE, || Ok((date(0, "+%s")? > end).then_some(())))?;
    late.context("time stands still")?;

    let mut host = home.start(&[])?;
    let client = host.must_be_ready()?;
    let settled = wait::until(PATIENCE, || {
        let lags = cluster.lags(&["ticketing-expiry", "ticketing-catalog"])?;
        let read = lags.iter().filter(|((_, topic, _), _)| !topic.starts_with("__"));
        let is_level = read.map(|(_, lag)| lag.events()).sum::<u64>() == 0;
        Ok((is_level && timers(&client)? == 0).then_some(()))
    })?;
    settled.with_context(|| format!("not at rest:\n{}", host.tail()))?;
    host.stop()?;
    let fired = cluster.topic("reservation-expired")?;
    let id = |payload: &Value| payload["reservationId"].as_str().unwrap_or_default().to_owned();
    let mut fired: Vec<_> = fired.iter().flatten().map(|it| id(&it.payload)).collect();
    fired.sort();
    let mut unpaid: Vec<_> = (1..SEATS).step_by(2).map(|seat| format!("r-{seat}")).collect();
    unpaid.sort();
    ensure!(fired == unpaid, "expired {fired:?}, not {unpaid:?}");
    let strays = complaints(&home, &["cannot be restored yet"]);
    ensure!(strays.is_empty(), "{strays:?}");
    Ok(())
}

#[test]
fn events_that_arrive_while_numbers_move_are_all_read() -> Result<()> {
    let ground = Ground::of_faults()?;
    let cluster = ground.cluster();
    let scene = Scene::new(cluster, "moved", "");
    let (home, other_home) = (scene.home()?, scene.home()?);
    let mut host = home.start(&[])?;
    let client = host.must_be_ready()?;
    let mut story = Story::begin(cluster, &scene)?;
    story.during(|| {
        wait_done(&client, 500).with_context(|| format!("the first:\n{}", host.tail()))?;
        for _ in 0..2 {
            let mut other = other_home.start(&[])?;
            let told = other.must_be_ready()?;
            let done = wait_done(&told, 200);
            done.with_context(|| format!("the newcomer:\n{}", other.tail()))?;
            other.stop()?;
        }
        wait_done(&client, 200).with_context(|| format!("the first:\n{}", host.tail()))
    })?;
    let told = story.end()?;
    scene.finish(cluster, vec![(&home, host)], told, &[])
}
