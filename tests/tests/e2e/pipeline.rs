//! What stands between a subscription's topics and its handler: the breaker, the dead-letter guard
//! and the rate limit, on the embedded store and on Kafka alike.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::client::{Client, Stored, Subscription};
use gristmill_tests::support::component::{binary, guest};
use gristmill_tests::support::home::{Home, Process};
use gristmill_tests::support::wait;
use serde_json::Value;

use super::both::{Ground, on_both};

const PATIENCE: Duration = Duration::from_mins(2);

const TABLES: &str =
    "[topics.defaults]\npartitions = 4\n[topics.in]\n[topics.more]\n[topics.answers]\n";

/// A host with one more subscription beside `puppet`, which does what its events say.
fn running(ground: &Ground, lines: &str) -> Result<(Home, Process, Client)> {
    let home = Home::new(&binary("debug"), &ground.config)?;
    let manifest = format!(
        "[[subscription]]\nname = \"puppet\"\ntopics = [\"in\"]\nenvelope = \"raw\"\n\
         grants.emit = [\"answers\"]\n{lines}\n[[subscription]]\nname = \"other\"\n\
         topics = [\"more\"]\nenvelope = \"raw\"\ngrants.emit = [\"answers\"]\n"
    );
    home.put("puppet.toml", manifest.as_bytes())?;
    home.put("puppet.wasm", &guest("puppet")?)?;
    let mut host = home.start(&[])?;
    let client = host.must_be_ready()?;
    Ok((home, host, client))
}

/// Publishes a line for each of so many keys.
fn publish(client: &Client, topic: &str, line: &str, count: u32) -> Result<()> {
    for number in 0..count {
        client.send_text(&format!("/topics/{topic}?key=k{number}"), line)?;
    }
    Ok(())
}

fn answers(client: &Client) -> Result<usize> {
    Ok(client.topic("answers")?.iter().flatten().count())
}

fn puppet(client: &Client) -> Result<Subscription> {
    let found = client.subscriptions()?.into_iter().find(|it| it.name == "puppet");
    found.context("no subscription puppet")
}

/// The value of one line of the metrics, 0 where there is none.
fn metric(client: &Client, line: &str) -> Result<u64> {
    let metrics = client.get("/metrics")?;
    let values = metrics.lines().filter_map(|it| it.strip_prefix(line));
    Ok(values.filter_map(|it| it.trim().parse::<u64>().ok()).sum())
}

fn until(what: &str, client: &Client, holds: impl Fn() -> Result<bool>) -> Result<()> {
    let seen = wait::until(PATIENCE, || Ok(holds()?.then_some(())))?;
    seen.with_context(|| format!("{what}: {:?}", puppet(client)))
}

const BREAKER: &str = "concurrency = 1\nretry.initial_interval = \"1h\"\n\
    retry.max_interval = \"1h\"\nbreaker = { attempts = 5, pause = \"10s\", max_pause = \"10s\" }";
const FAILED: &str = "gristmill_attempts_total{class=\"retryable\",plugin=\"puppet\",\
    subscription=\"puppet\"}";
const OPEN: &str = "gristmill_breaker_state{state=\"open\",subscription=\"puppet\"}";
const OPENINGS: &str =
    "gristmill_breaker_transitions_total{state=\"open\",subscription=\"puppet\"}";

/// Publishes events that fail, one after the other, until both workers have had enough. How many.
fn break_both(client: &Client) -> Result<u64> {
    for number in 0..100 {
        let (failed, opened) = (metric(client, FAILED)?, metric(client, OPENINGS)?);
        if opened == 2 {
            return Ok(number);
        }
        client.send_text(&format!("/topics/in?key=failing-{number}"), "retry")?;
        // It fails, or waits because its worker has had enough.
        until("an event is not read", client, || {
            let is_open = metric(client, OPENINGS)? > 0;
            Ok(metric(client, FAILED)? > failed || is_open)
        })?;
    }
    anyhow::bail!("it does not open: {:?}", puppet(client))
}

