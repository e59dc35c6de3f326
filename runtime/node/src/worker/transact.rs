//! Turns a checkpoint into what a cluster is to make true, in one transaction by default: what was
//! appended, what its partitions' changelogs must say, and the offsets of every partition it
//! touched. After its end the store follows. It never decides what belongs into a checkpoint.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use gristmill_engine::{CheckpointId, Offset};
use gristmill_kafka::{Ended, GroupOffsets, NewRecord, Transaction};
use gristmill_store::{Batch, Change, Scope, Store, changelog};
use tokio::sync::mpsc::UnboundedSender;

use super::filling::Taken;
use super::ownership::Told;
use super::stage::Place;
use super::standing::Standing;
use super::{Command, Worker};
use crate::Error;

/// The changelog records of one partition within a transaction, and where that leaves it.
struct Logged {
    scope: Scope,
    /// Index of its last record.
    last: usize,
    standing: Standing,
}

impl Worker {
    /// Hands a checkpoint to the cluster; how it ended comes back as a command.
    pub(super) fn transact(&mut self, checkpoint: CheckpointId, taken: Taken) -> Result<(), Error> {
        let Taken { batch, causes, mut places } = taken;
        places.sort_unstable();
        places.dedup();
        let Batch { appends, changes, .. } = batch;
        let mut records = Vec::with_capacity(appends.len());
        if let Some(kafka) = self.shared.broker.kafka() {
            records.extend(appends.into_iter().map(|append| kafka.record(append)));
        }
        let events = records.len();
        let logged = self.log(&changes, &mut records)?;
        let offsets = self.offsets(&places);
        if records.is_empty() && offsets.is_empty() {
            self.store(checkpoint, Batch { changes, ..Batch::default() });
            return Ok(());
        }
        let (store, answer) = (self.shared.store.clone(), self.sender.clone());
        let done =
            Box::new(move |ended| settle(&store, answer, checkpoint, (changes, logged), ended));
        if let Some(kafka) = &mut self.kafka {
            kafka.causes = causes;
            kafka.barrier.begun(places);
            kafka.committer.commit(Transaction { records, events, offsets }, done);
        }
        Ok(())
    }

    /// Adds what the changelogs must say.
    fn log(
        &mut self,
        changes: &[Change],
        records: &mut Vec<NewRecord>,
    ) -> Result<Vec<Logged>, Error> {
        let now = self.shared.clock.now();
        let mut by_scope: BTreeMap<Scope, Vec<&Change>> = BTreeMap::new();
        for change in changes {
            if let Some(scope) = change.scope() {
                by_scope.entry(scope).or_default().push(change);
            }
        }
        let mut logged = Vec::with_capacity(by_scope.len());
        let mut entries = Vec::new();
        for (scope, changes) in by_scope {
            let place = (scope.subscription, scope.partition);
            let Some(part) = self.parts.get_mut(&place) else { continue };
            let Some(topic) = part.binding.changelog.clone() else { continue };
            let standing = &mut part.changelog;
            let (first, mut next) = (standing.marks_next, standing.marks_next);
            entries.clear();
            changelog::encode(changes, &mut next, &mut entries)?;
            for sequence in first..next {
                standing.note_marks(sequence, now);
            }
            let expired = standing.expire_marks(now).map(|sequence| changelog::Entry {
                key: changelog::mark_batch_key(sequence),
                value: None,
            });
            entries.extend(expired);
            if entries.is_empty() {
                continue;
            }
            records.extend(entries.drain(..).map(|changelog::Entry { key, value }| NewRecord {
                topic: topic.clone(),
                partition: scope.partition.0,
                timestamp_ms: now.0,
                key: Some(key),
                headers: Vec::new(),
                payload: value,
            }));
            standing.at_ms = now.0;
            let last = records.len().saturating_sub(1);
            logged.push(Logged { scope, last, standing: standing.clone() });
        }
        Ok(logged)
    }

    /// The offsets of every partition that was touched, moved or not: they are what fences.
    pub(super) fn offsets(&self, places: &[Place]) -> Vec<GroupOffsets> {
        let Some(kafka) = &self.kafka else { return Vec::new() };
        let mut by_group: BTreeMap<_, (Vec<_>, Vec<_>)> = BTreeMap::new();
        for place in places {
            let Some(part) = self.parts.get(place) else { continue };
            let (offsets, held) = by_group.entry(place.0).or_default();
            // One that is held no more is held in no term: the transaction will be refused.
            held.push((place.1.0, kafka.term(*place).unwrap_or_default()));
            for cursor in part.cursors.iter().filter(|cursor| cursor.next.is_some()) {
                if let Some(source) = part.binding.source(cursor.topic) {
                    offsets.push((source.name.clone(), place.1.0, cursor.finished));
                }
            }
        }
        let groups = by_group.into_iter().filter_map(|(subscription, (offsets, held))| {
            let group = Arc::clone(kafka.group(subscription)?);
            Some(GroupOffsets { group, offsets, held })
        });
        groups.filter(|group| !group.offsets.is_empty()).collect()
    }
}

/// What follows the end of a transaction; runs on the thread that waited for it.
fn settle(
    store: &Store,
    answer: UnboundedSender<Command>,
    checkpoint: CheckpointId,
    (mut changes, logged): (Vec<Change>, Vec<Logged>),
    ended: Ended,
) {
    let told = match ended {
        Ended::Committed(offsets) => {
            changes.extend(logged.into_iter().map(|logged| stand(logged, &offsets)));
            let done = Box::new(move |result: Result<_, _>| {
                drop(answer.send(Command::Committed(checkpoint, result.map(drop))));
            });
            return store.submit(Batch { changes, ..Batch::default() }, done);
        }
        Ended::Aborted(reason, error) => Told::Aborted(checkpoint, reason, error),
        Ended::Undeliverable(index, error) => Told::Undeliverable(checkpoint, index, error),
        Ended::Failed(error) => Told::Failed(error),
    };
    // The worker has ended when nobody takes it.
    drop(answer.send(Command::Told(told)));
}

/// The store has everything up to the last record of a transaction.
fn stand(logged: Logged, offsets: &[Offset]) -> Change {
    let Logged { scope, last, mut standing } = logged;
    if let Some(offset) = offsets.get(last) {
        standing.next = offset.next().0;
    }
    let value: Option<Bytes> = Some(standing.to_bytes());
    Change::Document { name: Standing::document(scope), value }
}
