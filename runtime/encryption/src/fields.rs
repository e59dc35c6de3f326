//! Finds fields of JSON and puts others in their place, without touching anything else: numbers and
//! spaces stay as they are written. It never judges what it finds.

use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::Error;

/// Stands for every name, and every number of an array.
const ANY: &str = "*";

/// Fields, by JSON pointers in which `*` stands for any one name or number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    /// Whether a pointer ends here.
    is_end: bool,
    branches: Vec<(Box<str>, Fields)>,
}

/// A field that was found: where it is written, and as a pointer.
struct Found {
    at: Range<usize>,
    pointer: String,
}

impl Fields {
    /// Those of all pointers. Where one leads into another, the longer one finds nothing.
    pub fn new(pointers: &[&str]) -> Self {
        let mut fields = Self::default();
        for pointer in pointers {
            let mut place = &mut fields;
            for token in pointer.split('/').skip(1) {
                place = place.branch(&token.replace("~1", "/").replace("~0", "~"));
            }
            place.is_end = true;
        }
        fields
    }

    fn branch(&mut self, name: &str) -> &mut Self {
        let place = self.branches.iter().position(|(other, _)| **other == *name);
        let place = place.unwrap_or_else(|| {
            self.branches.push((name.into(), Self::default()));
            self.branches.len() - 1
        });
        &mut self.branches[place].1
    }

    /// Where a name leads, by itself and as any name.
    fn children<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        let leads = move |(branch, _): &&(Box<str>, Self)| **branch == *name || **branch == *ANY;
        self.branches.iter().filter(leads).map(|(_, fields)| fields)
    }

    /// `json` with what `instead` says in place of each field; `None` where it says nothing.
    pub(crate) fn replaced(
        &self,
        json: &[u8],
        mut instead: impl FnMut(&str, &str) -> Result<Option<String>, Error>,
    ) -> Result<Option<Vec<u8>>, Error> {
        let text = std::str::from_utf8(json).map_err(|error| Error::NotJson(error.to_string()))?;
        let mut found = Vec::new();
        let whole: &RawValue =
            serde_json::from_str(text).map_err(|error| Error::NotJson(error.to_string()))?;
        let step = Step { all: vec![self], base: text, pointer: "", found: &mut found };
        step.look(whole.get())?;
        let (mut changed, mut done) = (Vec::new(), 0);
        for Found { at, pointer } in found {
            let Some(new) = text.get(at.clone()).map(|raw| instead(&pointer, raw)).transpose()?
            else {
                continue;
            };
            let Some(new) = new else { continue };
            changed.extend_from_slice(&json[done..at.start]);
            changed.extend_from_slice(new.as_bytes());
            done = at.end;
        }
        if done == 0 {
            return Ok(None);
        }
        changed.extend_from_slice(&json[done..]);
        Ok(Some(changed))
    }
}

/// The value that several pointers have come to.
struct Step<'f, 'a> {
    all: Vec<&'f Fields>,
    base: &'a str,
    pointer: &'f str,
    found: &'f mut Vec<Found>,
}

impl<'a> Step<'_, 'a> {
    fn look(self, raw: &'a str) -> Result<(), Error> {
        if self.all.iter().any(|fields| fields.is_end) {
            let start = raw.as_ptr().addr().saturating_sub(self.base.as_ptr().addr());
            let at = start..start.saturating_add(raw.len());
            self.found.push(Found { at, pointer: self.pointer.to_owned() });
            return Ok(());
        }
        if self.all.is_empty() || !raw.starts_with(['{', '[']) {
            return Ok(());
        }
        let mut reader = serde_json::Deserializer::from_str(raw);
        reader.deserialize_any(self).map_err(|error| Error::NotJson(error.to_string()))
    }

    fn enter<E: serde::de::Error>(&mut self, name: &str, raw: &'a str) -> Result<(), E> {
        let all: Vec<&Fields> = self.all.iter().flat_map(|fields| fields.children(name)).collect();
        if all.is_empty() {
            return Ok(());
        }
        let pointer = format!("{}/{}", self.pointer, name.replace('~', "~0").replace('/', "~1"));
        let step = Step { all, base: self.base, pointer: &pointer, found: self.found };
        step.look(raw).map_err(E::custom)
    }
}

impl<'a> Visitor<'a> for Step<'_, 'a> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(Name)? {
            let raw: &RawValue = map.next_value()?;
            self.enter(&name, raw.get())?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut items: A) -> Result<(), A::Error> {
        let mut number = 0_u64;
        while let Some(raw) = items.next_element::<&RawValue>()? {
            self.enter(&number.to_string(), raw.get())?;
            number += 1;
        }
        Ok(())
    }
}

/// A name in an object, however it is written.
struct Name;

impl<'a> DeserializeSeed<'a> for Name {
    type Value = String;

    fn deserialize<D: Deserializer<'a>>(self, reader: D) -> Result<String, D::Error> {
        <String as serde::Deserialize>::deserialize(reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(pointers: &[&str], json: &str) -> String {
        let fields = Fields::new(pointers);
        let marked = fields.replaced(json.as_bytes(), |at, _| Ok(Some(format!("<{at}>")))).unwrap();
        marked.map_or_else(|| json.to_owned(), |bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn only_what_is_pointed_at_is_replaced() {
        for (pointers, json, expected) in [
            (&["/a"][..], r#"{"a":1,"b":{"a":2}}"#, r#"{"a":</a>,"b":{"a":2}}"#),
            (&["/b/a", "/a"], r#"{"a":1, "b":{"a":[2]}}"#, r#"{"a":</a>, "b":{"a":</b/a>}}"#),
            (&["/x/*/y"], r#"{"x":[{"y":1},{"z":1}]}"#, r#"{"x":[{"y":</x/0/y>},{"z":1}]}"#),
            (&["/*/y"], r#"{"p":{"y":1},"q":{"y":2}}"#, r#"{"p":{"y":</p/y>},"q":{"y":</q/y>}}"#),
            (&["/x/1"], "{\"x\":[0,1,2]}", "{\"x\":[0,</x/1>,2]}"),
            (&["/a~1b~0c"], r#"{"a/b~c":1}"#, r#"{"a/b~c":</a~1b~0c>}"#),
            (&["/\u{fc}"], r#"{"\u00fc":1}"#, r#"{"\u00fc":</ü>}"#),
            (&["/a"], r#"{"a":1,"a":2}"#, r#"{"a":</a>,"a":</a>}"#),
            (&["/a", "/a/b"], r#"{"a":{"b":1}}"#, r#"{"a":</a>}"#),
            (&["/a/b", "/*/c"], r#"{"a":{"b":1,"c":2}}"#, r#"{"a":{"b":</a/b>,"c":</a/c>}}"#),
            (&["/a/b"], r#"{"a":7}"#, r#"{"a":7}"#),
            (&["/a"], " [1] ", " [1] "),
        ] {
            assert_eq!(marked(pointers, json), expected, "{pointers:?} in {json}");
        }
    }
}
