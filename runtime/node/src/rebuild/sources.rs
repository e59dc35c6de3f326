//! Reads what a partition's state is made of, across its topics, by the time events were published
//! and up to where the running one has come. It handles nothing.

use std::collections::VecDeque;
use std::sync::Arc;

use bytestring::ByteString;
use gristmill_engine::{Bytes as Size, Offset, OffsetRange, PartitionId, StoredProgress, TopicId};
use gristmill_store::{Loaded, ReadLimit, Stored};

use super::base::Base;
use super::error::Began;
use super::{From, RebuildError};
use crate::binding::{Binding, Role};
use crate::shared::Shared;
use crate::snapshots;

/// Events read in one step.
const STEP_EVENTS: u32 = 500;
/// Bytes of them.
const STEP_BYTES: Size = Size::mib(4);

/// Topics of a partition.
#[derive(Debug)]
pub(super) struct Sources {
    shared: Arc<Shared>,
    partition: PartitionId,
    cursors: Vec<Cursor>,
}

/// Where reading stands in one topic.
#[derive(Debug)]
pub(super) struct Cursor {
    pub(super) topic: TopicId,
    pub(super) name: ByteString,
    /// Whether events there were handled before, elsewhere.
    pub(super) again: bool,
    start: Offset,
    next: Offset,
    /// What the snapshot has above its start.
    before: Vec<OffsetRange>,
    /// Every offset below was finished by the running one.
    finished: Offset,
    /// And these above.
    ahead: Vec<OffsetRange>,
    read: VecDeque<Stored>,
}

impl Sources {
    /// Everything from where `from` says.
    pub(super) fn open(
        shared: &Arc<Shared>,
        binding: &Binding,
        partition: PartitionId,
        (from, loaded, base): (From, &Loaded, Option<&Base>),
    ) -> Result<Self, RebuildError> {
        let mut cursors = Vec::new();
        for source in binding.sources.iter().filter(|it| partition.0 < it.partitions) {
            let bounds = shared.broker.bounds(source.topic, partition)?;
            // Nothing of others was read yet.
            let Some(began) = began(loaded, source.topic, source.incarnation) else { continue };
            let come = base.and_then(|base| base.progress.get(&source.topic));
            let began = come.map_or(began, |come| come.next);
            if bounds.start > began && from == From::Earliest && source.role == Role::Given {
                let has_snapshot = || snapshots::list(shared, Some(&binding.name));
                return Err(RebuildError::Gone {
                    topic: source.name.to_string(),
                    partition: partition.0,
                    earliest: bounds.start.0,
                    began: match come {
                        Some(_) => Began::Snapshot(began.0),
                        None => Began::Once(began.0, !has_snapshot()?.is_empty()),
                    },
                });
            }
            let start = began.max(bounds.start);
            cursors.push(Cursor {
                topic: source.topic,
                name: source.name.clone(),
                again: source.role == Role::Redrive,
                start,
                next: start,
                before: come.map(|come| come.finished.clone()).unwrap_or_default(),
                finished: start,
                ahead: Vec::new(),
                read: VecDeque::new(),
            });
        }
        Ok(Self { shared: Arc::clone(shared), partition, cursors })
    }

    /// Learns how far the running one has come.
    pub(super) fn extend(&mut self, progress: &[(TopicId, StoredProgress)]) {
        for cursor in &mut self.cursors {
            if let Some((_, come)) = progress.iter().find(|(topic, _)| *topic == cursor.topic) {
                cursor.finished = come.next;
                cursor.ahead.clone_from(&come.finished);
            }
        }
    }

    /// Offsets below which everything is finished, from where reading began.
    pub(super) fn total(&self) -> u64 {
        let of = |it: &Cursor| it.finished.0.saturating_sub(it.start.0);
        self.cursors.iter().map(of).sum()
    }

    /// Whether a topic is among them.
    pub(super) fn has(&self, topic: TopicId) -> bool {
        self.index(topic).is_some()
    }

    /// Where among them a topic is.
    pub(super) fn index(&self, topic: TopicId) -> Option<usize> {
        self.cursors.iter().position(|cursor| cursor.topic == topic)
    }

    pub(super) fn cursor(&self, index: usize) -> &Cursor {
        &self.cursors[index]
    }

    /// The next event that the running one has finished: of those below which everything is, and
    /// with `all` of those beyond too. Waits.
    pub(super) fn next(&mut self, all: bool) -> Result<Option<(usize, Stored)>, RebuildError> {
        let mut first: Option<(usize, u64)> = None;
        for index in 0..self.cursors.len() {
            let Some(at) = self.peek(index, all)? else { continue };
            if first.is_none_or(|(_, earliest)| at < earliest) {
                first = Some((index, at));
            }
        }
        let Some((index, _)) = first else { return Ok(None) };
        let cursor = &mut self.cursors[index];
        let stored = cursor.read.pop_front();
        if let Some(stored) = &stored {
            cursor.next = stored.offset.next();
        }
        Ok(stored.map(|stored| (index, stored)))
    }

    /// When the next event of a topic was published, if there is one to replay.
    fn peek(&mut self, index: usize, all: bool) -> Result<Option<u64>, RebuildError> {
        loop {
            let cursor = &mut self.cursors[index];
            let end = cursor.end(all);
            if cursor.next >= end {
                return Ok(None);
            }
            let Some(stored) = cursor.read.front() else {
                let limit = ReadLimit { events: STEP_EVENTS, bytes: STEP_BYTES };
                let read =
                    self.shared.broker.read(cursor.topic, self.partition, cursor.next, limit)?;
                if read.is_empty() {
                    // What is left holds no event.
                    cursor.next = end;
                    return Ok(None);
                }
                cursor.read.extend(read);
                continue;
            };
            if stored.offset >= end {
                cursor.next = end;
                return Ok(None);
            }
            if cursor.is_before(stored.offset) {
                cursor.next = stored.offset.next();
                cursor.read.pop_front();
                continue;
            }
            if cursor.is_finished(stored.offset) {
                return Ok(Some(stored.timestamp.0));
            }
            // Still to be handled by the running one.
            cursor.next = stored.offset.next();
            cursor.read.pop_front();
        }
    }

    /// One event again. Waits.
    pub(super) fn read_one(
        &self,
        index: usize,
        offset: Offset,
    ) -> Result<Option<Stored>, RebuildError> {
        let limit = ReadLimit { events: 1, bytes: Size(1) };
        let topic = self.cursors[index].topic;
        let read = self.shared.broker.read(topic, self.partition, offset, limit)?;
        Ok(read.into_iter().find(|stored| stored.offset == offset))
    }
}

impl Cursor {
    fn end(&self, all: bool) -> Offset {
        let last = self.ahead.last().filter(|_| all);
        last.map_or(self.finished, |last| last.to).max(self.finished)
    }

    /// Whether the snapshot has it.
    fn is_before(&self, offset: Offset) -> bool {
        self.before.iter().any(|range| range.from <= offset && offset < range.to)
    }

    fn is_finished(&self, offset: Offset) -> bool {
        let is_within = |range: &OffsetRange| range.from <= offset && offset < range.to;
        offset < self.finished || self.ahead.iter().any(is_within)
    }
}

/// Where the subscription began to read this life of a topic; after a reset everything that is held
/// counts.
fn began(loaded: &Loaded, topic: TopicId, incarnation: u128) -> Option<Offset> {
    let (_, progress) = loaded.progress.iter().find(|(it, _)| *it == topic)?;
    let is_first = progress.epoch == 0 && progress.incarnation == incarnation;
    Some(if is_first { progress.epoch_start } else { Offset(0) })
}
