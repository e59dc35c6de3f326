//! Decides whether one JSON Schema accepts everything that another allows. It errs to the safe
//! side: what it cannot tell is a refusal. One thing it takes as given, as people write schemas:
//! fields that a schema does not name are not there.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::{Map, Value};

/// Keywords that say nothing of what is valid.
const ANNOTATIONS: [&str; 13] = [
    "$schema",
    "$id",
    "$comment",
    "$defs",
    "definitions",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "$anchor",
];

/// Bounds, with the type they bind and whether the reader's must be the smaller one.
const BOUNDS: [(&str, &str, Direction); 10] = [
    ("minimum", "number", Direction::Least),
    ("exclusiveMinimum", "number", Direction::Least),
    ("maximum", "number", Direction::Most),
    ("exclusiveMaximum", "number", Direction::Most),
    ("minLength", "string", Direction::Least),
    ("maxLength", "string", Direction::Most),
    ("minItems", "array", Direction::Least),
    ("maxItems", "array", Direction::Most),
    ("minProperties", "object", Direction::Least),
    ("maxProperties", "object", Direction::Most),
];

/// Keywords that must be the same, with the type they bind; any type where it is empty.
const VERBATIM: [(&str, &str); 19] = [
    ("pattern", "string"),
    ("format", "string"),
    ("contentEncoding", "string"),
    ("contentMediaType", "string"),
    ("multipleOf", "number"),
    ("uniqueItems", "array"),
    ("contains", "array"),
    ("minContains", "array"),
    ("maxContains", "array"),
    ("prefixItems", "array"),
    ("unevaluatedItems", "array"),
    ("patternProperties", "object"),
    ("propertyNames", "object"),
    ("dependentRequired", "object"),
    ("dependentSchemas", "object"),
    ("unevaluatedProperties", "object"),
    ("if", ""),
    ("not", ""),
    ("$dynamicRef", ""),
];

const TYPES: [&str; 7] = ["null", "boolean", "object", "array", "number", "integer", "string"];

/// Fields of a schema without any.
static NOTHING_SAID: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
/// A schema that accepts everything.
static ANYTHING: Value = Value::Bool(true);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Least,
    Most,
}

/// Why `reader` does not accept everything that `writer` allows, each as `/place: why`.
pub(crate) fn refusals(reader: &Value, writer: &Value) -> Vec<String> {
    let mut comparison = Comparison { documents: (reader, writer), open: Vec::new() };
    let mut found = Vec::new();
    comparison.compare(reader, writer, "", &mut found);
    found
}

/// Two schemas without reference, what the writer's may be, and where they stand.
struct Pair<'a, 'b> {
    wanted: &'a Map<String, Value>,
    given: &'a Map<String, Value>,
    types: BTreeSet<&'a str>,
    place: &'b str,
}

/// A comparison of two documents.
struct Comparison<'a> {
    documents: (&'a Value, &'a Value),
    /// References that are being compared: schemas may contain themselves.
    open: Vec<(&'a str, &'a str)>,
}

impl<'a> Comparison<'a> {
    fn compare(
        &mut self,
        reader: &'a Value,
        writer: &'a Value,
        place: &str,
        found: &mut Vec<String>,
    ) {
        if reader == writer && self.documents.0 == self.documents.1 {
            return;
        }
        match (reference(reader), reference(writer)) {
            (None, None) => self.resolved(reader, writer, place, found),
            (theirs, ours) => {
                let pair = (theirs.unwrap_or_default(), ours.unwrap_or_default());
                if self.open.contains(&pair) {
                    return;
                }
                let (reader_document, writer_document) = self.documents;
                let resolved = (
                    resolve(reader_document, reader, theirs),
                    resolve(writer_document, writer, ours),
                );
                let (Some(target), Some(writer)) = resolved else {
                    return found.push(refusal(place, "a reference leads nowhere"));
                };
                self.open.push(pair);
                self.resolved(target, writer, place, found);
                if theirs.is_some() {
                    // What stands beside its reference holds as well.
                    self.resolved(reader, writer, place, found);
                }
                self.open.pop();
            }
        }
    }

