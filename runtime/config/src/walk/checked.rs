//! Owns a document after the walk: every key with a value of its kind, whether written, preset or
//! put in place of a broken one. It doubts nothing and reports nothing.

use std::collections::BTreeMap;

use gristmill_engine::{Bytes, Millis};

use crate::{Glob, HttpOrigin, Place, Pointer, Secret};

/// One table, with a value for every key of its description.
#[derive(Debug, Clone)]
pub(crate) struct Checked {
    /// Where it stands; the parent's place when it is not written.
    pub(crate) place: Place,
    /// Its fixed keys.
    pub(crate) entries: BTreeMap<&'static str, Entry>,
    /// Its tables under chosen names.
    pub(crate) open: Vec<(String, Self)>,
}

/// One key's value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) value: Value,
    pub(crate) place: Place,
    pub(crate) origin: Origin,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The key is not written.
    Preset,
    /// The document.
    Written,
    /// The document has a problem there or in the key's name, which is reported; the preset
    /// stands in.
    Broken,
}

/// A value.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Absent,
    Flag(bool),
    /// A count, thousandths, milliseconds or bytes, as the key's kind says.
    Number(u64),
    /// A share of something, in per cent.
    Percent(u32),
    Text(String),
    Texts(Vec<(String, Place)>),
    Pairs(Vec<Pair>),
    Table(Checked),
    Tables(Vec<Checked>),
}

/// A value under a chosen name.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) name: String,
    /// Only [`Secret::Text`] where the kind of the key has no files.
    pub(crate) value: Secret,
    pub(crate) place: Place,
}

impl Checked {
    pub(crate) fn entry(&self, key: &str) -> &Entry {
        match self.entries.get(key) {
            Some(entry) => entry,
            None => disagree(key),
        }
    }

    /// Whether the key is written, and well.
    pub(crate) fn written(&self, key: &str) -> bool {
        self.entry(key).origin == Origin::Written
    }

    /// Whether the key's value is what the operator meant.
    pub(crate) fn sound(&self, key: &str) -> bool {
        self.entry(key).origin != Origin::Broken
    }

    /// Where the value stands; where the table does when it is not written.
    pub(crate) fn place(&self, key: &str) -> Place {
        self.entry(key).place
    }

    fn value_if_any(&self, key: &str) -> Option<&Value> {
        let value = &self.entry(key).value;
        (!matches!(value, Value::Absent)).then_some(value)
    }

    pub(crate) fn flag(&self, key: &str) -> bool {
        let Value::Flag(flag) = &self.entry(key).value else { disagree(key) };
        *flag
    }

    pub(crate) fn number_if_any(&self, key: &str) -> Option<u64> {
        let Value::Number(number) = self.value_if_any(key)? else { disagree(key) };
        Some(*number)
    }

    pub(crate) fn number(&self, key: &str) -> u64 {
        match self.number_if_any(key) {
            Some(number) => number,
            None => disagree(key),
        }
    }

    pub(crate) fn count_if_any(&self, key: &str) -> Option<u32> {
        self.number_if_any(key).map(|number| match u32::try_from(number) {
            Ok(count) => count,
            Err(_) => disagree(key),
        })
    }

    pub(crate) fn count(&self, key: &str) -> u32 {
        match self.count_if_any(key) {
            Some(count) => count,
            None => disagree(key),
        }
    }

    pub(crate) fn millis(&self, key: &str) -> Millis {
        Millis(self.number(key))
    }

    pub(crate) fn bytes(&self, key: &str) -> Bytes {
        Bytes(self.number(key))
    }

    pub(crate) fn text_if_any(&self, key: &str) -> Option<&str> {
        let Value::Text(text) = self.value_if_any(key)? else { disagree(key) };
        Some(text)
    }

    pub(crate) fn text(&self, key: &str) -> &str {
        match self.text_if_any(key) {
            Some(text) => text,
            None => disagree(key),
        }
    }

    /// The strings of a list, with their places; none for a key without value.
    pub(crate) fn texts(&self, key: &str) -> &[(String, Place)] {
        let Some(value) = self.value_if_any(key) else { return &[] };
        let Value::Texts(texts) = value else { disagree(key) };
        texts
    }

    pub(crate) fn globs(&self, key: &str) -> Vec<Glob> {
        self.texts(key).iter().map(|(text, _)| Glob::new(text)).collect()
    }

    pub(crate) fn origins(&self, key: &str) -> Vec<HttpOrigin> {
        self.texts(key).iter().filter_map(|(text, _)| HttpOrigin::new(text)).collect()
    }

    pub(crate) fn pointers(&self, key: &str) -> Vec<Pointer> {
        self.texts(key).iter().filter_map(|(text, _)| Pointer::new(text)).collect()
    }

    pub(crate) fn pairs(&self, key: &str) -> &[Pair] {
        let Value::Pairs(pairs) = &self.entry(key).value else { disagree(key) };
        pairs
    }

    pub(crate) fn table(&self, key: &str) -> &Self {
        let Value::Table(table) = &self.entry(key).value else { disagree(key) };
        table
    }

    pub(crate) fn tables(&self, key: &str) -> &[Self] {
        let Value::Tables(tables) = &self.entry(key).value else { disagree(key) };
        tables
    }
}

/// The table of keys and the code that asks for `key` disagree about it.
#[expect(clippy::panic, reason = "every key is asked for in every document, so any test finds it")]
pub(crate) fn disagree(key: &str) -> ! {
    panic!("the table of keys does not describe `{key}` as it is used");
}
