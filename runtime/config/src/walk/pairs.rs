//! Decides whether a table of values under chosen names holds what it may hold.

use std::collections::BTreeSet;

use toml_edit::{Item, TableLike, Value as TomlValue};

use super::{
    Value, Walker,
    checked::Pair,
    folder,
    value::{noun, string},
};
use crate::{
    Place, Secret,
    keys::{Key, Pairs},
    problem::code,
    text::Text,
};

impl Walker<'_> {
    /// A table of values under chosen names; none when it is no table.
    pub(super) fn pairs(
        &mut self,
        (key, of): (&Key, Pairs),
        item: &Item,
        place: Place,
    ) -> Option<Value> {
        let Some(table) = item.as_table_like() else {
            self.wrong_type(key, item, place, None);
            return None;
        };
        let mut pairs = Vec::new();
        self.collect((key, of), table, (None, place), &mut pairs);
        let mut seen = BTreeSet::new();
        for pair in &pairs {
            if !seen.insert(&pair.name) {
                let reason = format!("`{}` names \"{}\" twice", key.name, pair.name);
                self.report.error(pair.place, code::DUPLICATE, reason, None);
            }
        }
        Some(Value::Pairs(pairs))
    }

    /// Adds what `table` holds to `pairs`. A property's name has dots, which TOML takes for tables
    /// unless the name is quoted: `before` is the part of the name that leads to `table`. A table
    /// in braces is no part of a name, but the value it looks like.
    fn collect(
        &mut self,
        (key, of): (&Key, Pairs),
        table: &dyn TableLike,
        (before, place): (Option<&str>, Place),
        pairs: &mut Vec<Pair>,
    ) {
        for (name, item) in table.iter() {
            let at = table.key(name).and_then(toml_edit::Key::span).or_else(|| item.span());
            let at = at.map_or(place, |span| self.report.place(span.start));
            let name = before.map_or_else(|| name.to_owned(), |before| format!("{before}.{name}"));
            let deeper = item.as_table_like().filter(|table| {
                let part = item.is_table() || table.is_dotted();
                of == Pairs::Properties && part && file_of(item).is_none()
            });
            if let Some(deeper) = deeper {
                self.collect((key, of), deeper, (Some(&name), at), pairs);
            } else if self.name_holds((key, of), &name, item, at)
                && let Some(value) = self.pair(of, &name, item, at)
            {
                pairs.push(Pair { name, value, place: at });
            }
        }
    }

    fn name_holds(&mut self, (key, of): (&Key, Pairs), name: &str, item: &Item, at: Place) -> bool {
        if of != Pairs::Properties {
            return true;
        }
        let Err(misfit) = Text::Property.check(name) else { return true };
        let reason = format!("`{}`: {}", key.name, misfit.reason);
        let instead = misfit.instead.map(|name| format!("{name} = {}", fitting(of, item)));
        self.report.error(at, misfit.code, reason, instead);
        false
    }

    fn pair(&mut self, of: Pairs, name: &str, item: &Item, at: Place) -> Option<Secret> {
        // A property's name is right without quotes too, and easier to read.
        let written = if of == Pairs::Properties {
            name.to_owned()
        } else {
            toml_edit::Key::new(name).to_string()
        };
        if let Some(raw) = item.as_value().and_then(TomlValue::as_str) {
            let expanded = self.expanded((&written, "value"), raw, at)?;
            return Some(Secret::Text(expanded.text));
        }
        if of != Pairs::Texts
            && let Some(raw) = file_of(item)
        {
            let expanded = self.expanded(("file", "/run/secrets/x"), raw, at)?;
            return Some(Secret::File(folder(self.report.source()).join(expanded.text)));
        }
        if of == Pairs::Properties
            && let Some(text) = scalar(item)
        {
            return Some(Secret::Text(text));
        }
        let reason = format!("`{written}` takes {}, not {}", of.takes(), noun(item));
        let instead = format!("{written} = {}", fitting(of, item));
        self.report.error(at, code::WRONG_TYPE, reason, Some(instead));
        None
    }
}

/// The path in `{ file = "…" }`.
fn file_of(item: &Item) -> Option<&str> {
    let table = item.as_table_like().filter(|table| table.len() == 1)?;
    table.get("file")?.as_str().filter(|path| !path.is_empty())
}

/// A number or boolean as text.
fn scalar(item: &Item) -> Option<String> {
    match item.as_value()? {
        TomlValue::Integer(number) => Some(number.value().to_string()),
        TomlValue::Float(number) => Some(number.value().to_string()),
        TomlValue::Boolean(flag) => Some(flag.value().to_string()),
        TomlValue::String(_)
        | TomlValue::Datetime(_)
        | TomlValue::Array(_)
        | TomlValue::InlineTable(_) => None,
    }
}

/// A value that may be written in place of `item`, which may be secret and is not shown.
fn fitting(of: Pairs, item: &Item) -> String {
    match scalar(item) {
        Some(text) if of == Pairs::Properties => text,
        Some(text) => string(&text),
        None if of == Pairs::Texts || item.is_str() => "\"value\"".to_owned(),
        None => "{ file = \"/run/secrets/x\" }".to_owned(),
    }
}
