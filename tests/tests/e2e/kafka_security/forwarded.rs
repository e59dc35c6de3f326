//! Events that were forwarded to other partitions and handled: a host removes them where it may.

use std::fs;

use anyhow::{Context, Result, ensure};
use gristmill_tests::chaos::complaints::Expected;
use gristmill_tests::support::kafka::Right;
use gristmill_tests::support::wait;

use super::scene::{PATIENCE, Scene, by_password, creates_all, must_be_once, must_not_complain};

/// Events of each source.
const EVENTS: usize = 60;
const REFUSAL: &str = "forwarded events that were handled cannot be removed";

#[test]
fn what_was_forwarded_and_handled_is_removed_by_who_may_and_others_say_so() -> Result<()> {
    let scene = Scene::forwarding("forwards")?;
    scene.guarded.admit("forwards", "mind the gap")?;
    scene.guarded.allow("forwards", &scene.rights(creates_all()))?;
    let authority = scene.guarded.authority();
    let properties = by_password("forwards", "\"mind the gap\"", &authority);
    let home = scene.home(&scene.guarded.passwords(), "", &properties)?;
    let mut host = home.start(&[])?;
    host.must_be_ready()?;
    let places = scene.publish(&vec!["echo".to_owned(); EVENTS])?;
    scene.settle(&home, &places)?;
    let refusals =
        || Ok::<_, std::io::Error>(fs::read_to_string(home.log())?.matches(REFUSAL).count());
    let told = wait::until(PATIENCE, || Ok((refusals()? == 2).then_some(())))?;
    told.with_context(|| format!("both subscriptions keep all, silently:\n{}", host.tail()))?;
    let denied = scene.guarded.denied("forwards")?;
    let is_removal = |line: &String| line.contains("DELETE") && line.contains("__repartition.");
    ensure!(!denied.is_empty() && denied.iter().all(is_removal), "{denied:#?}");

    let name = "__repartition.forwards.*".to_owned();
    scene.guarded.allow("forwards", &[Right { kind: "TOPIC", name, operations: &["DELETE"] }])?;
    for topic in scene.forwarded() {
        let cluster = scene.guarded.ground().cluster();
        let removed = wait::until(PATIENCE, || {
            let kept = scene.guarded.ground().read(&[&topic])?;
            let starts = cluster.starts(&topic)?;
            let is_bare = kept.values().flatten().all(Vec::is_empty);
            Ok((is_bare && starts.values().any(|start| *start > 0)).then_some(()))
        })?;
        removed.with_context(|| format!("{topic} keeps what was handled:\n{}", host.tail()))?;
    }
    host.stop()?;
    must_be_once(&scene.answers()?, &places.iter().collect::<Vec<_>>())?;
    ensure!(refusals()? == 2, "it repeats itself");
    let why = "the right is missing at first";
    must_not_complain(&home, &[Expected { parts: &[REFUSAL, "no right to"], why }])
}