    fn resolved(
        &mut self,
        reader: &'a Value,
        writer: &'a Value,
        place: &str,
        found: &mut Vec<String>,
    ) {
        if *reader == Value::Bool(true) || *writer == Value::Bool(false) {
            return;
        }
        let Some(wanted) = reader.as_object() else {
            return found.push(refusal(place, "nothing is accepted any more"));
        };
        let given = writer.as_object().unwrap_or(&NOTHING_SAID);
        if self.one_of_the_writers(reader, given, place, found) {
            return;
        }
        let pair = Pair { wanted, given, types: types(given), place };
        check_types(&pair, found);
        values(&pair, found);
        bounds(&pair, found);
        self.fields(&pair, found);
        self.items(&pair, found);
        self.combined(wanted, writer, place, found);
        verbatim(&pair, found);
    }

    /// Where the writer allows one of several, all of them must be accepted. True where that is
    /// settled.
    fn one_of_the_writers(
        &mut self,
        reader: &'a Value,
        given: &'a Map<String, Value>,
        place: &str,
        found: &mut Vec<String>,
    ) -> bool {
        for keyword in ["anyOf", "oneOf"] {
            let Some(branches) = given.get(keyword).and_then(Value::as_array) else { continue };
            if reader.get(keyword) == given.get(keyword) {
                continue;
            }
            let plain = given.keys().all(|key| key == keyword || is_annotation(key));
            if plain {
                for branch in branches {
                    self.compare(reader, branch, place, found);
                }
                return true;
            }
        }
        false
    }

    fn fields(&mut self, pair: &Pair<'a, '_>, found: &mut Vec<String>) {
        let Pair { wanted, given, types, place } = pair;
        if !types.contains("object") {
            return;
        }
        let required = |of: &'a Map<String, Value>| -> BTreeSet<&'a str> {
            let names = of.get("required").and_then(Value::as_array);
            names.into_iter().flatten().filter_map(Value::as_str).collect()
        };
        for name in required(wanted).difference(&required(given)) {
            found.push(refusal(&format!("{place}/{name}"), "it is required, and may be missing"));
        }
        let fields = |of: &'a Map<String, Value>| of.get("properties").and_then(Value::as_object);
        let (accepted, written) = (fields(wanted), fields(given));
        for (name, field) in written.into_iter().flatten() {
            let place = format!("{place}/{name}");
            match accepted.and_then(|accepted| accepted.get(name)) {
                Some(accepted) => self.compare(accepted, field, &place, found),
                None => match wanted.get("additionalProperties") {
                    None | Some(Value::Bool(true)) => {}
                    Some(Value::Bool(false)) => {
                        found.push(refusal(&place, "no other fields are accepted"));
                    }
                    Some(accepted) => self.compare(accepted, field, &place, found),
                },
            }
        }
        // Where all fields are of one kind, the schema names them by that.
        if let (Some(accepted @ Value::Object(_)), Some(field @ Value::Object(_))) =
            (wanted.get("additionalProperties"), given.get("additionalProperties"))
        {
            self.compare(accepted, field, &format!("{place}/*"), found);
        }
    }

    fn items(&mut self, pair: &Pair<'a, '_>, found: &mut Vec<String>) {
        let Pair { wanted, given, types, place } = pair;
        if let Some(accepted) = wanted.get("items").filter(|_| types.contains("array")) {
            let item = given.get("items").unwrap_or(&ANYTHING);
            self.compare(accepted, item, &format!("{place}/*"), found);
        }
    }

    /// Where the reader accepts several together or one of several.
    fn combined(
        &mut self,
        wanted: &'a Map<String, Value>,
        writer: &'a Value,
        place: &str,
        found: &mut Vec<String>,
    ) {
        for branch in wanted.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            self.compare(branch, writer, place, found);
        }
        for keyword in ["anyOf", "oneOf"] {
            let Some(branches) = wanted.get(keyword).and_then(Value::as_array) else { continue };
            if writer.get(keyword) == wanted.get(keyword) {
                continue;
            }
            let mut accepts = |branch| {
                let mut refused = Vec::new();
                self.compare(branch, writer, place, &mut refused);
                refused.is_empty()
            };
            if !branches.iter().any(&mut accepts) {
                found.push(refusal(place, &format!("none of its `{keyword}` accepts all of it")));
            }
        }
    }
}

fn refusal(place: &str, why: &str) -> String {
    format!("{}: {why}", if place.is_empty() { "/" } else { place })
}

fn is_annotation(key: &str) -> bool {
    ANNOTATIONS.contains(&key)
}

/// The place within its document that a schema is at, where it is only a reference.
fn reference(schema: &Value) -> Option<&str> {
    schema.get("$ref").and_then(Value::as_str)
}

