//! Passes events on while the breaker is open, where the manifest names a topic for them: whoever
//! reads it gets each as it was, and where it came from. It never decides which events those are.

use bytes::Bytes;
use bytestring::ByteString;
use gristmill_engine::EventRef;
use gristmill_store::{Append, Header, Store};

use super::Worker;
use super::filling::Cause;
use super::part::Content;
use super::stage::Place;
use crate::Error;
use crate::envelope::OriginBuf;

/// Beginning of the headers that say where an event fell back from.
const HEADER: &str = "fallback-";

impl Worker {
    /// Hands an event on to where its subscription falls back to.
    pub(super) fn fall_back(&mut self, place: Place, event: EventRef) -> Result<(), Error> {
        let part = self.parts.get(&place);
        let slot = part.and_then(|part| Some((&part.binding, part.slots.get(&event)?)));
        let Some((binding, slot)) = slot else {
            return Err(Error::broken("an event fell back whose bytes are gone"));
        };
        let (Some(to), Content::Record(held)) = (binding.fallback, &slot.content) else {
            return Err(Error::broken("an event fell back to nowhere"));
        };
        let stored = &held.stored;
        let key = stored.key.clone();
        let append = Append {
            topic: to.topic,
            partition: Store::partition_among(to.partitions, key.as_deref(), held.origin.offset),
            timestamp: stored.timestamp,
            key,
            headers: marked(&stored.headers, &binding.name, &held.origin),
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
