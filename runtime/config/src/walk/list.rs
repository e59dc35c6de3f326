//! Decides whether lists of strings hold what they may hold.

use std::collections::BTreeSet;

use toml_edit::{Item, Value as TomlValue};

use super::{
    Value, Walker,
    value::{line, noun, string},
};
use crate::{Place, keys::Key, problem::code, text::Text};

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
                mended.extend(of.mend_each(&expanded.text));
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
}

/// A list as TOML; an example when it is too short.
fn written(texts: &[String], (key, min): (&Key, usize)) -> String {
    if texts.len() < min {
        return key.example();
    }
    // What is mended may be what another string is already.
    let mut seen = BTreeSet::new();
    let distinct = texts.iter().filter(|text| seen.insert(*text));
    let strings: Vec<String> = distinct.map(|text| string(text)).collect();
    format!("[{}]", strings.join(", "))
}
