//! Commands: their sender is answered with what the handler made durable, once, whatever happens in
//! between; on the embedded store and on Kafka alike.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use gristmill_tests::support::client::{Answer, Client, Stored};
use gristmill_tests::support::component::{binary, guest};
use gristmill_tests::support::home::Home;
use gristmill_tests::support::{process, wait};
use serde_json::Value;

use super::both::{Ground, on_both, on_kafka, start};

const PATIENCE: Duration = Duration::from_mins(2);
/// Senders that may wait at once.
const WAITING_MAX: usize = 8;

/// `obey` and `hasty` are handled by `puppet`, which does what they say and answers in `answers`;
/// `fragile` and `frail` by `glass`, which breaks.
const TABLES: &str = r#"[topics.defaults]
partitions = 4
[topics.in]
[topics.more]
[topics.answers]

[commands]
waiting_max = 8

[commands.obey]
topic = "in"
subscription = "puppet"
reply = "answers"
timeout = "1m"

[commands.hasty]
topic = "in"
subscription = "puppet"
reply = "answers"
type = "order.hasten"
timeout = "1s"

[commands.fragile]
topic = "more"
subscription = "glass"
reply = "answers"
fallback_reply = '{ "status": "later" }'

[commands.frail]
topic = "more"
subscription = "glass"
reply = "answers"

[commands.orphan]
topic = "more"
subscription = "nobody"
reply = "answers"
"#;

const MANIFEST: &str = r#"[[subscription]]
name = "puppet"
topics = ["in"]
retry.max_attempts = 1
grants.emit = ["answers"]

[[subscription]]
name = "glass"
topics = ["more"]
concurrency = 1
retry.initial_interval = "1h"
retry.max_interval = "1h"
breaker = { attempts = 5, pause = "5m", fallback = "broken" }
grants.emit = ["answers"]
"#;

fn home(ground: &Ground) -> Result<Home> {
    let home = Home::new(&binary("debug"), &ground.config)?;
    home.put("puppet.toml", MANIFEST.as_bytes())?;
    home.put("puppet.wasm", &guest("puppet")?)?;
    Ok(home)
}

/// Sends a command under an idempotency key.
fn named(client: &Client, command: &str, key: &str, body: &str) -> Result<Answer> {
    client.ask(&format!("/commands/{command}"), &[("idempotency-key", key)], body)
}

/// The records of a topic that an event caused.
fn caused(client: &Client, topic: &str, id: &str) -> Result<Vec<Stored>> {
    let mut records = client.topic(topic)?.concat();
    records.retain(|record| record.header("ce_causationid") == Some(id));
    Ok(records)
}

/// The records of a topic that are that event.
fn published(client: &Client, topic: &str, id: &str) -> Result<Vec<Stored>> {
    let mut records = client.topic(topic)?.concat();
    records.retain(|record| record.header("ce_id") == Some(id));
    Ok(records)
}

fn ensure_failure(answer: &Answer, expected: &str, word: &str) -> Result<()> {
    let holds = answer.failure() == expected && answer.text.contains(word);
    ensure!(holds, "not {expected} with {word:?}: {answer:?}");
    Ok(())
}

#[test]
fn a_sender_is_answered_with_what_its_handler_emitted() -> Result<()> {
    on_both("asking", TABLES, |ground| {
        let (host, client) = start(&home(ground)?)?;
        let path = "/commands/obey?key=k7";
        let headers = [("ce-subject", "S%C3%A4ge"), ("x-header-tenant", "t-1")];
        let answer = client.ask(path, &headers, "echo")?;
        let id = answer.header("command-id");
        ensure!(answer.status == 200 && id.starts_with("obey/"), "{answer:?}");
        ensure!(answer.header("ce-causationid") == id, "{answer:?}");
        ensure!(answer.header("content-type") == "application/json", "{answer:?}");
        for word in [id, "/asking/commands", "\"obey\"", "Säge", "tenant"] {
            ensure!(answer.text.contains(word), "the handler saw no {word}: {answer:?}");
        }
        let replies = caused(&client, "answers", id)?;
        ensure!(replies.len() == 1, "{replies:?}");
        ensure!(replies[0].header("ce_id") == Some(answer.header("ce-id")), "{replies:?}");
        let command = published(&client, "in", id)?;
        ensure!(command.len() == 1 && command[0].key.as_deref() == Some("k7"), "{command:?}");
        ensure!(command[0].header("ce_type") == Some("obey"), "{command:?}");
        // A reply and more: one answers.
        let answer = client.ask("/commands/hasty", &[], "config a\nconfig b")?;
        ensure!(answer.status == 200 && answer.text == "Ok(None)", "{answer:?}");
        let again = client.ask("/commands/obey", &[], "echo")?;
        ensure!(again.header("command-id") != id, "an id came twice: {again:?}");
        refusals(&client)?;
        from_the_command_line(&client)?;
        host.stop()
    })
}