#[test]
fn an_open_breaker_attempts_nothing_gives_up_on_nothing_and_closes_by_itself() -> Result<()> {
    on_both("breaking", TABLES, |ground| {
        let (home, host, client) = running(ground, BREAKER)?;
        let failing = break_both(&client)?;
        ensure!(failing >= 10, "{failing} events, and both workers have had 5");
        publish(&client, "in", "echo", 60)?;
        publish(&client, "more", "echo", 10)?;
        // What is open lets another through now and then, which may fail.
        until("nothing waits", &client, || {
            let metrics = client.get("/metrics")?;
            let is_open = metrics.contains(&format!("{OPEN} 1"));
            Ok(is_open && puppet(&client)?.lag.iter().map(|it| it.events).sum::<u64>() >= 60)
        })?;
        until("the other subscription waits too", &client, || Ok(answers(&client)? >= 10))?;
        until("it does not close", &client, || Ok(answers(&client)? == 70))?;
        until("it is not told", &client, || Ok(puppet(&client)?.breaker == "closed"))?;
        until("some were not attempted", &client, || Ok(metric(&client, FAILED)? >= failing))?;
        ensure!(metric(&client, FAILED)? == failing, "one failed twice within an hour");
        let dead = metric(
            &client,
            "gristmill_events_completed_total{outcome=\"dead_lettered\",subscription=\"puppet\"}",
        )?;
        ensure!(dead == 0, "{dead} dead letters");
        let log = std::fs::read_to_string(home.log())?;
        ensure!(log.contains("E0467"), "nobody is told");
        host.stop()
    })
}

/// Whether it is one of those that [`break_both`] publishes.
fn fails(record: &Stored) -> bool {
    record.key.as_deref().is_some_and(|key| key.starts_with("failing"))
}

/// Where a record fell back to and from, with its key: partition, key, partition and offset.
type Fallen = (u32, Option<String>, u32, u64);

/// Reads where records fell back from, each as it was there, those of a key in order.
fn check_fallen(written: &[Stored], fallen: &[Stored]) -> Result<Vec<Fallen>> {
    let mut places: Vec<Fallen> = Vec::new();
    for record in fallen {
        let header = |name: &str| record.header(&format!("fallback-{name}")).unwrap_or("");
        ensure!((header("subscription"), header("topic")) == ("puppet", "in"), "{record:?}");
        let place = (header("partition").parse()?, header("offset").parse()?);
        let original = written.iter().find(|it| (it.partition, it.offset) == place);
        let original = original.with_context(|| format!("{record:?} comes from nowhere"))?;
        ensure!(original.key == record.key && original.payload == record.payload, "{record:?}");
        places.push((record.partition, record.key.clone(), place.0, place.1));
    }
    let mut by_key = places.clone();
    by_key.sort_by_key(|(to, key, ..)| (*to, key.clone()));
    let rises = |pair: &[Fallen]| {
        (pair[0].0, &pair[0].1) != (pair[1].0, &pair[1].1) || pair[0].3 < pair[1].3
    };
    ensure!(by_key.windows(2).all(rises), "out of order: {by_key:?}");
    Ok(places)
}

/// Every event that does not fail was handled or fell back, and none both.
fn check_each_once(client: &Client, written: &[Stored], fallen: &[Fallen]) -> Result<()> {
    let answers = client.topic("answers")?.concat();
    let causes = answers.iter().filter_map(|it| it.header("ce_causationid"));
    // One that is handled answers once a line.
    let mut found: Vec<String> = causes.map(str::to_owned).collect();
    found.sort();
    found.dedup();
    let name = |partition: u32, offset: u64| format!("in/{partition}/{offset}");
    let echoes = |key: &Option<String>| key.as_deref().is_some_and(|key| key.starts_with('k'));
    let own = fallen.iter().filter(|(_, key, ..)| echoes(key));
    found.extend(own.map(|(.., partition, offset)| name(*partition, *offset)));
    found.sort();
    let wanted = written.iter().filter(|it| !fails(it));
    let mut wanted: Vec<String> = wanted.map(|it| name(it.partition, it.offset)).collect();
    wanted.sort();
    ensure!(found == wanted, "{found:?} of {wanted:?}");
    Ok(())
}

