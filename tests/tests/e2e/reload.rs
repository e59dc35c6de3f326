//! Files dropped into the plugin directory of a running host, good and bad: what is good goes
//! live, what is bad changes nothing and says why, and the rest of the host is untouched.

use std::time::Duration;

use anyhow::{Context, Result};
use gristmill_tests::support::client::Client;
use gristmill_tests::support::component::{binary, guest, marked};
use gristmill_tests::support::home::{Home, Process};
use gristmill_tests::support::wait;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_mins(1);
const CONFIG: &str = "listen = \"127.0.0.1:0\"\ndata_dir = \"data\"\nworkers = 2\n\
    [topics.in]\n[topics.out]\n";
const MANIFEST: &str = "[[subscription]]\nname = \"tally\"\ntopics = [\"in\"]\n\
    envelope = \"json\"\n[subscription.fields]\nid = \"/id\"\n[subscription.grants]\n\
    emit = [\"out\"]\nstate = true\ntimers = true\nconfig = { to = \"out\" }\n";

fn running() -> Result<(Home, Process, Client)> {
    let home = Home::new(&binary("debug"), CONFIG)?;
    home.put("tally.toml", MANIFEST.as_bytes())?;
    home.put("tally.wasm", &guest("tally")?)?;
    let mut host = home.start(&[])?;
    let client = host.must_be_ready()?;
    Ok((home, host, client))
}

fn plugin(client: &Client, name: &str) -> Result<Value> {
    let plugins = client.json("/api/v1/plugins")?;
    let plugins = plugins["plugins"].as_array().context("plugins")?.clone();
    plugins.into_iter().find(|it| it["name"] == name).with_context(|| format!("plugin {name}"))
}

/// Waits until the plugin looks so, and returns it.
fn when(client: &Client, name: &str, holds: impl Fn(&Value) -> bool) -> Result<Value> {
    let seen = wait::until(PATIENCE, || Ok(plugin(client, name).ok().filter(|it| holds(it))))?;
    seen.with_context(|| format!("plugin {name} is still {:?}", plugin(client, name)))
}

/// Publishes one event and waits for what comes of it.
fn still_works(client: &Client, id: &str) -> Result<()> {
    client.send("/topics/in?key=k", &json!({"id": id}))?;
    let seen = wait::until(PATIENCE, || {
        let out = client.topic("out")?;
        Ok(out.iter().flatten().any(|it| it.payload["id"] == id).then_some(()))
    })?;
    seen.with_context(|| format!("nothing came of event {id}"))
}

#[test]
fn a_bad_file_changes_nothing_and_says_why() -> Result<()> {
    let (home, _host, client) = running()?;
    let good = plugin(&client, "tally")?["digest"].clone();
    let rows: &[(&str, Vec<u8>, &str)] = &[
        ("tally.wasm", b"not wasm at all".to_vec(), "E0311"),
        ("tally.wasm", b"\0asm\x01\0\0\0".to_vec(), "core module"),
        ("tally.toml", b"[[subscription]]\ntopic = [\"in\"]\n".to_vec(), "topics"),
        ("tally.toml", MANIFEST.replace("\"in\"", "\"inn\"").into_bytes(), "E0120"),
        ("tally.toml", b"[[subscription".to_vec(), "E0101"),
    ];
    for (at, (file, bytes, why)) in rows.iter().enumerate() {
        home.put(file, bytes)?;
        let refused = when(&client, "tally", |it| {
            it["error"].as_str().is_some_and(|error| error.contains(why))
        })?;
        assert_eq!(refused["digest"], good, "{why}");
        assert_eq!(refused["state"], "running", "{why}");
        still_works(&client, &format!("after-{at}"))?;
        home.put("tally.toml", MANIFEST.as_bytes())?;
        home.put("tally.wasm", &guest("tally")?)?;
        when(&client, "tally", |it| it["error"].is_null())?;
    }
    let log = std::fs::read_to_string(home.log())?;
    assert!(log.contains("plugin version refused"), "{log}");
    Ok(())
}

