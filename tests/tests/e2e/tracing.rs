//! What a host tells a real collector: one trace from a request through handlers, what they publish
//! and whom they call, to the next service; and that no event waits for it.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::client::{Client, Stored};
use gristmill_tests::support::collector::{Collector, Span};
use gristmill_tests::support::component::{binary, guest};
use gristmill_tests::support::home::Home;
use gristmill_tests::support::registry::free_port;
use gristmill_tests::support::stub::Stub;
use gristmill_tests::support::wait;
use serde_json::Value;

use super::both::{Ground, embedded, on_both, on_kafka, settle, start};

const PATIENCE: Duration = Duration::from_mins(2);
const TABLES: &str = r"[topics.defaults]
partitions = 2
[topics.in]
[topics.answers]
[topics.echoes]
[topics.happened]
local = true
[commands.ask]
topic = 'in'
subscription = 'echo'
reply = 'echoes'
";
/// `hook` calls a URL with every event; `echo` does what events say, and what it emits to
/// `happened` is done by `within`.
const PUPPETS: &str = r#"[[subscription]]
name = "echo"
topics = ["in"]
grants.emit = ["answers", "echoes", "happened"]

[[subscription]]
name = "within"
topics = ["happened"]
grants.emit = ["answers"]
"#;
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const SERVER: u64 = 2;
const CLIENT: u64 = 3;
const PRODUCER: u64 = 4;
const CONSUMER: u64 = 5;

/// A host that tells a collector at `endpoint`, with these lines in `[telemetry.otlp]`.
fn home(ground: &Ground, endpoint: &str, lines: &str) -> Result<Home> {
    let otlp = format!("[telemetry.otlp]\nendpoint = \"{endpoint}\"\n{lines}\n");
    let home = Home::new(&binary("debug"), &format!("{}{otlp}", ground.config))?;
    home.put("puppet.toml", PUPPETS.as_bytes())?;
    home.put("puppet.wasm", &guest("puppet")?)?;
    Ok(home)
}

/// Adds a subscription that calls `url`, which is at `origin`, with every event of `in`.
fn hook(home: &Home, origin: &str, path: &str) -> Result<()> {
    let manifest = format!(
        "[[subscription]]\nname = \"hook\"\ntopics = [\"in\"]\ngrants.emit = [\"answers\"]\n\
         retry = {{ max_attempts = 2, initial_interval = \"10ms\" }}\n\
         grants.http = [\"{origin}\"]\n\
         grants.config = {{ url = \"{origin}{path}\", to = \"answers\" }}\n"
    );
    home.put("webhook.toml", manifest.as_bytes())?;
    home.put("webhook.wasm", &guest("webhook")?)
}

/// Waits until so many spans of a trace have arrived, and gives them.
fn spans(collector: &Collector, trace: &str, count: usize) -> Result<Vec<Span>> {
    let found = wait::until(PATIENCE, || {
        let mut spans = collector.spans()?;
        spans.retain(|span| span.trace == trace);
        Ok((spans.len() >= count).then_some(spans))
    })?;
    let spans = found.with_context(|| format!("no {count} spans: {:#?}", collector.spans()))?;
    ensure!(spans.len() == count, "more than {count}: {spans:#?}");
    let ids: BTreeSet<&str> = spans.iter().map(|span| span.id.as_str()).collect();
    ensure!(ids.len() == count, "spans with the same id: {spans:#?}");
    Ok(spans)
}

/// The one span of that name and kind, within that parent, of that subscription where it has one.
fn span<'a>(spans: &'a [Span], named: (&str, u64), parent: &str, of: &str) -> Result<&'a Span> {
    let fits = |span: &&Span| {
        let subscription = said(span, "messaging.destination.subscription.name");
        (span.name.as_str(), span.kind) == named
            && span.parent == parent
            && (of.is_empty() || subscription == of)
    };
    let found: Vec<&Span> = spans.iter().filter(fits).collect();
    let one: Result<[&Span; 1], _> = found.try_into();
    let [one] = one
        .ok()
        .with_context(|| format!("not one {named:?} of {of:?} within {parent:?}: {spans:#?}"))?;
    ensure!(one.start <= one.end && one.start > 0, "{one:#?}");
    Ok(one)
}

