//! Two events of one business id under different keys of one partition.

use std::collections::BTreeMap;

use anyhow::Result;
use gristmill_tests::support::kafka::witness::Written;
use serde_json::json;

use super::scene::{PARTITIONS, Scene};

/// Ids, spread over all partitions.
const IDS: u32 = 300;

#[test]
fn one_id_under_two_keys_of_a_partition_has_one_effect() -> Result<()> {
    let mut scene = Scene::new("twins")?;
    let home = scene.home("only")?;
    let mut host = home.start(&[])?;
    host.must_be_ready()?;
    // Both at once: the second comes while the first is at work, or just done.
    send(&mut scene, &["first", "second"])?;
    scene.finish()?;
    host.stop()?;
    // Much later, and to another life of the host, which has only marks to go by.
    std::fs::remove_dir_all(home.path().join("data"))?;
    let mut host = home.start(&[])?;
    host.must_be_ready()?;
    send(&mut scene, &["third"])?;
    scene.finish()?;
    host.stop()?;

    for (topic, partitions) in scene.ground.read(&scene.outputs())? {
        let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for effect in partitions.iter().flatten() {
            let id = effect.payload["id"].as_str().unwrap_or_default().to_owned();
            keys.entry(id).or_default().push(effect.key.clone().unwrap_or_default());
        }
        let wanted = scene.sources().into_iter().flat_map(|source| {
            (0..IDS).map(move |id| (format!("{source}-{id}"), vec![format!("first-{id}")]))
        });
        assert_eq!(keys, wanted.collect(), "{topic}");
    }
    Ok(())
}

/// Publishes every id once under each of these keys, to the same partition.
fn send(scene: &mut Scene, keys: &[&str]) -> Result<()> {
    for topic in scene.sources() {
        let record = |id: u32, key: &str| Written {
            key: format!("{key}-{id}"),
            payload: json!({ "id": format!("{topic}-{id}") }).to_string(),
            partition: Some(id % PARTITIONS),
        };
        let records = (0..IDS).flat_map(|id| keys.iter().map(move |key| record(id, key)));
        let records: Vec<Written> = records.collect();
        scene.write(&topic, &records)?;
    }
    Ok(())
}
