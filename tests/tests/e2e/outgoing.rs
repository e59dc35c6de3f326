//! Handlers that call others by HTTP: where they may, what goes with each request, and what becomes
//! of events when nobody answers.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::certificates::Authority;
use gristmill_tests::support::client::{Client, Stored};
use gristmill_tests::support::component::{binary, guest};
use gristmill_tests::support::home::{Home, Process};
use gristmill_tests::support::stub::Stub;
use gristmill_tests::support::wait;

use super::both::{embedded, on_both};

const PATIENCE: Duration = Duration::from_mins(2);
const TABLES: &str = "[topics.defaults]\npartitions = 4\n[topics.in]\n[topics.answers]\n";
const QUICK: &str = "retry.initial_interval = \"20ms\"\nretry.max_interval = \"100ms\"\n";

/// A host that sends the events of `in` to `url` and publishes what comes back, with these lines.
fn home(config: &str, url: &str, lines: &str) -> Result<Home> {
    let home = Home::new(&binary("debug"), config)?;
    home.put("webhook.toml", manifest(url, lines).as_bytes())?;
    home.put("webhook.wasm", &guest("webhook")?)?;
    Ok(home)
}

fn manifest(url: &str, lines: &str) -> String {
    format!(
        "[[subscription]]\nname = \"webhook\"\ntopics = [\"in\"]\n{QUICK}\
         grants.emit = [\"answers\"]\ngrants.config = {{ url = \"{url}\", to = \"answers\" }}\n\
         {lines}\n"
    )
}

fn start(home: &Home, variables: &[(&str, String)]) -> Result<(Process, Client)> {
    let mut host = home.start(variables)?;
    let client = host.must_be_ready()?;
    Ok((host, client))
}

/// Waits until so many records are in a topic, and gives them.
fn records(client: &Client, host: &Process, topic: &str, count: usize) -> Result<Vec<Stored>> {
    let found = wait::until(PATIENCE, || {
        let Ok(records) = client.topic(topic) else { return Ok(None) };
        let records = records.concat();
        Ok((records.len() >= count).then_some(records))
    })?;
    found.with_context(|| format!("no {count} records in {topic}:\n{}", host.tail()))
}

/// The one dead letter there is, its code and its message.
fn refused(client: &Client, host: &Process) -> Result<(String, String)> {
    let letters = records(client, host, "in.webhook.dlq", 1)?;
    ensure!(letters.len() == 1, "{letters:?}");
    let header = |name: &str| letters[0].header(name).unwrap_or_default().to_owned();
    Ok((header("dlq-error-code"), header("dlq-error-message")))
}

#[test]
fn requests_of_an_event_carry_the_same_key_at_every_attempt() -> Result<()> {
    on_both("marking", TABLES, |ground| {
        let stub = Stub::start()?;
        stub.answer_with(&[503, 500]);
        let origin = format!("http://{}", stub.address());
        let url = format!("{origin}/hook?a=b");
        let home = home(&ground.config, &url, &format!("grants.http = [\"{origin}\"]"))?;
        let (host, client) = start(&home, &[])?;
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let sent = client.ask("/topics/in?key=a", &[("traceparent", trace)], "{\"n\":1}")?;
        ensure!(sent.status == 202, "{sent:?}");
        records(&client, &host, "answers", 1)?;
        client.ask("/topics/in?key=b", &[], "{\"n\":2}")?;
        let answers = records(&client, &host, "answers", 2)?;
        ensure!(answers.len() == 2, "{answers:?}");
        ensure!(answers.iter().all(|it| it.payload["path"] == "/hook?a=b"), "{answers:?}");
        let asked = stub.asked();
        ensure!(asked.len() == 4, "three attempts of one event, and one of the other: {asked:?}");
        ensure!(asked.iter().all(|it| it.method == "POST" && it.path == "/hook?a=b"), "{asked:?}");
        ensure!(
            asked.iter().all(|it| it.header("host") == stub.address().to_string()),
            "{asked:?}"
        );
        let keys: Vec<&str> = asked.iter().map(|it| it.header("idempotency-key")).collect();
        ensure!(keys[..3].iter().all(|key| *key == keys[0] && key.len() == 32), "{keys:?}");
        ensure!(keys[3] != keys[0] && keys[3].len() == 32, "{keys:?}");
        ensure!(asked[..3].iter().all(|it| it.header("traceparent") == trace), "{asked:?}");
        ensure!(asked[3].header("traceparent").is_empty(), "{asked:?}");
        ensure!(asked[0].body == "{\"n\":1}" && asked[3].body == "{\"n\":2}", "{asked:?}");
        host.stop()
    })
}