fn said<'a>(span: &'a Span, attribute: &str) -> &'a str {
    span.attributes.get(attribute).and_then(Value::as_str).unwrap_or_default()
}

fn topic(client: &Client, topic: &str) -> Result<Vec<Stored>> {
    Ok(client.topic(topic)?.concat())
}

#[test]
fn one_trace_leads_from_a_request_to_the_next_service() -> Result<()> {
    on_both("orders", TABLES, |ground| {
        let collector = Collector::start()?;
        let next = home(&embedded("shipping", TABLES), &collector.endpoint(), "")?;
        let (next_host, next_client) = start(&next)?;
        let first = home(ground, &collector.endpoint(), "")?;
        hook(&first, next_client.url(), "/topics/in?key=n")?;
        let (host, client) = start(&first)?;
        let taken = client.ask("/topics/in?key=k", &[("traceparent", PARENT)], "echo")?;
        ensure!(taken.status == 202, "{taken:?}");
        let placed: Value = serde_json::from_str(&taken.text)?;
        settle(&client, &host)?;
        settle(&next_client, &next_host)?;
        let spans = spans(&collector, TRACE, 11)?;
        let server = span(&spans, ("POST /topics/{topic}", SERVER), "b7ad6b7169203331", "")?;
        let send = span(&spans, ("send in", PRODUCER), &server.id, "")?;
        let hook = span(&spans, ("process in", CONSUMER), &send.id, "hook")?;
        let echo = span(&spans, ("process in", CONSUMER), &send.id, "echo")?;
        let called = span(&spans, ("POST", CLIENT), &hook.id, "")?;
        let answer = span(&spans, ("send answers", PRODUCER), &hook.id, "")?;
        span(&spans, ("send answers", PRODUCER), &echo.id, "")?;
        let answered = span(&spans, ("POST /topics/{topic}", SERVER), &called.id, "")?;
        let send_on = span(&spans, ("send in", PRODUCER), &answered.id, "")?;
        let process_on = span(&spans, ("process in", CONSUMER), &send_on.id, "echo")?;
        span(&spans, ("send answers", PRODUCER), &process_on.id, "")?;
        for (inner, outer) in [(called, hook), (answered, called), (send, server)] {
            ensure!(outer.start <= inner.start && inner.end <= outer.end, "{inner:?} {outer:?}");
        }
        let names = |span: &Span| span.resource["service.name"].clone();
        ensure!([server, hook, answer].iter().all(|it| names(it) == "orders"), "{spans:#?}");
        ensure!([answered, process_on].iter().all(|it| names(it) == "shipping"), "{spans:#?}");
        described(ground, &placed, (server, send, hook, called))?;
        let records = topic(&client, "answers")?;
        let marked = format!("00-{TRACE}-{}-01", answer.id);
        ensure!(
            records.iter().any(|it| it.header("traceparent") == Some(&marked)),
            "what is published goes on with its own span: {records:?}"
        );
        tree(&client, placed["id"].as_str().unwrap_or_default())?;
        host.stop()?;
        next_host.stop()
    })
}

/// What an event caused is told without a collector too.
fn tree(client: &Client, id: &str) -> Result<()> {
    let mut command = Command::new(binary("debug"));
    let told = command.args(["--json", "trace", id, "--url", client.url()]).output()?;
    ensure!(told.status.success(), "{told:?}");
    let told: Value = serde_json::from_slice(&told.stdout)?;
    let events = told["events"].as_array().cloned().unwrap_or_default();
    ensure!(events.len() == 3 && events[0]["id"] == id, "{told:#}");
    let sources: BTreeSet<&str> =
        events.iter().skip(1).filter_map(|event| event["source"].as_str()).collect();
    ensure!(sources == ["/orders/echo", "/orders/hook"].into(), "{told:#}");
    ensure!(events.iter().skip(1).all(|event| event["causation_id"] == id), "{told:#}");
    Ok(())
}

