//! Hosts of a group are killed while transactions are under way, with their caches or without.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use gristmill_tests::support::home::{Home, Process};

use super::scene::{Held, Scene};

/// Kills that must hit work under way.
const KILLS: usize = 3;
/// Lives of hosts in which that must have come about.
const LIVES: usize = 6;

#[test]
fn a_host_killed_in_the_middle_of_its_work_loses_and_repeats_nothing() -> Result<()> {
    kill_hosts(Scene::new("kills")?)
}

#[test]
fn a_host_killed_while_it_forwards_events_loses_and_repeats_none() -> Result<()> {
    kill_hosts(Scene::uneven("uneven")?)
}

fn kill_hosts(mut scene: Scene) -> Result<()> {
    let homes = [scene.home("first")?, scene.home("second")?];
    let mut hosts = [homes[0].start(&[])?, homes[1].start(&[])?];
    for host in &mut hosts {
        host.must_be_ready()?;
    }
    let mut held = scene.shared_by(2)?;
    let (mut counted, mut open) = (0, 0);
    for life in 0..LIVES {
        let victim = life % 2;
        scene.burst()?;
        hosts[victim].kill()?;
        open += scene.open_transactions(["first", "second"][victim])?;
        let left = scene.lags()?;
        // Whoever sent these knows nothing of their fate, and sends them again.
        scene.repeat(300)?;
        if life == 0 {
            // Nobody comes back until the other has taken over.
            scene.shared_by(1)?;
        }
        hosts[victim] = homes[victim].start(&[])?;
        hosts[victim].must_be_ready()?;
        let now = scene.shared_by(2)?;
        counted += usize::from(was_busy(&held, &now, &left));
        held = now;
        if counted >= KILLS && open > 0 {
            break;
        }
    }
    ensure!(counted >= KILLS, "{counted} of {LIVES} kills hit work under way");
    ensure!(open > 0, "no kill hit an open transaction");
    without_cache(&mut scene, &homes, hosts)
}

/// One more kill, after which a host comes back with nothing, and is left alone with all of it.
fn without_cache(scene: &mut Scene, homes: &[Home; 2], hosts: [Process; 2]) -> Result<()> {
    let [one, mut other] = hosts;
    scene.burst()?;
    other.kill()?;
    std::fs::remove_dir_all(homes[1].path().join("data"))?;
    let mut other = homes[1].start(&[])?;
    other.must_be_ready()?;
    scene.repeat(300)?;
    scene.shared_by(2)?;
    scene.publish(500)?;
    one.stop()?;
    scene.shared_by(1)?;
    scene.repeat(300)?;
    scene.publish(500)?;
    scene.settle()?;
    other.stop()?;
    scene.check()
}

/// Whether anything was `left` to do of what those members held who are not there any more.
fn was_busy(held: &[Held], now: &[Held], left: &[BTreeMap<u32, u64>]) -> bool {
    let mut events = 0;
    for ((held, now), left) in held.iter().zip(now).zip(left) {
        let gone = held.iter().filter(|(member, _)| !now.contains_key(*member));
        events += gone.flat_map(|(_, numbers)| numbers).map(|number| left[number]).sum::<u64>();
    }
    events > 0
}
