//! Decides whether a value is of its key's kind and within its bounds.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is of no kind named is the wrong kind, whichever kinds there will be"
)]

use toml_edit::{Item, Value as TomlValue};

use super::{Value, Walker};
use crate::{
    Place,
    expand::{self, Expanded},
    keys::{Key, Kind, quoted},
    problem::code,
    suggest,
    text::{Text, shortened},
    units,
};

impl Walker<'_> {
    /// The value of a key that takes no table of keys; none when it is reported.
    pub(super) fn value(&mut self, key: &Key, item: &Item, place: Place) -> Option<Value> {
        if let Kind::Pairs(of) = key.kind {
            return self.pairs((key, of), item, place);
        }
        let Item::Value(value) = item else {
            self.wrong_type(key, item, place, None);
            return None;
        };
        match key.kind {
            Kind::Flag => self.flag(key, value, place),
            Kind::Count { .. } | Kind::Decimal { .. } => self.number(key, value, place),
            Kind::Span { .. } | Kind::Size { .. } => self.measure(key, value, place),
            Kind::Choice { now, later } => self.choice(key, value, place, (now, later)),
            Kind::Text(rule) => self.text(key, value, place, rule),
            Kind::FlagOr(rule) => match value.as_bool() {
                Some(flag) => Some(Value::Flag(flag)),
                None => self.text(key, value, place, rule),
            },
            Kind::Texts { of, min, max } => self.texts(key, value, place, (of, min, max)),
            Kind::OneOrMore { of, .. } if value.is_str() => {
                let Value::Text(text) = self.text(key, value, place, of)? else { return None };
                Some(Value::Texts(vec![(text, place)]))
            }
            Kind::OneOrMore { of, max } => self.texts(key, value, place, (of, 1, max)),
            Kind::Pairs(_) | Kind::Table(_) | Kind::Tables(_) => None,
        }
    }

    /// Reports a value of the wrong type. Without `instead`, an example is shown.
    pub(super) fn wrong_type(
        &mut self,
        key: &Key,
        item: &Item,
        place: Place,
        instead: Option<String>,
    ) {
        let reason = format!("`{}` takes {}, not {}", key.name, key.kind.noun(), noun(item));
        let instead = instead.unwrap_or_else(|| line(key, &meant(key, item)));
        self.report.error(place, code::WRONG_TYPE, reason, Some(instead));
    }

    fn flag(&mut self, key: &Key, value: &TomlValue, place: Place) -> Option<Value> {
        if let Some(flag) = value.as_bool() {
            return Some(Value::Flag(flag));
        }
        let text = self.substituted(key, value, place)?;
        match text.as_str() {
            "true" => Some(Value::Flag(true)),
            "false" => Some(Value::Flag(false)),
            _ => {
                let reason =
                    format!("`{}` became \"{}\", not a boolean", key.name, shortened(&text));
                self.report.error(place, code::WRONG_TYPE, reason, Some(line(key, &key.example())));
                None
            }
        }
    }

    /// A count or a decimal.
    fn number(&mut self, key: &Key, value: &TomlValue, place: Place) -> Option<Value> {
        let decimal = matches!(key.kind, Kind::Decimal { .. });
        let written = match value {
            TomlValue::Integer(number) => number.value().to_string(),
            TomlValue::Float(number) if decimal => number.value().to_string(),
            _ => self.substituted(key, value, place)?,
        };
        let number = if decimal { units::parse_decimal(&written) } else { written.parse().ok() };
        let parsed = written.parse::<f64>();
        match (number, parsed) {
            (Some(number), _) => self.within(key, place, number, &written),
            (None, Ok(number)) if decimal && number >= 0.0 && number.is_finite() => {
                let reason = format!("`{}` has at most three decimals, not {written}", key.name);
                let rounded = units::parse_decimal(&format!("{number:.3}"));
                let instead = line(key, &rounded.map_or_else(|| key.example(), units::decimal));
                self.report.error(place, code::MALFORMED, reason, Some(instead));
                None
            }
            (None, Ok(number)) if decimal || number.fract() == 0.0 => {
                // Beyond what can be counted, on one side or the other.
                let nearest = if number > 0.0 { u64::MAX } else { 0 };
                self.out_of_range(key, place, nearest, &written);
                None
            }
            (None, _) => {
                let noun = key.kind.noun();
                let reason =
                    format!("`{}` became \"{}\", not {noun}", key.name, shortened(&written));
                self.report.error(place, code::WRONG_TYPE, reason, Some(line(key, &key.example())));
                None
            }
        }
    }

    /// A duration or a size.
    fn measure(&mut self, key: &Key, value: &TomlValue, place: Place) -> Option<Value> {
        let text = match value {
            // A bare number only lacks its unit.
            TomlValue::Integer(number) if *number.value() >= 0 => number.value().to_string(),
            _ => self.string(key, value, place)?.text,
        };
        let parsed = match key.kind {
            Kind::Span { word: Some(word), .. } if text == word => {
                return Some(Value::Text(text));
            }
            Kind::Size { percent: Some(most), .. } if text.ends_with('%') => {
                return self.percent(key, &text, place, most);
            }
            Kind::Span { .. } => units::parse_span(&text),
            _ => units::parse_size(&text),
        };
        match parsed {
            Ok(number) => self.within(key, place, number, &format!("\"{text}\"")),
            Err(flaw) => {
                let example = key.example();
                let word = match key.kind {
                    Kind::Span { word, .. } => suggest::nearest(&text, word),
                    _ => None,
                };
                let meant = word.map(str::to_owned).or(flaw.instead);
                let meant = meant.map_or(example, |text| string(&text));
                let reason = format!("`{}`: {}", key.name, flaw.reason);
                self.report.error(place, code::WRONG_UNIT, reason, Some(line(key, &meant)));
                None
            }
        }
    }

    fn percent(&mut self, key: &Key, text: &str, place: Place, most: u32) -> Option<Value> {
        let number = text.trim_end_matches('%').parse::<u32>();
        if let Ok(number) = number
            && number <= most
        {
            return Some(Value::Percent(number));
        }
        let reason = format!("`{}` must be {}, not \"{text}\"", key.name, key.kind.range());
        let instead = line(key, &format!("\"{most}%\""));
        self.report.error(place, code::OUT_OF_RANGE, reason, Some(instead));
        None
    }

    /// `number`, when the key's bounds allow it.
    fn within(&mut self, key: &Key, place: Place, number: u64, written: &str) -> Option<Value> {
        let (min, max) = bounds(key);
        if (min..=max).contains(&number) {
            return Some(Value::Number(number));
        }
        self.out_of_range(key, place, number, written);
        None
    }

    fn out_of_range(&mut self, key: &Key, place: Place, number: u64, written: &str) {
        let (min, max) = bounds(key);
        let reason = format!("`{}` must be {}, not {written}", key.name, key.kind.range());
        let instead = line(key, &literal(&key.kind, number.clamp(min, max)));
        self.report.error(place, code::OUT_OF_RANGE, reason, Some(instead));
    }

    fn choice(
        &mut self,
        key: &Key,
        value: &TomlValue,
        place: Place,
        (now, later): (&[&'static str], &[(&str, &str)]),
    ) -> Option<Value> {
        let text = self.string(key, value, place)?.text;
        if now.contains(&text.as_str()) {
            return Some(Value::Text(text));
        }
        if let Some((word, release)) = later.iter().find(|(word, _)| *word == text) {
            let reason = format!("`{} = \"{word}\"` comes with {release}", key.name);
            self.report.error(place, code::LATER_RELEASE, reason, Some(line(key, &key.example())));
            return None;
        }
        let nearest = suggest::nearest(&text, now.iter().copied());
        let instead = nearest.map_or_else(|| key.example(), |word| format!("\"{word}\""));
        let reason =
            format!("`{}` must be {}, not \"{}\"", key.name, quoted(now), shortened(&text));
        self.report.error(place, code::NO_SUCH_CHOICE, reason, Some(line(key, &instead)));
        None
    }

    fn text(&mut self, key: &Key, value: &TomlValue, place: Place, rule: Text) -> Option<Value> {
        let text = self.string(key, value, place)?.text;
        let Err(misfit) = rule.check(&text) else { return Some(Value::Text(text)) };
        let instead = misfit.instead.map_or_else(|| key.example(), |text| string(&text));
        let reason = format!("`{}`: {}", key.name, misfit.reason);
        self.report.error(place, misfit.code, reason, Some(line(key, &instead)));
        None
    }

    /// A string with its variables substituted; none when it is reported.
    pub(super) fn string(
        &mut self,
        key: &Key,
        value: &TomlValue,
        place: Place,
    ) -> Option<Expanded> {
        let Some(raw) = value.as_str() else {
            self.wrong_type(key, &Item::Value(value.clone()), place, None);
            return None;
        };
        self.expanded((key.name, bare(&key.example())), raw, place)
    }

    /// `raw` with its variables substituted; none when it is reported under `name`.
    pub(super) fn expanded(
        &mut self,
        (name, example): (&str, &str),
        raw: &str,
        place: Place,
    ) -> Option<Expanded> {
        let flaws = match expand::expand(raw, self.env) {
            Ok(expanded) => return Some(expanded),
            Err(flaws) => flaws,
        };
        for flaw in flaws {
            let (code, reason, mended) = match flaw {
                expand::Flaw::Unset(variable) => {
                    let reason = format!(
                        "`{name}` needs the environment variable `{variable}`, which is not set"
                    );
                    let plain = format!("${{{variable}}}");
                    // The example is one of the whole value, not of a part of it.
                    let example = if raw == plain { example } else { "" };
                    let default = format!("${{{variable}:-{example}}}");
                    (code::UNSET_VARIABLE, reason, raw.replace(&plain, &default))
                }
                expand::Flaw::Malformed(part) => {
                    let reason = format!(
                        "`{name}`: `{}` is neither `${{NAME}}` nor `${{NAME:-default}}`; `$$` \
                         stands for a dollar sign",
                        shortened(&part)
                    );
                    (code::BAD_SUBSTITUTION, reason, raw.replace(&part, &format!("${part}")))
                }
            };
            let instead = format!("{name} = {}", string(&mended));
            self.report.error(place, code, reason, Some(instead));
        }
        None
    }

    /// The text of a string that may stand for another type because it was substituted.
    fn substituted(&mut self, key: &Key, value: &TomlValue, place: Place) -> Option<String> {
        if value.is_str() {
            let expanded = self.string(key, value, place)?;
            if expanded.substituted {
                return Some(expanded.text);
            }
        }
        self.wrong_type(key, &Item::Value(value.clone()), place, None);
        None
    }
}

/// The line that gives `key` this value.
pub(super) fn line(key: &Key, value: &str) -> String {
    line_of(key.name, value)
}

/// The line that gives the key of this name this value.
pub(crate) fn line_of(key: &str, value: &str) -> String {
    format!("{key} = {value}")
}

/// A string as TOML.
pub(crate) fn string(text: &str) -> String {
    TomlValue::from(text).to_string()
}

/// A value's first string, without quotes and brackets.
fn bare(value: &str) -> &str {
    value.trim_matches(['"', '[', ']'])
}

/// The bounds of a key that has some, in its own measure.
fn bounds(key: &Key) -> (u64, u64) {
    match key.kind {
        Kind::Count { min, max }
        | Kind::Decimal { min, max }
        | Kind::Span { min, max, .. }
        | Kind::Size { min, max, .. } => (min, max),
        _ => super::checked::disagree(key.name),
    }
}

/// A number in a kind's own measure as TOML.
pub(crate) fn literal(kind: &Kind, number: u64) -> String {
    match kind {
        Kind::Decimal { .. } => units::decimal(number),
        Kind::Span { .. } => format!("\"{}\"", units::span(number)),
        Kind::Size { .. } => format!("\"{}\"", units::size(number)),
        _ => number.to_string(),
    }
}

/// What was written, for "not …".
pub(super) fn noun(item: &Item) -> &'static str {
    match item {
        Item::None => "nothing",
        Item::Table(_) | Item::Value(TomlValue::InlineTable(_)) => "a table",
        Item::ArrayOfTables(_) => "an array of tables",
        Item::Value(TomlValue::String(_)) => "a string",
        Item::Value(TomlValue::Integer(_)) => "a whole number",
        Item::Value(TomlValue::Float(_)) => "a number with decimals",
        Item::Value(TomlValue::Boolean(_)) => "a boolean",
        Item::Value(TomlValue::Datetime(_)) => "a date",
        Item::Value(TomlValue::Array(_)) => "a list",
    }
}

