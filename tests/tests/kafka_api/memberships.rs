//! Memberships: what a member reads of the partitions it holds while others come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use bytestring::ByteString;
use gristmill_engine::Offset;
use gristmill_kafka::{Cluster, Group, Membered, Read, Reading};
use gristmill_tests::support::wait;

use super::raw;
use super::shared::{PATIENCE, new_topic, settings, shared};

/// A member that gives back at once what it is asked for.
struct Member {
    group: Group,
    told: Arc<Mutex<Vec<Membered>>>,
    held: BTreeSet<u32>,
    readings: BTreeMap<u32, Reading>,
}

impl Member {
    fn join(bootstrap: &str, group: &str, changelog: &str) -> Result<Self> {
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&told);
        let listener = move |it| heard.lock().unwrap_or_else(PoisonError::into_inner).push(it);
        let cluster = Cluster::connect(settings(bootstrap))?;
        let ready = Box::new(|| ());
        let group = Group::join(&cluster, (group, changelog), Box::new(listener), ready)?;
        Ok(Self { group, told, held: BTreeSet::new(), readings: BTreeMap::new() })
    }

    fn poll(&mut self) -> Result<()> {
        self.group.poll();
        let told = std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner));
        for it in told {
            match it {
                Membered::Assigned(numbers, _) => self.held.extend(numbers),
                Membered::Revoked(numbers) | Membered::Lost(numbers) => {
                    for number in numbers {
                        self.readings.remove(&number);
                        self.held.remove(&number);
                        self.group.release(number)?;
                    }
                }
                Membered::Failed(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn read(&mut self, topic: &ByteString) -> Result<()> {
        for number in &self.held {
            let read = self.group.read((topic, *number), Offset(0), Box::new(|| ()))?;
            self.readings.insert(*number, read.context("it is not held")?);
        }
        Ok(())
    }
}

#[test]
fn a_record_that_follows_an_end_is_read_after_somebody_joined() -> Result<()> {
    let shared = shared()?;
    let topic = ByteString::from("members-in");
    shared.cluster.create(&new_topic("members-log", 2, &[]))?;
    shared.cluster.create(&new_topic(&topic, 2, &[]))?;
    let producer = raw::producer(&shared.bootstrap, None)?;
    let mut one = Member::join(&shared.bootstrap, "members", "members-log")?;
    let joined = wait::until(PATIENCE, || {
        one.poll()?;
        Ok((one.held.len() == 2).then_some(()))
    })?;
    joined.context("the first does not hold everything")?;
    for number in [0, 1] {
        raw::write(&producer, &topic, number, &["1", "2", "3"])?;
    }
    one.read(&topic)?;
    let mut ends = BTreeSet::new();
    let ended = wait::until(PATIENCE, || {
        one.poll()?;
        for (number, reading) in &mut one.readings {
            reading.take(|it| {
                if matches!(it, Read::End(Offset(3))) {
                    ends.insert(*number);
                }
            });
        }
        Ok((ends.len() == 2).then_some(()))
    })?;
    ended.context("the ends are not reached")?;

    let mut other = Member::join(&shared.bootstrap, "members", "members-log")?;
    let moved = wait::until(PATIENCE, || {
        one.poll()?;
        other.poll()?;
        Ok((other.held.len() == 1 && one.held.len() == 1).then_some(()))
    })?;
    moved.context("the second gets nothing")?;
    for number in [0, 1] {
        raw::write(&producer, &topic, number, &["4"])?;
    }
    let mut read = Vec::new();
    let next = wait::until(PATIENCE, || {
        one.poll()?;
        other.poll()?;
        for reading in one.readings.values_mut() {
            reading.take(|it| read.push(it));
        }
        let record = read.iter().find(|it| matches!(it, Read::Record(_) | Read::OutOfRange));
        Ok(record.map(|it| format!("{it:?}")))
    })?;
    let next = next.with_context(|| format!("no record but {read:?}"))?;
    assert!(next.contains("Offset(3)"), "{next}");
    Ok(())
}
