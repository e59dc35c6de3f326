//! Takes snapshots: copies what every partition of a subscription on this host had at a checkpoint
//! while events go on being handled, and has the copy appear as a whole.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use gristmill_engine::{Instant, PartitionId};
use gristmill_store::snapshot::FolderWriter;
use gristmill_store::{Contents, Error as StoreError, Moment, Scope};
use serde::Serialize;
use tokio::sync::watch;

use super::{Head, SnapshotError, folder, host, kept, named_after};
use crate::envelope::time;
use crate::plugins::SubscriptionStatus;
use crate::rebuild;
use crate::shared::Shared;
use crate::states::States;

/// Bytes written between two looks at the free space, and at whether the host stops.
const LOOK: u64 = 16 << 20;

/// Subscriptions a snapshot of which is being taken.
#[derive(Debug, Default)]
pub(crate) struct Takes(Mutex<BTreeSet<String>>);

/// One of them; it is none any more when this is dropped.
struct Taking<'a>(&'a Takes, String);

/// A snapshot that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Taken {
    pub(crate) subscription: String,
    pub(crate) name: String,
    #[serde(rename = "taken_at")]
    pub(crate) at: String,
    pub(crate) bytes: u64,
    /// Values of state in it.
    pub(crate) values: u64,
    /// Timers that were set.
    pub(crate) timers: u64,
    /// Parked events and timers.
    pub(crate) parked: u64,
    pub(crate) partitions: Vec<u32>,
    /// Partitions that other hosts have, or none has now.
    pub(crate) partitions_elsewhere: Vec<u32>,
    /// Older snapshots that were deleted, as there were more than are kept.
    pub(crate) deleted: Vec<String>,
}

impl Takes {
    /// Takes one. Waits.
    pub(crate) fn take(
        &self,
        shared: &Arc<Shared>,
        status: &SubscriptionStatus,
        name: Option<String>,
        stopping: &watch::Receiver<bool>,
    ) -> Result<Taken, SnapshotError> {
        let subscription = status.binding.name.to_string();
        if let Some(why) = rebuild::why_impossible(shared, status) {
            return Err(SnapshotError::Impossible { subscription, why });
        }
        let _taking = self.begin(&subscription)?;
        let (here, elsewhere) = States::new(Arc::clone(shared), status.clone()).partitions();
        if here.is_empty() {
            return Err(SnapshotError::NotHere { subscription });
        }
        let now = shared.clock.now();
        let name = name.unwrap_or_else(|| named_after(now));
        let path = folder(shared, &subscription).join(&name);
        if path.exists() {
            return Err(SnapshotError::Exists { subscription, name });
        }
        let writer = FolderWriter::begin(&path)?;
        let (bytes, contents) = copy((shared, stopping), status, (&writer, now), &here)?;
        if !writer.finish()? {
            return Err(SnapshotError::Exists { subscription, name });
        }
        let deleted = kept::thin(shared, &subscription, &name)?;
        let numbers = |of: &[PartitionId]| of.iter().map(|it| it.0).collect::<Vec<u32>>();
        let Contents { values, timers, parked } = contents;
        Ok(Taken {
            subscription,
            name,
            at: time::format(now),
            bytes,
            values,
            timers,
            parked,
            partitions: numbers(&here),
            partitions_elsewhere: numbers(&elsewhere),
            deleted,
        })
    }

    fn begin(&self, subscription: &str) -> Result<Taking<'_>, SnapshotError> {
        let subscription = subscription.to_owned();
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !under_way.insert(subscription.clone()) {
            return Err(SnapshotError::Busy { subscription });
        }
        Ok(Taking(self, subscription))
    }
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        // Every change of it is whole.
        let mut under_way = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.remove(&self.1);
    }
}

/// Copies what these partitions have now; how large that is, and what is in it.
fn copy(
    (shared, stopping): (&Shared, &watch::Receiver<bool>),
    status: &SubscriptionStatus,
    (writer, now): (&FolderWriter, Instant),
    partitions: &[PartitionId],
) -> Result<(u64, Contents), SnapshotError> {
    let moment = |partition| {
        let scope = Scope { subscription: status.id, partition };
        (partition, shared.store.moment(scope))
    };
    // All of them at once: what comes meanwhile is in none.
    let moments: Vec<(PartitionId, Moment)> = partitions.iter().copied().map(moment).collect();
    let subscription = status.binding.name.to_string();
    let digest = digest(shared, status);
    let (mut bytes, mut contents) = (0_u64, Contents::default());
    for (partition, moment) in moments {
        let partition = partition.0;
        let head = Head {
            subscription: subscription.clone(),
            partition,
            host: host(shared),
            taken_at_ms: now.0,
            digest: digest.clone(),
        };
        let (size, has) = write((shared, stopping), writer, &head, (&moment, now))?;
        if !moment.is_whole() {
            return Err(SnapshotError::Moved { subscription, partition });
        }
        bytes = bytes.saturating_add(size);
        contents.values = contents.values.saturating_add(has.values);
        contents.timers = contents.timers.saturating_add(has.timers);
        contents.parked = contents.parked.saturating_add(has.parked);
    }
    Ok((bytes, contents))
}

/// Writes the file of a partition; how large it is, and what is in it.
fn write(
    (shared, stopping): (&Shared, &watch::Receiver<bool>),
    writer: &FolderWriter,
    head: &Head,
    (moment, now): (&Moment, Instant),
) -> Result<(u64, Contents), StoreError> {
    // It holds texts and numbers: that always has a JSON form.
    let document = serde_json::to_vec(head).unwrap_or_default();
    let mut file = writer.file(PartitionId(head.partition), &document)?;
    let mut looked: Option<u64> = None;
    let contents = moment.read(now, |entry| {
        if looked.is_none_or(|at| file.bytes().saturating_sub(at) >= LOOK) {
            looked = Some(file.bytes());
            shared.store.must_have_room()?;
            if *stopping.borrow() {
                return Err(StoreError::Closed);
            }
        }
        file.put(&entry)
    })?;
    Ok((file.finish()?, contents))
}

fn digest(shared: &Shared, status: &SubscriptionStatus) -> Option<String> {
    shared.board.read().plugins.get(&status.plugin)?.digest.clone()
}
