//! Topics that a subscription with state reads have different partitions: a key's events meet all
//! the same, in order, on the embedded store and on Kafka alike.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use gristmill_engine::PartitionId;
use gristmill_store::{Settings, Store};
use gristmill_tests::support::client::{Client, Stored};
use gristmill_tests::support::component::{binary, guest};
use gristmill_tests::support::home::{Home, Process};
use gristmill_tests::support::wait;
use serde_json::{Value, json};

use super::both::{Ground, embedded, on_both, settle, start};

const PATIENCE: Duration = Duration::from_mins(2);
/// Keys that events are of: more than there are partitions.
const KEYS: u32 = 11;
/// The subscription's topics, with their partitions.
const TOPICS: [(&str, u32); 2] = [("in", 4), ("more", 3)];

/// Their tables, and those of what the subscriptions emit to.
fn tables() -> String {
    let [one, other] =
        TOPICS.map(|(topic, count)| format!("[topics.{topic}]\npartitions = {count}\n"));
    format!("[topics.out]\npartitions = 2\n[topics.answers]\npartitions = 2\n{one}{other}")
}

/// The manifest of two subscriptions of both topics: `tally`, with `lines`, and another with its
/// own number of partitions. Events fail on purpose, sometimes many in a row: no breaker may open.
fn manifest(lines: &str) -> String {
    let one = |name: &str, lines: &str| {
        format!(
            "[[subscription]]\nname = \"{name}\"\ntopics = [\"in\", \"more\"]\n\
             envelope = \"json\"\nbreaker.enabled = false\n{lines}\n\
             [subscription.fields]\nid = \"/id\"\n\
             [subscription.grants]\nemit = [\"out\"]\nstate = true\ntimers = true\n\
             config = {{ to = \"out\" }}\n[subscription.retry]\ninitial_interval = \"5ms\"\n\
             max_interval = \"20ms\"\n"
        )
    };
    format!("{}{}", one("tally", lines), one("other", "repartition = 5"))
}

fn home(ground: &Ground, lines: &str) -> Result<Home> {
    let home = Home::new(&binary("debug"), &ground.config)?;
    home.put("tally.toml", manifest(lines).as_bytes())?;
    home.put("tally.wasm", &guest("tally")?)?;
    Ok(home)
}

fn publish(client: &Client, (topic, key): (&str, &str), payload: &Value) -> Result<()> {
    client.send(&format!("/topics/{topic}?key={key}"), payload).map(drop)
}

/// Publishes events of every key to every topic, with ids that rise per topic and key.
fn publish_rounds(client: &Client, rounds: std::ops::Range<u32>) -> Result<()> {
    for round in rounds {
        for (topic, _) in TOPICS {
            for key in 0..KEYS {
                let id = format!("{topic}-{key}-{round:04}");
                // Some fail a while, so that they are parked and others of their key behind them.
                let fails = if (round + key) % 13 == 0 { 5 } else { 0 };
                let payload = json!({ "id": id, "fails": fails });
                publish(client, (topic, &format!("k{key}")), &payload)?;
            }
        }
    }
    Ok(())
}

/// What a subscription published: ids with their numbers, by key, in order of the numbers.
fn numbered(client: &Client, subscription: &str) -> Result<BTreeMap<String, Vec<(u64, String)>>> {
    let mut numbered: BTreeMap<String, Vec<(u64, String)>> = BTreeMap::new();
    let source = format!("/{subscription}");
    let own = |it: &&Stored| it.header("ce_source").is_some_and(|it| it.ends_with(&source));
    for record in client.topic("out")?.iter().flatten().filter(own) {
        let number = record.payload["number"].as_u64().context("a number")?;
        let id = record.payload["id"].as_str().context("an id")?.to_owned();
        numbered.entry(record.key.clone().context("a key")?).or_default().push((number, id));
    }
    for events in numbered.values_mut() {
        events.sort();
    }
    Ok(numbered)
}