fn resolve<'a>(
    document: &'a Value,
    schema: &'a Value,
    reference: Option<&str>,
) -> Option<&'a Value> {
    match reference {
        None => Some(schema),
        Some(reference) => document.pointer(reference.strip_prefix('#')?),
    }
}

/// The types that a schema names.
fn named_types(of: &Map<String, Value>) -> Option<BTreeSet<&str>> {
    let types = of.get("type")?;
    let several = types.as_array().into_iter().flatten().filter_map(Value::as_str);
    Some(types.as_str().into_iter().chain(several).collect())
}

/// The types that a schema allows: those it names, else those of its values, else all.
fn types(of: &Map<String, Value>) -> BTreeSet<&str> {
    let named = named_types(of);
    named
        .or_else(|| allowed(of).map(|values| values.into_iter().map(type_of).collect()))
        .unwrap_or_else(|| TYPES.into())
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The only values that a schema allows, where it lists them.
fn allowed(of: &Map<String, Value>) -> Option<Vec<&Value>> {
    let listed = of.get("enum").and_then(Value::as_array).map(|it| it.iter().collect());
    of.get("const").map(|only| vec![only]).or(listed)
}

fn check_types(Pair { wanted, types, place, .. }: &Pair<'_, '_>, found: &mut Vec<String>) {
    let Some(accepted) = named_types(wanted) else { return };
    let is_accepted =
        |one: &str| accepted.contains(one) || (one == "integer" && accepted.contains("number"));
    let refused: Vec<&str> = types.iter().copied().filter(|one| !is_accepted(one)).collect();
    if !refused.is_empty() {
        found.push(refusal(place, &format!("{} is not accepted", refused.join(", "))));
    }
}

fn values(Pair { wanted, given, place, .. }: &Pair<'_, '_>, found: &mut Vec<String>) {
    let Some(accepted) = allowed(wanted) else { return };
    match allowed(given) {
        None => found.push(refusal(place, "only some values are accepted, and any may come")),
        Some(values) => {
            for value in values.iter().filter(|value| !accepted.contains(value)) {
                found.push(refusal(place, &format!("{value} is not accepted")));
            }
        }
    }
}

fn bounds(pair: &Pair<'_, '_>, found: &mut Vec<String>) {
    let Pair { wanted, given, types, place } = pair;
    let number = |of: &Map<String, Value>, key: &str| of.get(key).and_then(Value::as_f64);
    for (key, of, direction) in BOUNDS {
        let Some(accepted) = number(wanted, key).filter(|_| binds(of, types)) else { continue };
        let is_within = |value: f64| match direction {
            Direction::Least => value >= accepted,
            Direction::Most => value <= accepted,
        };
        let listed = allowed(given).is_some_and(|values| {
            of == "number" && values.iter().all(|value| value.as_f64().is_some_and(is_within))
        });
        if !listed && !number(given, key).is_some_and(is_within) {
            found.push(refusal(place, &format!("`{key}` is tighter: {accepted}")));
        }
    }
}

fn verbatim(pair: &Pair<'_, '_>, found: &mut Vec<String>) {
    let Pair { wanted, given, types, place } = pair;
    for (key, accepted) in *wanted {
        let known = VERBATIM.iter().find(|(name, _)| name == key);
        let Some((_, of)) = known else {
            let judged = ["type", "enum", "const", "required", "properties", "items", "$ref"];
            let more = ["additionalProperties", "allOf", "anyOf", "oneOf", "then", "else"];
            let is_bound = BOUNDS.iter().any(|(name, ..)| name == key);
            let is_judged = is_bound || judged.contains(&&**key) || more.contains(&&**key);
            if !is_judged && !is_annotation(key) {
                found.push(refusal(place, &format!("what `{key}` means cannot be told")));
            }
            continue;
        };
        if binds(of, types) && given.get(key) != Some(accepted) {
            found.push(refusal(place, &format!("`{key}` is other than it was, or new")));
        }
    }
    let conditional = ["then", "else"].into_iter().any(|key| wanted.get(key) != given.get(key));
    if conditional && wanted.contains_key("if") {
        found.push(refusal(place, "what follows its `if` is other than it was"));
    }
}

/// Whether a keyword for values of one type says something where these types may come.
fn binds(of: &str, types: &BTreeSet<&str>) -> bool {
    of.is_empty() || types.contains(of) || (of == "number" && types.contains("integer"))
}

#[cfg(test)]
mod tests;
