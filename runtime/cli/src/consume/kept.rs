//! Reads what a topic holds at this moment, a page of a partition at a time, oldest first over
//! all partitions.

use std::collections::VecDeque;

use gristmill_config::Glob;

use super::{Args, Partition, Printer};
use crate::event::Event;
use crate::problem::Problem;
use crate::records::Page;
use crate::remote::Client;

/// Events of a partition held at once; a topic has up to 1,024 partitions.
const PAGE_EVENTS: u32 = 100;

/// Prints what is there.
pub(super) fn run(
    client: &Client,
    args: &Args,
    (partitions, filter): (&[Partition], Option<&Glob>),
    mut printer: Printer,
) -> Result<(), Problem> {
    let from = args.from.as_deref().unwrap_or("earliest");
    let mut readers: Vec<Reader> =
        partitions.iter().map(|partition| Reader::new(*partition, from)).collect();
    if let (Some(partition), true) = (args.partition, readers.is_empty()) {
        // The host says what is wrong with it.
        readers.push(Reader::new(Partition { number: partition, end: u64::MAX }, from));
    }
    loop {
        for reader in &mut readers {
            reader.fill(client, &args.topic)?;
        }
        let Some(event) = oldest(&mut readers) else { return Ok(()) };
        let is_meant = filter.is_none_or(|filter| filter.matches(&event.kind()));
        if is_meant && !printer.print(&event) {
            return Ok(());
        }
    }
}

fn oldest(readers: &mut [Reader]) -> Option<Event> {
    let heads = readers.iter_mut().filter(|reader| !reader.held.is_empty());
    let first = heads.min_by_key(|reader| {
        reader.held.front().map(|event| (event.timestamp_ms(), event.partition()))
    });
    first?.held.pop_front()
}

/// Where to read next.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// As the operator says.
    From(String),
    /// At an offset.
    Offset(u64),
    /// Nowhere: everything there was is read.
    End,
}

#[derive(Debug)]
struct Reader {
    partition: Partition,
    place: Place,
    held: VecDeque<Event>,
}

impl Reader {
    fn new(partition: Partition, from: &str) -> Self {
        Self { partition, place: Place::From(from.to_owned()), held: VecDeque::new() }
    }

    /// Reads a page when nothing is held and something is left.
    fn fill(&mut self, client: &Client, topic: &str) -> Result<(), Problem> {
        while self.held.is_empty() {
            let place = match &self.place {
                Place::End => return Ok(()),
                Place::Offset(offset) => ("offset", offset.to_string()),
                Place::From(from) => ("from", from.clone()),
            };
            let partition = (topic, u64::from(self.partition.number));
            self.take(&Page::ask(client, partition, PAGE_EVENTS, place)?);
        }
        Ok(())
    }

    fn take(&mut self, page: &Page) {
        let Partition { end, .. } = self.partition;
        let is_last = page.records.is_empty() || page.next_offset >= end;
        self.place = if is_last { Place::End } else { Place::Offset(page.next_offset) };
        self.held.extend(page.events(end));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    fn page(partition: u32, events: &[(u64, u64)], next_offset: u64) -> Page {
        let records = events.iter().map(|(offset, at)| {
            let text = format!(
                r#"{{"topic":"t","partition":{partition},"offset":{offset},"timestamp_ms":{at}}}"#
            );
            RawValue::from_string(text).unwrap()
        });
        Page { records: records.collect(), next_offset }
    }

    #[test]
    fn events_come_oldest_first_and_end_where_the_topic_did() {
        let reader = |number, end| Reader::new(Partition { number, end }, "earliest");
        let mut readers = [reader(0, 3), reader(1, 10)];
        readers[0].take(&page(0, &[(0, 5), (1, 9), (2, 9), (3, 10)], 4));
        readers[1].take(&page(1, &[(4, 6), (5, 9)], 6));
        assert_eq!((&readers[0].place, &readers[1].place), (&Place::End, &Place::Offset(6)));
        let mut places = Vec::new();
        while let Some(event) = oldest(&mut readers) {
            places.push((event.partition(), event.offset()));
        }
        assert_eq!(places, [(0, 0), (1, 4), (0, 1), (0, 2), (1, 5)]);
        readers[1].take(&page(1, &[], 6));
        assert_eq!(readers[1].place, Place::End, "the rest was compacted");
    }
}
