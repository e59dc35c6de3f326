//! Hosts that the broker lets in, by password or by certificate, and that have exactly the rights
//! which the documentation says a host needs.

use std::fs;

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::client::Client;
use gristmill_tests::support::home::Home;
use gristmill_tests::support::kafka::Right;
use gristmill_tests::support::wait;
use serde_json::json;

use super::scene::{
    PATIENCE, Scene, by_certificate, by_password, creates_all, must_be_once, must_not_complain,
};

/// Events of each source.
const EVENTS: usize = 100;

/// One event in ten is rejected.
fn scripts() -> Vec<String> {
    let script = |number| if number % 10 == 3 { "reject" } else { "echo" };
    (0..EVENTS).map(script).map(str::to_owned).collect()
}

#[test]
fn a_password_over_tls_and_the_documented_rights_are_all_a_host_needs() -> Result<()> {
    let scene = Scene::new("sealed")?;
    scene.guarded.admit("gristmill", "mind the gap")?;
    scene.guarded.allow("gristmill", &scene.rights(creates_all()))?;
    let authority = scene.guarded.authority();
    let properties = by_password("gristmill", "{ file = \"password\" }", &authority);
    let broker = "statistics_interval = \"1s\"";
    let home = scene.home(&scene.guarded.passwords(), broker, &properties)?;
    fs::write(home.path().join("password"), "mind the gap\n")?;
    works(&scene, &home, "gristmill")
}

#[test]
fn a_certificate_and_the_documented_rights_are_all_a_host_needs() -> Result<()> {
    let scene = Scene::new("signed")?;
    // Topics of its own may be made, and no others.
    let creates = |name: &str| Right { kind: "TOPIC", name: name.into(), operations: &["CREATE"] };
    let mut rights = scene.rights(creates("signed-*"));
    for kind in ["changelog", "redrive", "registry"] {
        rights.push(creates(&format!("__{kind}.signed*")));
    }
    scene.guarded.allow("CN=signed", &rights)?;
    let broker = "guarantee = \"at-least-once\"\nstatistics_interval = \"1s\"";
    let folder = tempfile::tempdir()?;
    scene.guarded.issue("signed", folder.path())?;
    let properties = by_certificate(Some(folder.path()), &scene.guarded.authority());
    let home = scene.home(&scene.guarded.certificates(), broker, &properties)?;
    works(&scene, &home, "CN=signed")
}

/// Events come in, emissions and dead letters go out, offsets are committed, dead letters are
/// driven again, metrics come; and the broker denied nothing.
fn works(scene: &Scene, home: &Home, user: &str) -> Result<()> {
    let mut host = home.start(&[])?;
    let client = host.must_be_ready()?;
    let scripts = scripts();
    let places = scene.publish(&scripts)?;
    scene.settle(home, &places)?;
    let rejected = scripts.iter().filter(|script| *script == "reject").count();
    ensure!(scene.letters()?.len() == 4 * rejected, "{} letters", scene.letters()?.len());
    let driven = client.send("/api/v1/dlq/one/redrive", &json!({"limit": 3}))?;
    let again =
        wait::until(PATIENCE, || Ok((scene.letters()?.len() == 4 * rejected + 3).then_some(())))?;
    again.with_context(|| format!("not rejected again: {driven}\n{}", host.tail()))?;
    must_measure(&client)?;
    host.stop()?;
    let done = |(place, script): (_, &String)| (script == "echo").then_some(place);
    let scripts = scripts.iter().cycle();
    let done: Vec<_> = places.iter().zip(scripts).filter_map(done).collect();
    must_be_once(&scene.answers()?, &done)?;
    must_not_complain(home, &[])?;
    let denied = scene.guarded.denied(user)?;
    ensure!(denied.is_empty(), "{denied:#?}");
    Ok(())
}

/// What clients say of themselves comes up as metrics.
fn must_measure(client: &Client) -> Result<()> {
    for name in ["gristmill_kafka_client_bytes_total", "gristmill_kafka_round_trip_seconds"] {
        let begin = format!("{name}{{");
        let seen = wait::until(PATIENCE, || {
            let metrics = client.get("/metrics")?;
            let lines = metrics.lines().filter(|line| line.starts_with(&begin));
            let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
            Ok(values.into_iter().any(|value| value > 0.0).then_some(()))
        })?;
        seen.with_context(|| format!("{name} stays at nothing"))?;
    }
    Ok(())
}