/// `gristmill send` with this data: its exit code, what it says, and what it complains of.
fn send(client: &Client, key: &str, data: &str) -> Result<(Option<i32>, String, String)> {
    let mut child = Command::new(binary("debug"))
        .args(["--json", "send", "obey", "--url", client.url(), "--idempotency-key", key])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("no input")?.write_all(data.as_bytes())?;
    let output = child.wait_with_output()?;
    Ok((output.status.code(), String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?))
}

fn from_the_command_line(client: &Client) -> Result<()> {
    for is_replayed in [false, true] {
        let (code, said, complaints) = send(client, "typed", "config a")?;
        ensure!(code == Some(0), "{code:?}: {complaints}");
        let answer: Value = serde_json::from_str(&said)?;
        ensure!(answer["status"] == 200 && answer["reply"] == "Ok(None)", "{answer}");
        ensure!(answer["replayed"] == is_replayed, "{answer}");
        let id = answer["command_id"].as_str().unwrap_or_default();
        ensure!(id.starts_with("obey/key-"), "{answer}");
    }
    let (code, said, complaints) = send(client, "refused", "reject")?;
    ensure!(code == Some(1) && said.contains("E0437"), "{code:?} {said} {complaints}");
    Ok(())
}

/// What cannot be sent is refused, and nothing of it is published.
fn refusals(client: &Client) -> Result<()> {
    let before = (client.ends("in")?, client.ends("more")?);
    ensure_failure(&client.ask("/commands/obay", &[], "echo")?, "404 E0420", "obey")?;
    let orphan = client.ask("/commands/orphan", &[], "echo")?;
    ensure_failure(&orphan, "503 E0435", "nobody")?;
    ensure!(orphan.header("retry-after") == "1", "{orphan:?}");
    ensure_failure(&named(client, "obey", "a b", "echo")?, "400 E0415", "Idempotency-Key")?;
    let event = [("content-type", "application/cloudevents+json")];
    ensure_failure(&client.ask("/commands/obey", &event, "{}")?, "415 E0423", "CloudEvent")?;
    ensure_failure(&client.ask("/commands/obey?k=v", &[], "echo")?, "400 E0415", "key")?;
    let large = "x".repeat(1 << 20);
    ensure_failure(&client.ask("/commands/obey", &[], &large)?, "413 E0413", "in")?;
    ensure!((client.ends("in")?, client.ends("more")?) == before, "something was published");
    Ok(())
}

