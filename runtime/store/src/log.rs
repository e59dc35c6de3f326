//! Decides what a read of a topic returns. It changes nothing.

use gristmill_engine::{Bytes as Size, Instant, Offset, PartitionId, TopicId};

use crate::{Error, ReadLimit, Stored, codec::Decoder, key, record, shared::Shared};

/// Reads events from `from` on, up to the end as readers see it.
pub(crate) fn read(
    shared: &Shared,
    topic: TopicId,
    partition: PartitionId,
    from: Offset,
    limit: ReadLimit,
) -> Result<Vec<Stored>, Error> {
    let log = shared.memory.log(topic)?;
    let found = log.partition(partition)?;
    let bounds = found.bounds();
    let from = from.max(bounds.start);
    if from >= bounds.end {
        return Ok(Vec::new());
    }
    if let Some(events) = found.recent.read((from, bounds.end), limit)? {
        return Ok(events);
    }
    let range = key::log(topic, partition, from)..key::log(topic, partition, bounds.end);
    let events_max = usize::try_from(limit.events.max(1)).unwrap_or(usize::MAX);
    let mut events = Vec::with_capacity(events_max.min(1_024));
    let mut bytes = 0_u64;
    for guard in shared.disk.log.range(range) {
        let failed = |source: fjall::Error| Error::Read { what: "events", source: source.into() };
        let (key, value) = guard.into_inner().map_err(failed)?;
        let mut decoder = Decoder::of("event", value);
        let Some((_, _, offset)) = key::log_parts(&key) else {
            return Err(decoder.corrupt("its key is no position"));
        };
        let event = record::decode_event(offset, &mut decoder)?;
        bytes = bytes.saturating_add(record::stored_size(&event));
        events.push(event);
        if events.len() >= events_max || bytes >= limit.bytes.0 {
            break;
        }
    }
    Ok(events)
}

/// First offset whose event is not older than `at`.
pub(crate) fn offset_at(
    shared: &Shared,
    topic: TopicId,
    partition: PartitionId,
    at: Instant,
) -> Result<Offset, Error> {
    let log = shared.memory.log(topic)?;
    let found = log.partition(partition)?;
    let end = found.bounds().end;
    // Only a chunk with an event that young is worth reading.
    let chunks: Vec<(u64, u64)> = found
        .chunks()
        .iter()
        .filter(|chunk| chunk.events > 0 && chunk.youngest >= at.0)
        .map(|chunk| (chunk.base, chunk.end))
        .collect();
    let limit = ReadLimit { events: 1_024, bytes: Size::mib(4) };
    for (base, chunk_end) in chunks {
        let mut from = Offset(base);
        while from.0 < chunk_end {
            let events = read(shared, topic, partition, from, limit)?;
            let Some(last) = events.last() else { break };
            from = last.offset.next();
            if let Some(event) = events.iter().find(|event| event.timestamp >= at) {
                return Ok(event.offset);
            }
        }
    }
    Ok(end)
}
