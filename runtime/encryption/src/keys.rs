//! Owns the keys of one purpose by their ids, and the one that new values are sealed under.

use std::collections::BTreeMap;
use std::fmt;

use ring::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use ring::rand::SystemRandom;

/// Length of a key, in bytes.
pub const KEY_BYTES: usize = 32;

/// Keys by their ids.
pub struct Keys {
    pub(crate) current: String,
    pub(crate) by_id: BTreeMap<String, LessSafeKey>,
    pub(crate) random: SystemRandom,
}

/// There is no key of that id to seal under.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no key {0:?}")]
pub struct NoSuchKey(
    /// The id.
    pub String,
);

impl Keys {
    /// Keys of these ids; new values are sealed under `current`.
    ///
    /// # Errors
    ///
    /// When `current` is not among them.
    pub fn new(
        current: &str,
        keys: impl IntoIterator<Item = (String, [u8; KEY_BYTES])>,
    ) -> Result<Self, NoSuchKey> {
        // A key of that length always is one.
        let made = keys.into_iter().filter_map(|(id, bytes)| {
            Some((id, LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &bytes).ok()?)))
        });
        let by_id: BTreeMap<_, _> = made.collect();
        if !by_id.contains_key(current) {
            return Err(NoSuchKey(current.to_owned()));
        }
        Ok(Self { current: current.to_owned(), by_id, random: SystemRandom::new() })
    }

    /// All ids, for an error.
    pub(crate) fn ids(&self) -> String {
        self.by_id.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Debug for Keys {
    /// Without any key.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<&String> = self.by_id.keys().collect();
        out.debug_struct("Keys")
            .field("current", &self.current)
            .field("ids", &ids)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_values_need_a_key_that_is_there() {
        let keys = [("a".to_owned(), [1; KEY_BYTES])];
        assert_eq!(Keys::new("b", keys.clone()).err(), Some(NoSuchKey("b".to_owned())));
        let shown = format!("{:?}", Keys::new("a", keys).unwrap());
        assert!(shown.contains("\"a\"") && !shown.contains("1, 1"), "{shown}");
    }
}
