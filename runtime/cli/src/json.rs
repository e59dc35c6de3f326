//! Finds values in JSON without reading the rest of it, so that no digit of a number changes.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

/// Members of a JSON object as they are written; `None` for anything else.
pub(crate) fn members(raw: &RawValue) -> Option<BTreeMap<String, &RawValue>> {
    serde_json::from_str(raw.get()).ok()
}

/// What a JSON pointer leads to, as a key: a string as it is, a number or boolean as it is
/// written. `None` for null, lists, objects and nothing.
pub(crate) fn pointed(raw: &RawValue, pointer: &str) -> Option<String> {
    let mut found = raw;
    for part in pointer.split('/').skip(1) {
        let name = part.replace("~1", "/").replace("~0", "~");
        found = match found.get().as_bytes().first() {
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(found.get()).ok()?;
                items.get(name.parse::<usize>().ok()?).copied()?
            }
            _ => members(found)?.get(&name).copied()?,
        };
    }
    match serde_json::from_str(found.get()).ok()? {
        Value::String(text) => Some(text),
        Value::Number(_) | Value::Bool(_) => Some(found.get().to_owned()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_lead_to_keys_as_they_are_written() {
        let text = r#"{"a":{"b/c":"x","~":[1.10,true]},"big":123456789012345678901234567890,
                      "none":null,"e":"\u00e9"}"#;
        let raw: &RawValue = serde_json::from_str(text).unwrap();
        for (pointer, holds) in [
            ("/a/b~1c", Some("x")),
            ("/a/~0/0", Some("1.10")),
            ("/a/~0/1", Some("true")),
            ("/big", Some("123456789012345678901234567890")),
            ("/e", Some("é")),
            ("/none", None),
            ("/a", None),
            ("/a/~0/2", None),
            ("/gone", None),
            ("", None),
        ] {
            assert_eq!(pointed(raw, pointer).as_deref(), holds, "{pointer}");
        }
    }
}
