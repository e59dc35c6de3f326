//! Local topics: what a handler emits there is handled within its own event, by everybody or by
//! nobody, on the embedded store and on Kafka alike.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::client::{Client, Stored, Subscription};
use gristmill_tests::support::component::{binary, guest};
use gristmill_tests::support::home::{Home, Process};
use gristmill_tests::support::wait;
use serde_json::json;

use super::both::{Ground, embedded, on_both, settle, start};

const PATIENCE: Duration = Duration::from_mins(2);
const TABLES: &str = r"[topics.defaults]
partitions = 4
[topics.in]
[topics.more]
[topics.answers]
[topics.out]
[topics.happened]
local = true
[topics.again]
local = true
[topics.counted]
local = true
";

/// `cause` does what events say, `first` and `second` do what it emits to `happened`, and `echo`
/// what any of them emits to `again`. `cause` is slow enough to be killed at work.
const PUPPETS: &str = r#"[[subscription]]
name = "cause"
topics = ["in", "more"]
events_per_second = 50
retry = { max_attempts = 3, initial_interval = "5ms", max_interval = "20ms" }
breaker.enabled = false
grants = { emit = ["answers", "happened", "again", "counted"], state = true }

[[subscription]]
name = "first"
topics = ["happened"]
grants = { emit = ["answers", "again"], state = true }

[[subscription]]
name = "second"
topics = ["happened"]
grants = { emit = ["answers"], state = true }

[[subscription]]
name = "echo"
topics = ["again"]
grants = { emit = ["answers", "again"] }
"#;

/// `count` and `recount` number what is emitted to `counted`.
const TALLIES: &str = r#"[[subscription]]
name = "count"
topics = ["counted"]
grants = { emit = ["out"], state = true, config = { to = "out" } }

[[subscription]]
name = "recount"
topics = ["counted"]
grants = { emit = ["out"], state = true, config = { to = "out" } }
"#;

fn home(ground: &Ground) -> Result<Home> {
    let home = Home::new(&binary("debug"), &ground.config)?;
    home.put("puppet.toml", PUPPETS.as_bytes())?;
    home.put("puppet.wasm", &guest("puppet")?)?;
    home.put("tally.toml", TALLIES.as_bytes())?;
    home.put("tally.wasm", &guest("tally")?)?;
    Ok(home)
}

/// Has `cause` obey a script, and gives what came to be said, as subscription and words.
fn said(client: &Client, host: &Process, script: &str) -> Result<Vec<(String, String)>> {
    let before = answers(client)?.len();
    client.send_text("/topics/in?key=k", script)?;
    settle(client, host)?;
    let told = answers(client)?.into_iter().skip(before);
    told.map(|record| Ok((subscription(&record)?, record.text()?))).collect()
}

/// What was answered to events of the one key that is asked with, in order.
fn answers(client: &Client) -> Result<Vec<Stored>> {
    Ok(client.topic("answers")?.concat())
}

fn subscription(record: &Stored) -> Result<String> {
    let source = record.header("ce_source").context("no source")?;
    Ok(source.rsplit('/').next().unwrap_or_default().to_owned())
}

fn expect(found: &[(String, String)], expected: &[(&str, &str)]) -> Result<()> {
    let found: Vec<(&str, &str)> = found.iter().map(|(who, what)| (&**who, &**what)).collect();
    ensure!(found == expected, "{found:?} is not {expected:?}");
    Ok(())
}

#[test]
fn local_events_are_handled_within_the_event_that_causes_them() -> Result<()> {
    on_both("causing", TABLES, |ground| {
        let home = home(ground)?;
        let (host, client) = start(&home)?;
        let found = said(&client, &host, "set n 3\ntell happened get n;set n 5;get n\nget n")?;
        let own = [("cause", "Ok(())"), ("cause", "Ok(())"), ("cause", "Some(3)")];
        let theirs = ["first", "second"]
            .map(|who| [(who, "None"), (who, "Ok(())"), (who, "Some(5)")])
            .concat();
        expect(&found, &[&own[..], &theirs[..]].concat())?;
        they_are_no_topics(&client)?;
        ids_and_causes_chain(&client)?;

        // What was kept is there for the next event of the key, everybody's own.
        let found = said(&client, &host, "get n\nlist  10\ntell happened get n;list  10")?;
        let own = [("cause", "Some(3)"), ("cause", "n None"), ("cause", "Ok(())")];
        let theirs = ["first", "second"].map(|who| [(who, "Some(5)"), (who, "n None")]).concat();
        expect(&found, &[&own[..], &theirs[..]].concat())?;
        let state = client.json("/state/cause/k")?;
        let names = state["values"].as_array().context("no values")?.iter();
        let names: Vec<&str> = names.filter_map(|value| value["name"].as_str()).collect();
        ensure!(names == ["local:first:n", "local:second:n", "n"], "{state}");
        host.stop()
    })
}

