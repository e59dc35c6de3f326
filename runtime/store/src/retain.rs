//! Decides which chunks retention removes. Age and size are the topic's; a chunk goes whole.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use gristmill_engine::{Instant, Offset, PartitionId, TopicId};

use crate::{
    commit::Commit,
    key::meta,
    memory::{Chunk, Log},
    open::encode_chunk,
};

/// What retention removed of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Removed {
    pub(crate) partition: PartitionId,
    /// Its new start.
    pub(crate) start: u64,
    pub(crate) bytes: u64,
}

/// Where partitions of a topic are to begin.
pub(crate) type Cuts = BTreeMap<PartitionId, Offset>;

/// Whether retention would remove anything now.
pub(crate) fn due(log: &Log, now: Instant) -> bool {
    plan(log, now).iter().any(|count| *count > 0)
}

/// Chunks to take off the front of each partition.
fn plan(log: &Log, now: Instant) -> Vec<usize> {
    let topic = log.topic();
    let partitions: Vec<Vec<Chunk>> = log
        .partitions
        .iter()
        .map(|partition| partition.chunks().iter().cloned().collect())
        .collect();
    let aged = |chunk: &Chunk| {
        let age = now.since(Instant(chunk.youngest));
        topic.retention.age.is_some_and(|limit| age > limit)
    };
    let mut counts: Vec<usize> = partitions
        .iter()
        .map(|chunks| {
            let last = chunks.len().saturating_sub(1);
            let gone = |(place, chunk): &(usize, &Chunk)| {
                if chunk.events == 0 { *place < last } else { aged(chunk) }
            };
            chunks.iter().enumerate().take_while(gone).count()
        })
        .collect();
    if let Some(limit) = topic.retention.bytes {
        shrink(&partitions, &mut counts, limit.0);
    }
    counts
}

/// Takes the oldest chunks of all partitions until less than `limit` would be left.
fn shrink(partitions: &[Vec<Chunk>], counts: &mut [usize], limit: u64) {
    let left = partitions
        .iter()
        .zip(counts.iter())
        .flat_map(|(chunks, count)| chunks.iter().skip(*count).map(|chunk| chunk.bytes));
    let mut total: u64 = left.sum();
    while total > limit {
        let fronts = partitions.iter().zip(counts.iter()).enumerate();
        let oldest = fronts
            .filter_map(|(place, (chunks, count))| chunks.get(*count).map(|front| (place, front)))
            .filter(|(_, front)| front.events > 0)
            .min_by_key(|(_, front)| front.youngest);
        match oldest {
            Some((place, front)) if total - front.bytes >= limit => {
                total -= front.bytes;
                if let Some(count) = counts.get_mut(place) {
                    *count += 1;
                }
            }
            Some(_) | None => break,
        }
    }
}

/// Removes what retention removes now. Runs on the writer, where nothing grows meanwhile.
pub(crate) fn trim(commit: &mut Commit<'_>, topic: TopicId) -> Vec<Removed> {
    // Deleted since it was found due: nothing is left to do.
    let Ok(log) = commit.shared.memory.log(topic) else { return Vec::new() };
    let counts = plan(&log, commit.now);
    remove(commit, &log, &counts)
}

/// Removes what lies before an offset, as far as whole chunks do. On the writer as well.
pub(crate) fn cut(commit: &mut Commit<'_>, topic: TopicId, before: &Cuts) -> Vec<Removed> {
    let Ok(log) = commit.shared.memory.log(topic) else { return Vec::new() };
    let counts: Vec<usize> = log
        .numbered()
        .map(|(number, partition)| {
            let before = before.get(&number).map_or(0, |offset| offset.0);
            let is_below = |chunk: &&Chunk| chunk.events > 0 && chunk.end <= before;
            partition.chunks().iter().take_while(is_below).count()
        })
        .collect();
    remove(commit, &log, &counts)
}

/// Takes so many chunks off the front of each partition.
fn remove(commit: &mut Commit<'_>, log: &Arc<Log>, counts: &[usize]) -> Vec<Removed> {
    let topic = log.topic().id;
    let mut removed = Vec::new();
    for ((number, partition), count) in log.numbered().zip(counts.iter().copied()) {
        if count == 0 {
            continue;
        }
        commit.gives_up = true;
        let chunks: Vec<Chunk> = partition.chunks().iter().take(count + 1).cloned().collect();
        let (gone, rest) = chunks.split_at(count);
        for chunk in gone {
            commit.delete_meta(meta::chunk(topic, number, chunk.base));
        }
        let end = gone.last().map_or(0, |chunk| chunk.end);
        // A partition keeps a chunk, for its end must not be forgotten with its events.
        let next = rest.is_empty().then(|| Chunk::empty(end, commit.now));
        if let Some(next) = &next {
            commit.put_meta(meta::chunk(topic, number, next.base), encode_chunk(next));
        }
        let events = gone.iter().map(|chunk| chunk.events).sum();
        commit.shared.counters.removed.fetch_add(events, Ordering::Relaxed);
        let bytes = gone.iter().map(|chunk| chunk.bytes).sum();
        removed.push(Removed { partition: number, start: end, bytes });
        let log = Arc::clone(log);
        commit.after.push(Box::new(move |_| {
            if let Ok(partition) = log.partition(number) {
                partition.drop_front(count, next);
            }
        }));
    }
    removed
}
