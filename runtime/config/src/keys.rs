//! Owns the form in which keys are described: name, kind, default, meaning. Reader, JSON Schema
//! and reference page are made from these descriptions alone. It reads no document.

mod access;
pub(crate) mod broker;
mod commands;
mod encryption;
pub(crate) mod host;
pub(crate) mod manifest;
mod outbox;
mod replication;
mod schemas;
mod telemetry;
mod tokens;

use crate::{text::Text, units, walk::checked::disagree};

/// One table of a document: the keys it may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table {
    /// What it is about, for the reference page.
    pub(crate) doc: &'static str,
    /// Keys with fixed names.
    pub(crate) keys: &'static [Key],
    /// Tables under names the operator chooses.
    pub(crate) open: Option<Open>,
}

/// Tables under names the operator chooses, such as `[topics."orders"]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Open {
    /// The placeholder of the name, such as `NAME`.
    pub(crate) placeholder: &'static str,
    /// What a name must be.
    pub(crate) rule: Text,
    /// What such a table may have.
    pub(crate) table: &'static Table,
    /// The fixed key beside it whose values hold where this table is silent, instead of presets.
    pub(crate) inherits: Option<&'static str>,
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    /// As it is written.
    pub(crate) name: &'static str,
    /// What it takes.
    pub(crate) kind: Kind,
    /// What holds without it.
    pub(crate) preset: Preset,
    /// What it means: one or two sentences in Markdown.
    pub(crate) doc: &'static str,
}

