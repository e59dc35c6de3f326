//! Gathers what is copied in one transaction: records, and up to where their partitions are copied
//! with them. It reads nothing and commits nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytestring::ByteString;
use gristmill_kafka::{Group, GroupOffsets, NewRecord, Transaction};
use gristmill_store::Stored;

use super::progress::{Mark, Place, Progress, begun_record, mark_record};
use super::provenance::Way;
use super::slots::Slots;

/// Records of one transaction.
const RECORDS_MAX: usize = 10_000;
/// Their bytes: what is read while it is under way may be as much again.
const BYTES_MAX: u64 = 8 << 20;

/// What is copied in one transaction.
#[derive(Debug, Default)]
pub(super) struct Batch {
    records: Vec<NewRecord>,
    bytes: u64,
    /// Of each record its partition here and its offset.
    origins: Vec<(Place, u64)>,
    parts: BTreeMap<Place, Part>,
    /// Slots that are begun with entries of `topics`.
    begun: BTreeSet<(u32, String)>,
    is_alone: bool,
}

/// What a transaction says of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) mark: Mark,
    /// Records that are copied.
    pub(super) copied: u64,
    /// Records that are not, because they have been over there.
    pub(super) looped: u64,
    /// Records that are left out, because they would never be taken.
    pub(super) refused: u64,
}

/// What was read of a partition.
pub(super) struct Portion<'a> {
    pub(super) place: &'a Place,
    pub(super) id: &'a str,
    /// The topic over there.
    pub(super) to: &'a ByteString,
    pub(super) records: Vec<Stored>,
    /// The record that is left out.
    pub(super) skip: Option<u64>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.begun.is_empty()
    }

    /// Whether nothing more belongs into it.
    pub(super) fn is_full(&self) -> bool {
        self.is_alone || self.records.len() >= RECORDS_MAX || self.bytes >= BYTES_MAX
    }

    /// Nothing else belongs into it.
    pub(super) fn close(&mut self) {
        self.is_alone = true;
    }

    /// Adds what was read of a partition; it is copied up to behind that.
    pub(super) fn push(&mut self, portion: Portion<'_>, way: &Way) {
        let Portion { place, id, to, records, skip } = portion;
        let Some(last) = records.last().map(|record| record.offset) else { return };
        let next = last.next().0;
        let part = self.parts.entry(place.clone()).or_insert_with(|| Part::at(id, next));
        part.mark.next = next;
        for record in records {
            let Stored { offset, timestamp, key, headers, payload } = record;
            let Some(headers) = way.headers(&headers) else {
                part.looped = part.looped.saturating_add(1);
                continue;
            };
            if skip == Some(offset.0) {
                part.refused = part.refused.saturating_add(1);
                continue;
            }
            part.copied = part.copied.saturating_add(1);
            let record = NewRecord {
                topic: to.clone(),
                partition: place.partition,
                timestamp_ms: timestamp.0,
                key,
                headers,
                payload,
            };
            self.bytes = self.bytes.saturating_add(record.size());
            self.records.push(record);
            self.origins.push((place.clone(), offset.0));
        }
    }

    /// A partition is copied up to there, with nothing.
    pub(super) fn mark(&mut self, place: &Place, id: &str, next: u64) {
        self.parts.entry(place.clone()).or_insert_with(|| Part::at(id, next)).mark.next = next;
    }

    /// A slot is begun with an entry of `topics`.
    pub(super) fn begin(&mut self, slot: u32, entry: &str) {
        self.begun.insert((slot, entry.to_owned()));
    }

    /// Leaves out what is of these slots.
    pub(super) fn drop_slots(&mut self, progress: &Progress, slots: &[u32]) {
        let stays = |place: &Place| !slots.contains(&progress.slot_of(place));
        let kept: Vec<bool> = self.origins.iter().map(|(place, _)| stays(place)).collect();
        let mut is_kept = kept.iter();
        self.records.retain(|_| is_kept.next().copied().unwrap_or(false));
        self.origins.retain(|(place, _)| stays(place));
        self.parts.retain(|place, _| stays(place));
        self.begun.retain(|(slot, _)| !slots.contains(slot));
        self.bytes = self.records.iter().map(NewRecord::size).sum();
    }

    /// Slots that it says something of.
    pub(super) fn slots(&self, progress: &Progress) -> BTreeSet<u32> {
        let parts = self.parts.keys().map(|place| progress.slot_of(place));
        parts.chain(self.begun.iter().map(|(slot, _)| *slot)).collect()
    }

    /// What is to be committed; `None` when one of its slots is not this host's now.
    pub(super) fn transaction(
        &mut self,
        topic: &ByteString,
        (progress, slots): (&Progress, &Slots),
        group: &Arc<Group>,
    ) -> Option<Transaction> {
        let mut held = Vec::new();
        let mut offsets = Vec::new();
        for slot in self.slots(progress) {
            held.push((slot, slots.term(slot)?));
            offsets.push((topic.clone(), slot, progress.read(slot)));
        }
        let mut records = std::mem::take(&mut self.records);
        let events = records.len();
        records.extend(
            self.parts.iter().map(|(place, part)| {
                mark_record((topic, progress.slot_of(place)), place, &part.mark)
            }),
        );
        records.extend(self.begun.iter().map(|(slot, entry)| begun_record((topic, *slot), entry)));
        let offsets = vec![GroupOffsets { group: Arc::clone(group), offsets, held }];
        Some(Transaction { records, events, offsets })
    }

    /// The slots of its progress, in the order of its records, which follow those that are copied.
    pub(super) fn progress_slots(&self, progress: &Progress) -> (usize, Vec<u32>) {
        let parts = self.parts.keys().map(|place| progress.slot_of(place));
        let slots = parts.chain(self.begun.iter().map(|(slot, _)| *slot)).collect();
        (self.origins.len(), slots)
    }

    /// Where a record comes from; `None` for one of the progress.
    pub(super) fn origin(&self, index: usize) -> Option<&(Place, u64)> {
        self.origins.get(index)
    }

    /// What it says of its partitions, and of slots.
    pub(super) fn into_parts(self) -> (BTreeMap<Place, Part>, BTreeSet<(u32, String)>) {
        (self.parts, self.begun)
    }
}