/// Every key was counted in one place, each event once, those of one topic in their order.
fn check(client: &Client, subscription: &str, rounds: u32) -> Result<()> {
    let numbered = numbered(client, subscription)?;
    ensure!(numbered.len() == usize::try_from(KEYS)?, "{} keys", numbered.len());
    for (key, events) in &numbered {
        let numbers: Vec<u64> = events.iter().map(|(number, _)| *number).collect();
        let expected: Vec<u64> = (1..=u64::from(rounds * 2)).collect();
        ensure!(numbers == expected, "{subscription} numbered {key} {numbers:?}");
        for (topic, _) in TOPICS {
            let begins = format!("{topic}-{}-", &key[1..]);
            let ids: Vec<&str> =
                events.iter().map(|(_, id)| &**id).filter(|it| it.starts_with(&begins)).collect();
            let sent: Vec<String> = (0..rounds).map(|it| format!("{begins}{it:04}")).collect();
            ensure!(ids == sent, "{subscription} handled those of {key} as {ids:?}");
        }
    }
    Ok(())
}

#[test]
fn events_of_a_key_meet_whatever_partitions_their_topics_have() -> Result<()> {
    on_both("meeting", &tables(), |ground| {
        let home = home(ground, "repartition = 6")?;
        let (host, client) = start(&home)?;
        publish_rounds(&client, 0..15)?;
        host.stop()?;
        let (host, client) = start(&home)?;
        publish_rounds(&client, 15..30)?;
        settle(&client, &host)?;
        check(&client, "tally", 30)?;
        check(&client, "other", 30)?;
        let state = client.json("/state/tally/k3")?;
        ensure!(state["values"][0]["value"] == 60, "{state}");
        dead_letters_say_where_events_came_from(&client, &host)?;
        if let Some(cluster) = &ground.cluster {
            let topic = "__repartition.meeting.tally";
            let kept = wait::until(PATIENCE, || {
                let starts = cluster.starts(topic)?;
                Ok(starts.values().any(|start| *start > 0).then_some(starts))
            })?;
            let kept = kept.context("what was handled stays")?;
            ensure!(kept.len() == 6, "{kept:?}");
            publish_rounds(&client, 30..32)?;
            settle(&client, &host)?;
        }
        host.stop()
    })
}

/// An event that is rejected, driven again, and rejected again, is known by where it was published.
fn dead_letters_say_where_events_came_from(client: &Client, host: &Process) -> Result<()> {
    let before = client.ends("more")?;
    publish(client, ("more", "k5"), &json!({ "id": "bad", "poison": true }))?;
    settle(client, host)?;
    let after = client.ends("more")?;
    let place = before.iter().zip(&after).position(|(before, after)| before != after);
    let place = place.context("it was not published")?;
    let letters = |count: usize| -> Result<()> {
        let seen = wait::until(PATIENCE, || {
            let records = client.topic("more.tally.dlq")?.concat();
            Ok((records.len() == count).then_some(records))
        })?;
        let late =
            || format!("no {count} dead letters: {:?}\n{}", client.subscriptions(), host.tail());
        for letter in seen.with_context(late)? {
            ensure!(letter.header("__dlq.errors.topic") == Some("more"), "{letter:?}");
            let said = letter.header("__dlq.errors.partition").context("no partition")?;
            ensure!(said == place.to_string(), "{letter:?} of {place}");
            let said: u64 = letter.header("__dlq.errors.offset").context("no offset")?.parse()?;
            ensure!(said >= before[place] && said < after[place], "{letter:?}");
            ensure!(letter.header("dlq-redrive-topic").is_none(), "{letter:?}");
        }
        Ok(())
    };
    letters(1)?;
    client.send("/api/v1/dlq/tally/redrive", &json!({}))?;
    letters(2)?;
    settle(client, host)
}