#[test]
fn a_second_plugin_may_not_take_a_subscriptions_name() -> Result<()> {
    let (home, _host, client) = running()?;
    home.put("other.toml", MANIFEST.as_bytes())?;
    home.put("other.wasm", &guest("tally")?)?;
    let refused = when(&client, "other", |it| it["state"] == "failed")?;
    let error = refused["error"].as_str().unwrap_or_default();
    assert!(error.contains("E0119") && error.contains("tally.toml"), "{error}");
    assert!(!client.is_ready(), "a plugin that cannot run is a reason not to be ready");
    still_works(&client, "first-goes-on")
}

#[test]
fn files_removed_pause_the_subscription_and_files_put_back_resume_it() -> Result<()> {
    let (home, _host, client) = running()?;
    still_works(&client, "before")?;
    std::fs::remove_file(home.plugins().join("tally.wasm"))?;
    std::fs::remove_file(home.plugins().join("tally.toml"))?;
    when(&client, "tally", |it| it["state"] == "removed")?;
    client.send("/topics/in?key=k", &json!({"id": "meanwhile"}))?;
    home.put("tally.toml", MANIFEST.as_bytes())?;
    home.put("tally.wasm", &guest("tally")?)?;
    when(&client, "tally", |it| it["state"] == "running")?;
    still_works(&client, "after")?;
    let numbers: Vec<_> =
        client.topic("out")?.concat().iter().map(|it| it.payload["number"].clone()).collect();
    assert_eq!(numbers, [json!(1), json!(2), json!(3)], "nothing was lost meanwhile");
    Ok(())
}

#[test]
fn a_rollback_holds_until_the_files_change_also_over_a_restart() -> Result<()> {
    let (home, mut host, client) = running()?;
    let first = plugin(&client, "tally")?["digest"].clone();
    home.put("tally.wasm", &marked(&guest("tally")?, "second"))?;
    let second = when(&client, "tally", |it| it["digest"] != first)?["digest"].clone();
    assert_eq!(plugin(&client, "tally")?["history"].as_array().map(Vec::len), Some(2));

    client.send("/api/v1/plugins/tally/rollback", &json!({}))?;
    let back = when(&client, "tally", |it| it["digest"] == first)?;
    assert_eq!(back["pinned"], true);
    still_works(&client, "rolled-back")?;

    host.kill()?;
    let mut host = home.start(&[])?;
    let client = host.must_be_ready()?;
    let restarted = plugin(&client, "tally")?;
    assert_eq!((&restarted["digest"], &restarted["pinned"]), (&first, &json!(true)));

    home.put("tally.wasm", &marked(&guest("tally")?, "third"))?;
    let third = when(&client, "tally", |it| it["digest"] != first)?;
    assert!(third["digest"] != second && third["pinned"] == false, "{third}");
    still_works(&client, "third")
}

#[test]
fn a_subscription_an_operator_paused_stays_paused_over_a_restart() -> Result<()> {
    let (home, mut host, client) = running()?;
    client.send("/api/v1/subscriptions/tally/pause", &json!({}))?;
    client.send("/topics/in?key=k", &json!({"id": "waits"}))?;
    host.kill()?;
    let mut host = home.start(&[])?;
    let client = host.must_be_ready()?;
    let paused = client.json("/api/v1/subscriptions")?;
    assert_eq!(paused["subscriptions"][0]["paused"], "operator", "{paused}");
    assert!(client.topic("out")?.concat().is_empty());
    client.send("/api/v1/subscriptions/tally/resume", &json!({}))?;
    still_works(&client, "resumed")?;
    let out = client.topic("out")?.concat();
    assert_eq!(out.first().map(|it| it.payload["id"].clone()), Some(json!("waits")));
    Ok(())
}

