//! Decides whether a document has the keys it may have, each with a value of its kind, and reports
//! everything that is otherwise. It knows no key by name: the table of keys says what may be.

pub(crate) mod checked;
mod list;
mod pairs;
mod unknown;
pub(crate) mod value;

use std::{collections::BTreeMap, ops::Range, path::Path};

use toml_edit::{Item, Key as TomlKey, TableLike};

pub(crate) use self::checked::{Checked, Entry, Origin, Value};
use crate::{
    Env, Place, Problems, Source,
    keys::{Key, Kind, Preset, Table},
    problem::code,
    report::Report,
    syntax,
};

/// Reads a document described by `table`: the values, and the report to add to.
///
/// # Errors
///
/// All problems, when the text is not TOML to a degree that nothing can be said of its keys.
pub(crate) fn walk<'a>(
    source: &Source<'a>,
    env: Env<'a>,
    table: &'static Table,
) -> Result<(Checked, Report<'a>), Problems> {
    let mut report = Report::new(*source);
    let Some(parsed) = syntax::parse(source, &mut report) else {
        return Err(report.into_problems());
    };
    let mut walker = Walker { report, env, root: table, whole: parsed.whole };
    let at = At { path: Vec::new(), array: false, place: Place::START, inherits: false };
    let checked = walker.table(table, Some(parsed.document.as_table()), &at);
    Ok((checked, walker.report))
}

/// The folder of a document, which relative paths in it start from.
pub(crate) fn folder<'a>(source: &Source<'a>) -> &'a Path {
    Path::new(source.name).parent().unwrap_or(Path::new(""))
}

struct Walker<'a> {
    report: Report<'a>,
    env: Env<'a>,
    /// Description of the whole document.
    root: &'static Table,
    /// Whether all of the document was read.
    whole: bool,
}

/// The table being walked.
#[derive(Clone)]
struct At {
    /// Keys that lead to it.
    path: Vec<String>,
    /// Whether it is one of several, written `[[…]]`.
    array: bool,
    /// Where it stands.
    place: Place,
    /// Whether another table's values hold where this one is silent.
    inherits: bool,
}

impl At {
    fn child(&self, name: &str, place: Place) -> Self {
        let mut path = self.path.clone();
        path.push(name.to_owned());
        Self { path, array: false, place, inherits: false }
    }

    /// As it is written in a document.
    fn header(&self) -> String {
        header(&self.path, self.array)
    }
}

/// A table's header as it is written in a document.
fn header(path: &[String], array: bool) -> String {
    let names: Vec<String> = path.iter().map(|name| TomlKey::new(name).to_string()).collect();
    let path = names.join(".");
    if array { format!("[[{path}]]") } else { format!("[{path}]") }
}