#[test]
fn a_named_command_is_handled_once_and_answered_again() -> Result<()> {
    on_both("naming", TABLES, |ground| {
        let home = home(ground)?;
        let (host, client) = start(&home)?;
        // Many at once, before there is an answer.
        let answers = thread::scope(|scope| -> Result<Vec<Answer>> {
            let senders: Vec<_> = (0..WAITING_MAX)
                .map(|_| scope.spawn(|| named(&client, "obey", "many", "echo")))
                .collect();
            let joined = senders.into_iter().map(|it| it.join().map_err(|_panic| anyhow!("panic")));
            joined.map(|answer| answer.and_then(|it| it)).collect()
        })?;
        let ids: BTreeSet<_> = answers.iter().map(|it| it.header("ce-id")).collect();
        ensure!(ids.len() == 1 && answers.iter().all(|it| it.status == 200), "{answers:?}");
        let first = &answers[0];
        let id = first.header("command-id").to_owned();
        let sent = published(&client, "in", &id)?.len();
        let again = named(&client, "obey", "\"many\"", "another body")?;
        ensure!(again.header("idempotent-replayed") == "true", "{again:?}");
        ensure!((again.status, &again.text) == (200, &first.text), "{again:?} of {first:?}");
        ensure!(published(&client, "in", &id)?.len() == sent, "it was published again");
        ensure!(caused(&client, "answers", &id)?.len() == 1, "it was handled again");
        let other = named(&client, "hasty", "many", "echo")?;
        ensure!(other.header("command-id") != id, "a key is of one command: {other:?}");
        // What is rejected stays so, whatever is sent.
        ensure_failure(&named(&client, "obey", "bad", "reject")?, "422 E0437", "as asked")?;
        let again = named(&client, "obey", "bad", "echo")?;
        ensure_failure(&again, "422 E0437", "as asked")?;
        ensure!(again.header("idempotent-replayed") == "true", "{again:?}");
        ensure_failure(&named(&client, "obey", "odd", "nonsense")?, "502 E0437", "trap")?;
        host.stop()?;
        let (host, client) = start(&home)?;
        let again = named(&client, "obey", "many", "echo")?;
        ensure!(again.header("idempotent-replayed") == "true", "after a restart: {again:?}");
        ensure!(again.header("ce-id") == first.header("ce-id"), "{again:?}");
        ensure_failure(&named(&client, "obey", "bad", "echo")?, "422 E0437", "as asked")?;
        ensure!(caused(&client, "answers", &id)?.len() == 1, "it was handled again");
        host.stop()
    })
}

#[test]
fn a_sender_waits_no_longer_than_its_command_says_and_may_ask_again() -> Result<()> {
    on_both("waiting", TABLES, |ground| {
        let (host, client) = start(&home(ground)?)?;
        client.post("/api/v1/subscriptions/puppet/pause")?;
        let late = named(&client, "hasty", "late", "echo")?;
        ensure_failure(&late, "504 E0436", "paused (operator)")?;
        let id = late.header("command-id").to_owned();
        ensure!(published(&client, "in", &id)?.len() == 1, "{late:?}");
        let (patient, waiting) = (client.patient(), "gristmill_commands_waiting");
        let answers = thread::scope(|scope| -> Result<Vec<Answer>> {
            let patient = &patient;
            let senders: Vec<_> = (0..WAITING_MAX)
                .map(|_| scope.spawn(move || patient.ask("/commands/obey", &[], "echo")))
                .collect();
            let full = wait::until(PATIENCE, || {
                let line = format!("{waiting} {WAITING_MAX}\n");
                Ok(client.get("/metrics")?.contains(&line).then_some(()))
            })?;
            let refused = client.ask("/commands/obey", &[], "echo");
            client.post("/api/v1/subscriptions/puppet/resume")?;
            full.context("not all wait")?;
            ensure_failure(&refused?, "503 E0440", "8 senders")?;
            let joined = senders.into_iter().map(|it| it.join().map_err(|_panic| anyhow!("panic")));
            joined.map(|answer| answer.and_then(|it| it)).collect()
        })?;
        ensure!(answers.iter().all(|it| it.status == 200), "{answers:?}");
        let ids: BTreeSet<_> = answers.iter().map(|it| it.header("command-id")).collect();
        ensure!(ids.len() == WAITING_MAX, "{answers:?}");
        let answer = named(&client, "hasty", "late", "echo")?;
        ensure!(answer.status == 200 && answer.header("command-id") == id, "{answer:?}");
        ensure!(caused(&client, "answers", &id)?.len() == 1, "it was handled twice");
        let metrics = client.get("/metrics")?;
        for line in [
            "gristmill_commands_total{command=\"hasty\",outcome=\"timed_out\"} 1",
            "gristmill_commands_total{command=\"obey\",outcome=\"replied\"} 8",
            "gristmill_commands_total{command=\"obey\",outcome=\"refused\"} 1",
            "gristmill_command_duration_seconds_count{command=\"obey\"} 8",
            "gristmill_commands_waiting 0",
        ] {
            ensure!(metrics.lines().any(|it| it == line), "no {line}");
        }
        host.stop()
    })
}

