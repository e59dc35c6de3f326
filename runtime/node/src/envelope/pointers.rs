//! Finds the fields an operator points at in a JSON document, in one pass and without building
//! the document. It never judges what it finds.

use std::borrow::Cow;
use std::fmt;

use gristmill_config::{Fields, Pointer};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A field an envelope may carry; the number is its place in [`Found`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Id,
    Kind,
    Version,
    Source,
    Time,
    Subject,
    Correlation,
    Causation,
    Tenant,
    Data,
}

const FIELDS: usize = 10;

/// The pointers of several fields, laid out as a tree so that one pass serves all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tree {
    /// Fields whose pointer ends here, each with the pointer's rank among the field's pointers.
    ends: Vec<(Field, usize)>,
    branches: Vec<(Box<str>, Tree)>,
}

/// Raw JSON of each field found; of several pointers the first in rank wins, of several equal
/// names in one object the last, as most JSON readers have it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Found<'a> {
    places: [Option<(usize, &'a str)>; FIELDS],
}

impl Tree {
    /// The tree of all pointers.
    pub(super) fn of_all(fields: &Fields) -> Self {
        let mut tree = Self::of_identity(fields);
        for (field, pointers) in [
            (Field::Source, &fields.source),
            (Field::Subject, &fields.subject),
            (Field::Correlation, &fields.correlation),
            (Field::Causation, &fields.causation),
            (Field::Tenant, &fields.tenant),
            (Field::Data, &fields.data),
        ] {
            tree.add_all(field, pointers);
        }
        tree
    }

    /// The tree of what deduplication, filter and validity need.
    pub(super) fn of_identity(fields: &Fields) -> Self {
        let mut tree = Self::default();
        tree.add_all(Field::Id, &fields.id);
        tree.add_all(Field::Kind, &fields.kind);
        tree.add_all(Field::Version, &fields.version);
        // A time can be unreadable, which decides whether the event is valid.
        tree.add_all(Field::Time, &fields.time);
        tree
    }

    /// Whether there is nothing to look for.
    pub(super) fn is_empty(&self) -> bool {
        self.branches.is_empty()
    }

    /// Reads the whole of `json` and keeps what is pointed at.
    ///
    /// # Errors
    ///
    /// When `json` is not one well-formed JSON value.
    pub(super) fn find<'a>(&self, json: &'a [u8]) -> Result<Found<'a>, serde_json::Error> {
        let mut found = Found::default();
        let mut reader = serde_json::Deserializer::from_slice(json);
        Step { tree: self, found: &mut found }.deserialize(&mut reader)?;
        reader.end()?;
        Ok(found)
    }

    fn add_all(&mut self, field: Field, pointers: &[Pointer]) {
        for (rank, pointer) in pointers.iter().enumerate() {
            let mut tree = &mut *self;
            for token in pointer.as_str().split('/').skip(1) {
                tree = tree.branch(&token.replace("~1", "/").replace("~0", "~"));
            }
            tree.ends.push((field, rank));
        }
    }

    fn branch(&mut self, name: &str) -> &mut Self {
        let place = self.branches.iter().position(|(other, _)| **other == *name);
        let place = place.unwrap_or_else(|| {
            self.branches.push((name.into(), Self::default()));
            self.branches.len() - 1
        });
        &mut self.branches[place].1
    }

    fn child(&self, name: &str) -> Option<&Self> {
        self.branches.iter().find(|(other, _)| **other == *name).map(|(_, tree)| tree)
    }
}

impl<'a> Found<'a> {
    /// Raw JSON of a field, unless it is absent or `null`.
    pub(super) fn raw(&self, field: Field) -> Option<&'a str> {
        self.places[field as usize].map(|(_, raw)| raw).filter(|raw| *raw != "null")
    }

    /// Text of a field: a string without its quotes, a number or boolean as its JSON text.
    /// `None` when it is absent, `null`, empty, an object or an array.
    pub(super) fn text(&self, field: Field) -> Option<Cow<'a, str>> {
        self.raw(field).and_then(scalar).filter(|text| !text.is_empty())
    }

    fn keep(&mut self, tree: &Tree, raw: &'a str) {
        for (field, rank) in &tree.ends {
            let place = &mut self.places[*field as usize];
            if place.is_none_or(|(other, _)| *rank <= other) {
                *place = Some((*rank, raw));
            }
        }
    }
}

/// Text of a JSON scalar: a string without its quotes, a number or boolean as it is written.
/// `None` for `null`, objects and arrays.
pub(super) fn scalar(raw: &str) -> Option<Cow<'_, str>> {
    match raw.as_bytes().first()? {
        b'"' if !raw.contains('\\') => raw.get(1..raw.len() - 1).map(Cow::Borrowed),
        b'"' => serde_json::from_str::<String>(raw).ok().map(Cow::Owned),
        b'{' | b'[' | b'n' => None,
        _ => Some(Cow::Borrowed(raw)),
    }
}

/// One step of the walk: the value under one node of the tree.
struct Step<'t, 'f, 'a> {
    tree: &'t Tree,
    found: &'f mut Found<'a>,
}

