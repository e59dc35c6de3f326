//! Judges events by the schemas of their topics: when they are published, and before they are
//! handled. What an event that breaks its schema becomes is for whoever asks to say.

mod known;
mod load;
mod refresh;

use std::sync::Arc;

use bytes::Bytes;
use gristmill_config::Glob;
use gristmill_plugin_host::Emission;
use gristmill_schema::{Kind, Schema, framed, unframed};

use self::known::Known;
use crate::encryption::{Encryption, Kept};
use crate::envelope::{Invalid, is_json};

pub use self::load::check as check_schemas;
pub(crate) use self::load::load;
pub(crate) use self::refresh::refresh;

/// The schemas of a host.
#[derive(Debug, Default)]
pub(crate) struct Schemas {
    /// In the order of their names.
    rules: Vec<Rule>,
    /// What the registry has said, where there is one.
    known: Option<Known>,
}

/// Which events are judged by a schema.
#[derive(Debug)]
struct Rule {
    name: String,
    topics: Vec<Glob>,
    types: Vec<Glob>,
    versions: Vec<String>,
    is_framed: bool,
    source: Source,
}

/// Where a schema comes from.
#[derive(Debug)]
enum Source {
    File(Arc<Schema>),
    Subject(String),
}

/// An event, as far as schemas are concerned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judged<'a> {
    pub(crate) topic: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) version: Option<&'a str>,
    pub(crate) payload: &'a Bytes,
}

impl<'a> Judged<'a> {
    /// What a handler emits to a topic that is called so on the broker.
    pub(crate) fn emission(topic: &'a str, emission: &'a Emission) -> Self {
        let Emission { kind, version, payload, .. } = emission;
        Self { topic, kind, version: version.as_deref(), payload }
    }

    /// The same as far as encryption is concerned, with that data.
    pub(crate) fn kept(self, payload: &'a Bytes) -> Kept<'a> {
        Kept { topic: self.topic, kind: self.kind, payload }
    }
}

/// Why an event cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Broken {
    /// It breaks its schema, or there is none for it.
    Invalid(Invalid),
    /// Its schema is not here, and may come.
    Away(Away),
}

/// A schema that is not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Away {
    /// Stable code of the reason.
    pub(crate) code: &'static str,
    /// In a sentence.
    pub(crate) reason: String,
}

/// What is published instead of JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Published {
    pub(crate) payload: Bytes,
    /// Its media type, where that is another.
    pub(crate) media: Option<&'static str>,
}

/// Media type of Avro (source: Confluent's and Azure's serializers for CloudEvents).
const AVRO: &str = "application/avro";

/// A schema and its id in the registry, if it is from there.
struct Found {
    schema: Arc<Schema>,
    id: Option<u32>,
    is_framed: bool,
}

impl Schemas {
    /// Whether events of a topic are judged at all.
    pub(crate) fn judges(&self, topic: &str) -> bool {
        self.rules.iter().any(|rule| rule.is_of(topic))
    }

    /// What a handler reads of an event; `None` where that is the payload as it is. What is JSON is
    /// judged with its fields opened.
    pub(crate) fn read(
        &self,
        event: Judged<'_>,
        encryption: &Encryption,
    ) -> Result<Option<Bytes>, Broken> {
        let Some(Found { schema, id, .. }) = self.find(event)? else { return Ok(None) };
        let payload = event.payload;
        let (writer, data) = match unframed(payload) {
            Some((writer, data)) if id.is_some() => (Some(self.writer(writer)?), data),
            _ if id.is_some() && schema.kind() == Kind::Avro => {
                let why =
                    "/: it does not begin with the id of its schema, as Avro of a registry does";
                return Err(invalid(vec![why.to_owned()]));
            }
            _ => (None, &payload[..]),
        };
        let json = payload.slice_ref(data);
        let opened = match schema.kind() {
            Kind::Json => encryption.opened(event.kept(&json))?,
            Kind::Avro => None,
        };
        let data = opened.as_ref().map_or(data, |opened| opened);
        let read = schema.read(data, writer.as_deref()).map_err(invalid)?;
        Ok(match read {
            Some(json) => Some(Bytes::from(json)),
            None if writer.is_some() => Some(json),
            None => None,
        })
    }

