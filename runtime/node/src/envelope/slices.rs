//! Turns texts that were found in a record into texts that share its memory. It never judges them.

use bytes::Bytes;
use bytestring::ByteString;
use gristmill_store::Stored;

/// A record whose texts are shared rather than copied.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slices<'a> {
    topic: &'a ByteString,
    stored: &'a Stored,
}

impl<'a> Slices<'a> {
    /// The record, and the name of its topic, which stands for what a record does not say.
    pub(crate) fn of(topic: &'a ByteString, stored: &'a Stored) -> Self {
        Self { topic, stored }
    }

    /// `text` as a slice of the record where it is one, else copied: it had to be unescaped, or
    /// comes from elsewhere.
    pub(crate) fn text(self, text: &str) -> ByteString {
        if std::ptr::eq(text, &raw const **self.topic) {
            return self.topic.clone();
        }
        let values = self.stored.headers.iter().map(|(_, value)| value);
        let within = self.stored.payload.iter().chain(values).find_map(|bytes| part(bytes, text));
        within.unwrap_or_else(|| ByteString::from(text))
    }
}

/// The part of `bytes` that `text` is, by address.
fn part(bytes: &Bytes, text: &str) -> Option<ByteString> {
    let from = text.as_ptr().addr().checked_sub(bytes.as_ptr().addr())?;
    let to = from.checked_add(text.len()).filter(|to| *to <= bytes.len())?;
    ByteString::try_from(bytes.slice(from..to)).ok()
}

#[cfg(test)]
mod tests {
    use gristmill_engine::{Instant, Offset};

    use super::*;

    #[test]
    fn what_a_record_says_is_shared_and_all_else_is_copied() {
        let topic = ByteString::from_static("orders");
        let value = Bytes::from("ada".to_owned());
        let stored = Stored {
            offset: Offset(0),
            timestamp: Instant(0),
            key: None,
            headers: [("ce_subject".into(), value.clone())].into(),
            payload: Some(Bytes::from(r#"{"id":"e-1"}"#.to_owned())),
        };
        let slices = Slices::of(&topic, &stored);
        let address = |text: &str| text.as_ptr().addr();
        let id = std::str::from_utf8(&stored.payload.as_ref().unwrap()[7..10]).unwrap();
        let subject = std::str::from_utf8(&value).unwrap();
        for text in [id, subject, &*topic] {
            let shared = slices.text(text);
            assert_eq!(shared, text);
            assert_eq!(address(&shared), address(text), "{text}");
        }
        let foreign = "elsewhere".to_owned();
        assert_eq!(slices.text(&foreign), foreign);
        assert_ne!(address(&slices.text(&foreign)), address(&foreign));
        assert_eq!(slices.text(""), "");
    }
}
