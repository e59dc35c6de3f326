//! Offsets of partitions: where they begin and end, for readers of committed records and for all.

use std::time::Duration;

use anyhow::{Context, Result};
use gristmill_engine::Offset;
use gristmill_kafka::{Cluster, Error, Sought};
use gristmill_tests::support::wait;
use rdkafka::producer::Producer;

use super::raw;
use super::shared::{PATIENCE, new_topic, settings, shared};

#[test]
fn an_open_transaction_is_beyond_the_stable_end_and_under_the_high_watermark() -> Result<()> {
    let shared = shared()?;
    let cluster = &shared.cluster;
    cluster.create(&new_topic("offsets-open", 2, &[]))?;
    assert_eq!(cluster.bounds("offsets-open", 0)?, (Offset(0), Offset(0)));
    raw::write(&raw::producer(&shared.bootstrap, None)?, "offsets-open", 0, &["1", "2", "3"])?;
    let transactional = raw::producer(&shared.bootstrap, Some("offsets-open"))?;
    transactional.begin_transaction()?;
    raw::write(&transactional, "offsets-open", 0, &["4", "5"])?;
    assert_eq!(cluster.bounds("offsets-open", 0)?, (Offset(0), Offset(3)));
    assert_eq!(cluster.high_watermark("offsets-open", 0)?, Offset(5));
    transactional.commit_transaction(PATIENCE)?;
    // The marker that ends a transaction has an offset too.
    let ended = || {
        let stable = cluster.bounds("offsets-open", 0)?.1;
        Ok((stable == Offset(6)).then_some(()))
    };
    wait::until(PATIENCE, ended)?.context("the transaction does not end")?;
    assert_eq!(cluster.high_watermark("offsets-open", 0)?, Offset(6));
    assert_eq!(cluster.bounds("offsets-open", 1)?, (Offset(0), Offset(0)));
    Ok(())
}

#[test]
fn offsets_are_found_by_time() -> Result<()> {
    let shared = shared()?;
    let cluster = &shared.cluster;
    cluster.create(&new_topic("offsets-time", 1, &[("retention.ms", "-1")]))?;
    let producer = raw::producer(&shared.bootstrap, None)?;
    raw::write_odd(&producer, "offsets-time")?;
    assert_eq!(cluster.offset_at("offsets-time", 0, 0)?, Some(Offset(0)));
    assert_eq!(cluster.offset_at("offsets-time", 0, 1_234_567)?, Some(Offset(0)));
    assert_eq!(cluster.offset_at("offsets-time", 0, 1_234_568)?, None);
    Ok(())
}

#[test]
fn many_partitions_are_asked_for_at_once() -> Result<()> {
    let shared = shared()?;
    let cluster = &shared.cluster;
    cluster.create(&new_topic("offsets-many", 3, &[]))?;
    cluster.create(&new_topic("offsets-more", 1, &[("retention.ms", "-1")]))?;
    let producer = raw::producer(&shared.bootstrap, None)?;
    raw::write(&producer, "offsets-many", 0, &["1", "2", "3"])?;
    raw::write(&producer, "offsets-many", 2, &["1"])?;
    raw::write_odd(&producer, "offsets-more")?;
    let transactional = raw::producer(&shared.bootstrap, Some("offsets-many"))?;
    transactional.begin_transaction()?;
    raw::write(&transactional, "offsets-many", 2, &["2", "3"])?;
    let asked =
        [("offsets-many", 2), ("offsets-more", 0), ("offsets-many", 0), ("offsets-many", 1)];
    let end = cluster.bounds("offsets-more", 0)?.1.0;
    let some = |offsets: [u64; 4]| offsets.map(|offset| Some(Offset(offset)));
    assert_eq!(cluster.offsets(&asked, Sought::Start)?, some([0; 4]));
    assert_eq!(cluster.offsets(&asked, Sought::End)?, some([1, end, 3, 0]));
    transactional.abort_transaction(PATIENCE)?;
    // Only one has records that old.
    let since = cluster.offsets(&asked, Sought::At(1_234_567))?;
    assert_eq!(since, [Some(Offset(0)), Some(Offset(0)), Some(Offset(0)), None]);
    let since = cluster.offsets(&asked[1..], Sought::At(1_234_568))?;
    assert_eq!(since, [None, Some(Offset(0)), None]);
    assert_eq!(cluster.offsets(&[], Sought::End)?, []);
    // The client knew the topic before it grew.
    Cluster::connect(settings(&shared.bootstrap))?.grow("offsets-many", 5)?;
    let grown = cluster.offsets(&[("offsets-many", 4), ("offsets-many", 0)], Sought::End)?;
    assert_eq!(grown, [Some(Offset(0)), Some(Offset(3))]);
    Ok(())
}

#[test]
fn what_does_not_exist_is_named() -> Result<()> {
    let shared = shared()?;
    let cluster = shared.cluster.within(Duration::from_secs(5));
    cluster.create(&new_topic("offsets-few", 1, &[]))?;
    let partition = Error::PartitionUnknown { topic: "offsets-few".to_owned(), partition: 1 };
    assert_eq!(cluster.bounds("offsets-few", 1).unwrap_err(), partition);
    assert_eq!(cluster.high_watermark("offsets-few", 1).unwrap_err(), partition);
    assert_eq!(cluster.offset_at("offsets-few", 1, 0).unwrap_err(), partition);
    let topic = Error::TopicUnknown { topic: "offsets-none".to_owned() };
    assert_eq!(cluster.bounds("offsets-none", 0).unwrap_err(), topic);
    assert_eq!(cluster.offset_at("offsets-none", 0, 0).unwrap_err(), topic);
    assert_eq!(cluster.offsets(&[("offsets-none", 0)], Sought::End).unwrap_err(), topic);
    assert_eq!(cluster.offsets(&[("offsets-few", 1)], Sought::End).unwrap_err(), partition);
    Ok(())
}
