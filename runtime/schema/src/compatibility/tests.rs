//! Tests of what one JSON Schema accepts of another.

use serde_json::json;

use super::*;

/// Both are accepted by the other, or not, as said: what `second` reads of `first`, and the other
/// way round.
fn check(first: &Value, second: &Value, backward: bool, forward: bool) {
    let found = (refusals(second, first), refusals(first, second));
    assert_eq!((found.0.is_empty(), found.1.is_empty()), (backward, forward), "{found:?}");
}

fn object(fields: &Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": fields, "required": required })
}

#[test]
fn a_schema_accepts_what_it_allows_itself() {
    let schema = json!({
        "type": "object",
        "$defs": { "node": { "properties": { "next": { "$ref": "#/$defs/node" } } } },
        "properties": { "list": { "$ref": "#/$defs/node" }, "kind": { "enum": ["a", "b"] } },
        "if": { "required": ["kind"] }, "then": { "required": ["list"] },
        "additionalProperties": false
    });
    check(&schema, &schema, true, true);
    // The same with other words about it.
    let mut told = schema.clone();
    told["title"] = json!("The same");
    check(&schema, &told, true, true);
}

#[test]
fn fields_come_and_go() {
    let first = object(&json!({ "id": { "type": "string" } }), &["id"]);
    let added = json!({ "id": { "type": "string" }, "note": { "type": "string" } });
    check(&first, &object(&added, &["id"]), true, true);
    check(&first, &object(&added, &["id", "note"]), false, true);
    check(&first, &object(&json!({ "id": { "type": "string" } }), &[]), true, false);
    let mut closed = first.clone();
    closed["additionalProperties"] = json!(false);
    let mut wider = object(&added, &["id"]);
    wider["additionalProperties"] = json!(false);
    check(&closed, &wider, true, false);
    assert_eq!(refusals(&closed, &wider), ["/note: no other fields are accepted"]);
}

#[test]
fn types_and_values_widen_and_narrow() {
    for (narrow, wide) in [
        (json!({ "type": "integer" }), json!({ "type": "number" })),
        (json!({ "type": "string" }), json!({ "type": ["string", "null"] })),
        (json!({ "type": "string" }), json!(true)),
        (json!({ "enum": ["a"] }), json!({ "enum": ["a", "b"] })),
        (json!({ "const": 3 }), json!({ "type": "integer", "minimum": 1, "maximum": 3 })),
        (json!({ "type": "string", "maxLength": 5 }), json!({ "type": "string", "maxLength": 6 })),
        (json!({ "type": "number", "minimum": 1 }), json!({ "type": "number" })),
        (json!({ "type": "string", "pattern": "^a" }), json!({ "type": "string" })),
        (json!({ "type": "array", "items": { "type": "string" } }), json!({ "type": "array" })),
        (
            json!({ "type": "string" }),
            json!({ "anyOf": [{ "type": "string" }, { "type": "null" }] }),
        ),
    ] {
        check(&narrow, &wide, true, false);
        check(
            &object(&json!({ "x": narrow }), &["x"]),
            &object(&json!({ "x": wide }), &["x"]),
            true,
            false,
        );
    }
}

#[test]
fn a_bound_of_one_type_does_not_bind_another() {
    let text = json!({ "type": "string" });
    check(&text, &json!({ "type": ["string", "number"], "minimum": 3 }), true, false);
}

#[test]
fn every_branch_that_may_come_must_be_accepted() {
    let first = json!({ "oneOf": [{ "type": "string" }, { "type": "integer" }] });
    check(&first, &json!({ "type": ["string", "number"] }), true, false);
    check(&first, &json!({ "type": "string" }), false, true);
    let all = json!({ "allOf": [{ "type": "string" }, { "maxLength": 3 }] });
    check(&json!({ "type": "string", "maxLength": 3 }), &all, true, false);
}

#[test]
fn references_are_followed_on_both_sides() {
    let first = json!({
        "$defs": { "money": object(&json!({ "amount": { "type": "integer" } }), &["amount"]) },
        "properties": { "price": { "$ref": "#/$defs/money" } }
    });
    let second = json!({
        "properties": { "price": object(&json!({ "amount": { "type": "number" } }), &["amount"]) }
    });
    check(&first, &second, true, false);
    assert_eq!(refusals(&first, &second), ["/price/amount: number is not accepted"]);
    let broken = json!({ "properties": { "price": { "$ref": "#/$defs/money" } } });
    assert_eq!(refusals(&broken, &second), ["/price: a reference leads nowhere"]);
}

#[test]
fn what_cannot_be_told_is_a_refusal() {
    let plain = json!({ "type": "object" });
    let odd = json!({ "type": "object", "x-rule": "even" });
    assert_eq!(refusals(&odd, &plain), ["/: what `x-rule` means cannot be told"]);
    let nested = json!({ "type": "object", "not": { "required": ["a"] } });
    assert_eq!(refusals(&nested, &plain), ["/: `not` is other than it was, or new"]);
    assert!(refusals(&plain, &nested).is_empty());
}