/// Nobody publishes to a local topic from outside, or reads it.
fn they_are_no_topics(client: &Client) -> Result<()> {
    let topics = client.topics()?;
    ensure!(topics.iter().all(|topic| topic != "happened"), "{topics:?}");
    let refused = client.ask("/topics/happened", &[], "{}")?;
    ensure!(refused.failure().starts_with("409 E0443"), "{refused:?}");
    Ok(())
}

/// Every answer has an id of its own; one to a local event names that as its cause, and the
/// correlation of what began it all.
fn ids_and_causes_chain(client: &Client) -> Result<()> {
    let answers = answers(client)?;
    let mut ids: Vec<&str> = answers.iter().filter_map(|it| it.header("ce_id")).collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    ensure!(ids.len() == count && count == answers.len(), "{answers:?}");
    let begun = client.topic("in")?.concat();
    let begun = begun.first().context("no event")?;
    let root = &*format!("in/{}/{}", begun.partition, begun.offset);
    for answer in &answers {
        let is_local = subscription(answer)? != "cause";
        ensure!(answer.header("ce_correlationid") == Some(root), "{answer:?}");
        ensure!((answer.header("ce_causationid") == Some(root)) != is_local, "{answer:?}");
    }
    let local = answers.iter().filter(|it| it.header("ce_causationid") != Some(root));
    let mut causes: Vec<_> = local.filter_map(|it| it.header("ce_causationid")).collect();
    causes.dedup();
    ensure!(causes.len() == 1, "both handlers were given one event: {causes:?}");
    Ok(())
}

#[test]
fn what_fails_locally_fails_what_caused_it() -> Result<()> {
    on_both("failing", TABLES, |ground| {
        let home = home(ground)?;
        let (host, client) = start(&home)?;
        // `first` could do it, `second` cannot: nothing of all that is done.
        let found = said(&client, &host, "set n 1\ntell happened set n 2\ntell again reject")?;
        expect(&found, &[])?;
        let found = said(&client, &host, "get n\ntell happened get n")?;
        let none = [("cause", "None"), ("cause", "Ok(())"), ("first", "None"), ("second", "None")];
        expect(&found, &none)?;
        expect(&said(&client, &host, "tell happened retry")?, &[])?;
        let mut letters = client.topic("in.cause.dlq")?.concat();
        letters.sort_by_key(|letter| letter.timestamp_ms);
        ensure!(letters.len() == 2, "{letters:?}");
        for (letter, (class, attempts, words)) in letters.iter().zip([
            ("rejected", "1", "\"echo\", of local topic \"again\": as asked"),
            ("retryable", "3", "\"first\", of local topic \"happened\": as asked"),
        ]) {
            let header = |name: &str| letter.header(name).unwrap_or_default();
            ensure!(header("dlq-error-class") == class, "{letter:?}");
            ensure!(header("dlq-attempts") == attempts, "{letter:?}");
            ensure!(header("dlq-error-message") == words, "{letter:?}");
        }
        host.stop()
    })
}

#[test]
fn a_chain_of_local_events_has_eight_links() -> Result<()> {
    let ground = embedded("chaining", TABLES);
    let home = home(&ground)?;
    let (host, client) = start(&home)?;
    for (links, last) in
        [(8, ""), (9, "Err(EmitError::LimitReached(\"8 local events in a chain\"))")]
    {
        let script = format!("{}echo", "tell again ".repeat(links));
        let found = said(&client, &host, &script)?;
        let of = |who: &str| found.iter().filter(|(by, _)| by == who).count();
        ensure!((of("cause"), of("echo")) == (1, 8), "{links}: {found:?}");
        let refused = found.iter().any(|(_, words)| words == last);
        ensure!(refused == (links > 8), "{links}: {found:?}");
        ensure!(found.iter().any(|(_, it)| it.starts_with("Event {")) != (links > 8), "{found:?}");
    }
    // The lane of another key is another's.
    let found = said(&client, &host, "key k again echo\nkey other again echo")?;
    let refused = found.get(1).is_some_and(|(_, words)| words.contains("EmitError::Invalid"));
    ensure!(refused && found.len() == 3, "{found:?}");
    host.stop()
}