impl<'a> DeserializeSeed<'a> for Step<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, reader: D) -> Result<(), D::Error> {
        if self.tree.ends.is_empty() {
            return reader.deserialize_any(self);
        }
        let raw = <&RawValue as serde::Deserialize>::deserialize(reader)?.get();
        self.found.keep(self.tree, raw);
        if self.tree.is_empty() {
            return Ok(());
        }
        // One pointer ends where another goes on: the value is kept and then looked into.
        let mut reader = serde_json::Deserializer::from_str(raw);
        Step { tree: self.tree, found: self.found }
            .look_into(&mut reader)
            .map_err(serde::de::Error::custom)
    }
}

impl<'a> Step<'_, '_, 'a> {
    fn look_into<D: Deserializer<'a>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

/// Scalars under an inner node are somebody else's: nothing is pointed at, nothing is kept.
impl<'a> Visitor<'a> for Step<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(child) = map.next_key_seed(Name { tree: self.tree })? {
            match child {
                Some(tree) => map.next_value_seed(Step { tree, found: self.found })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut items: A) -> Result<(), A::Error> {
        let mut index = 0_u64;
        loop {
            let more = match self.tree.child(&index.to_string()) {
                Some(tree) => items.next_element_seed(Step { tree, found: self.found })?.is_some(),
                None => items.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Reads a name in an object without keeping it: all that matters is where it leads.
struct Name<'t> {
    tree: &'t Tree,
}

impl<'a, 't> DeserializeSeed<'a> for Name<'t> {
    type Value = Option<&'t Tree>;

    fn deserialize<D: Deserializer<'a>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_str(self)
    }
}

impl<'t> Visitor<'_> for Name<'t> {
    type Value = Option<&'t Tree>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.tree.child(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(texts: &[&str]) -> Vec<Pointer> {
        texts.iter().filter_map(|text| Pointer::new(text)).collect()
    }

    #[test]
    fn finds_the_first_pointer_in_rank_wherever_it_stands() {
        for (id, json, expected) in [
            (&["/eventId"][..], r#"{"eventId":"e-1"}"#, Some("e-1")),
            (&["/a", "/b"], r#"{"b":"2","a":"1"}"#, Some("1")),
            (&["/a", "/b"], r#"{"b":"2"}"#, Some("2")),
            (&["/a/b"], r#"{"a":{"x":[1,{"b":2}],"b":7}}"#, Some("7")),
            (&["/a/1/b"], r#"{"a":[{"b":"no"},{"b":"yes"}]}"#, Some("yes")),
            (&["/a~1b~0c"], r#"{"a/b~c":true}"#, Some("true")),
            (&["/"], r#"{"":"empty name"}"#, Some("empty name")),
            (
                &["/id"],
                r#"{"id":123456789012345678901234567890}"#,
                Some("123456789012345678901234567890"),
            ),
            (&["/id"], r#"{"id":"\u00fcber \"x\""}"#, Some("über \"x\"")),
            (&["/\u{fc}"], r#"{"\u00fc":"escaped name"}"#, Some("escaped name")),
            (&["/id"], r#"{"id":"first","id":"last"}"#, Some("last")),
            (&["/id"], r#"{"id":null}"#, None),
            (&["/id"], r#"{"id":""}"#, None),
            (&["/id"], r#"{"id":{"id":"deeper"}}"#, None),
            (&["/id"], r#"["id"]"#, None),
            (&["/id"], "17", None),
            (&["/id/x"], r#"{"id":"scalar where an object was expected"}"#, None),
        ] {
            let fields = Fields { id: pointers(id), ..Fields::default() };
            let found = Tree::of_identity(&fields).find(json.as_bytes()).unwrap();
            assert_eq!(found.text(Field::Id).as_deref(), expected, "{id:?} in {json}");
        }
    }

    #[test]
    fn keeps_data_as_it_is_written_and_looks_into_it() {
        let fields = Fields {
            id: pointers(&["/data/orderId"]),
            data: pointers(&["/data"]),
            ..Fields::default()
        };
        let json = br#"{"data": {"orderId" : "o-1",  "lines":[1]} , "x":2}"#;
        let found = Tree::of_all(&fields).find(json).unwrap();
        assert_eq!(found.raw(Field::Data), Some(r#"{"orderId" : "o-1",  "lines":[1]}"#));
        assert_eq!(found.text(Field::Id).as_deref(), Some("o-1"));
    }

    #[test]
    fn refuses_what_is_not_json_even_after_everything_was_found() {
        let fields = Fields { id: pointers(&["/id"]), ..Fields::default() };
        for json in
            [r#"{"id":"e"}x"#, r#"{"id":"e",}"#, r#"{"id":"e""#, "", "\u{feff}{}", "{'id':1}"]
        {
            assert!(Tree::of_identity(&fields).find(json.as_bytes()).is_err(), "{json}");
        }
        assert!(Tree::of_identity(&fields).find(b"{\"id\":\"\xff\"}").is_err());
    }
}
