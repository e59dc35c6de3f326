//! Reads what a host answers, member by member. What is missing is empty: a newer or older host
//! may know other members.

use serde_json::Value;

/// Text of a member.
pub(crate) fn text<'a>(answer: &'a Value, name: &str) -> &'a str {
    answer.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Number of a member.
pub(crate) fn number(answer: &Value, name: &str) -> Option<u64> {
    answer.get(name)?.as_u64()
}

/// Number of a member as text; `-` where there is none.
pub(crate) fn count(answer: &Value, name: &str) -> String {
    number(answer, name).map_or_else(|| "-".to_owned(), |number| number.to_string())
}

/// Whether a member is true.
pub(crate) fn is(answer: &Value, name: &str) -> bool {
    answer.get(name).and_then(Value::as_bool).unwrap_or_default()
}

/// Elements of a member.
pub(crate) fn list<'a>(answer: &'a Value, name: &str) -> &'a [Value] {
    answer.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Texts of a member, joined by commas; `-` where there are none.
pub(crate) fn joined(answer: &Value, name: &str) -> String {
    let texts: Vec<&str> = list(answer, name).iter().filter_map(Value::as_str).collect();
    if texts.is_empty() { "-".to_owned() } else { texts.join(",") }
}

/// The beginning of a digest: enough to tell versions of one plugin apart, and to name one.
pub(crate) fn short(digest: &str) -> String {
    if digest.is_empty() { "-".to_owned() } else { digest.chars().take(12).collect() }
}