/// What holds when a key is not written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Preset {
    /// This value, in TOML.
    Is(&'static str),
    /// No value, which means this.
    Absent(&'static str),
    /// It must be written; the text is an example of a value, in TOML.
    Required(&'static str),
    /// The key is a table, whose own keys have presets.
    Inner,
}

/// What a key takes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Count { min: u64, max: u64 },
    /// A number with up to three decimals; bounds in thousandths.
    Decimal { min: u64, max: u64 },
    /// A duration; bounds in milliseconds. `word` may be written instead.
    Span { min: u64, max: u64, word: Option<&'static str> },
    /// A size; bounds in bytes. With `percent`, also a share such as `"5%"` up to that many.
    Size { min: u64, max: u64, percent: Option<u32> },
    /// One of some words. `later` are known, but not in this release: word and release.
    Choice { now: &'static [&'static str], later: &'static [(&'static str, &'static str)] },
    /// A string.
    Text(Text),
    /// A list of distinct strings.
    Texts { of: Text, min: usize, max: usize },
    /// A string, or a list of 1 to `max`.
    OneOrMore { of: Text, max: usize },
    /// `true`, `false` or a string.
    FlagOr(Text),
    /// A table of values, by names the operator chooses.
    Pairs(Pairs),
    /// A table.
    Table(&'static Table),
    /// One or more tables.
    Tables(&'static Table),
}

/// What a table of values holds, whose names the operator chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pairs {
    /// Strings.
    Texts,
    /// Strings, each of which may be in a file.
    Secrets,
    /// Properties of librdkafka: strings, which may be in a file, numbers and booleans.
    Properties,
}

impl Table {
    /// The key of this name, which it has.
    pub(crate) fn key(&self, name: &str) -> &Key {
        match self.keys.iter().find(|key| key.name == name) {
            Some(key) => key,
            None => disagree(name),
        }
    }
}

impl Key {
    /// A key with a default value.
    pub(crate) const fn new(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        doc: &'static str,
    ) -> Self {
        Self { name, kind, preset: Preset::Is(default), doc }
    }

    /// A key that may be left out, which means `absent`.
    pub(crate) const fn optional(
        name: &'static str,
        kind: Kind,
        absent: &'static str,
        doc: &'static str,
    ) -> Self {
        Self { name, kind, preset: Preset::Absent(absent), doc }
    }

    /// A key that must be written.
    pub(crate) const fn required(
        name: &'static str,
        kind: Kind,
        example: &'static str,
        doc: &'static str,
    ) -> Self {
        Self { name, kind, preset: Preset::Required(example), doc }
    }

    /// A table under this key.
    pub(crate) const fn table(name: &'static str, table: &'static Table) -> Self {
        Self { name, kind: Kind::Table(table), preset: Preset::Inner, doc: table.doc }
    }

    /// A value that may be written, in TOML: the default, or an example.
    pub(crate) fn example(&self) -> String {
        match self.preset {
            Preset::Is(value) | Preset::Required(value) => value.to_owned(),
            Preset::Absent(_) | Preset::Inner => self.kind.example(),
        }
    }
}

impl Kind {
    /// What it takes, for "takes …, not …".
    pub(crate) fn noun(&self) -> String {
        match self {
            Self::Flag => "`true` or `false`".to_owned(),
            Self::Count { .. } => "a whole number".to_owned(),
            Self::Decimal { .. } => "a number".to_owned(),
            Self::Span { .. } => "a duration such as \"5s\"".to_owned(),
            Self::Size { .. } => "a size such as \"64MiB\"".to_owned(),
            Self::Choice { .. } | Self::Text(_) => "a string".to_owned(),
            Self::Texts { .. } => "a list of strings".to_owned(),
            Self::OneOrMore { .. } => "a string or a list of strings".to_owned(),
            Self::FlagOr(_) => "`true`, `false` or a string".to_owned(),
            Self::Pairs(Pairs::Properties) => "a table of properties".to_owned(),
            Self::Pairs(Pairs::Texts | Pairs::Secrets) => "a table of strings".to_owned(),
            Self::Table(_) => "a table".to_owned(),
            Self::Tables(_) => "one table or more, written `[[…]]`".to_owned(),
        }
    }

    /// The type, for the reference page.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Flag => "boolean",
            Self::Count { .. } => "integer",
            Self::Decimal { .. } => "number",
            Self::Span { .. } => "duration",
            Self::Size { percent: None, .. } => "size",
            Self::Size { .. } => "size or percentage",
            Self::Choice { .. } | Self::Text(_) => "string",
            Self::Texts { .. } => "list of strings",
            Self::OneOrMore { .. } => "string or list of strings",
            Self::FlagOr(_) => "boolean or string",
            Self::Pairs(Pairs::Texts) => "table of strings",
            Self::Pairs(Pairs::Secrets) => "table of strings or `{ file = \"…\" }`",
            Self::Pairs(Pairs::Properties) => {
                "table of strings, numbers, booleans or `{ file = \"…\" }`"
            }
            Self::Table(_) => "table",
            Self::Tables(_) => "array of tables",
        }
    }

    /// The range, for the reference page and for "must be …"; empty when there is none.
    pub(crate) fn range(&self) -> String {
        match self {
            Self::Count { min, max } => format!("{} to {}", grouped(*min), grouped(*max)),
            Self::Decimal { min, max } => {
                format!("{} to {}", units::decimal(*min), units::decimal(*max))
            }
            Self::Span { min, max, word } => {
                let or = word.map(|word| format!(", or \"{word}\"")).unwrap_or_default();
                format!("{} to {}{or}", units::span(*min), units::span(*max))
            }
            Self::Size { min, max, percent } => {
                let or = percent.map(|most| format!(", or 0% to {most}%")).unwrap_or_default();
                format!("{} to {}{or}", units::size(*min), units::size(*max))
            }
            Self::Choice { now, .. } => quoted(now),
            Self::Text(rule) => rule.describe().to_owned(),
            Self::Texts { of, min, max } => format!("{min} to {max}; each {}", of.describe()),
            Self::OneOrMore { of, max } => format!("1 to {max}; each {}", of.describe()),
            Self::FlagOr(rule) => format!("`true`, `false` or {}", rule.describe()),
            Self::Pairs(Pairs::Properties) => format!("each {}", Text::Property.describe()),
            Self::Flag
            | Self::Pairs(Pairs::Texts | Pairs::Secrets)
            | Self::Table(_)
            | Self::Tables(_) => String::new(),
        }
    }

    fn example(&self) -> String {
        match self {
            Self::Flag | Self::FlagOr(_) => "true".to_owned(),
            Self::Count { min, .. } => min.to_string(),
            Self::Decimal { min, .. } => units::decimal(*min),
            Self::Span { max, .. } => format!("\"{}\"", units::span(*max)),
            Self::Size { max, .. } => format!("\"{}\"", units::size(*max)),
            Self::Choice { now, .. } => format!("\"{}\"", now.first().unwrap_or(&"")),
            Self::Text(rule) | Self::OneOrMore { of: rule, .. } => {
                format!("\"{}\"", rule.example())
            }
            Self::Texts { of, .. } => format!("[\"{}\"]", of.example()),
            Self::Pairs(_) => "{ name = \"value\" }".to_owned(),
            Self::Table(_) | Self::Tables(_) => "{}".to_owned(),
        }
    }
}

impl Pairs {
    /// What each value is, for "takes …, not …".
    pub(crate) fn takes(self) -> &'static str {
        match self {
            Self::Texts => "a string",
            Self::Secrets => "a string or `{ file = \"…\" }`",
            Self::Properties => "a string, a number, a boolean or `{ file = \"…\" }`",
        }
    }
}

/// `"a"`, `"b"` or `"c"`.
pub(crate) fn quoted(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

/// A number with a comma between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests;
