//! Decides how bytes look in event files and expected output: JSON as itself, else text, else
//! hexadecimal digits. It never changes what they mean.

use std::str;

use serde_json::{Value, json};

const TEXT: &str = "$text";
const HEX: &str = "$hex";

/// Shows a payload: JSON as itself, else `{"$text": …}` or `{"$hex": …}`.
pub(super) fn show(bytes: &[u8]) -> Value {
    match serde_json::from_slice(bytes) {
        Ok(value) => value,
        Err(_) => match str::from_utf8(bytes) {
            Ok(text) => json!({ TEXT: text }),
            Err(_) => json!({ HEX: hex(bytes) }),
        },
    }
}

/// Shows a key or a header: text as itself, else `{"$hex": …}`.
pub(super) fn show_text(bytes: &[u8]) -> Value {
    str::from_utf8(bytes).map_or_else(|_| json!({ HEX: hex(bytes) }), Value::from)
}

/// The payload that a file shows.
pub(super) fn read(value: &Value) -> Vec<u8> {
    marked(value).unwrap_or_else(|| value.to_string().into_bytes())
}

/// The key or header that a file shows.
pub(super) fn read_text(value: &Value) -> Vec<u8> {
    let text = value.as_str().map(|text| text.as_bytes().to_vec());
    text.unwrap_or_else(|| read(value))
}

/// The bytes of `{"$text": …}` and `{"$hex": …}`.
fn marked(value: &Value) -> Option<Vec<u8>> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    if let Some(text) = object.get(TEXT) {
        return Some(text.as_str()?.as_bytes().to_vec());
    }
    let digits = object.get(HEX)?.as_str()?.as_bytes();
    digits.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()).collect()
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let digits = [byte >> 4, byte & 15];
        text.extend(digits.map(|digit| char::from_digit(digit.into(), 16).unwrap_or('?')));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_back() {
        for (bytes, shown) in [
            (&b"{\"a\":1}"[..], json!({"a": 1})),
            (b"\"word\"", json!("word")),
            (b"word", json!({"$text": "word"})),
            (b"", json!({"$text": ""})),
            (b"\xff\x00", json!({"$hex": "ff00"})),
        ] {
            assert_eq!(show(bytes), shown);
            assert_eq!(read(&shown), bytes);
        }
        for (bytes, shown) in [(&b"1"[..], json!("1")), (b"\xff", json!({"$hex": "ff"}))] {
            assert_eq!(show_text(bytes), shown);
            assert_eq!(read_text(&shown), bytes);
        }
    }

    #[test]
    fn an_object_of_two_marks_is_an_object() {
        let value = json!({"$text": "a", "$hex": "00"});
        assert_eq!(read(&value), value.to_string().into_bytes());
    }
}