#[test]
fn events_wait_for_a_local_handler_that_is_away() -> Result<()> {
    on_both("awaiting", TABLES, |ground| {
        let home = home(ground)?;
        let (host, client) = start(&home)?;
        client.post("/api/v1/subscriptions/count/pause")?;
        client.send_text("/topics/in?key=k", "tell counted {\"id\":\"a\"}")?;
        let failing = "gristmill_attempts_total{class=\"infrastructure\",plugin=\"puppet\",\
                       subscription=\"cause\"}";
        let waits = wait::until(PATIENCE, || {
            let metrics = client.get("/metrics")?;
            let count = metrics.lines().find_map(|line| line.strip_prefix(failing));
            Ok(count.filter(|count| count.trim() != "0").map(str::to_owned))
        })?;
        waits.with_context(|| format!("it does not wait:\n{}", host.tail()))?;
        // Others need nobody who is away.
        ensure!(client.topic("out")?.concat().is_empty(), "it was handled by one of two");
        client.send_text("/topics/in?key=other", "tell happened echo")?;
        let answered = wait::until(PATIENCE, || Ok((answers(&client)?.len() == 3).then_some(())))?;
        answered.with_context(|| format!("others wait as well:\n{}", host.tail()))?;
        client.post("/api/v1/subscriptions/count/resume")?;
        settle(&client, &host)?;
        let mut done: Vec<String> =
            client.topic("out")?.concat().iter().map(subscription).collect::<Result<_>>()?;
        done.sort();
        ensure!(done == ["count", "recount"], "{done:?}");
        host.stop()
    })
}

const KEYS: u32 = 7;
const ROUNDS: u32 = 30;

/// Publishes events whose local events are to be numbered, some of which fail at first. Each takes
/// some tens of milliseconds, and none is begun before all are there.
fn publish_rounds(client: &Client, rounds: Range<u32>) -> Result<()> {
    client.post("/api/v1/subscriptions/cause/pause")?;
    for topic in ["in", "more"] {
        for key in 0..KEYS {
            for round in rounds.clone() {
                let fails = u32::from((round + key) % 9 == 0);
                let entry = json!({ "id": format!("{topic}-{round:04}"), "fails": fails });
                let script = format!("spin 20\ntell counted {entry}");
                client.send_text(&format!("/topics/{topic}?key=k{key}"), &script)?;
            }
        }
    }
    client.post("/api/v1/subscriptions/cause/resume")
}

/// Every local event was numbered once by each of its handlers, those of one key and topic in the
/// order of their causes, and each cause was answered once.
fn check(client: &Client) -> Result<()> {
    // What a host knows to be committed, a reader of the topic sees a moment later.
    let causes = usize::try_from(2 * KEYS * ROUNDS)?;
    let all = wait::until(PATIENCE, || {
        let out = client.topic("out")?.concat().len();
        Ok((answers(client)?.len() >= causes && out >= 2 * causes).then_some(()))
    })?;
    all.context("answers are missing")?;
    ensure!(answers(client)?.len() == causes, "answers repeat");
    for handler in ["count", "recount"] {
        let mut numbered: BTreeMap<String, Vec<(u64, String)>> = BTreeMap::new();
        for record in client.topic("out")?.concat() {
            if subscription(&record)? == handler {
                let number = record.payload["number"].as_u64().context("a number")?;
                let id = record.payload["id"].as_str().context("an id")?.to_owned();
                numbered.entry(record.key.context("a key")?).or_default().push((number, id));
            }
        }
        ensure!(numbered.len() == usize::try_from(KEYS)?, "{:?}", numbered.keys());
        for (key, mut events) in numbered {
            events.sort();
            let numbers: Vec<u64> = events.iter().map(|(number, _)| *number).collect();
            let expected: Vec<u64> = (1..=u64::from(2 * ROUNDS)).collect();
            ensure!(numbers == expected, "{handler} numbered {key} {numbers:?}");
            for topic in ["in", "more"] {
                let ids: Vec<&String> =
                    events.iter().map(|(_, id)| id).filter(|id| id.starts_with(topic)).collect();
                let sent: Vec<String> = (0..ROUNDS).map(|it| format!("{topic}-{it:04}")).collect();
                ensure!(ids == sent.iter().collect::<Vec<_>>(), "{handler}, {key}: {ids:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_killed_host_repeats_and_loses_no_local_event() -> Result<()> {
    on_both("killing", TABLES, |ground| {
        let home = home(ground)?;
        let (mut host, mut client) = start(&home)?;
        let all = u64::from(2 * KEYS * ROUNDS / 2);
        for begin in [0, ROUNDS / 2] {
            publish_rounds(&client, begin..begin + ROUNDS / 2)?;
            let is_busy = wait::until(PATIENCE, || {
                let open: u64 = client.subscriptions()?.iter().map(Subscription::unsettled).sum();
                ensure!(open > 0, "all was done before the kill");
                Ok((open < all).then_some(()))
            })?;
            is_busy.with_context(|| format!("nothing moves:\n{}", host.tail()))?;
            host.kill()?;
            (host, client) = start(&home)?;
        }
        settle(&client, &host)?;
        check(&client)?;
        host.stop()
    })
}
