//! Two hosts share a group while it is busy, in every way there is to come and to go.

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::wait;
use serde_json::Value;

use super::scene::{PATIENCE, Scene};

#[test]
fn hosts_come_and_go_while_busy_and_every_effect_is_there_once() -> Result<()> {
    let mut scene = Scene::new("sharing")?;
    let (first, second) = (scene.home("first")?, scene.home("second")?);
    let mut one = first.start(&[])?;
    one.must_be_ready()?;
    scene.publish(500)?;
    scene.shared_by(1)?;

    // The second joins.
    scene.burst()?;
    let mut other = second.start(&[])?;
    other.must_be_ready()?;
    scene.shared_by(2)?;

    // The first leaves.
    scene.burst()?;
    one.stop()?;
    scene.shared_by(1)?;

    // The second is killed, and the first comes back.
    scene.burst()?;
    other.kill()?;
    let mut one = first.start(&[])?;
    // Its groups wait for the one that was killed, until the session of that is over.
    let client = one.listens()?;
    let is_told = wait::until(PATIENCE, || {
        let (status, body) = client.answer("/readyz")?;
        let told: Value = serde_json::from_str(&body)?;
        let mut checks = told["checks"].as_array().into_iter().flatten();
        let waits = checks.any(|it| it["name"] == "groups" && it["ok"] == false);
        ensure!(!waits || status == 503, "ready without its groups: {body}");
        Ok(waits.then_some(()))
    })?;
    is_told.context("the host does not say that its groups have not answered")?;
    one.must_be_ready()?;
    scene.repeat(200)?;
    scene.shared_by(1)?;
    scene.publish(100)?;
    scene.settle()?;
    one.stop()?;
    scene.check()
}
