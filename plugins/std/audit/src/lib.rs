//! Keeps a trail of every event of its topics: one chain per partition, in which each entry carries
//! the hash of the one before it. Whoever changes, removes or adds an entry breaks the chain, and
//! `gristmill audit verify` finds the place. It judges no event.
//!
//! Its configuration: `to`, the topic of the trail. Its subscription reads records as they are
//! (`envelope = "raw"`), one after the other (`order = "partition"`, `state_of = "partition"`). The
//! form of an entry is a contract, `docs/audit.md`.

mod entry;

use gristmill_plugin::{Emission, EmitError, Event, Failure, Host, Outcome, export};

use entry::{Body, Entry, Head};

export!(handle);

/// Name under which a chain's end is kept.
const HEAD: &str = "head";
/// Type of what is published.
const ENTRY: &str = "audit.entry";

/// Adds one event to the chain of its partition.
///
/// # Errors
///
/// Rejects nothing by itself: an event that the trail cannot take stops its partition's trail,
/// where the manifest says `on_exhausted = "pause-key"`.
pub fn handle(event: &Event, host: &mut Host) -> Outcome {
    let to: String = host.config().require("to")?;
    let head: Head = host.state().get_json(HEAD)?.unwrap_or_default();
    let entry = Entry::after(&head, event);
    let head = Head { sequence: entry.sequence, hash: entry.hash.clone() };
    match emit(&to, &entry, host) {
        Ok(()) => {}
        // The trail's topic takes no event of that size: what it was is kept as its hash.
        Err(EmitFailure::TooLarge) => {
            let entry = Entry { body: Body::Omitted, ..entry };
            emit(&to, &entry, host).map_err(EmitFailure::into_failure)?;
        }
        Err(error) => return Err(error.into_failure()),
    }
    host.state().set_json(HEAD, &head)?;
    Ok(())
}

/// Why an entry is not published.
enum EmitFailure {
    TooLarge,
    Other(Failure),
}

impl EmitFailure {
    fn into_failure(self) -> Failure {
        match self {
            Self::TooLarge => EmitError::TooLarge { bytes_max: 0 }.into(),
            Self::Other(failure) => failure,
        }
    }
}

fn emit(to: &str, entry: &Entry, host: &mut Host) -> Result<(), EmitFailure> {
    let emission = Emission::json(to, ENTRY, entry).map_err(EmitFailure::Other)?;
    match host.emit(emission.key(entry.chain())) {
        Ok(()) => Ok(()),
        Err(EmitError::TooLarge { .. }) => Err(EmitFailure::TooLarge),
        Err(error) => Err(EmitFailure::Other(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use gristmill_plugin::testing::{TestHost, event};
    use serde_json::Value;

    use super::*;

    fn entries(host: &TestHost) -> Vec<Value> {
        let payloads = host.emissions().iter().map(|it| serde_json::from_slice(&it.payload));
        payloads.collect::<Result<_, _>>().unwrap()
    }

    fn host() -> TestHost {
        TestHost::new().with_config("to", "trail")
    }

    #[test]
    fn each_entry_carries_the_hash_of_the_one_before() {
        let mut host = host();
        for offset in 0..3 {
            let mut event = event("orders", format!("{{\"n\":{offset}}}")).with_key("orders/0");
            event.offset = offset;
            host.handle(handle, &event).unwrap();
        }
        let entries = entries(&host);
        let zeros = "0".repeat(64);
        assert_eq!(entries[0]["previous"], zeros.as_str());
        for (number, pair) in entries.windows(2).enumerate() {
            assert_eq!(pair[1]["previous"], pair[0]["hash"]);
            assert_eq!(pair[1]["sequence"], number + 2);
        }
        assert_eq!(entries[2]["payload"], "{\"n\":2}");
        assert_eq!(host.emissions()[0].key.as_deref(), Some(&b"orders/0"[..]));
    }

    #[test]
    fn what_is_no_text_is_kept_as_base64_and_nothing_as_nothing() {
        let mut host = host();
        host.handle(handle, &event("orders", [0xff, 0xfe]).with_key([0xff])).unwrap();
        let mut tombstone = event("orders", "").with_key("k");
        tombstone.tombstone = true;
        host.handle(handle, &tombstone).unwrap();
        let entries = entries(&host);
        assert_eq!(entries[0]["payload_base64"], "//4=");
        assert_eq!(entries[0]["key_base64"], "/w==");
        assert_eq!(entries[1]["tombstone"], true);
    }

    #[test]
    fn what_the_trail_cannot_take_is_kept_as_its_hash() {
        let mut host = host();
        let large = "x".repeat((1 << 20) - 10);
        host.handle(handle, &event("orders", &large).with_key("k")).unwrap();
        let entry = &entries(&host)[0];
        assert_eq!((&entry["omitted"], entry.get("payload")), (&Value::Bool(true), None));
        assert_eq!(entry["payload_sha256"].as_str().unwrap().len(), 64);
    }

    #[test]
    fn a_change_anywhere_is_another_hash() {
        let base = || event("orders", "{}").with_key("k").with_header("h", "v");
        let hash = |event: &Event| Entry::after(&Head::default(), event).hash;
        let mut others = vec![
            event("orders", "{ }").with_key("k").with_header("h", "v"),
            event("orders", "{}").with_key("l").with_header("h", "v"),
            event("orders", "{}").with_key("k").with_header("h", "w"),
            event("orders", "{}").with_key("k").with_header("hv", ""),
            event("order", "s{}").with_key("k").with_header("h", "v"),
        ];
        let mut moved = base();
        moved.offset = 1;
        others.push(moved);
        let mut later = base();
        later.timestamp = later.timestamp.after(std::time::Duration::from_millis(1));
        others.push(later);
        let mut keyless = base();
        keyless.key = None;
        others.push(keyless);
        let mut empty = base();
        empty.tombstone = true;
        others.push(empty);
        let wanted = hash(&base());
        assert_eq!(wanted, hash(&base()));
        assert!(others.iter().all(|other| hash(other) != wanted));
    }
}
