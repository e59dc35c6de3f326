//! Decides how the table of keys looks as a JSON Schema, for editors. It adds no rule of its own.

use serde_json::{Map, Value, json};

use crate::{
    keys::{Key, Kind, Pairs, Preset, Table, host::HOST, manifest::MANIFEST},
    text::Text,
};

/// A string in which something is substituted: it may stand where its result may.
const SUBSTITUTED: &str = r"\$\{";

/// JSON Schema (draft 7, which editors for TOML understand) of `gristmill.toml`.
pub fn host_schema() -> Value {
    document(&HOST, "gristmill.toml")
}

/// JSON Schema (draft 7) of a plugin's manifest.
pub fn manifest_schema() -> Value {
    document(&MANIFEST, "A plugin's manifest")
}

fn document(shape: &Table, title: &str) -> Value {
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
    schema.insert("title".to_owned(), json!(title));
    schema.append(&mut table(shape));
    Value::Object(schema)
}

fn table(shape: &Table) -> Map<String, Value> {
    let properties: Map<String, Value> =
        shape.keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    let required: Vec<&str> = shape
        .keys
        .iter()
        .filter(|key| matches!(key.preset, Preset::Required(_)))
        .map(|key| key.name)
        .collect();
    let others = shape.open.map_or(json!(false), |open| Value::Object(table(open.table)));
    let mut schema = Map::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("description".to_owned(), json!(shape.doc));
    schema.insert("properties".to_owned(), Value::Object(properties));
    if let Some(open) = &shape.open {
        // Names of tables: any fixed key, or a name of the rule.
        if let Some(pattern) = open.rule.pattern() {
            let fixed: Vec<&str> = shape.keys.iter().map(|key| key.name).collect();
            let pattern = format!("({}|{pattern})", fixed.join("|"));
            schema.insert("propertyNames".to_owned(), json!({ "pattern": anchored(&pattern) }));
        }
    }
    schema.insert("additionalProperties".to_owned(), others);
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    schema
}

fn property(key: &Key) -> Value {
    let mut schema = of_kind(&key.kind);
    schema.insert("description".to_owned(), json!(key.doc));
    if let Some(default) = default(key) {
        schema.insert("default".to_owned(), default);
    }
    Value::Object(schema)
}

fn of_kind(kind: &Kind) -> Map<String, Value> {
    let schema = match kind {
        Kind::Flag => or_substituted(&json!({ "type": "boolean" })),
        Kind::Count { min, max } => {
            or_substituted(&json!({ "type": "integer", "minimum": min, "maximum": max }))
        }
        Kind::Decimal { min, max } => {
            let (min, max) = (number(*min), number(*max));
            or_substituted(&json!({ "type": "number", "minimum": min, "maximum": max }))
        }
        Kind::Span { word, .. } => {
            let word = word.map(|word| format!("|{word}")).unwrap_or_default();
            string(&format!("([0-9]+(ms|s|m|h|d){word})"))
        }
        Kind::Size { percent, .. } => {
            let percent = if percent.is_some() { "|[0-9]+%" } else { "" };
            string(&format!("([0-9]+(B|[KMGT]i?B){percent})"))
        }
        Kind::Choice { now, .. } => {
            json!({ "anyOf": [{ "enum": now }, { "type": "string", "pattern": SUBSTITUTED }] })
        }
        Kind::Text(rule) => text(*rule),
        Kind::Texts { of, min, max } => list(*of, *min, *max),
        Kind::OneOrMore { of, max } => json!({ "anyOf": [text(*of), list(*of, 1, *max)] }),
        Kind::FlagOr(rule) => json!({ "anyOf": [{ "type": "boolean" }, text(*rule)] }),
        Kind::Pairs(of) => pairs(*of),
        Kind::Table(inner) => return table(inner),
        Kind::Tables(inner) => {
            json!({ "type": "array", "minItems": 1, "items": table(inner) })
        }
    };
    match schema {
        Value::Object(schema) => schema,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}

fn or_substituted(schema: &Value) -> Value {
    json!({ "anyOf": [schema, { "type": "string", "pattern": SUBSTITUTED }] })
}

fn text(rule: Text) -> Value {
    rule.pattern().map_or_else(|| json!({ "type": "string" }), string)
}

fn string(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": format!("{}|{SUBSTITUTED}", anchored(pattern)) })
}

fn anchored(pattern: &str) -> String {
    format!("^{pattern}$")
}

fn list(of: Text, min: usize, max: usize) -> Value {
    json!({
        "type": "array", "items": text(of), "minItems": min, "maxItems": max, "uniqueItems": true
    })
}

fn pairs(of: Pairs) -> Value {
    let file = json!({
        "type": "object",
        "properties": { "file": { "type": "string", "minLength": 1 } },
        "required": ["file"],
        "additionalProperties": false,
    });
    let plain = json!({ "type": "string" });
    let value = match of {
        Pairs::Texts => plain,
        Pairs::Secrets => json!({ "anyOf": [plain, file] }),
        // A table is a file, or the rest of a name that was written without quotes.
        Pairs::Properties => json!({ "type": ["string", "number", "boolean", "object"] }),
    };
    let mut schema = json!({ "type": "object", "additionalProperties": value });
    if of == Pairs::Properties
        && let Some(pattern) = Text::Property.pattern()
    {
        schema["propertyNames"] = json!({ "pattern": anchored(pattern) });
    }
    schema
}

/// The default as JSON: TOML's literals of scalars and of lists of strings are JSON's.
fn default(key: &Key) -> Option<Value> {
    match key.preset {
        Preset::Is(text) => serde_json::from_str(text).ok(),
        Preset::Absent(_) | Preset::Required(_) | Preset::Inner => None,
    }
}

/// Thousandths as a JSON number.
fn number(thousandths: u64) -> Value {
    serde_json::from_str(&crate::units::decimal(thousandths)).unwrap_or(Value::Null)
}
