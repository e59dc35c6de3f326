//! The same topics in both directions, and topics that come later.

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::kafka::Cluster;
use gristmill_tests::support::wait;
use serde_json::json;

use super::pair::{PATIENCE, Pair, Told, end, metric, replication, shown, skipped};

/// Records written on each side.
const EACH: u64 = 1_000;

#[test]
fn topics_are_copied_in_both_directions_without_a_loop() -> Result<()> {
    let pair = Pair::start()?;
    let tables = |from, to, there| {
        let topics = "[\"orders\", \"^late-.*\"]";
        format!(
            "[topics.orders]\npartitions = 2\n{}",
            replication("other", (from, to, there), topics)
        )
    };
    let east = Pair::home(&pair.east, "mill", &tables("east", "west", &pair.west))?;
    let west = Pair::home(&pair.west, "mill", &tables("west", "east", &pair.east))?;
    let (mut in_east, mut in_west) = (east.start(&[])?, west.start(&[])?);
    let (client, other) = (in_east.must_be_ready()?, in_west.must_be_ready()?);
    let (mut of_east, mut of_west) = (Told::default(), Told::default());
    let (mut writer, mut opposite) = (pair.east.writer()?, pair.west.writer()?);
    of_east.write(&mut writer, ("orders", 2), EACH)?;
    of_west.write(&mut opposite, ("orders", 2), EACH)?;
    opposite.finish()?;
    // It is found by its name, and there with all it had before.
    client.send("/api/v1/topics", &json!({ "name": "late-1", "partitions": 2 }))?;
    of_east.write(&mut writer, ("late-1", 2), EACH)?;
    of_east.hold(&pair.west, ("late-1", "late-1"), "east")?;
    writer.finish()?;
    // Each side has looked at what came from the other, and left it.
    let looped = &skipped("loop", "other", "orders");
    for client in [&client, &other] {
        let all = wait::until(PATIENCE, || Ok((metric(client, looped)? >= 1_000).then_some(())))?;
        all.context("what came from the other side was not looked at")?;
        ensure!(metric(client, looped)? == 1_000, "{}", client.get("/metrics")?);
    }
    both(&pair.west, ("east", &of_east), ("west", &of_west))?;
    both(&pair.east, ("west", &of_west), ("east", &of_east))?;
    end(&east, in_east, &[])?;
    end(&west, in_west, &[])?;
    // Started again, they copy nothing twice.
    let (mut in_east, mut in_west) = (east.start(&[])?, west.start(&[])?);
    let client = in_east.must_be_ready()?;
    in_west.must_be_ready()?;
    let mut writer = pair.east.writer()?;
    of_east.write(&mut writer, ("late-1", 2), 10)?;
    writer.finish()?;
    of_east.hold(&pair.west, ("late-1", "late-1"), "east")?;
    ensure!(metric(&client, looped)? == 0, "{}", client.get("/metrics")?);
    both(&pair.west, ("east", &of_east), ("west", &of_west))?;
    end(&east, in_east, &[])?;
    end(&west, in_west, &[])
}

/// A topic holds what was written on both sides, each in its order, and nothing twice.
fn both(here: &Cluster, (from, copied): (&str, &Told), (_, own): (&str, &Told)) -> Result<()> {
    let found = here.topic("orders")?;
    for (number, partition) in found.iter().enumerate() {
        let is_copy = |record: &&gristmill_tests::support::client::Stored| {
            record.header("gristmill-provenance") == Some(from)
        };
        let of = |told: &Told| told.0["orders"][number].iter().map(|it| it.timestamp_ms).collect();
        let arrived: Vec<u64> =
            partition.iter().filter(is_copy).map(|record| record.timestamp_ms).collect();
        let own_there: Vec<u64> =
            partition.iter().filter(|it| !is_copy(it)).map(|it| it.timestamp_ms).collect();
        let (expected, own): (Vec<u64>, Vec<u64>) = (of(copied), of(own));
        ensure!(
            arrived == expected,
            "copies in partition {number}: {} of {}",
            arrived.len(),
            expected.len()
        );
        ensure!(
            own_there == own,
            "its own in partition {number}: {:?}",
            partition.first().map(shown)
        );
    }
    Ok(())
}