/// What is known of a request, its event and an attempt is in their spans.
fn described(
    ground: &Ground,
    placed: &Value,
    (server, send, process, called): (&Span, &Span, &Span, &Span),
) -> Result<()> {
    let system = if ground.cluster.is_some() { "kafka" } else { "gristmill" };
    for span in [send, process] {
        ensure!(said(span, "messaging.system") == system, "{span:#?}");
        ensure!(said(span, "messaging.destination.name") == "in", "{span:#?}");
        let partition: u64 = said(span, "messaging.destination.partition.id").parse()?;
        ensure!(placed["partition"] == partition, "{span:#?}");
        ensure!(span.attributes["messaging.kafka.offset"] == placed["offset"], "{span:#?}");
        ensure!(said(span, "messaging.kafka.message.key") == "k", "{span:#?}");
    }
    ensure!(said(send, "messaging.operation.type") == "send", "{send:#?}");
    ensure!(said(process, "messaging.operation.type") == "process", "{process:#?}");
    ensure!(said(process, "messaging.message.id") == placed["id"], "{process:#?}");
    let group = if ground.cluster.is_some() { "orders-hook" } else { "" };
    ensure!(said(process, "messaging.consumer.group.name") == group, "{process:#?}");
    ensure!(process.attributes["gristmill.attempt"] == 1, "{process:#?}");
    ensure!(server.attributes["http.response.status_code"] == 202, "{server:#?}");
    ensure!(said(server, "http.route") == "/topics/{topic}", "{server:#?}");
    ensure!(called.attributes["http.response.status_code"] == 202, "{called:#?}");
    ensure!(said(called, "url.full").ends_with("/topics/in"), "without the query: {called:#?}");
    Ok(())
}

#[test]
fn attempts_that_fail_say_why_and_the_dead_letter_is_in_the_trace() -> Result<()> {
    on_both("failing", TABLES, |ground| {
        let (collector, stub) = (Collector::start()?, Stub::start()?);
        stub.answer_with(&[503, 500]);
        let home = home(ground, &collector.endpoint(), "")?;
        hook(&home, &format!("http://{}", stub.address()), "/")?;
        let (host, client) = start(&home)?;
        client.ask("/topics/in", &[("traceparent", PARENT)], "tell happened echo")?;
        settle(&client, &host)?;
        let spans = spans(&collector, TRACE, 11)?;
        let server = span(&spans, ("POST /topics/{topic}", SERVER), "b7ad6b7169203331", "")?;
        let send = span(&spans, ("send in", PRODUCER), &server.id, "")?;
        let is_attempt = |span: &&Span| span.parent == send.id && span.status == 2;
        let mut attempts: Vec<&Span> = spans.iter().filter(is_attempt).collect();
        attempts.sort_by_key(|span| span.start);
        ensure!(attempts.len() == 2, "{spans:#?}");
        for (attempt, (number, status)) in attempts.iter().zip([(1, 503), (2, 500)]) {
            ensure!(attempt.attributes["gristmill.attempt"] == number, "{attempt:#?}");
            ensure!(!said(attempt, "error.type").is_empty(), "{attempt:#?}");
            ensure!(!attempt.message.is_empty(), "{attempt:#?}");
            let called = span(&spans, ("POST", CLIENT), &attempt.id, "")?;
            ensure!(called.attributes["http.response.status_code"] == status, "{called:#?}");
            ensure!(called.status == 2 && said(called, "error.type") == status.to_string());
        }
        let asked = stub.asked();
        let marks: Vec<&str> = asked.iter().map(|it| it.header("traceparent")).collect();
        ensure!(marks.iter().all(|it| it.starts_with(&format!("00-{TRACE}-"))), "{marks:?}");
        ensure!(marks[0] != marks[1], "each request has a span of its own");
        span(&spans, ("send in.hook.dlq", PRODUCER), &send.id, "")?;
        let echo = span(&spans, ("process in", CONSUMER), &send.id, "echo")?;
        let within = span(&spans, ("process happened", CONSUMER), &echo.id, "within")?;
        for handler in [echo, within] {
            span(&spans, ("send answers", PRODUCER), &handler.id, "")?;
        }
        host.stop()
    })
}

