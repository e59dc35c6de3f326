//! Seals fields of JSON and opens them again, as JSON Web Encryption under keys with ids. It reads
//! no key and decides nothing about who may see what.

mod fields;
mod jwe;
mod keys;

use serde_json::value::RawValue;

use self::jwe::{Sealed, Shut};

pub use self::fields::Fields;
pub use self::keys::{KEY_BYTES, Keys, NoSuchKey};

/// Why fields cannot be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Only fields of JSON are sealed.
    #[error("it is not JSON: {0}")]
    NotJson(String),
    /// A field is sealed under a key that is not there.
    #[error("{field} is encrypted under key {key:?}, which is not among these: {known}")]
    UnknownKey {
        /// Where it is, as a JSON pointer.
        field: String,
        /// Id of the key.
        key: String,
        /// Ids of those there are.
        known: String,
    },
    /// A field was changed after it was sealed, or sealed under another key of that id.
    #[error("{field} cannot be decrypted: it was changed, or key {key:?} is another one")]
    Damaged {
        /// Where it is, as a JSON pointer.
        field: String,
        /// Id of the key.
        key: String,
    },
}

/// `json` with all of `fields` sealed that are not yet; `None` where that changes nothing.
///
/// # Errors
///
/// [`Error::NotJson`].
pub fn seal(json: &[u8], fields: &Fields, keys: &Keys) -> Result<Option<Vec<u8>>, Error> {
    fields.replaced(json, |_, raw| {
        // Nothing is told by what is not there.
        let is_open = raw != "null" && Sealed::read(raw).is_none();
        Ok(is_open.then(|| format!("\"{}\"", keys.seal(raw.as_bytes()))))
    })
}

