//! Says which fields of an event are sealed: all of them in topics, and for a plugin those that it
//! is not granted. What an event whose fields cannot be opened becomes is for whoever asks to say.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use base64::prelude::{BASE64_STANDARD, Engine};
use bytes::Bytes;
use gristmill_config::{EncryptionConfig, Glob, HostConfig, Problems};
use gristmill_encryption::{Error, Fields, KEY_BYTES, Keys, open, seal};

use crate::envelope::Invalid;
use crate::schemas::{Away, Broken};

/// Code of a key that cannot be used.
const BAD_KEY: &str = "E0129";
/// Code of a field whose key is not here.
const KEY_AWAY: &str = "E0474";
/// Keys that are told of at most: whoever publishes chooses the ids.
const MISSED_MAX: usize = 32;

/// The rules of a host.
#[derive(Debug, Default)]
pub(crate) struct Encryption {
    /// In the order of their names.
    rules: Vec<Rule>,
    /// What was said of keys that are not here. Once each: events that wait ask again and again.
    missed: Mutex<BTreeSet<String>>,
}

#[derive(Debug)]
struct Rule {
    name: String,
    topics: Vec<Glob>,
    types: Vec<Glob>,
    fields: Fields,
    keys: Keys,
}

/// An event, as far as encryption is concerned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept<'a> {
    pub(crate) topic: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) payload: &'a Bytes,
}

/// Reads the keys of a configuration.
///
/// # Errors
///
/// Every key that cannot be used.
pub(crate) fn load(config: &HostConfig) -> Result<Encryption, Problems> {
    let mut problems = Problems::default();
    let mut rules = Vec::with_capacity(config.encryption.len());
    for (name, rule) in &config.encryption {
        let Some(keys) = keys(config, (name, rule), &mut problems) else { continue };
        let fields: Vec<&str> = rule.fields.iter().map(String::as_str).collect();
        let (topics, types) = (rule.topics.clone(), rule.types.clone());
        rules.push(Rule { name: name.clone(), topics, types, fields: Fields::new(&fields), keys });
    }
    if problems.has_errors() {
        return Err(problems);
    }
    Ok(Encryption { rules, missed: Mutex::default() })
}

/// Everything wrong with the keys of a configuration.
pub fn check(config: &HostConfig) -> Problems {
    load(config).err().unwrap_or_default()
}

fn keys(
    config: &HostConfig,
    (name, rule): (&str, &EncryptionConfig),
    problems: &mut Problems,
) -> Option<Keys> {
    let mut keys = Vec::with_capacity(rule.keys.len());
    for (id, secret) in &rule.keys {
        match gristmill_config::read::secret(secret) {
            Ok(text) => {
                if let Some(bytes) = key(&text) {
                    keys.push((id.clone(), bytes));
                    continue;
                }
                let reason = format!(
                    "key \"{id}\" of `encryption.{name}` is not {KEY_BYTES} bytes in base64: \
                     `openssl rand -base64 {KEY_BYTES}` makes one"
                );
                problems.push(config.problem(rule.place, BAD_KEY, reason));
            }
            Err(unreadable) => problems.push(unreadable),
        }
    }
    match Keys::new(&rule.key, keys) {
        Ok(keys) => Some(keys),
        // The key for new values is one of those that are told of.
        Err(_) if problems.has_errors() => None,
        Err(missing) => {
            let reason = format!("`encryption.{name}`: {missing}");
            problems.push(config.problem(rule.place, BAD_KEY, reason));
            None
        }
    }
}

fn key(text: &str) -> Option<[u8; KEY_BYTES]> {
    BASE64_STANDARD.decode(text.trim()).ok()?.try_into().ok()
}

impl Encryption {
    /// Whether events of a topic have fields that are sealed.
    pub(crate) fn is_of(&self, topic: &str) -> bool {
        self.rules.iter().any(|rule| rule.topics.iter().any(|pattern| pattern.matches(topic)))
    }

    /// An event with all its fields in the clear, for judging it; `None` where it is so already.
    pub(crate) fn opened(&self, event: Kept<'_>) -> Result<Option<Bytes>, Broken> {
        self.changed(event, |rule, json| match open(json, &rule.fields, &rule.keys) {
            // What is no JSON has no fields, and is for schemas to judge.
            Err(Error::NotJson(_)) => Ok(None),
            opened => opened.map_err(|error| self.broken(rule, &error)),
        })
    }

    /// What was said of keys that are not here.
    pub(crate) fn missed(&self) -> Vec<String> {
        self.missed.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// An event as it is published, with all its fields sealed; `None` where it is so already.
    pub(crate) fn sealed(&self, event: Kept<'_>) -> Result<Option<Bytes>, Broken> {
        self.changed(event, |rule, json| {
            seal(json, &rule.fields, &rule.keys).map_err(|error| self.broken(rule, &error))
        })
    }

    /// An event as a plugin sees it that is granted the fields of these rules; `None` where that is
    /// as it is.
    pub(crate) fn seen(
        &self,
        event: Kept<'_>,
        granted: &[String],
    ) -> Result<Option<Bytes>, Broken> {
        self.changed(event, |rule, json| {
            let seen = if granted.contains(&rule.name) {
                open(json, &rule.fields, &rule.keys)
            } else {
                // Whoever published it may have known nothing of the rule.
                seal(json, &rule.fields, &rule.keys)
            };
            match seen {
                Err(Error::NotJson(_)) => Ok(None),
                seen => seen.map_err(|error| self.broken(rule, &error)),
            }
        })
    }

    fn broken(&self, rule: &Rule, error: &Error) -> Broken {
        let name = &rule.name;
        let violation = match error {
            Error::UnknownKey { .. } => {
                let reason = format!("{error}; add it to `keys` of `encryption.{name}`");
                self.miss(&reason);
                return Broken::Away(Away { code: KEY_AWAY, reason });
            }
            Error::NotJson(_) => {
                format!("fields of `encryption.{name}` cannot be encrypted: {error}")
            }
            Error::Damaged { .. } => format!("`encryption.{name}`: {error}"),
        };
        Broken::Invalid(Invalid { code: Invalid::ENCRYPTION, violations: vec![violation] })
    }

    fn miss(&self, reason: &str) {
        let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        if missed.len() < MISSED_MAX && missed.insert(reason.to_owned()) {
            tracing::warn!(code = KEY_AWAY, reason, "events wait for a key that is not here");
        }
    }

    /// What becomes of an event by one rule after the other.
    fn changed(
        &self,
        event: Kept<'_>,
        change: impl Fn(&Rule, &[u8]) -> Result<Option<Vec<u8>>, Broken>,
    ) -> Result<Option<Bytes>, Broken> {
        let mut changed: Option<Bytes> = None;
        for rule in self.rules.iter().filter(|rule| rule.is_for(event)) {
            let json = changed.as_ref().unwrap_or(event.payload);
            if let Some(new) = change(rule, json)? {
                changed = Some(new.into());
            }
        }
        Ok(changed)
    }
}

impl Rule {
    fn is_for(&self, event: Kept<'_>) -> bool {
        let matches = |patterns: &[Glob], text: &str| patterns.iter().any(|it| it.matches(text));
        matches(&self.topics, event.topic)
            && matches(&self.types, event.kind)
            && !event.payload.is_empty()
    }
}

#[cfg(test)]
mod tests;
