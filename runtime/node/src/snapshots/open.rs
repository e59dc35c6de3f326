//! Opens a snapshot that a rebuild begins with, and refuses one that is of something else.

use std::collections::BTreeMap;

use gristmill_engine::PartitionId;
use gristmill_store::snapshot::{self, Reader};

use super::{Head, SnapshotError, folder, host, is_name};
use crate::shared::Shared;

/// A snapshot that is read. Nothing takes it away from whoever has it open.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) name: String,
    readers: BTreeMap<PartitionId, Reader>,
}

/// Opens what a snapshot of a subscription has of these partitions. Waits.
pub(crate) fn open(
    shared: &Shared,
    (subscription, name): (&str, &str),
    partitions: &[PartitionId],
) -> Result<Opened, SnapshotError> {
    let own = |name: &str| name.to_owned();
    let folder = folder(shared, subscription);
    let all = snapshot::list(&folder)?;
    let found = all.into_iter().find(|(it, _)| it == name && is_name(name));
    let unknown = || SnapshotError::Unknown { subscription: own(subscription), name: own(name) };
    let (_, has) = found.ok_or_else(unknown)?;
    let lacks = partitions.iter().filter(|it| !has.contains(it)).map(|it| it.0);
    let lacks: Vec<u32> = lacks.collect();
    if !lacks.is_empty() {
        return Err(SnapshotError::Lacks { name: own(name), partitions: lacks });
    }
    let path = folder.join(name);
    let mut opened = Opened { name: own(name), readers: BTreeMap::new() };
    for partition in partitions.iter().copied() {
        let (reader, front) = Reader::open(&path, partition)?;
        let head = Head::read(&path, &front.document)?;
        let why = if head.subscription != subscription {
            "it is of another subscription"
        } else if head.partition != partition.0 {
            "it is of another partition"
        } else if head.host != host(shared) {
            "it is of another data directory or cluster"
        } else {
            opened.readers.insert(partition, reader);
            continue;
        };
        return Err(opened.foreign(subscription, why.to_owned()));
    }
    Ok(opened)
}

impl Opened {
    /// Reads all of it, and refuses what is damaged. Waits.
    pub(crate) fn check(&mut self) -> Result<(), SnapshotError> {
        self.readers.values_mut().try_for_each(Reader::check)?;
        Ok(())
    }

    /// What it has of a partition; once.
    pub(crate) fn take(&mut self, partition: PartitionId) -> Option<Reader> {
        self.readers.remove(&partition)
    }

    /// It is of something else.
    pub(crate) fn foreign(&self, subscription: &str, why: String) -> SnapshotError {
        let (subscription, name) = (subscription.to_owned(), self.name.clone());
        SnapshotError::Foreign { subscription, name, why }
    }
}