/// `json` with all of `fields` opened that are sealed; `None` where that changes nothing.
///
/// # Errors
///
/// [`Error`], for the first field that cannot be opened.
pub fn open(json: &[u8], fields: &Fields, keys: &Keys) -> Result<Option<Vec<u8>>, Error> {
    fields.replaced(json, |pointer, raw| {
        let Some(sealed) = Sealed::read(raw) else { return Ok(None) };
        let opened = keys.open(&sealed);
        let (field, key) = (pointer.to_owned(), sealed.key);
        let opened = match opened {
            Ok(opened) => String::from_utf8(opened).ok(),
            Err(Shut::Damaged) => None,
            Err(Shut::UnknownKey) => {
                return Err(Error::UnknownKey { field, key, known: keys.ids() });
            }
        };
        let damaged = || Error::Damaged { field, key };
        let Some(plain) = opened else { return Err(damaged()) };
        if !sealed.is_json {
            // Another library sealed a text and not its JSON.
            return Ok(Some(serde_json::Value::String(plain).to_string()));
        }
        let is_json = serde_json::from_str::<&RawValue>(&plain).is_ok();
        if is_json { Ok(Some(plain)) } else { Err(damaged()) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"id":12345678901234567890123, "email" : "a@b.c",
        "to":[{"email":"d@e.f"},{"email":null},{"x":1}],"n":{"deep":{"a":[1,2]}}}"#;

    fn keys(current: &str, all: &[(&str, u8)]) -> Keys {
        let all = all.iter().map(|(id, byte)| ((*id).to_owned(), [*byte; KEY_BYTES]));
        Keys::new(current, all).unwrap()
    }

    fn text(bytes: Option<Vec<u8>>) -> String {
        String::from_utf8(bytes.unwrap()).unwrap()
    }

    #[test]
    fn what_is_sealed_is_opened_to_the_same_bytes_and_all_else_stays() {
        let fields = Fields::new(&["/email", "/to/*/email", "/n/deep", "/absent/x"]);
        let keys = keys("k1", &[("k1", 1)]);
        let sealed = text(seal(JSON.as_bytes(), &fields, &keys).unwrap());
        for secret in ["a@b.c", "d@e.f", "[1,2]"] {
            assert!(!sealed.contains(secret), "{sealed}");
        }
        for kept in ["12345678901234567890123", "{\"email\":null},{\"x\":1}", "\"email\" : \""] {
            assert!(sealed.contains(kept), "{sealed}");
        }
        assert_eq!(text(open(sealed.as_bytes(), &fields, &keys).unwrap()), JSON);
        assert_eq!(seal(sealed.as_bytes(), &fields, &keys).unwrap(), None, "once is enough");
        assert_eq!(open(JSON.as_bytes(), &fields, &keys).unwrap(), None);
        let again = text(seal(JSON.as_bytes(), &fields, &keys).unwrap());
        assert_ne!(again, sealed, "equal values do not look equal");
    }

    #[test]
    fn old_keys_open_what_new_ones_no_longer_seal() {
        let fields = Fields::new(&["/email"]);
        let old = keys("may", &[("may", 1)]);
        let sealed = text(seal(JSON.as_bytes(), &fields, &old).unwrap());
        let both = keys("june", &[("may", 1), ("june", 2)]);
        assert_eq!(text(open(sealed.as_bytes(), &fields, &both).unwrap()), JSON);
        let new = keys("june", &[("june", 2)]);
        let unknown = open(sealed.as_bytes(), &fields, &new).unwrap_err();
        let (field, key, known) = ("/email".to_owned(), "may".to_owned(), "june".to_owned());
        assert_eq!(unknown, Error::UnknownKey { field, key, known });
        let other = keys("may", &[("may", 3)]);
        let damaged = open(sealed.as_bytes(), &fields, &other).unwrap_err();
        let (field, key) = ("/email".to_owned(), "may".to_owned());
        assert_eq!(damaged, Error::Damaged { field, key });
    }

    #[test]
    fn no_byte_of_a_sealed_value_can_be_changed() {
        let fields = Fields::new(&["/e"]);
        let keys = keys("k", &[("k", 7)]);
        let sealed = text(seal(br#"{"e":"secret"}"#, &fields, &keys).unwrap());
        let (from, to) = (6, sealed.len() - 2);
        for at in from..to {
            let mut changed = sealed.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            match open(&changed, &fields, &keys) {
                // What is no sealed value any more is left as it is.
                Ok(None) | Err(Error::Damaged { .. } | Error::UnknownKey { .. }) => {}
                other => panic!("byte {at}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_no_json_has_no_fields() {
        let fields = Fields::new(&["/e"]);
        let keys = keys("k", &[("k", 7)]);
        for bytes in [&b"\x00\x00\x00\x00\x01abc"[..], b"{\"e\":1}x", b"", b"{\"e\":\"\xff\"}"] {
            assert!(matches!(seal(bytes, &fields, &keys), Err(Error::NotJson(_))), "{bytes:?}");
            assert!(matches!(open(bytes, &fields, &keys), Err(Error::NotJson(_))), "{bytes:?}");
        }
        for json in ["17", "[]", "\"e\"", "{\"e\":null}"] {
            assert_eq!(seal(json.as_bytes(), &fields, &keys), Ok(None), "{json}");
        }
    }

    /// Made with Go's `crypto/cipher` under a key of 32 times 0x07, without a word on what it
    /// holds.
    const OF_ANOTHER: &str = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIiwia2lkIjoiayJ9..\
        MDEyMzQ1Njc4OWFi.vjB3y6uLWqvCOuT7.4od2FcMqkySbHw5lVO1S1Q";

    #[test]
    fn a_text_that_another_library_sealed_is_a_text() {
        let keys = keys("k", &[("k", 7)]);
        let json = format!("{{\"e\":\"{OF_ANOTHER}\"}}");
        let opened = text(open(json.as_bytes(), &Fields::new(&["/e"]), &keys).unwrap());
        assert_eq!(opened, r#"{"e":"plain \"text\""}"#);
    }
}