impl Walker<'_> {
    fn table(
        &mut self,
        shape: &'static Table,
        written: Option<&dyn TableLike>,
        at: &At,
    ) -> Checked {
        let unknown = written.map(|table| self.unknown(shape, table, at)).unwrap_or_default();
        let mut entries = BTreeMap::new();
        let later = self.report.count(code::LATER_RELEASE);
        for key in shape.keys {
            let found = written.and_then(|table| table.get_key_value(key.name));
            let entry = if let Some(found) = found {
                self.entry(key, found, at)
            } else {
                let misspelt = unknown.iter().any(|one| one.meant == Some(key.name));
                let preset = self.preset(key, at, !misspelt && self.whole);
                // What was meant is unknown, so nothing is concluded from the preset.
                let origin = if misspelt { Origin::Broken } else { preset.origin };
                Entry { origin, ..preset }
            };
            entries.insert(key.name, entry);
        }
        // What a later release brings has keys of its own, which are not this one's to judge.
        if self.report.count(code::LATER_RELEASE) == later {
            for one in &unknown {
                self.report_unknown(shape, one, at);
            }
        }
        let open = written.map(|table| self.open(shape, table, at)).unwrap_or_default();
        Checked { place: at.place, entries, open }
    }

    /// The tables under chosen names.
    fn open(
        &mut self,
        shape: &'static Table,
        table: &dyn TableLike,
        at: &At,
    ) -> Vec<(String, Checked)> {
        let Some(open) = &shape.open else { return Vec::new() };
        let mut named = Vec::new();
        for (name, item) in table.iter() {
            let Some(inner) = item.as_table_like() else { continue };
            if shape.keys.iter().any(|key| key.name == name) {
                continue;
            }
            let place = self.place_of(table.key(name), item, at);
            if let Err(misfit) = open.rule.check(name) {
                let mended = misfit.instead.map(|name| at.child(&name, place).header());
                self.report.error(place, misfit.code, misfit.reason, mended);
            }
            self.warn_if_meant_fixed(shape, name, &at.child(name, place));
            let inherits = open.inherits.is_some();
            let inner_at = At { inherits, ..at.child(name, place) };
            named.push((name.to_owned(), self.table(open.table, Some(inner), &inner_at)));
        }
        named
    }

    /// The value of a written key.
    fn entry(&mut self, key: &'static Key, (name, item): (&TomlKey, &Item), at: &At) -> Entry {
        let place = self.place_of(Some(name), item, at);
        let inner = at.child(key.name, place);
        let value = if let Kind::Tables(shape) = key.kind {
            self.tables((key, shape), item, &At { array: true, ..inner })
        } else if let Kind::Table(shape) = key.kind {
            let table = item.as_table_like();
            if table.is_none() {
                self.wrong_type(key, item, place, Some(inner.header()));
            }
            table.map(|table| Value::Table(self.table(shape, Some(table), &inner)))
        } else {
            self.value(key, item, place)
        };
        match value {
            Some(value) => Entry { value, place, origin: Origin::Written },
            None => Entry { origin: Origin::Broken, place, ..self.preset(key, at, false) },
        }
    }

    /// The tables of an array of tables, written `[[…]]` or in line.
    fn tables(
        &mut self,
        (key, shape): (&'static Key, &'static Table),
        item: &Item,
        at: &At,
    ) -> Option<Value> {
        let found: Vec<(&dyn TableLike, Option<Range<usize>>)> = match item {
            Item::ArrayOfTables(tables) => {
                tables.iter().map(|table| (table as &dyn TableLike, table.span())).collect()
            }
            Item::Value(value) => {
                let tables = value.as_array().into_iter().flatten();
                let tables = tables.filter_map(|table| table.as_inline_table());
                tables.map(|table| (table as &dyn TableLike, table.span())).collect()
            }
            // One table in single brackets: its content is judged all the same.
            Item::Table(table) => vec![(table as &dyn TableLike, table.span())],
            Item::None => Vec::new(),
        };
        let of_tables = item.as_value().and_then(|value| value.as_array());
        let only_tables = of_tables.is_none_or(|array| array.len() == found.len());
        if item.is_table() || found.is_empty() || !only_tables {
            self.wrong_type(key, item, at.place, Some(at.header()));
        }
        let checked = found.into_iter().map(|(table, span)| {
            let place = span.map_or(at.place, |span| self.report.place(span.start));
            self.table(shape, Some(table), &At { place, ..at.clone() })
        });
        let checked: Vec<Checked> = checked.collect();
        (!checked.is_empty()).then_some(Value::Tables(checked))
    }

    /// What holds for a key that is not written.
    fn preset(&mut self, key: &'static Key, at: &At, missing: bool) -> Entry {
        let value = match (key.preset, key.kind) {
            (Preset::Inner, Kind::Table(shape)) => {
                Value::Table(self.table(shape, None, &at.child(key.name, at.place)))
            }
            (Preset::Inner, _) => checked::disagree(key.name),
            (Preset::Absent(_), _) => Value::Absent,
            _ if at.inherits => Value::Absent,
            (Preset::Is(text), _) => match text.parse::<toml_edit::Value>() {
                Ok(value) => match self.value(key, &Item::Value(value), at.place) {
                    Some(value) => value,
                    None => checked::disagree(key.name),
                },
                Err(_) => checked::disagree(key.name),
            },
            (Preset::Required(example), kind) => {
                if missing {
                    self.report_missing(key, example, at);
                }
                if let Kind::Tables(_) = kind {
                    Value::Tables(Vec::new())
                } else if let Kind::Pairs(_) = kind {
                    Value::Pairs(Vec::new())
                } else {
                    Value::Texts(Vec::new())
                }
            }
        };
        Entry { value, place: at.place, origin: Origin::Preset }
    }

    fn report_missing(&mut self, key: &Key, example: &str, at: &At) {
        let (reason, instead) = if let Kind::Tables(_) = key.kind {
            (format!("`{example}` is missing"), example.to_owned())
        } else {
            let reason = format!("`{}` is missing in `{}`", key.name, at.header());
            (reason, value::line(key, example))
        };
        self.report.error(at.place, code::MISSING, reason, Some(instead));
    }

    fn place_of(&self, name: Option<&TomlKey>, item: &Item, at: &At) -> Place {
        let span = name.and_then(TomlKey::span).or_else(|| item.span());
        span.map_or(at.place, |span| self.report.place(span.start))
    }
}
