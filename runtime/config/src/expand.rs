//! Decides what `${NAME}` in a string stands for. It reads no environment but the one it is given.

use crate::Env;

/// A string after substitution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expanded {
    /// What it became.
    pub(crate) text: String,
    /// Whether anything was substituted.
    pub(crate) substituted: bool,
}

/// Why a string cannot be substituted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// The variable is not set and has no default.
    Unset(String),
    /// `${` is not followed by a name and `}`.
    Malformed(String),
}

/// Substitutes `${NAME}` and `${NAME:-default}`; `$$` is a dollar sign, and so is a `$` before
/// anything else. As in a shell, `:-` holds for an empty variable too.
pub(crate) fn expand(raw: &str, env: Env<'_>) -> Result<Expanded, Vec<Flaw>> {
    let mut text = String::with_capacity(raw.len());
    let mut substituted = false;
    let mut flaws = Vec::new();
    let mut rest = raw;
    while let Some(at) = rest.find('$') {
        text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            text.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let Some((inner, after)) = after.split_once('}') else {
                flaws.push(Flaw::Malformed(format!("${{{after}")));
                rest = "";
                continue;
            };
            rest = after;
            substituted = true;
            match variable(inner, env) {
                Ok(value) => text.push_str(&value),
                Err(flaw) => flaws.push(flaw),
            }
        } else {
            text.push('$');
        }
    }
    text.push_str(rest);
    if flaws.is_empty() { Ok(Expanded { text, substituted }) } else { Err(flaws) }
}

fn variable(inner: &str, env: Env<'_>) -> Result<String, Flaw> {
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !begins || !name.bytes().all(letters) {
        return Err(Flaw::Malformed(format!("${{{inner}}}")));
    }
    match (env(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(Flaw::Unset(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::{Flaw, expand};

    fn env(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("db".to_owned()),
            "EMPTY" => Some(String::new()),
            "TRICK" => Some("${HOST}".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_substituted_once() {
        for (raw, text, substituted) in [
            ("plain", "plain", false),
            ("${HOST}", "db", true),
            ("a-${HOST}-b-${HOST}", "a-db-b-db", true),
            ("${NONE:-x}", "x", true),
            ("${NONE:-}", "", true),
            ("${HOST:-x}", "db", true),
            ("${EMPTY}", "", true),
            ("${EMPTY:-x}", "x", true),
            ("${NONE:-a:-b}", "a:-b", true),
            ("${TRICK}", "${HOST}", true),
            ("$$", "$", false),
            ("$${HOST}", "${HOST}", false),
            ("$HOST costs 5$", "$HOST costs 5$", false),
        ] {
            let expanded = expand(raw, &env).unwrap();
            assert_eq!((expanded.text.as_str(), expanded.substituted), (text, substituted));
        }
    }

    #[test]
    fn every_flaw_of_a_string_is_reported() {
        let flaws = expand("${A} ${B:-b} ${2C} ${HOST} ${D", &env).unwrap_err();
        let expected = vec![
            Flaw::Unset("A".to_owned()),
            Flaw::Malformed("${2C}".to_owned()),
            Flaw::Malformed("${D".to_owned()),
        ];
        assert_eq!(flaws, expected);
    }
}