/// The list of one string, or of those between its commas, as TOML.
pub(crate) fn list_of(rule: Text, text: &str) -> Option<String> {
    let holds = |text: &str| rule.check(text).is_ok();
    if holds(text) {
        return Some(format!("[{}]", string(text)));
    }
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let quoted: Vec<String> = parts.iter().map(|part| string(part)).collect();
    parts.into_iter().all(holds).then(|| format!("[{}]", quoted.join(", ")))
}

/// The value of the right type that was probably meant.
fn meant(key: &Key, item: &Item) -> String {
    let scalar = item.as_value().and_then(|value| match value {
        TomlValue::String(text) => Some(text.value().clone()),
        TomlValue::Integer(number) => Some(number.value().to_string()),
        TomlValue::Float(number) => Some(number.value().to_string()),
        TomlValue::Boolean(flag) => Some(flag.value().to_string()),
        TomlValue::Datetime(_) | TomlValue::Array(_) | TomlValue::InlineTable(_) => None,
    });
    let fitting = scalar.and_then(|text| match key.kind {
        Kind::Flag => match text.to_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some("true".to_owned()),
            "false" | "no" | "off" | "0" => Some("false".to_owned()),
            _ => None,
        },
        Kind::Count { min, max } => {
            let number = text.parse::<u64>().ok().filter(|number| (min..=max).contains(number));
            number.map(|number| number.to_string())
        }
        Kind::Decimal { .. } => units::parse_decimal(&text).map(units::decimal),
        Kind::Text(rule) | Kind::OneOrMore { of: rule, .. } => {
            rule.check(&text).is_ok().then(|| string(&text))
        }
        Kind::Texts { of, .. } => list_of(of, &text),
        _ => None,
    });
    fitting.unwrap_or_else(|| key.example())
}