#[test]
fn a_command_that_falls_back_answers_with_its_fallback_reply() -> Result<()> {
    on_both("breaking", TABLES, |ground| {
        let (host, client) = start(&home(ground)?)?;
        for number in 0..40 {
            client.send_text(&format!("/topics/more?key=k{number}"), "retry")?;
        }
        let open = "gristmill_breaker_transitions_total{state=\"open\",subscription=\"glass\"} 2";
        let opened = wait::until(PATIENCE, || {
            Ok(client.get("/metrics")?.lines().any(|it| it == open).then_some(()))
        })?;
        opened.context("a breaker stays closed")?;
        let answer = named(&client, "fragile", "one", "echo")?;
        ensure!(answer.status == 202, "{answer:?}");
        ensure!(answer.text == "{ \"status\": \"later\" }", "{answer:?}");
        ensure!(answer.header("content-type") == "application/json", "{answer:?}");
        let fallen = published(&client, "broken", answer.header("command-id"))?;
        ensure!(fallen.len() == 1, "{fallen:?}");
        let again = named(&client, "fragile", "one", "echo")?;
        ensure!(again.header("idempotent-replayed") == "true" && again.status == 202, "{again:?}");
        let frail = client.ask("/commands/frail", &[], "echo")?;
        ensure_failure(&frail, "503 E0438", "glass")?;
        host.stop()
    })
}

/// A broker that does not answer may have taken a command all the same.
#[test]
fn a_sender_is_told_when_nobody_knows_whether_its_command_is_published() -> Result<()> {
    on_kafka("doubting", TABLES, |ground| {
        let cluster = ground.cluster.as_ref().context("no cluster")?;
        let (host, client) = start(&home(ground)?)?;
        let works = wait::until(PATIENCE, || {
            Ok((named(&client, "hasty", "before", "echo")?.status == 200).then_some(()))
        })?;
        works.context("it does not work")?;
        for broker in cluster.processes() {
            process::signal(broker, "STOP")?;
        }
        let lost = named(&client, "hasty", "lost", "echo");
        for broker in cluster.processes() {
            process::signal(broker, "CONT")?;
        }
        let lost = lost?;
        ensure_failure(&lost, "503 E0439", "hasty")?;
        let found = wait::until(PATIENCE, || {
            Ok(Some(named(&client, "hasty", "lost", "echo")?).filter(|it| it.status == 200))
        })?;
        let found = found.context("it is never answered")?;
        let id = found.header("command-id");
        ensure!(id == lost.header("command-id"), "{found:?} after {lost:?}");
        ensure!(caused(&client, "answers", id)?.len() == 1, "it was handled twice");
        host.stop()
    })
}

/// Whoever takes a command in, and whoever handles it, its sender is answered.
#[test]
fn hosts_answer_for_each_other() -> Result<()> {
    on_kafka("sharing", TABLES, |ground| {
        let (one_home, other_home) = (home(ground)?, home(ground)?);
        let (one, one_client) = start(&one_home)?;
        let (other, other_client) = start(&other_home)?;
        let shared = wait::until(PATIENCE, || {
            let members = one_client.json("/api/v1/groups/sharing-puppet")?;
            Ok(members["members"].as_array().is_some_and(|it| it.len() == 2).then_some(()))
        })?;
        shared.context("the hosts share nothing")?;
        for number in 0..20 {
            for (client, peer) in [(&one_client, &other_client), (&other_client, &one_client)] {
                let key = format!("key-{number}-{}", client.url());
                let path = format!("/commands/obey?key=k{number}");
                let named = [("idempotency-key", &*key)];
                let answer = client.ask(&path, &named, "echo")?;
                ensure!(answer.status == 200, "{answer:?}");
                let again = peer.ask(&path, &named, "echo")?;
                ensure!(again.header("ce-id") == answer.header("ce-id"), "{again:?} of {answer:?}");
                let id = answer.header("command-id");
                ensure!(caused(client, "answers", id)?.len() == 1, "handled twice: {answer:?}");
            }
        }
        one.stop()?;
        other.stop()
    })
}
