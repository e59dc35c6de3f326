//! Owns how far a replication has come, as the other cluster remembers it: which partition of which
//! topic here is copied up to where. It reads and writes nothing by itself.
//!
//! Partitions are dealt out to *slots*, the partitions of one topic over there. What lies in a slot
//! is written by whoever holds it, together with the records it is about.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use bytestring::ByteString;
use gristmill_engine::Offset;
use gristmill_kafka::{NewRecord, Record};
use gristmill_store::Store;
use serde::{Deserialize, Serialize};

/// A partition of a topic here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Place {
    /// The topic's name on its broker.
    pub(super) topic: String,
    pub(super) partition: u32,
}

/// Up to where a partition is copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Which topic of that name it is about: one that was made anew has another.
    pub(super) id: String,
    /// Offset of the next record to copy.
    pub(super) next: u64,
}

/// What a record of the progress is about.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Key {
    Place(Place),
    /// An entry of `topics` that was begun with: what it selects after that came later.
    Entry {
        entry: String,
    },
}

/// How far a replication has come.
#[derive(Debug, Default)]
pub(super) struct Progress {
    slots: Vec<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    marks: BTreeMap<Place, Mark>,
    begun: BTreeSet<String>,
    /// What of the slot was read.
    read: Offset,
}

impl Progress {
    /// Nothing is known of any slot.
    pub(super) fn new(slots: u32) -> Self {
        Self { slots: (0..slots).map(|_| Slot::default()).collect() }
    }

    /// How many slots there are.
    pub(super) fn slots(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    /// The slot of a partition: the same on every host, and the partitions of a topic in turn.
    pub(super) fn slot_of(&self, place: &Place) -> u32 {
        let first = Store::partition_among(self.slots(), Some(place.topic.as_bytes()), 0);
        first.0.wrapping_add(place.partition).checked_rem(self.slots()).unwrap_or(0)
    }

    /// What is known of a partition.
    pub(super) fn mark(&self, place: &Place) -> Option<&Mark> {
        self.slot(self.slot_of(place))?.marks.get(place)
    }

    /// Whether a slot was begun with an entry of `topics`.
    pub(super) fn has_begun(&self, slot: u32, entry: &str) -> bool {
        self.slot(slot).is_some_and(|slot| slot.begun.contains(entry))
    }

    /// Where to read a slot on from.
    pub(super) fn read(&self, slot: u32) -> Offset {
        self.slot(slot).map_or(Offset(0), |slot| slot.read)
    }

    /// A slot is known up to there: what lies before is no record.
    pub(super) fn pass(&mut self, slot: u32, to: Offset) {
        if let Some(slot) = self.slot_mut(slot) {
            slot.read = slot.read.max(to);
        }
    }

    /// A slot ends before what was read of it: its topic was made anew, and knows nothing.
    pub(super) fn forget(&mut self, slot: u32) {
        if let Some(slot) = self.slot_mut(slot) {
            *slot = Slot::default();
        }
    }

    /// Takes over a record of a slot. One that says nothing this version knows is passed over.
    pub(super) fn take(&mut self, slot: u32, record: &Record) {
        self.pass(slot, record.offset.next());
        let key = record.key.as_deref().and_then(|key| serde_json::from_slice(key).ok());
        let (Some(key), Some(slot)) = (key, self.slot_mut(slot)) else { return };
        match (key, record.payload.as_deref()) {
            (Key::Place(place), Some(mark)) => {
                if let Ok(mark) = serde_json::from_slice(mark) {
                    slot.marks.insert(place, mark);
                }
            }
            (Key::Place(place), None) => {
                slot.marks.remove(&place);
            }
            (Key::Entry { entry }, _) => {
                slot.begun.insert(entry);
            }
        }
    }

    /// What was written is there.
    pub(super) fn note(&mut self, place: Place, mark: Mark) {
        let slot = self.slot_of(&place);
        if let Some(slot) = self.slot_mut(slot) {
            slot.marks.insert(place, mark);
        }
    }

    /// The same of an entry.
    pub(super) fn note_begun(&mut self, slot: u32, entry: String) {
        if let Some(slot) = self.slot_mut(slot) {
            slot.begun.insert(entry);
        }
    }

    fn slot(&self, number: u32) -> Option<&Slot> {
        self.slots.get(usize::try_from(number).ok()?)
    }

    fn slot_mut(&mut self, number: u32) -> Option<&mut Slot> {
        self.slots.get_mut(usize::try_from(number).ok()?)
    }
}

/// A mark as it is written to its slot.
pub(super) fn mark_record(
    (topic, slot): (&ByteString, u32),
    place: &Place,
    mark: &Mark,
) -> NewRecord {
    record((topic, slot), &Key::Place(place.clone()), &json(mark))
}

/// That a slot was begun with an entry, as it is written there.
pub(super) fn begun_record((topic, slot): (&ByteString, u32), entry: &str) -> NewRecord {
    record((topic, slot), &Key::Entry { entry: entry.to_owned() }, &Bytes::from_static(b"true"))
}

fn record((topic, slot): (&ByteString, u32), key: &Key, value: &Bytes) -> NewRecord {
    NewRecord {
        topic: topic.clone(),
        partition: slot,
        timestamp_ms: 0,
        key: Some(json(key)),
        headers: Vec::new(),
        payload: Some(value.clone()),
    }
}

fn json(value: &impl Serialize) -> Bytes {
    // Texts and numbers always have a JSON form.
    serde_json::to_vec(value).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(topic: &str, partition: u32) -> Place {
        Place { topic: topic.to_owned(), partition }
    }

    fn read(new: NewRecord, offset: u64) -> Record {
        let NewRecord { timestamp_ms, key, headers, payload, .. } = new;
        Record { offset: Offset(offset), timestamp_ms, key, headers, payload }
    }

    #[test]
    fn what_is_written_to_a_slot_is_read_from_it() {
        let topic = ByteString::from("__progress");
        let mut progress = Progress::new(4);
        let (orders, mark) = (place("orders", 2), Mark { id: "7".to_owned(), next: 12 });
        let slot = progress.slot_of(&orders);
        progress.take(slot, &read(mark_record((&topic, slot), &orders, &mark), 5));
        progress.take(slot, &read(begun_record((&topic, slot), "^or.*"), 7));
        assert_eq!(progress.mark(&orders), Some(&mark));
        assert!(progress.has_begun(slot, "^or.*") && !progress.has_begun(slot, "orders"));
        assert_eq!(progress.read(slot), Offset(8));
        let nonsense = NewRecord {
            payload: Some(Bytes::from_static(b"?")),
            ..mark_record((&topic, slot), &orders, &mark)
        };
        progress.take(slot, &read(nonsense, 9));
        assert_eq!((progress.mark(&orders), progress.read(slot)), (Some(&mark), Offset(10)));
        progress.forget(slot);
        assert_eq!((progress.mark(&orders), progress.read(slot)), (None, Offset(0)));
    }

    #[test]
    fn partitions_of_a_topic_are_in_slots_in_turn() {
        let progress = Progress::new(4);
        let slots: BTreeSet<u32> =
            (0..4).map(|partition| progress.slot_of(&place("orders", partition))).collect();
        assert_eq!(slots.len(), 4);
        assert_eq!(progress.slot_of(&place("orders", 1)), progress.slot_of(&place("orders", 5)));
    }
}