#[test]
fn a_trace_begins_where_none_is_brought_and_all_that_read_an_event_share_it() -> Result<()> {
    on_kafka("beginning", TABLES, |ground| {
        let (collector, stub) = (Collector::start()?, Stub::start()?);
        let home = home(ground, &collector.endpoint(), "sample = 1.0")?;
        hook(&home, &format!("http://{}", stub.address()), "/")?;
        let (host, client) = start(&home)?;
        // Somebody who knows nothing of traces.
        let cluster = ground.cluster.as_ref().context("a cluster")?;
        let mut producer = cluster.producer("in")?;
        producer.send("k", "echo")?;
        producer.finish()?;
        let roots = wait::until(PATIENCE, || {
            let mut spans = collector.spans()?;
            spans.retain(|span| span.name == "process in");
            Ok((spans.len() == 2).then_some(spans))
        })?;
        let roots = roots.with_context(|| format!("{:#?}", collector.spans()))?;
        ensure!(roots[0].trace == roots[1].trace, "{roots:#?}");
        ensure!(roots.iter().all(|span| span.parent.is_empty()), "{roots:#?}");
        let spans = spans(&collector, &roots[0].trace, 5)?;
        let of = |name: &str| {
            let has = |span: &&Span| said(span, "messaging.destination.subscription.name") == name;
            roots.iter().find(has).with_context(|| format!("{roots:#?}"))
        };
        span(&spans, ("POST", CLIENT), &of("hook")?.id, "")?;
        span(&spans, ("send answers", PRODUCER), &of("echo")?.id, "")?;
        // A request that brings none begins one of its own, and so does a command.
        let asked = client.ask("/commands/ask?key=k", &[], "emit echoes 3")?;
        ensure!(asked.status == 200, "{asked:?}");
        let server = wait::until(PATIENCE, || {
            let mut spans = collector.spans()?.into_iter();
            Ok(spans.find(|span| span.name == "POST /commands/{command}"))
        })?;
        let server = server.context("no span of the command")?;
        ensure!(server.parent.is_empty() && server.trace != roots[0].trace, "{server:#?}");
        let spans = self::spans(&collector, &server.trace, 8)?;
        let send = span(&spans, ("send in", PRODUCER), &server.id, "")?;
        let echo = span(&spans, ("process in", CONSUMER), &send.id, "echo")?;
        let reply = span(&spans, ("send echoes", PRODUCER), &echo.id, "")?;
        ensure!(server.start <= reply.start && reply.start <= server.end, "{spans:#?}");
        host.stop()
    })
}

#[test]
fn only_the_share_of_traces_is_told_that_was_asked_for() -> Result<()> {
    let collector = Collector::start()?;
    let home = home(&embedded("sampling", TABLES), &collector.endpoint(), "sample = 0.0")?;
    let (host, client) = start(&home)?;
    for number in 0..20 {
        client.send_text(&format!("/topics/in?key={number}"), "echo")?;
    }
    client.ask("/topics/in?key=k", &[("traceparent", PARENT)], "echo")?;
    settle(&client, &host)?;
    spans(&collector, TRACE, 4)?;
    ensure!(collector.spans()?.len() == 4, "others are told too: {:#?}", collector.spans()?);
    let answers = topic(&client, "answers")?;
    ensure!(answers.len() == 21, "{answers:?}");
    let flags = |record: &Stored| record.header("traceparent").map(|it| it.ends_with("-00"));
    let untold = answers.iter().filter(|record| flags(record) == Some(true)).count();
    ensure!(untold == 20, "whoever reads on must know: {answers:?}");
    host.stop()
}