    /// Judges an event that somebody publishes, whose payload is of that media type; JSON without
    /// one.
    pub(crate) fn admit(
        &self,
        event: Judged<'_>,
        media: Option<&str>,
        encryption: &Encryption,
    ) -> Result<(), Broken> {
        if media.is_some_and(|media| !is_json(media)) {
            return self.read(event, encryption).map(drop);
        }
        let Some(Found { schema, .. }) = self.find(event)? else { return Ok(()) };
        let opened = encryption.opened(event.kept(event.payload))?;
        let json = opened.as_ref().unwrap_or(event.payload);
        schema.write(json).map(drop).map_err(invalid)
    }

    /// What is published of an event that was admitted; `None` where that is the payload as it is.
    pub(crate) fn publish(
        &self,
        event: Judged<'_>,
        media: Option<&str>,
    ) -> Result<Option<Published>, Broken> {
        if media.is_some_and(|media| !is_json(media)) {
            return Ok(None);
        }
        let Some(Found { schema, id, is_framed }) = self.find(event)? else { return Ok(None) };
        if schema.kind() == Kind::Json {
            let framed = id.filter(|_| is_framed).map(|id| framed(id, event.payload));
            return Ok(framed.map(|payload| Published { payload: payload.into(), media: None }));
        }
        let avro = schema.write(event.payload).map_err(invalid)?.unwrap_or_default();
        let payload = match id {
            Some(id) => framed(id, &avro),
            None => avro,
        };
        let payload = payload.into();
        Ok(Some(Published { payload, media: Some(AVRO) }))
    }

    /// The first schema that is needed to judge events of a topic, and is not here.
    pub(crate) fn away(&self, is_of: impl Fn(&Glob) -> bool) -> Option<Away> {
        let mut rules = self.rules.iter().filter(|rule| rule.topics.iter().any(&is_of));
        rules.find_map(|rule| self.found(rule).err())
    }

    /// Every schema that is not here.
    pub(crate) fn all_away(&self) -> Vec<Away> {
        self.rules.iter().filter_map(|rule| self.found(rule).err()).collect()
    }

    /// The schema of an event; none where its topic has none.
    fn find(&self, event: Judged<'_>) -> Result<Option<Found>, Broken> {
        let mut of_topic = self.rules.iter().filter(|rule| rule.is_of(event.topic)).peekable();
        if of_topic.peek().is_none() {
            return Ok(None);
        }
        if let Some(rule) = of_topic.find(|rule| rule.is_for(event.kind, event.version)) {
            return self.found(rule).map(Some).map_err(Broken::Away);
        }
        let version = event.version.map(|it| format!(" of version {it:?}")).unwrap_or_default();
        let (topic, kind) = (event.topic, event.kind);
        let violation =
            format!("topic {topic:?} has no schema for events of type {kind:?}{version}");
        let violations = vec![violation];
        Err(Broken::Invalid(Invalid { code: Invalid::NO_SCHEMA, violations }))
    }

    fn found(&self, rule: &Rule) -> Result<Found, Away> {
        let is_framed = rule.is_framed;
        let subject = match &rule.source {
            Source::File(schema) => {
                return Ok(Found { schema: Arc::clone(schema), id: None, is_framed });
            }
            Source::Subject(subject) => subject,
        };
        let registered = self.known.as_ref().map(|known| known.subject(subject));
        match registered {
            Some(Ok(registered)) => {
                let (schema, id) = (registered.schema, Some(registered.id));
                Ok(Found { schema, id, is_framed })
            }
            Some(Err(away)) => {
                let reason = format!("schema {:?}: {}", rule.name, away.reason);
                Err(Away { reason, ..away })
            }
            None => Err(Away { code: "E0703", reason: "there is no registry".to_owned() }),
        }
    }

    /// The schema that a payload was written by.
    fn writer(&self, id: u32) -> Result<Arc<Schema>, Broken> {
        match &self.known {
            Some(known) => known.id(id).map_err(|away| match away.code {
                // The registry knows better than who wrote it.
                "E0701" => invalid(vec![format!("/: {}", away.reason)]),
                _ => Broken::Away(away),
            }),
            None => Err(invalid(vec!["/: it names a schema of a registry".to_owned()])),
        }
    }
}

impl Rule {
    fn is_of(&self, topic: &str) -> bool {
        self.topics.iter().any(|pattern| pattern.matches(topic))
    }

    fn is_for(&self, kind: &str, version: Option<&str>) -> bool {
        let is_version = |version: &str| self.versions.iter().any(|known| known == version);
        self.types.iter().any(|pattern| pattern.matches(kind))
            && (self.versions.is_empty() || version.is_some_and(is_version))
    }
}

fn invalid(violations: Vec<String>) -> Broken {
    Broken::Invalid(Invalid { code: Invalid::SCHEMA, violations })
}

#[cfg(test)]
mod tests;
