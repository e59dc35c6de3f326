//! Registries: all hosts of one name give one answer, however they race.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use anyhow::Result;
use bytes::Bytes;
use gristmill_kafka::{Cluster, Registry};

use super::shared::{new_topic, settings, shared};

#[test]
fn hosts_that_race_agree_and_so_do_those_that_come_later() -> Result<()> {
    let shared = shared()?;
    let names: Vec<String> = (0..20).map(|at| format!("name {at}")).collect();
    let hosts: Vec<_> = (0..2)
        .map(|_| -> Result<_> {
            let cluster = Cluster::connect(settings(&shared.bootstrap))?;
            Ok(Registry::open(&cluster, "__registry.race")?)
        })
        .collect::<Result<_>>()?;
    let numbers_of = |host: &Registry, skip: usize| -> Result<BTreeMap<String, u64>> {
        let names = names.iter().cycle().skip(skip).take(names.len());
        names.map(|name| Ok((name.clone(), host.number(name)?))).collect()
    };
    let secret = |host: usize, thread: usize| Bytes::from(format!("secret of {host}.{thread}"));
    let answers = thread::scope(|scope| -> Result<Vec<_>> {
        let threads: Vec<_> = hosts
            .iter()
            .enumerate()
            .flat_map(|(number, host)| (0..3).map(move |thread| (number, host, thread)))
            .map(|(number, host, thread)| {
                scope.spawn(move || -> Result<_> {
                    let numbers = numbers_of(host, thread * 5)?;
                    Ok((numbers, host.first("secret", secret(number, thread))?))
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })?;
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    let (numbers, value) = &answers[0];
    let distinct: BTreeSet<_> = numbers.values().collect();
    assert_eq!(distinct.len(), names.len(), "one number for one name");
    drop(hosts);
    let later = Registry::open(&shared.cluster, "__registry.race")?;
    assert_eq!(later.numbers(), *numbers);
    assert_eq!(numbers_of(&later, 0)?, *numbers);
    assert_eq!(later.first("secret", Bytes::from_static(b"too late"))?, *value);
    Ok(())
}

#[test]
fn a_topic_that_forgets_is_refused() -> Result<()> {
    let shared = shared()?;
    shared.cluster.create(&new_topic("__registry.forgets", 1, &[("cleanup.policy", "delete")]))?;
    let refused = Registry::open(&shared.cluster, "__registry.forgets").unwrap_err();
    assert_eq!(refused.code(), "E0608", "{refused:?}");
    shared.cluster.create(&new_topic("__registry.wide", 2, &[("cleanup.policy", "compact")]))?;
    let refused = Registry::open(&shared.cluster, "__registry.wide").unwrap_err();
    assert_eq!(refused.code(), "E0608", "{refused:?}");
    Ok(())
}
