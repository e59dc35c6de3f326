//! Reads the records of one partition, a page at a time. It decides nothing about them.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::event::Event;
use crate::problem::Problem;
use crate::remote::{Client, Request, segment};

/// One page, and where the next begins.
#[derive(Debug, Deserialize)]
pub(crate) struct Page {
    pub(crate) records: Vec<Box<RawValue>>,
    pub(crate) next_offset: u64,
}

impl Page {
    /// Up to `limit` records of a partition from `place` on: `offset` or `from`, and its value.
    pub(crate) fn ask(
        client: &Client,
        (topic, partition): (&str, u64),
        limit: u32,
        place: (&str, String),
    ) -> Result<Self, Problem> {
        Self::ask_for(client, (topic, partition), limit, (place, false))
    }

    /// The same, with payloads byte for byte where `is_exact`.
    pub(crate) fn ask_for(
        client: &Client,
        (topic, partition): (&str, u64),
        limit: u32,
        (place, is_exact): ((&str, String), bool),
    ) -> Result<Self, Problem> {
        let mut request = Request::to(format!("/api/v1/topics/{}/records", segment(topic)));
        request.query =
            vec![("partition", partition.to_string()), ("limit", limit.to_string()), place];
        request.query.extend(is_exact.then(|| ("payload", "base64".to_owned())));
        client.get_as(request)
    }

    /// Its events below `end`: later ones came after the reading began.
    pub(crate) fn events(&self, end: u64) -> impl Iterator<Item = Event> {
        let events = self.records.iter().filter_map(|raw| Event::read(raw.get().to_owned()));
        events.filter(move |event| event.offset() < end)
    }
}
