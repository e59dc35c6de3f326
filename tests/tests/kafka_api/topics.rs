//! Topics: made, found, grown, deleted, and told apart from others of their name.

use anyhow::Result;
use gristmill_engine::Offset;
use gristmill_kafka::{Cluster, Error};

use super::shared::{new_topic, settings, shared};

#[test]
fn a_topic_is_there_with_all_it_has_as_soon_as_it_is_made() -> Result<()> {
    let shared = shared()?;
    let cluster = &shared.cluster;
    assert_eq!(cluster.topic("topics-made")?, None);
    let configs = [("cleanup.policy", "compact"), ("delete.retention.ms", "3600000")];
    let made = cluster.create(&new_topic("topics-made", 3, &configs))?;
    assert_eq!((&*made.name, made.partitions), ("topics-made", 3));
    assert_ne!(made.id, 0);
    assert_eq!(cluster.topic("topics-made")?, Some(made.clone()));
    assert!(cluster.topics()?.contains(&made));
    let found = cluster.configs("topics-made")?;
    for (name, value) in configs {
        assert_eq!(found.get(name).map(String::as_str), Some(value), "{name}");
    }
    for name in ["retention.ms", "retention.bytes", "max.message.bytes"] {
        assert!(found.contains_key(name), "{name}");
    }
    Ok(())
}

#[test]
fn making_a_topic_that_exists_is_refused_and_ensuring_it_is_not() -> Result<()> {
    let shared = shared()?;
    let cluster = &shared.cluster;
    let made = cluster.ensure(&new_topic("topics-twice", 2, &[]))?;
    assert_eq!(cluster.ensure(&new_topic("topics-twice", 9, &[]))?, made);
    let refused = cluster.create(&new_topic("topics-twice", 2, &[])).unwrap_err();
    assert_eq!(refused, Error::TopicExists { topic: "topics-twice".to_owned() });
    let race = || cluster.ensure(&new_topic("topics-race", 2, &[]));
    let ids = std::thread::scope(|scope| {
        let hosts: Vec<_> = (0..4).map(|_| scope.spawn(race)).collect();
        hosts.into_iter().map(|host| Ok(host.join().unwrap()?.id)).collect::<Result<Vec<_>>>()
    })?;
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    Ok(())
}

#[test]
fn a_topic_made_anew_is_another() -> Result<()> {
    let shared = shared()?;
    let cluster = &shared.cluster;
    let first = cluster.create(&new_topic("topics-anew", 1, &[]))?;
    cluster.delete("topics-anew")?;
    assert_eq!(cluster.topic("topics-anew")?, None);
    let gone = cluster.delete("topics-anew").unwrap_err();
    assert_eq!(gone, Error::TopicUnknown { topic: "topics-anew".to_owned() });
    let second = cluster.create(&new_topic("topics-anew", 1, &[]))?;
    assert_ne!(first.id, second.id);
    Ok(())
}

#[test]
fn a_topic_grows_and_never_shrinks() -> Result<()> {
    let shared = shared()?;
    let cluster = &shared.cluster;
    let made = cluster.create(&new_topic("topics-grown", 2, &[]))?;
    assert_eq!(cluster.bounds("topics-grown", 0)?, (Offset(0), Offset(0)));
    let other = Cluster::connect(settings(&shared.bootstrap))?;
    let grown = other.grow("topics-grown", 5)?;
    // Also for whoever knew it before.
    assert_eq!(cluster.bounds("topics-grown", 4)?, (Offset(0), Offset(0)));
    assert_eq!((grown.id, grown.partitions), (made.id, 5));
    assert_eq!(cluster.grow("topics-grown", 5)?, grown);
    let refused = cluster.grow("topics-grown", 4).unwrap_err();
    assert_eq!((refused.code(), refused.is_retriable()), ("E0608", false));
    let unknown = cluster.grow("topics-nowhere", 4).unwrap_err();
    assert_eq!(unknown, Error::TopicUnknown { topic: "topics-nowhere".to_owned() });
    Ok(())
}

#[test]
fn what_no_topic_can_be_is_refused_with_a_reason() -> Result<()> {
    let shared = shared()?;
    let cluster = &shared.cluster;
    for (topic, code) in [
        (new_topic("topics/bad name", 1, &[]), "E0608"),
        (new_topic("topics-bad-setting", 1, &[("retention.ms", "soon")]), "E0608"),
        (new_topic("topics-unknown-setting", 1, &[("colour", "red")]), "E0608"),
        (new_topic("topics-no-partition", 0, &[]), "E0608"),
    ] {
        let refused = cluster.create(&topic).unwrap_err();
        assert_eq!(refused.code(), code, "{topic:?}: {refused:?}");
    }
    let mut copies = new_topic("topics-copies", 1, &[]);
    copies.replication = Some(2);
    let refused = cluster.create(&copies).unwrap_err();
    assert_eq!(refused.code(), "E0608", "{refused:?}");
    assert_eq!(cluster.topic("topics/bad name")?, None);
    let unknown = cluster.configs("topics-nowhere").unwrap_err();
    assert_eq!(unknown, Error::TopicUnknown { topic: "topics-nowhere".to_owned() });
    Ok(())
}
