//! A host whose brokers are not there when it starts.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::component::{binary, guest};
use gristmill_tests::support::home::Home;
use gristmill_tests::support::kafka::Cluster;
use gristmill_tests::support::wait;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_mins(2);

#[test]
fn a_host_waits_for_its_brokers_and_says_so() -> Result<()> {
    let mut cluster = Cluster::start(1)?;
    cluster.broker(1)?.kill()?;
    let homes = [home(&cluster, "stays")?, home(&cluster, "leaves")?];
    let mut host = homes[0].start(&[])?;
    let client = host.listens()?;
    client.get("/healthz")?;
    let reason = wait::until(PATIENCE, || {
        let (status, body) = client.answer("/readyz")?;
        ensure!(status == 503, "{status}: {body}");
        let told: Value = serde_json::from_str(&body)?;
        let broker = told["checks"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|it| it["name"] == "broker" && it["ok"] == false);
        let reason = broker.and_then(|it| it["reason"].as_str()).unwrap_or_default().to_owned();
        // What the first try came to is not known at once.
        Ok(reason.contains(&cluster.bootstrap()).then_some(reason))
    })?;
    reason.context("the host does not say which broker does not answer")?;
    let refused = client.send_text("/topics/in?key=a", "echo").expect_err("nobody can take it");
    ensure!(format!("{refused:#}").contains(": 503"), "{refused:#}");

    let mut other = homes[1].start(&[])?;
    other.listens()?;
    other.stop()?;

    cluster.broker(1)?.start()?;
    host.must_be_ready()?;
    client.send_text("/topics/in?key=a", "echo")?;
    client.send_text("/topics/back?key=a", "echo")?;
    let answered = wait::until(PATIENCE, || {
        Ok((client.topic("answers")?.iter().flatten().count() == 4).then_some(()))
    })?;
    answered.context("two events are not answered by both subscriptions")?;
    host.stop()
}

fn home(cluster: &Cluster, name: &str) -> Result<Home> {
    let config = format!(
        "name = \"{name}\"\nlisten = \"127.0.0.1:0\"\ndata_dir = \"data\"\nworkers = 2\n\
         [broker]\nkind = \"kafka\"\nbrokers = [\"{}\"]\n\
         [topics.in]\npartitions = 2\n[topics.back]\npartitions = 2\n[topics.answers]\n",
        cluster.bootstrap()
    );
    let mut manifest = String::new();
    for subscription in ["one", "other"] {
        write!(
            manifest,
            "[[subscription]]\nname = \"{subscription}\"\ntopics = [\"in\", \"back\"]\n\
             envelope = \"raw\"\n[subscription.grants]\nemit = [\"answers\"]\n"
        )?;
    }
    let home = Home::new(&binary("debug"), &config)?;
    home.put("puppet.toml", manifest.as_bytes())?;
    home.put("puppet.wasm", &guest("puppet")?)?;
    Ok(home)
}