#[test]
fn a_subscription_its_policy_paused_stays_paused_until_an_operator_resumes_it() -> Result<()> {
    const PUPPET: &str = "[[subscription]]\nname = \"puppet\"\ntopics = [\"in\"]\n\
        on_exhausted = \"pause-subscription\"\n[subscription.grants]\nemit = [\"answers\"]\n\
        [subscription.retry]\nmax_attempts = 1\n";
    let home = Home::new(&binary("debug"), &format!("{CONFIG}[topics.answers]\n"))?;
    home.put("puppet.toml", PUPPET.as_bytes())?;
    home.put("puppet.wasm", &guest("puppet")?)?;
    let mut host = home.start(&[])?;
    let client = host.must_be_ready()?;
    let paused = |client: &Client| -> Result<Value> {
        Ok(client.json("/api/v1/subscriptions")?["subscriptions"][0]["paused"].clone())
    };
    client.send_text("/topics/in?key=fails", "retry")?;
    let by_policy = || Ok((paused(&client)? == "policy").then_some(()));
    wait::until(PATIENCE, by_policy)?.context("the policy does not pause the subscription")?;
    client.send_text("/topics/in?key=other", "echo")?;
    host.kill()?;
    let mut host = home.start(&[])?;
    let client = host.must_be_ready()?;
    assert_eq!(paused(&client)?, "policy");
    assert!(client.topic("answers")?.concat().is_empty());
    client.send("/api/v1/subscriptions/puppet/resume", &json!({}))?;
    let answered = || Ok((!client.topic("answers")?.concat().is_empty()).then_some(()));
    wait::until(PATIENCE, answered)?.context("resumed, it does not answer")
}

#[test]
fn a_topic_that_a_plugin_may_fill_is_made_where_publishing_makes_topics() -> Result<()> {
    const OPEN: &str = "listen = \"127.0.0.1:0\"\ndata_dir = \"data\"\nworkers = 2\n\
        [topics]\ncreate_on_publish = true\n[topics.in]\n";
    let home = Home::new(&binary("debug"), OPEN)?;
    home.put("tally.toml", MANIFEST.as_bytes())?;
    home.put("tally.wasm", &guest("tally")?)?;
    let mut host = home.start(&[])?;
    still_works(&host.must_be_ready()?, "one")
}

#[test]
fn a_topic_made_anew_begins_anew() -> Result<()> {
    const BARE: &str = "listen = \"127.0.0.1:0\"\ndata_dir = \"data\"\nworkers = 2\n\
        [topics.out]\n";
    let home = Home::new(&binary("debug"), BARE)?;
    let mut numbers = Vec::new();
    for life in 1..=2 {
        let mut host = home.start(&[])?;
        let client = host.must_be_ready()?;
        client.send("/api/v1/topics", &json!({"name": "in"}))?;
        home.put("tally.toml", MANIFEST.as_bytes())?;
        home.put("tally.wasm", &guest("tally")?)?;
        when(&client, "tally", |it| it["state"] == "running")?;
        client.send("/topics/in?key=k", &json!({"id": "one"}))?;
        client.send("/topics/in?key=k", &json!({"id": "one"}))?;
        client.send("/topics/in?key=k", &json!({"id": "two"}))?;
        // Two of each life: what the former one left is there already.
        let out = wait::until(PATIENCE, || {
            let out = client.topic("out")?.concat();
            Ok((out.len() >= 2 * life).then_some(out))
        })?;
        let out = out.with_context(|| format!("nothing came of life {life}:\n{}", host.tail()))?;
        numbers = out.iter().map(|it| it.payload["number"].clone()).collect();
        // A topic is only deleted when no subscription reads it.
        std::fs::remove_file(home.plugins().join("tally.wasm"))?;
        std::fs::remove_file(home.plugins().join("tally.toml"))?;
        host.kill()?;
        let mut host = home.start(&[])?;
        host.must_be_ready()?.delete("/api/v1/topics/in")?;
        host.kill()?;
    }
    // The same ids again: no mark of the former life counts, and the state of the key stays.
    assert_eq!(numbers, [1, 2, 3, 4].map(|number| json!(number)));
    Ok(())
}

#[test]
fn a_restart_does_not_compile_again() -> Result<()> {
    let (home, mut host, _client) = running()?;
    let compiled = |home: &Home| -> Result<Vec<_>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(home.path().join("data/compiled"))? {
            let entry = entry?;
            files.push((entry.file_name(), entry.metadata()?.modified()?));
        }
        files.sort();
        Ok(files)
    };
    let before = compiled(&home)?;
    assert!(!before.is_empty());
    host.kill()?;
    let mut host = home.start(&[])?;
    let client = host.must_be_ready()?;
    still_works(&client, "cached")?;
    assert_eq!(compiled(&home)?, before);
    Ok(())
}

