//! Owns what a manifest says of one subscription: topics, envelope, filter, grants, policy and
//! limits. It decodes and calls nothing.

pub(crate) mod build;
mod local;
mod rules;

use std::collections::BTreeMap;

use gristmill_engine::{Bytes, Millis, Policy};

use crate::{Glob, HttpOrigin, Place, Pointer, Secret, TopicSelector};

/// One subscription, checked. Defaults are in `docs/configuration.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionConfig {
    /// Name, unique on the host. `[a-z0-9-]`, 1 to 64 characters.
    pub name: String,
    /// Whether it runs; otherwise it is known and paused.
    pub enabled: bool,
    /// What it reads, 1 to 64, distinct.
    pub topics: Vec<TopicSelector>,
    /// How its events are wrapped.
    pub envelope: Envelope,
    /// Which events are the handler's.
    pub filter: Filter,
    /// What the plugin may do.
    pub grants: Grants,
    /// What one attempt may use.
    pub limits: Limits,
    /// Where it begins on a topic it has no progress on.
    pub start: Start,
    /// Partitions of the topic that events are forwarded to before they are handled, by key, 1 to
    /// 10,000; `None` to handle them where they are.
    pub repartition: Option<u32>,
    /// What state and timers belong to.
    pub state_of: StateOf,
    /// Where events go that were given up on.
    pub dead_letter: DeadLetter,
    /// Topic that takes events while the breaker is open.
    pub fallback: Option<String>,
    /// Topics that expressions of it do not match, because its plugin may not read them.
    pub barred: Vec<Glob>,
    /// Whether its topics are local: its handler runs within the events that cause its own.
    pub local: bool,
    /// Policy of the engine; see [`SubscriptionConfig::policy`].
    pub(crate) policy: Policy,
    /// Where its parts stand, for problems found across documents.
    pub(crate) places: Places,
}

/// Where parts of a subscription stand in its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    /// Its name, or its header without one.
    pub(crate) name: Place,
    /// Its topics, in order.
    pub(crate) topics: Vec<Place>,
    /// Its emit grants, in order.
    pub(crate) emit: Vec<Place>,
}

impl SubscriptionConfig {
    /// How the engine treats it.
    pub fn policy(&self) -> Policy {
        self.policy.clone()
    }

    /// Whether its handlers keep state or timers.
    pub fn stateful(&self) -> bool {
        self.policy.stateful
    }

    /// Whether events of a key must meet in one partition number, whichever topic they are in:
    /// where state or timers belong to keys, and events are handled where they are.
    pub fn keys_must_meet(&self) -> bool {
        self.stateful() && self.state_of == StateOf::Key && self.repartition.is_none()
    }

    /// The topics it names; expressions name none.
    pub fn named_topics(&self) -> impl Iterator<Item = &str> {
        self.topics.iter().filter_map(TopicSelector::name)
    }

    /// Whether it reads `topic`: one that is named, or that an expression matches and that does
    /// not hold what it gave up on or passed on itself.
    pub fn reads(&self, topic: &str) -> bool {
        let selected = |one: &TopicSelector| {
            one.selects(topic)
                && (one.name().is_some() || !(self.fills(topic) || self.is_barred(topic)))
        };
        self.topics.iter().any(selected)
    }

    /// Whether its plugin may not read `topic`.
    fn is_barred(&self, topic: &str) -> bool {
        self.barred.iter().any(|pattern| pattern.matches(topic))
    }

    /// Whether dead letters of some topic of it would go to `topic`, or events fall back there.
    fn fills(&self, topic: &str) -> bool {
        let has_letters = match &self.dead_letter {
            DeadLetter::Default => topic.ends_with(&self.dead_letter_suffix()),
            DeadLetter::Topic(own) => own == topic,
            DeadLetter::None => false,
        };
        has_letters || self.fallback.as_deref() == Some(topic)
    }

    fn dead_letter_suffix(&self) -> String {
        format!(".{}.dlq", self.name)
    }

    /// Topic of the dead letters of `source`, unless it has none.
    pub fn dead_letter_topic(&self, source: &str) -> Option<String> {
        match &self.dead_letter {
            DeadLetter::Default => Some(format!("{source}{}", self.dead_letter_suffix())),
            DeadLetter::Topic(topic) => Some(topic.clone()),
            DeadLetter::None => None,
        }
    }

    /// Whether others may have their dead letters where its own are.
    pub fn has_common_dead_letters(&self) -> bool {
        self.own_dead_letter_topic().is_some()
    }

    /// The topic of all its dead letters, where the manifest names one.
    fn own_dead_letter_topic(&self) -> Option<&str> {
        match &self.dead_letter {
            DeadLetter::Topic(topic) => Some(topic),
            DeadLetter::Default | DeadLetter::None => None,
        }
    }

    /// Where it stands in its manifest.
    pub fn place(&self) -> Place {
        self.places.name
    }
}

/// What state and timers belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateOf {
    /// The key of the event.
    Key,
    /// The partition it is in, as a whole.
    Partition,
}

/// How events are wrapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// What kind of envelope.
    pub format: Format,
    /// Where its fields are. With [`Format::Json`] the pointers go into the whole payload, with
    /// every other format into the data, and a field found there replaces what the envelope said.
    pub fields: Fields,
    /// Header that carries the event's id; it wins over a pointer.
    pub id_header: Option<String>,
}

