//! What a host leaves behind that was told to stop: everything it did is committed, and nothing is
//! done again.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use super::scene::Scene;

#[test]
fn a_clean_stop_commits_everything() -> Result<()> {
    let mut scene = Scene::new("stops")?;
    let home = scene.home("only")?;
    let mut host = home.start(&[])?;
    host.must_be_ready()?;
    scene.shared_by(1)?;
    // In the middle of the work.
    scene.burst()?;
    host.stop()?;
    let mut host = home.start(&[])?;
    host.must_be_ready()?;
    scene.settle()?;
    // With nothing left to do.
    host.stop()?;
    scene.check()?;
    committed(&scene)?;
    let count = || -> Result<BTreeMap<String, usize>> {
        let read = scene.ground.read(&scene.outputs())?;
        Ok(read.into_iter().map(|(topic, it)| (topic, it.iter().map(Vec::len).sum())).collect())
    };
    let before = count()?;
    for _life in 0..2 {
        let mut host = home.start(&[])?;
        host.must_be_ready()?;
        scene.shared_by(1)?;
        host.stop()?;
        assert_eq!(count()?, before, "a restart repeats something");
    }
    committed(&scene)
}

/// Kafka's own tool sees no lag where there were events.
fn committed(scene: &Scene) -> Result<()> {
    for group in scene.groups() {
        let told = scene.ground.cluster().describe_group(&group)?;
        let mut lags = BTreeMap::new();
        for line in told.lines() {
            // GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG …
            let words: Vec<&str> = line.split_whitespace().collect();
            let [_, topic, partition, _, _, lag, ..] = words[..] else { continue };
            if let Ok(partition) = partition.parse::<u32>() {
                lags.insert((topic.to_owned(), partition), lag.to_owned());
            }
        }
        for place in scene.places() {
            let lag = lags.get(place).with_context(|| format!("{place:?} in:\n{told}"))?;
            ensure!(lag == "0", "{place:?} lags by {lag}:\n{told}");
        }
    }
    Ok(())
}
