//! The Apache Kafka that tests run on: it is real, it survives the loss of a broker, and it is
//! looked at through its own tools.

use std::time::Duration;

use anyhow::{Context, Result};
use gristmill_tests::support::kafka::Cluster;
use gristmill_tests::support::wait;

/// A broker that came back has caught up by then.
const PATIENCE: Duration = Duration::from_mins(1);

#[test]
fn what_is_written_to_one_broker_is_there_after_it_was_killed() -> Result<()> {
    let mut cluster = Cluster::start(1)?;
    cluster.create_topic("state", 4, &["cleanup.policy=compact"])?;
    let described = cluster.describe_topic("state")?;
    assert!(described.contains("PartitionCount: 4"), "{described}");
    assert!(described.contains("cleanup.policy=compact"), "{described}");
    let refused = cluster.write("state", 1, 100).expect_err("no key, no compaction");
    assert!(refused.to_string().contains("InvalidRecordException"), "{refused}");
    cluster.create_topic("orders", 4, &[])?;
    cluster.write("orders", 1_000, 100)?;
    cluster.broker(1)?.kill()?;
    cluster.broker(1)?.start()?;
    assert_eq!(cluster.count("orders")?, 1_000);
    Ok(())
}

#[test]
fn three_brokers_go_on_without_one_and_take_it_back() -> Result<()> {
    let mut cluster = Cluster::start(3)?;
    cluster.create_topic("orders", 6, &[])?;
    let in_sync = |cluster: &Cluster, replicas: usize| -> Result<bool> {
        let described = cluster.describe_topic("orders")?;
        let isr = |line: &str| Some(line.split("Isr: ").nth(1)?.split_whitespace().next()?.len());
        // Three numbers of one digit and two commas are five characters.
        Ok(described.lines().filter_map(isr).all(|length| length == 2 * replicas - 1))
    };
    assert!(in_sync(&cluster, 3)?);
    cluster.broker(2)?.kill()?;
    cluster.write("orders", 1_000, 100)?;
    assert_eq!(cluster.count("orders")?, 1_000);
    cluster.broker(2)?.start()?;
    let caught_up = || Ok(in_sync(&cluster, 3)?.then_some(()));
    wait::until(PATIENCE, caught_up)?.context("the broker does not catch up")
}