#[test]
fn the_embedded_store_removes_what_was_forwarded_and_handled() -> Result<()> {
    const REMOVED: &str = "removed forwarded events that were handled";
    let home = home(&embedded("removing", &tables()), "repartition = 6")?;
    let mut host = home.start(&[("GRISTMILL_LOG", "info,gristmill_node=debug".to_owned())])?;
    let client = host.must_be_ready()?;
    let removals = || -> Result<usize> {
        Ok(fs::read_to_string(home.log())?.lines().filter(|line| line.contains(REMOVED)).count())
    };
    publish_rounds(&client, 0..10)?;
    settle(&client, &host)?;
    let seen = wait::until(PATIENCE, || Ok((removals()? >= 2).then_some(())))?;
    seen.with_context(|| format!("what was handled stays:\n{}", host.tail()))?;
    host.stop()?;
    let path = home.path().join("data/store");
    let store = Store::open(Settings::new(path))?;
    for (name, count) in [("tally", 6), ("other", 5)] {
        let name = format!("__repartition.{name}");
        let topic = store.topics().into_iter().find(|topic| *topic.name == name);
        let topic = topic.with_context(|| format!("no topic {name}"))?;
        ensure!(topic.partitions == count, "{topic:?}");
        let mut removed = 0;
        for number in 0..count {
            let bounds = store.bounds(topic.id, PartitionId(number))?;
            removed += bounds.start.0;
            ensure!(bounds.end.0 == 0 || bounds.start.0 > 0, "{name}/{number}: {bounds:?}");
        }
        ensure!(removed > 0, "{name} never had anything");
    }
    Ok(())
}

/// Where no state lies by key, events without one take turns, each handled once all the same.
#[test]
fn events_without_a_key_are_forwarded_where_no_state_lies_by_it() -> Result<()> {
    on_both("keyless", &tables(), |ground| {
        let home = Home::new(&binary("debug"), &ground.config)?;
        let one = |name: &str, partitions: u32| {
            format!(
                "[[subscription]]\nname = \"{name}\"\ntopics = [\"in\", \"more\"]\n\
                 envelope = \"raw\"\nrepartition = {partitions}\n\
                 [subscription.grants]\nemit = [\"answers\"]\n"
            )
        };
        let manifest = format!("[plugin]\nname = \"puppet\"\n{}{}", one("few", 2), one("many", 5));
        home.put("puppet.toml", manifest.as_bytes())?;
        home.put("puppet.wasm", &guest("puppet")?)?;
        let (host, client) = start(&home)?;
        for number in 0..60 {
            let (topic, _) = TOPICS[number % 2];
            let key = if number % 3 == 0 { format!("?key=k{number}") } else { String::new() };
            client.send_text(&format!("/topics/{topic}{key}"), "echo")?;
        }
        settle(&client, &host)?;
        let mut sent = Vec::new();
        for (topic, _) in TOPICS {
            let records = client.topic(topic)?.concat();
            ensure!(records.iter().any(|it| it.key.is_none()), "all of {topic} have keys");
            sent.extend(records.iter().map(|it| format!("{topic}/{}/{}", it.partition, it.offset)));
        }
        sent.sort();
        ensure!(sent.len() == 60, "{} events", sent.len());
        for subscription in ["few", "many"] {
            let source = format!("/keyless/{subscription}");
            let answers = client.topic("answers")?.concat();
            let own = answers.iter().filter(|it| it.header("ce_source") == Some(&*source));
            let mut causes: Vec<_> = own.filter_map(|it| it.header("ce_causationid")).collect();
            causes.sort_unstable();
            ensure!(causes == sent, "{subscription} handled {causes:?} of {sent:?}");
        }
        host.stop()
    })
}

/// How long after their events timers come due: long enough to stop what would run them.
const DUE: Duration = Duration::from_secs(10);

