//! Passes events on to another topic, each as it was: to the partition of its key, or to where its
//! subscription falls back while the breaker is open. It never decides which events those are.

use bytes::Bytes;
use bytestring::ByteString;
use gristmill_engine::{EventRef, PartitionId, TopicId};
use gristmill_store::{Append, Header, Store};

use super::Worker;
use super::filling::Cause;
use super::part::{Content, Held};
use super::stage::Place;
use crate::Error;
use crate::binding::Binding;
use crate::envelope::{self, OriginBuf};

/// Beginning of the headers that say where an event fell back from.
const HEADER: &str = "fallback-";

/// Where an event is passed on to, with the headers it has there.
type Passed = (TopicId, PartitionId, Vec<Header>);

impl Worker {
    /// Hands an event on to the partition of its key.
    pub(super) fn forward(&mut self, place: Place, event: EventRef) -> Result<(), Error> {
        self.pass_on(place, event, |binding, held| {
            let to = binding.forwards_to()?;
            let partition = binding.number_of(held.stored.key.as_deref(), place.1);
            let headers = envelope::wrapped(held.stored.headers.to_vec(), &held.origin);
            Some((to.topic, partition, headers))
        })
    }

    /// Hands an event on to where its subscription falls back to.
    pub(super) fn fall_back(&mut self, place: Place, event: EventRef) -> Result<(), Error> {
        self.pass_on(place, event, |binding, held| {
            let (to, key) = (binding.fallback?, held.stored.key.as_deref());
            let partition = Store::partition_among(to.partitions, key, held.origin.offset);
            Some((to.topic, partition, marked(&held.stored.headers, &binding.name, &held.origin)))
        })
    }

    fn pass_on(
        &mut self,
        place: Place,
        event: EventRef,
        to: impl FnOnce(&Binding, &Held) -> Option<Passed>,
    ) -> Result<(), Error> {
        let part = self.parts.get(&place);
        let slot = part.and_then(|part| Some((&part.binding, part.slots.get(&event)?)));
        let Some((binding, slot)) = slot else {
            return Err(Error::broken("an event passed on whose bytes are gone"));
        };
        let Content::Record(held) = &slot.content else {
            return Err(Error::broken("a timer passed on as if it were a record"));
        };
        let Some((topic, partition, headers)) = to(binding, held) else {
            return Err(Error::broken("an event passed on to nowhere"));
        };
        let stored = &held.stored;
        let append = Append {
            topic,
            partition,
            timestamp: stored.timestamp,
            key: stored.key.clone(),
            headers,
            payload: stored.payload.clone(),
        };
        self.stage_append(Cause { place, event, is_letter: false }, append);
        Ok(())
    }
}

/// Headers with where their event fell back from, in place of what another subscription said.
fn marked(headers: &[Header], subscription: &str, origin: &OriginBuf) -> Vec<Header> {
    let is_kept = |(name, _): &&Header| !name.starts_with(HEADER);
    let mut marked: Vec<Header> = headers.iter().filter(is_kept).cloned().collect();
    let mut add = |name: &'static str, value: String| {
        marked.push((ByteString::from_static(name), Bytes::from(value)));
    };
    add("fallback-subscription", subscription.to_owned());
    add("fallback-topic", origin.topic.to_string());
    add("fallback-partition", origin.partition.to_string());
    add("fallback-offset", origin.offset.to_string());
    marked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_say_where_an_event_came_from_last() {
        let header =
            |name: &'static str| (ByteString::from_static(name), Bytes::from_static(b"old"));
        let origin = OriginBuf { topic: "t".into(), partition: 3, offset: 9, timer: None };
        let marked = marked(&[header("a"), header("fallback-topic")], "billing", &origin);
        let text: Vec<String> = marked
            .iter()
            .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value)))
            .collect();
        assert_eq!(
            text,
            [
                "a=old",
                "fallback-subscription=billing",
                "fallback-topic=t",
                "fallback-partition=3",
                "fallback-offset=9",
            ]
        );
    }
}