#[test]
fn what_is_not_granted_is_not_called_and_the_line_is_named() -> Result<()> {
    let (stub, other) = (Stub::start()?, Stub::start()?);
    let (port, elsewhere) = (stub.address().port(), other.address());
    for (url, lines, code, words) in [
        (
            format!("http://{}/", stub.address()),
            format!("grants.http = [\"http://{elsewhere}\"]"),
            "http-not-granted",
            format!("http = [\"http://{}\"]", stub.address()),
        ),
        (
            format!("http://{}/", stub.address()),
            String::new(),
            "http-not-granted",
            format!("http = [\"http://{}\"]", stub.address()),
        ),
        // Whoever grants all names has not granted this machine.
        (
            format!("http://localhost:{port}/"),
            "grants.http = [\"http://*:*\"]".to_owned(),
            "http-not-granted",
            "http_private = true".to_owned(),
        ),
        (
            format!("http://{}/", stub.address()),
            format!("grants.http = [\"http://{}\"]\nlimits.http_requests = 0", stub.address()),
            "http-not-granted",
            "http_requests".to_owned(),
        ),
    ] {
        let home = home(&embedded("denying", TABLES).config, &url, &lines)?;
        let (host, client) = start(&home, &[])?;
        client.send_text("/topics/in", "{}")?;
        let said = refused(&client, &host)?;
        ensure!(said.0 == code && said.1.contains(&words), "{said:?} of {lines}");
        host.stop()?;
        let log = fs::read_to_string(home.log())?;
        ensure!(log.contains("request denied: "), "nobody is told: {log}");
    }
    ensure!(stub.asked().is_empty() && other.asked().is_empty(), "somebody was called");
    for (url, lines) in [
        (
            format!("http://localhost:{port}/private"),
            "grants.http = [\"http://*:*\"]\ngrants.http_private = true".to_owned(),
        ),
        (
            format!("http://localhost:{port}/named"),
            format!("grants.http = [\"http://localhost:{port}\"]\nlimits.http_requests = 1"),
        ),
    ] {
        let home = home(&embedded("granting", TABLES).config, &url, &lines)?;
        let (host, client) = start(&home, &[])?;
        client.send_text("/topics/in", "{}")?;
        records(&client, &host, "answers", 1)?;
        host.stop()?;
    }
    let paths: BTreeSet<String> = stub.asked().into_iter().map(|it| it.path).collect();
    ensure!(paths == ["/named", "/private"].map(str::to_owned).into(), "{paths:?}");
    Ok(())
}

#[test]
fn an_event_waits_for_who_does_not_answer() -> Result<()> {
    const FAILED: &str = "gristmill_attempts_total{class=\"infrastructure\",plugin=\"webhook\",\
        subscription=\"webhook\"}";
    let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let origin = format!("http://{free}");
    let lines = format!(
        "grants.http = [\"{origin}\"]\nlimits.http_timeout = \"200ms\"\nretry.max_attempts = 100\n\
         breaker.enabled = false"
    );
    let home = home(&embedded("awaiting", TABLES).config, &format!("{origin}/"), &lines)?;
    let (host, client) = start(&home, &[])?;
    client.send_text("/topics/in", "{}")?;
    let failures = || -> Result<u64> {
        let metrics = client.get("/metrics")?;
        let line = metrics.lines().find_map(|line| line.strip_prefix(FAILED));
        Ok(line.and_then(|it| it.trim().parse().ok()).unwrap_or(0))
    };
    let fail = |count: u64| -> Result<()> {
        let failed = wait::until(PATIENCE, || Ok((failures()? >= count).then_some(())))?;
        failed.with_context(|| format!("not {count} failures:\n{}", host.tail()))
    };
    // First nobody is there, then somebody who says nothing.
    fail(2)?;
    let stub = Stub::on(&free.to_string())?;
    stub.be_silent(true);
    let before = failures()?;
    fail(before + 2)?;
    ensure!(!stub.asked().is_empty(), "nothing came");
    stub.be_silent(false);
    records(&client, &host, "answers", 1)?;
    host.stop()?;
    let log = fs::read_to_string(home.log())?;
    ensure!(log.contains("is not answering"), "{log}");
    Ok(())
}

#[test]
fn a_certificate_is_believed_when_the_machine_does() -> Result<()> {
    let authority = Authority::new("stub")?;
    let stub = Stub::with_tls(&authority.issue("stub")?)?;
    let origin = format!("https://{}", stub.address());
    let lines = format!("grants.http = [\"{origin}\"]\nbreaker.enabled = false");
    let home = home(&embedded("believing", TABLES).config, &format!("{origin}/"), &lines)?;
    let (host, client) = start(&home, &[])?;
    client.send_text("/topics/in", "{}")?;
    let doubted = format!("{origin} is not answering");
    let told = wait::until(PATIENCE, || {
        let log = fs::read_to_string(home.log())?;
        Ok(log.lines().any(|it| it.contains(&doubted) && it.contains("ertificate")).then_some(()))
    })?;
    told.with_context(|| format!("nobody is told of the certificate:\n{}", host.tail()))?;
    host.stop()?;
    ensure!(stub.asked().is_empty(), "it was told everything all the same");
    let trusted = home.path().join("authority.pem");
    fs::write(&trusted, authority.pem()?)?;
    let trusted = trusted.to_str().context("a path that is text")?.to_owned();
    let (host, client) = start(&home, &[("SSL_CERT_FILE", trusted)])?;
    records(&client, &host, "answers", 1)?;
    ensure!(stub.asked().len() == 1, "{:?}", stub.asked());
    host.stop()
}