/// While it is open events go to another topic, each as it was and in the order of its key; what
/// comes later is handled again. None is in both, and none in neither.
#[test]
fn events_fall_back_while_the_breaker_is_open_and_are_handled_when_it_closes() -> Result<()> {
    const FALLBACK: &str = "in-while-open";
    on_both("falling", TABLES, |ground| {
        let lines = format!(
            "concurrency = 1\nretry.initial_interval = \"1h\"\nretry.max_interval = \"1h\"\n\
             breaker = {{ attempts = 5, pause = \"20s\", fallback = \"{FALLBACK}\" }}"
        );
        let (_home, host, client) = running(ground, &lines)?;
        break_both(&client)?;
        for round in 0..3 {
            publish(&client, "in", &"echo\n".repeat(round + 1), 20)?;
        }
        let fallen = || Ok::<_, anyhow::Error>(client.topic(FALLBACK)?.concat());
        until("they wait", &client, || Ok(puppet(&client)?.lag.iter().all(|it| it.events == 0)))?;
        // A worker that has opened long ago tries again.
        let echoes = fallen()?.iter().filter(|it| !fails(it)).count();
        ensure!(echoes >= 20, "{echoes} of 60 fell back");
        until("nothing finds out", &client, || Ok(puppet(&client)?.breaker == "half-open"))?;
        until("it does not close", &client, || {
            publish(&client, "in", "echo", 8)?;
            Ok(puppet(&client)?.breaker == "closed")
        })?;
        until("not all are handled", &client, || {
            Ok(puppet(&client)?.lag.iter().all(|it| it.events == 0))
        })?;
        let written = client.topic("in")?.concat();
        let places = check_fallen(&written, &fallen()?)?;
        check_each_once(&client, &written, &places)?;
        host.stop()
    })
}

#[test]
fn too_many_dead_letters_pause_their_subscription_until_somebody_resumes_it() -> Result<()> {
    on_both("guarded", TABLES, |ground| {
        let lines = "dead_letter_guard = { events = 10, dead_letters = 0.5 }";
        let (home, host, client) = running(ground, lines)?;
        publish(&client, "in", "echo", 20)?;
        until("echoes", &client, || Ok(answers(&client)? == 20))?;
        publish(&client, "in", "reject", 200)?;
        until("no pause", &client, || Ok(puppet(&client)?.paused.as_deref() == Some("guard")))?;
        publish(&client, "more", "echo", 10)?;
        until("the other subscription stops too", &client, || Ok(answers(&client)? == 30))?;
        let dead = |client: &Client| -> Result<usize> {
            Ok(client.topic("in.puppet.dlq")?.iter().flatten().count())
        };
        let before = dead(&client)?;
        ensure!((20..200).contains(&before), "{before} dead letters");
        host.stop()?;
        let mut host = home.start(&[])?;
        let client = host.must_be_ready()?;
        ensure!(puppet(&client)?.paused.as_deref() == Some("guard"), "a restart resumes it");
        ensure!(dead(&client)? == before, "dead letters came while it was paused");
        let log = std::fs::read_to_string(home.log())?;
        ensure!(log.contains("E0468"), "nobody is told");
        home.put(
            "puppet.toml",
            std::fs::read_to_string(home.plugins().join("puppet.toml"))?
                .replace(lines, "dead_letter_guard.enabled = false")
                .as_bytes(),
        )?;
        until("the manifest is not taken over", &client, || {
            let history: Value = client.json("/api/v1/plugins")?;
            Ok(history["plugins"][0]["history"].as_array().is_some_and(|it| it.len() == 2))
        })?;
        client.post("/api/v1/subscriptions/puppet/resume")?;
        until("it does not go on", &client, || Ok(dead(&client)? == 200))?;
        host.stop()
    })
}

#[test]
fn attempts_start_no_oftener_than_the_limit() -> Result<()> {
    on_both("paced", TABLES, |ground| {
        let (_home, host, client) = running(ground, "events_per_second = 40")?;
        let began = Instant::now();
        publish(&client, "in", "echo", 200)?;
        until("echoes", &client, || Ok(answers(&client)? == 200))?;
        let took = began.elapsed().as_secs_f64();
        // A tenth of a second's attempts are saved up; the first is none of the interval's.
        ensure!(took >= f64::from(200 - 4 - 1) / 40.0, "200 events in {took:.2} s");
        let (status, told) = client.answer("/state/puppet")?;
        ensure!(status == 409 && told.contains("E0432"), "it may keep no state: {told}");
        host.stop()
    })
}
