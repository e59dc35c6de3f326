//! Decides what a rule of keys means: which fields of an event its key is made of, and how. It
//! looks into no event.

use crate::Pointer;

/// Where the key of an ingested event comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyRule {
    /// It has none.
    None,
    /// From fields of the event's JSON.
    Of(KeyTemplate),
}

/// A key made of fields: a JSON pointer such as `/customerId`, or text with pointers in braces such
/// as `{/tenantId}:{/orderId}`. No two different events spell the same key: what a field holds of
/// the text between them is percent-encoded, and so is `%`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyTemplate {
    parts: Vec<KeyPart>,
}

/// A part of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
enum KeyPart {
    /// This text.
    Text(String),
    /// What the event has there: a string as it is, a number or boolean as its JSON text.
    Field(Pointer),
}

impl KeyTemplate {
    /// A rule from its text, unless that is none. Between two fields there is text, or nobody could
    /// tell where one ends.
    pub fn new(text: &str) -> Option<Self> {
        if let Some(pointer) = Pointer::new(text) {
            return Some(Self { parts: vec![KeyPart::Field(pointer)] });
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (pointer, after) = after.split_once('}')?;
            if before.contains('}') || (before.is_empty() && !parts.is_empty()) {
                return None;
            }
            if !before.is_empty() {
                parts.push(KeyPart::Text(before.to_owned()));
            }
            parts.push(KeyPart::Field(Pointer::new(pointer)?));
            rest = after;
        }
        if parts.is_empty() || rest.contains('}') {
            return None;
        }
        if !rest.is_empty() {
            parts.push(KeyPart::Text(rest.to_owned()));
        }
        Some(Self { parts })
    }

    /// The key of an event whose fields `field` gives.
    ///
    /// # Errors
    ///
    /// The first field that is not there.
    pub fn fill(&self, field: impl Fn(&Pointer) -> Option<String>) -> Result<String, &Pointer> {
        if let [KeyPart::Field(pointer)] = self.parts.as_slice() {
            return field(pointer).ok_or(pointer);
        }
        let mut key = String::new();
        for part in &self.parts {
            match part {
                KeyPart::Text(text) => key.push_str(text),
                KeyPart::Field(pointer) => {
                    self.encode(&field(pointer).ok_or(pointer)?, &mut key);
                }
            }
        }
        Ok(key)
    }

    /// Appends a field's value so that it cannot be taken for the text around it.
    fn encode(&self, value: &str, key: &mut String) {
        let is_own = |letter: char| {
            let mut parts = self.parts.iter();
            parts.any(|part| matches!(part, KeyPart::Text(text) if text.contains(letter)))
        };
        for letter in value.chars() {
            if letter == '%' || is_own(letter) {
                let mut bytes = [0; 4];
                for byte in letter.encode_utf8(&mut bytes).bytes() {
                    key.extend(["%", &format!("{byte:02X}")]);
                }
            } else {
                key.push(letter);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_a_pointer_or_text_with_pointers() {
        for (text, holds) in [
            ("/id", true),
            ("/a{b}", true),
            ("{/a}", true),
            ("{/a}:{/b}", true),
            ("tenant-{/a}/{/b/c}!", true),
            ("{/a}{/b}", false),
            ("{a}", false),
            ("{}", false),
            ("{/a", false),
            ("/a}:{/b}", true),
            ("a}:{/b}", false),
            ("{/a}:b}", false),
            ("id", false),
            ("", false),
        ] {
            assert_eq!(KeyTemplate::new(text).is_some(), holds, "{text}");
        }
    }

    #[test]
    fn different_fields_make_different_keys() {
        let fill = |rule: &str, a: &str, b: &str| {
            let rule = KeyTemplate::new(rule).unwrap();
            let value = |it: &Pointer| match it.as_str() {
                "/a" => Some(a.to_owned()),
                "/b" => Some(b.to_owned()),
                _ => None,
            };
            rule.fill(value).map_err(ToString::to_string)
        };
        let text = |key: &str| Ok(key.to_owned());
        assert_eq!(fill("/a", "x:%", ""), text("x:%"), "a pointer alone is as it is");
        assert_eq!(fill("{/a}:{/b}", "acme", "7"), text("acme:7"));
        assert_eq!(fill("{/a}:{/b}", "a:b", "c"), text("a%3Ab:c"));
        assert_eq!(fill("{/a}:{/b}", "a", "b:c"), text("a:b%3Ac"));
        assert_eq!(fill("{/a}:{/b}", "a%3Ab", "c"), text("a%253Ab:c"));
        assert_eq!(fill("{/a}é{/b}", "é", "-"), text("%C3%A9é-"));
        assert_eq!(fill("{/a}:{/c}", "a", "b"), Err("/c".to_owned()));
    }
}
