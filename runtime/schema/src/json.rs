//! Judges JSON by JSON Schema.

use jsonschema::{ValidationError, Validator};
use serde_json::Value;

use crate::{Error, told};

/// A JSON Schema that is ready to judge.
pub(crate) struct Judge {
    document: Value,
    validator: Validator,
}

impl Judge {
    pub(crate) fn new(text: &str) -> Result<Self, Error> {
        let document: Value =
            serde_json::from_str(text).map_err(|error| Error(format!("it is no JSON: {error}")))?;
        let options = jsonschema::options().offline().should_validate_formats(true);
        let validator = options
            .build(&document)
            .map_err(|error| Error(format!("it is no JSON Schema: {}", violation(&error))))?;
        Ok(Self { document, validator })
    }

    pub(crate) fn document(&self) -> &Value {
        &self.document
    }

    /// Everything wrong with a payload.
    pub(crate) fn check(&self, payload: &[u8]) -> Result<(), Vec<String>> {
        let instance: Value = serde_json::from_slice(payload)
            .map_err(|error| vec![format!("/: it is no JSON: {error}")])?;
        if self.validator.is_valid(&instance) {
            return Ok(());
        }
        Err(told(self.validator.iter_errors(&instance).map(|error| violation(&error))))
    }
}

fn violation(error: &ValidationError<'_>) -> String {
    let place = error.instance_path().as_str();
    format!("{}: {error}", if place.is_empty() { "/" } else { place })
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVOICE: &str = r#"{
        "type": "object",
        "required": ["name", "amount"],
        "properties": {
            "name": { "type": "string", "minLength": 2, "maxLength": 100 },
            "amount": { "type": "number", "exclusiveMinimum": 0 },
            "currency": { "type": "string", "maxLength": 3 },
            "at": { "type": "string", "format": "date-time" }
        }
    }"#;

    fn violations(payload: &str) -> Vec<String> {
        Judge::new(INVOICE).unwrap().check(payload.as_bytes()).err().unwrap_or_default()
    }

    #[test]
    fn all_violations_are_told_with_their_places() {
        assert!(violations(r#"{"name":"ab","amount":0.01,"currency":"EUR"}"#).is_empty());
        assert_eq!(
            violations(r#"{"name":"a","amount":0,"currency":"EURO","at":"noon"}"#),
            [
                r#"/name: "a" is shorter than 2 characters"#,
                "/amount: 0 is less than or equal to the minimum of 0",
                r#"/currency: "EURO" is longer than 3 characters"#,
                r#"/at: "noon" is not a "date-time""#,
            ]
        );
        assert_eq!(violations("{}").len(), 2, "both that are missing");
        assert!(violations("{").first().unwrap().starts_with("/: it is no JSON"));
    }

    #[test]
    fn limits_hold_at_the_limit_and_not_one_past_it() {
        let named = |length: usize| format!(r#"{{"name":"{}","amount":1}}"#, "x".repeat(length));
        assert!(violations(&named(100)).is_empty());
        assert_eq!(violations(&named(101)).len(), 1);
    }

    #[test]
    fn many_violations_are_counted_and_long_ones_cut() {
        let judge = Judge::new(r#"{"items":{"type":"string"}}"#).unwrap();
        let many = format!("[{}]", vec!["1"; 25].join(","));
        let told = judge.check(many.as_bytes()).unwrap_err();
        assert_eq!((told.len(), &*told[20]), (21, "and 5 more"));
        let long = format!("[[\"{}\"]]", "\u{e4}".repeat(500));
        let told = judge.check(long.as_bytes()).unwrap_err();
        assert!(told[0].len() < 310 && told[0].ends_with('\u{2026}'), "{told:?}");
    }

    #[test]
    fn what_is_no_schema_or_leads_elsewhere_is_refused() {
        for text in ["", "[1]", r#"{"type":"thing"}"#, r#"{"$ref":"https://example.com/x.json"}"#] {
            assert!(Judge::new(text).is_err(), "{text}");
        }
    }
}