#[test]
fn metrics_arrive_under_their_own_names_and_those_of_the_conventions() -> Result<()> {
    let collector = Collector::start()?;
    let lines = "metrics_interval = \"1s\"";
    let home = home(&embedded("measuring", TABLES), &collector.endpoint(), lines)?;
    let (host, client) = start(&home)?;
    for number in 0..5 {
        client.send_text(&format!("/topics/in?key={number}"), "echo")?;
    }
    settle(&client, &host)?;
    let value = |name: &str| -> Result<Option<f64>> {
        let metrics = collector.metrics()?;
        let newest = metrics.iter().rev().find(|metric| metric["name"] == name);
        let points = newest.map(|metric| metric["sum"]["dataPoints"].clone());
        let points = points.as_ref().and_then(Value::as_array).cloned().unwrap_or_default();
        Ok((!points.is_empty())
            .then(|| points.iter().filter_map(|it| it["asDouble"].as_f64()).sum()))
    };
    for (name, expected) in [
        ("gristmill_events_ingested_total", 5.0),
        ("messaging.client.consumed.messages", 5.0),
        // Five over HTTP, five by the handler.
        ("messaging.client.sent.messages", 10.0),
    ] {
        let arrived = wait::until(PATIENCE, || {
            Ok(value(name)?.filter(|value| (value - expected).abs() < 0.5))
        })?;
        arrived.with_context(|| format!("{name} is {:?}", value(name)))?;
    }
    let metrics = collector.metrics()?;
    let duration = metrics.iter().rev().find(|it| it["name"] == "messaging.process.duration");
    let duration = duration.context("no duration")?;
    ensure!(duration["unit"] == "s", "{duration}");
    let points = &duration["histogram"]["dataPoints"];
    let names: BTreeSet<&str> = points[0]["attributes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|attribute| attribute["key"].as_str())
        .collect();
    let expected =
        ["messaging.destination.subscription.name", "messaging.operation.name", "messaging.system"];
    ensure!(names == expected.into(), "{names:?}");
    host.stop()
}

#[test]
fn no_event_waits_for_a_collector_that_is_away() -> Result<()> {
    let port = free_port()?;
    let endpoint = format!("http://127.0.0.1:{port}");
    let home = home(&embedded("waiting", TABLES), &endpoint, "timeout = \"200ms\"")?;
    let (host, client) = start(&home)?;
    client.ask("/topics/in?key=k", &[("traceparent", PARENT)], "echo")?;
    settle(&client, &host)?;
    ensure!(topic(&client, "answers")?.len() == 1, "the event was not handled");
    let check = || -> Result<Value> {
        let ready: Value = serde_json::from_str(&client.get("/readyz")?)?;
        let checks = ready["checks"].as_array().cloned().unwrap_or_default();
        checks.into_iter().find(|check| check["name"] == "collector").context("no check")
    };
    let told = wait::until(PATIENCE, || {
        Ok(Some(check()?).filter(|it| it["reason"].as_str().is_some_and(|it| !it.is_empty())))
    })?;
    let told = told.context("nobody is told that the collector is away")?;
    ensure!(told["ok"] == true, "a host without a collector does all it is for: {told}");
    let collector = Collector::start_on(port)?;
    spans(&collector, TRACE, 4)?;
    let back = wait::until(PATIENCE, || Ok((check()?["reason"] == "").then_some(())))?;
    back.context("it is still said to be away")?;
    let metrics = client.get("/metrics")?;
    ensure!(metrics.contains("gristmill_spans_total{result=\"sent\"} 4"), "{metrics}");
    host.stop()?;
    let log = fs::read_to_string(home.log())?;
    ensure!(log.matches("E0472").count() == 1, "once, not with every try: {log}");
    Ok(())
}

#[test]
fn what_a_collector_refuses_is_told_once_and_counted() -> Result<()> {
    let stub = Stub::start()?;
    stub.answer_with(&[401; 40]);
    let endpoint = format!("http://{}", stub.address());
    let lines = "metrics = false\nheaders = { authorization = \"Bearer wrong\" }";
    let home = home(&embedded("refused", TABLES), &endpoint, lines)?;
    let (host, client) = start(&home)?;
    client.ask("/topics/in?key=k", &[("traceparent", PARENT)], "echo")?;
    settle(&client, &host)?;
    let counted = wait::until(PATIENCE, || {
        let metrics = client.get("/metrics")?;
        Ok(metrics.contains("gristmill_spans_total{result=\"refused\"} 4").then_some(()))
    })?;
    counted.with_context(|| format!("not counted:\n{}", host.tail()))?;
    let asked = stub.asked();
    ensure!(asked.iter().all(|it| it.path == "/v1/traces"), "{asked:?}");
    ensure!(asked.iter().all(|it| it.header("authorization") == "Bearer wrong"), "{asked:?}");
    host.stop()?;
    let log = fs::read_to_string(home.log())?;
    ensure!(log.contains("E0473") && log.contains("401"), "{log}");
    ensure!(!log.contains("Bearer wrong"), "a secret is in the log");
    Ok(())
}
