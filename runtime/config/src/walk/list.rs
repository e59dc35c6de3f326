//! Decides whether lists and tables of strings hold what they may hold.

use std::collections::BTreeSet;

use toml_edit::{Item, Value as TomlValue};

use super::{
    Value, Walker, folder,
    value::{line, noun, string},
};
use crate::{Place, Secret, keys::Key, problem::code, text::Text};

impl Walker<'_> {
    /// A list of distinct strings.
    pub(super) fn texts(
        &mut self,
        key: &Key,
        value: &TomlValue,
        place: Place,
        (of, min, max): (Text, usize, usize),
    ) -> Option<Value> {
        let Some(list) = value.as_array() else {
            self.wrong_type(key, &Item::Value(value.clone()), place, None);
            return None;
        };
        let mut texts: Vec<(String, Place)> = Vec::new();
        // The list to write instead, and why.
        let mut mended: Vec<String> = Vec::new();
        let mut flaws = Vec::new();
        let mut seen = BTreeSet::new();
        for element in list {
            let at = element.span().map_or(place, |span| self.report.place(span.start));
            let Some(raw) = element.as_str() else {
                let noun = noun(&Item::Value(element.clone()));
                let reason = format!("`{}` takes a list of strings, not of {noun}", key.name);
                let number = element.as_integer().map(|number| number.to_string());
                mended.extend(number.filter(|text| of.check(text).is_ok()));
                flaws.push((at, code::WRONG_TYPE, reason));
                continue;
            };
            let Some(expanded) = self.string(key, element, at) else { continue };
            if let Err(misfit) = of.check(&expanded.text) {
                mended.extend(misfit.instead);
                flaws.push((at, misfit.code, format!("`{}`: {}", key.name, misfit.reason)));
            } else if seen.insert(expanded.text.clone()) {
                mended.push(raw.to_owned());
                texts.push((expanded.text, at));
            } else {
                let reason = format!("`{}` names \"{}\" twice", key.name, expanded.text);
                flaws.push((at, code::DUPLICATE, reason));
            }
        }
        let instead = line(key, &written(&mended, (key, min)));
        for (at, code, reason) in flaws {
            self.report.error(at, code, reason, Some(instead.clone()));
        }
        if (min..=max).contains(&list.len()) {
            return Some(Value::Texts(texts));
        }
        let reason = format!("`{}` takes {min} to {max} strings, not {}", key.name, list.len());
        let example = (list.len() < min).then(|| line(key, &key.example()));
        self.report.error(place, code::OUT_OF_RANGE, reason, example);
        None
    }

    /// A table of strings under chosen names.
    pub(super) fn pairs(
        &mut self,
        (key, secret): (&Key, bool),
        item: &Item,
        place: Place,
    ) -> Option<Value> {
        let Some(table) = item.as_table_like() else {
            self.wrong_type(key, item, place, None);
            return None;
        };
        let mut pairs = Vec::new();
        for (name, inner) in table.iter() {
            let at = table.key(name).and_then(toml_edit::Key::span).or_else(|| inner.span());
            let at = at.map_or(place, |span| self.report.place(span.start));
            let written = toml_edit::Key::new(name).to_string();
            let file = file_of(inner).filter(|_| secret);
            if let Some(raw) = inner.as_value().and_then(TomlValue::as_str) {
                if let Some(expanded) = self.expanded((&written, "value"), raw, at) {
                    pairs.push((name.to_owned(), Secret::Text(expanded.text)));
                }
            } else if let Some(raw) = file {
                if let Some(expanded) = self.expanded(("file", "/run/secrets/x"), raw, at) {
                    let path = folder(self.report.source()).join(expanded.text);
                    pairs.push((name.to_owned(), Secret::File(path)));
                }
            } else {
                self.report_pair((&written, secret), inner, at);
            }
        }
        Some(Value::Pairs(pairs))
    }

    fn report_pair(&mut self, (name, secret): (&str, bool), item: &Item, place: Place) {
        let takes = if secret { "a string or `{ file = \"…\" }`" } else { "a string" };
        let reason = format!("`{name}` takes {takes}, not {}", noun(item));
        let scalar = item.as_value().and_then(|value| match value {
            TomlValue::Integer(number) => Some(number.value().to_string()),
            TomlValue::Float(number) => Some(number.value().to_string()),
            TomlValue::Boolean(flag) => Some(flag.value().to_string()),
            TomlValue::String(_)
            | TomlValue::Datetime(_)
            | TomlValue::Array(_)
            | TomlValue::InlineTable(_) => None,
        });
        let value = match scalar {
            Some(text) => string(&text),
            None if secret => "{ file = \"/run/secrets/x\" }".to_owned(),
            None => "\"value\"".to_owned(),
        };
        let instead = format!("{name} = {value}");
        self.report.error(place, code::WRONG_TYPE, reason, Some(instead));
    }
}

/// The path in `{ file = "…" }`.
fn file_of(item: &Item) -> Option<&str> {
    let table = item.as_table_like().filter(|table| table.len() == 1)?;
    table.get("file")?.as_str().filter(|path| !path.is_empty())
}

/// A list as TOML; an example when it is too short.
fn written(texts: &[String], (key, min): (&Key, usize)) -> String {
    if texts.len() < min {
        return key.example();
    }
    let strings: Vec<String> = texts.iter().map(|text| string(text)).collect();
    format!("[{}]", strings.join(", "))
}
