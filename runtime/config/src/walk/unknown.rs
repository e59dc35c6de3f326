//! Decides what to say of a key or section that does not exist where it is written.

use toml_edit::TableLike;

use super::{At, Walker, header};
use crate::{
    Place,
    keys::{Kind, Table},
    problem::code,
    suggest,
};

/// A key or section that does not exist where it is written.
pub(super) struct Unknown {
    name: String,
    place: Place,
    /// Whether it is a table.
    section: bool,
    /// Its value as it is written, when that is on one line.
    value: Option<String>,
    /// The key of the same table that was probably meant.
    pub(super) meant: Option<&'static str>,
}

impl Walker<'_> {
    /// The keys of a table that its description does not have.
    pub(super) fn unknown(
        &self,
        shape: &'static Table,
        table: &dyn TableLike,
        at: &At,
    ) -> Vec<Unknown> {
        let known = |name: &str| shape.keys.iter().any(|key| key.name == name);
        let mut unknown = Vec::new();
        for (name, item) in table.iter() {
            let section = item.is_table_like() || item.is_array_of_tables();
            if known(name) || (shape.open.is_some() && item.is_table_like()) {
                continue;
            }
            // A key already written was not meant a second time.
            let free = shape.keys.iter().filter(|key| !table.contains_key(key.name));
            let alike = free.filter(|key| takes_table(&key.kind) == section);
            unknown.push(Unknown {
                name: name.to_owned(),
                place: self.place_of(table.key(name), item, at),
                section,
                value: self.report.written(item.span()).map(str::to_owned),
                meant: suggest::nearest(name, alike.map(|key| key.name)),
            });
        }
        unknown
    }

    pub(super) fn report_unknown(&mut self, shape: &'static Table, one: &Unknown, at: &At) {
        let name = &one.name;
        let (code, what) = if one.section {
            (
                code::UNKNOWN_SECTION,
                format!("unknown section `{}`", at.child(name, one.place).header()),
            )
        } else {
            (code::UNKNOWN_KEY, format!("unknown key `{name}`"))
        };
        let mut homes = Vec::new();
        collect_homes(self.root, (name, one.section), &mut Vec::new(), &mut homes);
        let line = |path: &str| match &one.value {
            Some(value) => format!("{path} = {value}"),
            None => path.to_owned(),
        };
        // Of several homes, the one nearest to the top, where there is one such.
        let depth = homes.iter().map(Vec::len).min();
        homes.retain(|home| Some(home.len()) == depth);
        let (reason, instead) = if let [home] = homes.as_slice() {
            let instead = match home.strip_prefix(at.path.as_slice()) {
                Some(below) if !one.section => {
                    line(&[below, std::slice::from_ref(name)].concat().join("."))
                }
                _ if one.section => {
                    header(&[home.as_slice(), std::slice::from_ref(name)].concat(), false)
                }
                _ if home.is_empty() => line(name),
                _ => header(home, false),
            };
            let place = match home.as_slice() {
                [] => "at the top of the file".to_owned(),
                path => format!("in `{}`", header(path, false)),
            };
            (format!("{what}: it belongs {place}"), Some(instead))
        } else if let Some(meant) = one.meant {
            let instead =
                if one.section { at.child(meant, one.place).header() } else { line(meant) };
            (what, Some(instead))
        } else {
            let known: Vec<&str> = shape
                .keys
                .iter()
                .filter(|key| takes_table(&key.kind) == one.section)
                .map(|key| key.name)
                .collect();
            let there = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let kind = if one.section { "sections" } else { "keys" };
            (format!("{what}; {kind} here: {there}"), None)
        };
        self.report.error(one.place, code, reason, instead);
    }

    /// Warns of a table under a chosen name that is nearly a fixed one: `[topics.default]`.
    pub(super) fn warn_if_meant_fixed(&mut self, shape: &'static Table, name: &str, at: &At) {
        let fixed = shape.keys.iter().filter(|key| takes_table(&key.kind)).map(|key| key.name);
        let Some(meant) = suggest::nearest(name, fixed) else { return };
        let mut path = at.path.clone();
        path.pop();
        path.push(meant.to_owned());
        let reason =
            format!("`{}` is a name of your choice, nearly that of a section", at.header());
        self.report.warning(at.place, code::UNKNOWN_SECTION, reason, Some(header(&path, false)));
    }
}

fn takes_table(kind: &Kind) -> bool {
    matches!(kind, Kind::Table(_) | Kind::Tables(_) | Kind::Pairs(_))
}

/// The tables of the document that have a key of this name and shape.
fn collect_homes(
    table: &'static Table,
    wanted: (&str, bool),
    path: &mut Vec<String>,
    homes: &mut Vec<Vec<String>>,
) {
    for key in table.keys {
        if (key.name, takes_table(&key.kind)) == wanted {
            homes.push(path.clone());
        }
        if let Kind::Table(inner) | Kind::Tables(inner) = key.kind {
            path.push(key.name.to_owned());
            collect_homes(inner, wanted, path, homes);
            path.pop();
        }
    }
}