impl Part {
    fn at(id: &str, next: u64) -> Self {
        Self { mark: Mark { id: id.to_owned(), next }, copied: 0, looped: 0, refused: 0 }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use gristmill_engine::{Instant, Offset};

    use super::super::provenance::HEADER;
    use super::*;

    fn stored(offset: u64, been: &'static str) -> Stored {
        let headers = if been.is_empty() {
            Vec::new()
        } else {
            vec![(ByteString::from(HEADER), Bytes::from_static(been.as_bytes()))]
        };
        Stored {
            offset: Offset(offset),
            timestamp: Instant(7),
            key: Some(Bytes::from_static(b"k")),
            headers: headers.into(),
            payload: None,
        }
    }

    fn way() -> Way {
        Way { cluster: "east".to_owned(), to_cluster: "west".to_owned(), relay: true }
    }

    #[test]
    fn what_is_not_copied_is_passed_and_counted() {
        let (mut batch, to) = (Batch::default(), ByteString::from("copy.orders"));
        let place = Place { topic: "orders".to_owned(), partition: 3 };
        let records = vec![stored(4, ""), stored(5, "west"), stored(6, ""), stored(8, "south")];
        let portion = Portion { place: &place, id: "1", to: &to, records, skip: Some(6) };
        batch.push(portion, &way());
        assert_eq!(batch.origins, [(place.clone(), 4), (place.clone(), 8)]);
        let sent = &batch.records[1];
        assert_eq!((&*sent.topic, sent.partition, sent.timestamp_ms), ("copy.orders", 3, 7));
        assert_eq!((sent.key.as_deref(), &sent.payload), (Some(&b"k"[..]), &None));
        let expected = Part { copied: 2, looped: 1, refused: 1, ..Part::at("1", 9) };
        assert_eq!(batch.parts[&place], expected);
    }

    #[test]
    fn slots_that_go_take_their_records_with_them() {
        let (mut batch, to) = (Batch::default(), ByteString::from("orders"));
        let progress = Progress::new(4);
        let of = |partition| Place { topic: "orders".to_owned(), partition };
        for partition in [0, 1] {
            let (place, records) = (of(partition), vec![stored(1, ""), stored(2, "")]);
            let portion = Portion { place: &place, id: "1", to: &to, records, skip: None };
            batch.push(portion, &way());
        }
        batch.begin(progress.slot_of(&of(0)), "orders");
        batch.drop_slots(&progress, &[progress.slot_of(&of(0))]);
        assert_eq!((batch.records.len(), batch.begun.len()), (2, 0));
        assert!(batch.records.iter().all(|record| record.partition == 1));
        assert_eq!(batch.origins, [(of(1), 1), (of(1), 2)]);
        assert_eq!(batch.slots(&progress), BTreeSet::from([progress.slot_of(&of(1))]));
        batch.drop_slots(&progress, &[progress.slot_of(&of(1))]);
        assert!(batch.is_empty());
    }
}