/// Timers that come due while nothing is handled wait, after a restart and after a pause, for what
/// was published before that, until it has been forwarded and handled.
#[test]
fn overdue_timers_wait_for_events_that_are_still_to_be_forwarded() -> Result<()> {
    on_both("waiting", &tables(), |ground| {
        let home = home(ground, "repartition = 6")?;
        let (host, client) = start(&home)?;
        let overdue = set_timers(&client, "restarted")?;
        pause(&home, &client)?;
        publish_rounds(&client, 0..4)?;
        wait_for(overdue)?;
        host.stop()?;
        home.put("tally.toml", manifest("repartition = 6").as_bytes())?;
        let (host, client) = start(&home)?;
        settle_with(&client, &host, 10)?;
        timers_are_last(&client, "restarted")?;

        let overdue = set_timers(&client, "resumed")?;
        pause(&home, &client)?;
        publish_rounds(&client, 4..8)?;
        wait_for(overdue)?;
        home.put("tally.toml", manifest("repartition = 6").as_bytes())?;
        settle_with(&client, &host, 20)?;
        timers_are_last(&client, "resumed")?;
        host.stop()
    })
}

/// Has `tally` set a timer for each key, named after `id`. When all are overdue.
fn set_timers(client: &Client, id: &str) -> Result<Instant> {
    for key in 0..KEYS {
        let payload =
            json!({ "id": format!("{id}-{key}"), "timer_ms": u64::try_from(DUE.as_millis())? });
        publish(client, ("in", &format!("k{key}")), &payload)?;
    }
    let overdue = Instant::now() + DUE;
    let set = wait::until(PATIENCE, || {
        let all = client.subscriptions()?;
        Ok(all.iter().all(|it| it.timers_pending == u64::from(KEYS)).then_some(()))
    })?;
    set.with_context(|| format!("{:?}", client.subscriptions()))?;
    Ok(overdue)
}

/// Pauses both subscriptions by their manifest.
fn pause(home: &Home, client: &Client) -> Result<()> {
    let text = manifest("repartition = 6").replace("topics =", "enabled = false\ntopics =");
    home.put("tally.toml", text.as_bytes())?;
    let paused = wait::until(PATIENCE, || {
        Ok(client.subscriptions()?.iter().all(|it| it.paused.is_some()).then_some(()))
    })?;
    paused.with_context(|| format!("{:?}", client.subscriptions()))?;
    let all = client.subscriptions()?;
    ensure!(all.iter().all(|it| it.timers_pending == u64::from(KEYS)), "too late: {all:?}");
    Ok(())
}

fn wait_for(moment: Instant) -> Result<()> {
    let come = wait::until(PATIENCE, || Ok((Instant::now() > moment).then_some(())))?;
    come.context("time stands still")
}

/// Waits until nothing is left to do and every key of both subscriptions has so many effects.
fn settle_with(client: &Client, host: &Process, effects: usize) -> Result<()> {
    let whole = effects * usize::try_from(KEYS)? * 2;
    let seen = wait::until(PATIENCE, || {
        Ok((client.topic("out")?.iter().flatten().count() >= whole).then_some(()))
    })?;
    seen.with_context(|| format!("not {whole} effects: {:?}", client.subscriptions()))?;
    settle(client, host)?;
    for subscription in ["tally", "other"] {
        for (key, events) in numbered(client, subscription)? {
            ensure!(events.len() == effects, "{subscription} has of {key}: {events:?}");
        }
    }
    Ok(())
}

/// The timer of every key took effect after all else there is of it.
fn timers_are_last(client: &Client, id: &str) -> Result<()> {
    for subscription in ["tally", "other"] {
        let numbered = numbered(client, subscription)?;
        ensure!(numbered.len() == usize::try_from(KEYS)?, "{} keys", numbered.len());
        for (key, events) in numbered {
            let timer = format!("timer:{id}-{}", &key[1..]);
            let last = events.last().map(|(_, id)| &**id);
            ensure!(last == Some(&*timer), "{subscription}: {timer} is not last: {events:?}");
        }
    }
    Ok(())
}