#[test]
fn topics_that_an_expression_matches_are_read_as_they_come() -> Result<()> {
    let home = Home::new(&binary("debug"), &CONFIG.replace("[topics.in]\n", ""))?;
    let manifest = MANIFEST.replace("[\"in\"]", "['^in-.*']\nstart = \"latest\"");
    home.put("tally.toml", manifest.as_bytes())?;
    home.put("tally.wasm", &guest("tally")?)?;
    let mut host = home.start(&[])?;
    let client = host.listens()?;
    let error = |it: &Value| it["error"].as_str().unwrap_or_default().to_owned();
    let refused = when(&client, "tally", |it| !it["error"].is_null())?;
    assert!(error(&refused).contains("no topic matches `^in-.*`"), "{refused}");

    client.send("/api/v1/topics", &json!({"name": "in-a", "partitions": 2}))?;
    when(&client, "tally", |it| it["state"] == "running" && it["error"].is_null())?;
    for (topic, id) in [("in-a", "first"), ("in-b", "second"), ("in-c", "third")] {
        if topic != "in-a" {
            client.send("/api/v1/topics", &json!({"name": topic, "partitions": 2}))?;
        }
        // Nobody waits until the topic is read: it is read from its beginning.
        client.send(&format!("/topics/{topic}?key=k"), &json!({"id": id}))?;
        client.send(&format!("/topics/{topic}?key=k"), &json!({"id": "bad", "poison": true}))?;
        let seen = wait::until(PATIENCE, || {
            let out = client.topic("out")?;
            Ok(out.iter().flatten().any(|it| it.payload["id"] == id).then_some(()))
        })?;
        seen.with_context(|| format!("nothing came of {id}: {}", host.tail()))?;
    }
    let letters = wait::until(PATIENCE, || {
        let dead = client.topic("in-a.tally.dlq")?;
        Ok((dead.iter().flatten().count() == 1).then_some(()))
    })?;
    letters.context("the dead letter of in-a")?;
    let topics = client.topics()?;
    assert!(topics.iter().all(|it| !it.contains("dlq.tally")), "{topics:?}");
    assert!(client.delete("/api/v1/topics/in-b").is_err(), "a topic that is read was deleted");
    host.stop()
}

#[test]
fn attempts_that_run_when_another_version_comes_are_not_made_again() -> Result<()> {
    let home = Home::new(&binary("debug"), &format!("{CONFIG}[topics.answers]\n"))?;
    let manifest = |number: u32| {
        format!(
            "# version {number}\n[[subscription]]\nname = \"puppet\"\ntopics = [\"in\"]\n\
             envelope = \"raw\"\ngrants.emit = [\"answers\"]\n\
             limits.instances = {{ reuse = {number} }}\n"
        )
    };
    home.put("puppet.toml", manifest(1).as_bytes())?;
    home.put("puppet.wasm", &guest("puppet")?)?;
    let mut host = home.start(&[])?;
    let client = host.must_be_ready()?;
    let mut published = 0;
    for number in 2..6 {
        for key in 0..100 {
            client.send_text(&format!("/topics/in?key=k{key}"), "spin 2\necho")?;
            published += 1;
        }
        home.put("puppet.toml", manifest(number).as_bytes())?;

        let seen = wait::until(PATIENCE, || {
            let log = std::fs::read_to_string(home.log())?;
            // Once by each worker.
            let times = log.matches("plugin version in use").count();
            Ok((times >= 2 * usize::try_from(number - 1)?).then_some(()))
        })?;
        seen.with_context(|| format!("version {number} is not in use: {}", host.tail()))?;
    }
    let done = || -> Result<usize> { Ok(client.topic("answers")?.iter().flatten().count()) };
    wait::until(PATIENCE, || Ok((done()? == published).then_some(())))?
        .with_context(|| format!("{:?} of {published} answers", done()))?;
    let attempts = "gristmill_attempts_total{class=\"success\",plugin=\"puppet\",\
        subscription=\"puppet\"} ";
    let metrics = client.get("/metrics")?;
    let made = metrics.lines().find_map(|it| it.strip_prefix(attempts));
    assert_eq!(made, Some(&*published.to_string()), "attempts for {published} events");
    host.stop()
}