/// What kind of envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `CloudEvents` where a record says it is one; else raw.
    Auto,
    /// `CloudEvents`, binary or structured; anything else is invalid.
    CloudEvents,
    /// JSON, with fields found by pointer; what is not JSON, or has no id, is invalid.
    Json,
    /// None: the payload is the data.
    Raw,
}

/// Where fields are found: per field the pointers to try, in order; none when it is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fields {
    /// Identity.
    pub id: Vec<Pointer>,
    /// Type; the topic's name without one.
    pub kind: Vec<Pointer>,
    /// Version of the type; a number as its JSON text.
    pub version: Vec<Pointer>,
    /// Who produced it; the topic's name without one.
    pub source: Vec<Pointer>,
    /// When it happened: RFC 3339, or a number of milliseconds since 1970.
    pub time: Vec<Pointer>,
    /// What it is about.
    pub subject: Vec<Pointer>,
    /// Correlation id.
    pub correlation: Vec<Pointer>,
    /// Causation id.
    pub causation: Vec<Pointer>,
    /// Tenant.
    pub tenant: Vec<Pointer>,
    /// The data; the whole payload without one.
    pub data: Vec<Pointer>,
}

impl Fields {
    /// All of them, under the names they have in a manifest.
    pub(crate) fn named(&mut self) -> [(&'static str, &mut Vec<Pointer>); 10] {
        [
            ("id", &mut self.id),
            ("type", &mut self.kind),
            ("version", &mut self.version),
            ("source", &mut self.source),
            ("time", &mut self.time),
            ("subject", &mut self.subject),
            ("correlation", &mut self.correlation),
            ("causation", &mut self.causation),
            ("tenant", &mut self.tenant),
            ("data", &mut self.data),
        ]
    }
}

/// Which events are the handler's: those that every given rule accepts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Patterns of types, of which one must match; any type when empty.
    pub types: Vec<Glob>,
    /// Versions, of which one must be the event's; any, or none, when empty.
    pub versions: Vec<String>,
    /// Headers that must be there with exactly this value.
    pub headers: BTreeMap<String, String>,
}

impl Filter {
    /// Whether the event is the handler's. `header` gives the first header of a name.
    pub fn accepts<'a>(
        &self,
        kind: &str,
        version: Option<&str>,
        header: impl Fn(&str) -> Option<&'a [u8]>,
    ) -> bool {
        let type_holds = self.types.is_empty() || self.types.iter().any(|glob| glob.matches(kind));
        let version_holds = self.versions.is_empty()
            || version.is_some_and(|version| self.versions.iter().any(|one| one == version));
        let mut headers = self.headers.iter();
        type_holds
            && version_holds
            && headers.all(|(name, value)| header(name) == Some(value.as_bytes()))
    }
}

/// What a plugin may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grants {
    /// Topics it may publish to.
    pub emit: Vec<Glob>,
    /// Whether it may keep state.
    pub state: bool,
    /// Whether it may set timers.
    pub timers: bool,
    /// What its clock shows.
    pub clock: Clock,
    /// Its configuration, by name.
    pub config: BTreeMap<String, Secret>,
    /// Addresses it may call.
    pub http: Vec<HttpOrigin>,
    /// Whether names among them may stand for private addresses.
    pub http_private: bool,
    /// Encrypted fields that the plugin sees, by their names in the host's configuration.
    pub decrypt: Vec<String>,
}

impl Grants {
    /// Whether it may publish to `topic`.
    pub fn may_emit(&self, topic: &str) -> bool {
        self.emit.iter().any(|glob| glob.matches(topic))
    }
}

/// What a plugin's clock shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The event's timestamp, so that every attempt sees the same.
    Virtual,
    /// The time of day.
    Wall,
}

/// What one attempt may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Memory of an instance, 1 MiB to 4 GiB.
    pub memory: Bytes,
    /// Wall time of an attempt, waits included, 1 ms to 10 min.
    pub attempt_timeout: Millis,
    /// Fuel of an attempt; `None` for no limit by fuel (counting costs speed).
    pub fuel: Option<u64>,
    /// Emissions, 0 to 100,000.
    pub emissions: u32,
    /// Bytes emitted, 0 to 256 MiB.
    pub emitted_bytes: Bytes,
    /// Size of one state value, 1 byte to 64 MiB.
    pub value_bytes: Bytes,
    /// Bytes logged, 0 to 16 MiB; what is beyond is dropped and counted.
    pub log_bytes: Bytes,
    /// HTTP requests, 0 to 10,000.
    pub http_requests: u32,
    /// Longest wait for the answer to one of them, 1 ms to 10 min.
    pub http_timeout: Millis,
    /// Events one instance handles before a fresh one, 1 to 1,000,000; 1 for a fresh instance
    /// per event.
    pub reuse: u32,
}

/// Where a subscription begins on a topic it has no progress on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the oldest event kept.
    Earliest,
    /// After the newest.
    Latest,
}

/// Where events go that were given up on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeadLetter {
    /// To `<source>.<subscription>.dlq`.
    Default,
    /// To this topic.
    Topic(String),
    /// Nowhere: there are none, and an exhausted event pauses its key or what
    /// `on_exhausted` says.
    None,
}
