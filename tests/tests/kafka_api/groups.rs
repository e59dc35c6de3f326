//! Groups: what they committed, who is in them, and what is refused while somebody is.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use gristmill_engine::Offset;
use gristmill_kafka::{CommittedOffset, Error};
use gristmill_tests::support::wait;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::producer::Producer;
use rdkafka::topic_partition_list::Offset as Native;

use super::raw;
use super::shared::{PATIENCE, new_topic, shared};

#[test]
fn a_group_without_members_is_set_read_and_deleted() -> Result<()> {
    let shared = shared()?;
    let cluster = &shared.cluster;
    cluster.create(&new_topic("groups-set", 3, &[]))?;
    let wanted = [("groups-set", 2), ("groups-set", 0), ("groups-set", 1)];
    assert_eq!(cluster.committed("groups-set", &wanted)?, [None, None, None]);
    assert_eq!(cluster.group("groups-set")?, None);
    cluster.set_committed("groups-set", &[("groups-set", 0, Offset(7))])?;
    cluster.set_committed("groups-set", &[("groups-set", 1, Offset(0))])?;
    let committed = cluster.committed("groups-set", &wanted)?;
    assert_eq!(committed, [None, Some(Offset(7)), Some(Offset(0))]);
    let at = |partition, offset| CommittedOffset {
        topic: "groups-set".to_owned(),
        partition,
        offset: Offset(offset),
    };
    let all = cluster.committed_all(&["groups-none", "groups-set"])?;
    assert_eq!(all, [vec![], vec![at(0, 7), at(1, 0)]]);
    assert_eq!(cluster.committed_all(&[])?, [[]; 0]);
    let group = cluster.group("groups-set")?.context("a group that committed exists")?;
    assert_eq!((&*group.state, group.members.len()), ("Empty", 0));
    assert!(cluster.groups()?.iter().any(|group| group.name == "groups-set"));
    cluster.delete_group("groups-set")?;
    assert_eq!(cluster.committed("groups-set", &wanted)?, [None, None, None]);
    let unknown = Error::GroupUnknown { group: "groups-set".to_owned() };
    assert_eq!(cluster.delete_group("groups-set").unwrap_err(), unknown);
    Ok(())
}

#[test]
fn a_group_with_members_is_described_and_left_alone() -> Result<()> {
    let shared = shared()?;
    let cluster = &shared.cluster;
    cluster.create(&new_topic("groups-busy", 2, &[]))?;
    let member = raw::member(&shared.bootstrap, "groups-busy", "groups-busy")?;
    let offsets = [("groups-busy", 0, Offset(1))];
    let refused = cluster.set_committed("groups-busy", &offsets).unwrap_err();
    assert_eq!((refused.code(), refused.is_retriable()), ("E0611", false), "{refused:?}");
    assert_eq!(cluster.delete_group("groups-busy").unwrap_err().code(), "E0611");
    let stable = || {
        drop(member.poll(Duration::ZERO));
        Ok(cluster.group("groups-busy")?.filter(|group| group.state == "Stable"))
    };
    let group = wait::until(PATIENCE, stable)?.context("the group does not settle")?;
    let [somebody] = &group.members[..] else { panic!("{group:?}") };
    assert_eq!(somebody.client_id, "somebody");
    assert_eq!(somebody.host, "127.0.0.1");
    let both = [("groups-busy".to_owned(), 0), ("groups-busy".to_owned(), 1)];
    assert_eq!(somebody.partitions, both);
    assert_eq!(cluster.committed("groups-busy", &[("groups-busy", 0)])?, [None]);
    drop(member);
    // Whoever leaves says so; the next may set what the group committed.
    let set = || match cluster.set_committed("groups-busy", &offsets) {
        Err(Error::GroupActive { .. }) => Ok(None),
        set => Ok(Some(set?)),
    };
    wait::until(PATIENCE, set)?.context("the group stays active")?;
    assert_eq!(cluster.committed("groups-busy", &[("groups-busy", 0)])?, [Some(Offset(1))]);
    Ok(())
}

#[test]
fn what_a_group_committed_waits_for_its_open_transaction() -> Result<()> {
    let shared = shared()?;
    let cluster = &shared.cluster;
    cluster.create(&new_topic("groups-open", 1, &[]))?;
    let producer = raw::producer(&shared.bootstrap, None)?;
    raw::write(&producer, "groups-open", 0, &["1", "2", "3"])?;
    let member = raw::member(&shared.bootstrap, "groups-open", "groups-open")?;
    let transactional = raw::producer(&shared.bootstrap, Some("groups-open"))?;
    transactional.begin_transaction()?;
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset("groups-open", 0, Native::Offset(2))?;
    let metadata = member.group_metadata().context("a member has metadata")?;
    transactional.send_offsets_to_transaction(&offsets, &metadata, PATIENCE)?;
    let hasty = cluster.within(Duration::from_secs(1));
    let began = Instant::now();
    let open = hasty.committed("groups-open", &[("groups-open", 0)]).unwrap_err();
    assert!(open.is_retriable(), "{open:?}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    transactional.commit_transaction(PATIENCE)?;
    let committed = cluster.committed("groups-open", &[("groups-open", 0)])?;
    assert_eq!(committed, [Some(Offset(2))]);
    Ok(())
}
