//! Holds a trail beside the topics it is of: every event they hold must be in it, as it is.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use super::chain::Chains;
use super::entry::{Entry, hex};
use crate::event::Event;
use crate::look::Look;
use crate::problem::Problem;
use crate::remote::Client;

/// What a trail says of each event, by chain and offset.
#[derive(Debug, Default)]
pub(super) struct Said {
    by_chain: HashMap<String, HashMap<u64, Of>>,
    topics: BTreeSet<String>,
}

/// What it says of one.
#[derive(Debug)]
struct Of {
    sequence: u64,
    timestamp_ms: u64,
    payload_sha256: String,
}

/// How far behind its topics a trail is: events that were published after its end.
pub(super) type Behind = BTreeMap<String, u64>;

impl Said {
    pub(super) fn note(&mut self, entry: &Entry) {
        let of = Of {
            sequence: entry.sequence,
            timestamp_ms: entry.timestamp_ms,
            payload_sha256: entry.payload_sha256.clone(),
        };
        self.topics.insert(entry.topic.clone());
        self.by_chain.entry(entry.chain()).or_default().insert(entry.offset, of);
    }

    /// Looks through the topics. What the trail lacks, or says otherwise, breaks its chain.
    pub(super) fn compare(&self, client: &Client, chains: &mut Chains) -> Result<Behind, Problem> {
        let mut behind = Behind::new();
        // One by one: a topic may have another name on the broker than chains are called by.
        for topic in &self.topics {
            Look::new(client, std::slice::from_ref(topic), "earliest")?.exact().each(|event| {
                self.compare_event(topic, &event, (&mut *chains, &mut behind));
                Ok(())
            })?;
        }
        Ok(behind)
    }

    fn compare_event(
        &self,
        topic: &str,
        event: &Event,
        (chains, behind): (&mut Chains, &mut Behind),
    ) {
        let name = format!("{topic}/{}", event.partition());
        let (offset, last) = (event.offset(), chains.by_name.get(&name));
        if last.is_none_or(|chain| offset > chain.last_offset) {
            let count: &mut u64 = behind.entry(name).or_default();
            *count = count.saturating_add(1);
            return;
        }
        let Some(of) = self.by_chain.get(&name).and_then(|chain| chain.get(&offset)) else {
            let what = format!("the event at offset {offset} is not in the trail");
            return chains.broken(&name, 0, &what);
        };
        let bytes = event.payload_base64().map(|text| BASE64_STANDARD.decode(text));
        let bytes = bytes.transpose().unwrap_or_default().unwrap_or_default();
        let is_same = hex(&Sha256::digest(bytes)) == of.payload_sha256
            && event.timestamp_ms() == of.timestamp_ms;
        if !is_same {
            let what = format!("the event at offset {offset} is another than in its topic");
            chains.broken(&name, of.sequence, &what);
        }
    }
}
