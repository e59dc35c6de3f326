//! Decides whether a history is right: what was published against everything that came out. It
//! shares no code with the host and believes nothing the host says of itself but its topics.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Serialize;

use super::input::Event;

/// One record of a source topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Id of the event.
    pub id: String,
    /// Timestamp in milliseconds since 1970.
    pub timestamp_ms: u64,
}

/// One record of an output topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// Id of the event, or `timer:` and the id of the event that set the timer.
    pub id: String,
    /// Key of the record.
    pub key: String,
    /// Number the handler gave it, from 1 for the first of its key.
    pub number: u64,
    /// Timestamp in milliseconds since 1970.
    pub timestamp_ms: u64,
}

/// One record of a dead-letter topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Id of the event.
    pub id: String,
    /// Why it is there.
    pub class: String,
}

/// A topic as it was read: a list per partition, by offset.
pub type Partitions<T> = Vec<Vec<T>>;

/// What was published to one topic and what the topic holds.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// What was published and acknowledged, in order, repeats included.
    pub sent: Vec<Event>,
    /// What it holds.
    pub arrived: Partitions<Arrival>,
}

/// What one subscription left behind.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Its output topic.
    pub effects: Partitions<Effect>,
    /// Its dead letters, by source topic.
    pub letters: BTreeMap<String, Partitions<Letter>>,
    /// Events, retries and timers it still has to deal with.
    pub unsettled: u64,
}

/// Everything there is to judge by.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// By topic.
    pub sources: BTreeMap<String, Source>,
    /// By name of the subscription.
    pub subscriptions: BTreeMap<String, Observed>,
    /// Records where none should be, and complaints of the host.
    pub strays: Vec<String>,
}

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Published or to be published, and not there.
    Lost,
    /// There more than once.
    Duplicate,
    /// Not in the order of its key.
    Inverted,
    /// Numbered as if an effect before it were missing, or were there twice.
    Misnumbered,
    /// A timer that fired before it was due.
    EarlyTimer,
    /// Rejected, and not among the dead letters under its class.
    MissingDeadLetter,
    /// There without a reason.
    Stray,
    /// Not dealt with in the end.
    Behind,
}

impl Kind {
    /// All of them, as a report lists them.
    pub const ALL: [Self; 8] = [
        Self::Lost,
        Self::Duplicate,
        Self::Inverted,
        Self::Misnumbered,
        Self::EarlyTimer,
        Self::MissingDeadLetter,
        Self::Stray,
        Self::Behind,
    ];

    /// The word of reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Duplicate => "duplicate",
            Self::Inverted => "inverted",
            Self::Misnumbered => "misnumbered",
            Self::EarlyTimer => "early timer",
            Self::MissingDeadLetter => "missing dead letter",
            Self::Stray => "stray",
            Self::Behind => "behind",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// What.
    pub kind: Kind,
    /// Where: a topic or a subscription.
    pub at: String,
    /// Which event or key, and how.
    pub what: String,
}

/// Everything that is wrong with a history.
pub fn check(history: &History) -> Vec<Violation> {
    let mut found = Findings::default();
    let mut wanted = Vec::new();
    for (topic, source) in &history.sources {
        found.at.clone_from(topic);
        wanted.push(Wanted::new(topic, source));
        source_holds(source, &mut found);
    }
    for (name, observed) in &history.subscriptions {
        found.at.clone_from(name);
        once_each(&wanted, observed, &mut found);
        numbered_in_turn(observed, &mut found);
        in_order_of_arrival(&wanted, observed, &mut found);
        never_early(&wanted, observed, &mut found);
        letters_hold(&wanted, observed, &mut found);
        if observed.unsettled > 0 {
            found.add(Kind::Behind, format!("{} things are left to do", observed.unsettled));
        }
    }
    "host".clone_into(&mut found.at);
    for stray in &history.strays {
        found.add(Kind::Stray, stray.clone());
    }
    found.violations
}

#[derive(Default)]
struct Findings {
    at: String,
    violations: Vec<Violation>,
}

impl Findings {
    fn add(&mut self, kind: Kind, what: impl Into<String>) {
        self.violations.push(Violation { kind, at: self.at.clone(), what: what.into() });
    }
}

/// What one source topic leads to: each id once, at its first arrival.
struct Wanted<'a> {
    topic: &'a str,
    events: HashMap<&'a str, &'a Event>,
    /// Place of the first arrival of each id in its partition, and the moment.
    first: HashMap<&'a str, (usize, u64)>,
}

impl<'a> Wanted<'a> {
    fn new(topic: &'a str, source: &'a Source) -> Self {
        let events = source.sent.iter().map(|event| (event.id.as_str(), event)).collect();
        let mut first = HashMap::new();
        for arrivals in &source.arrived {
            for (place, arrival) in arrivals.iter().enumerate() {
                let one = (place, arrival.timestamp_ms);
                first.entry(arrival.id.as_str()).or_insert(one);
            }
        }
        Self { topic, events, first }
    }
}

/// What was acknowledged is in the topic, in the order of each key, all of a key in one partition.
fn source_holds(source: &Source, found: &mut Findings) {
    let keys: HashMap<&str, &str> =
        source.sent.iter().map(|event| (event.id.as_str(), event.key.as_str())).collect();
    let mut arrived: HashMap<&str, Vec<&str>> = HashMap::new();
    let mut seen = HashSet::new();
    let mut homes = HashMap::new();
    for (partition, arrivals) in source.arrived.iter().enumerate() {
        for arrival in arrivals {
            let Some(key) = keys.get(arrival.id.as_str()) else {
                found.add(Kind::Stray, format!("{} was never published", arrival.id));
                continue;
            };
            if *homes.entry(*key).or_insert(partition) != partition {
                found.add(Kind::Inverted, format!("key {key} is in two partitions"));
            }
            if seen.insert(arrival.id.as_str()) {
                arrived.entry(key).or_default().push(&arrival.id);
            }
        }
    }
    let mut sent: HashMap<&str, Vec<&str>> = HashMap::new();
    let mut published = HashSet::new();
    for event in source.sent.iter().filter(|event| published.insert(event.id.as_str())) {
        if seen.contains(event.id.as_str()) {
            sent.entry(&event.key).or_default().push(&event.id);
        } else {
            found.add(Kind::Lost, format!("{} was acknowledged and is gone", event.id));
        }
    }
    for (key, ids) in sent {
        if arrived.get(key) != Some(&ids) {
            found.add(Kind::Inverted, format!("events of {key} are not as they were published"));
        }
    }
}

/// Every event that is not rejected, and every timer, has exactly one effect; nothing else has.
fn once_each(wanted: &[Wanted<'_>], observed: &Observed, found: &mut Findings) {
    let mut expected = BTreeMap::new();
    for event in wanted.iter().flat_map(|it| it.events.values()).filter(|event| !event.poison) {
        expected.insert(event.id.clone(), event.key.as_str());
        if event.timer_ms.is_some() {
            expected.insert(format!("timer:{}", event.id), event.key.as_str());
        }
    }
    let mut seen = HashSet::new();
    for effect in observed.effects.iter().flatten() {
        match expected.get(&effect.id) {
            None => found.add(Kind::Stray, format!("{} should have no effect", effect.id)),
            Some(key) if *key != effect.key => {
                found.add(Kind::Stray, format!("{} came out under {}", effect.id, effect.key));
            }
            Some(_) if !seen.insert(effect.id.as_str()) => {
                found.add(Kind::Duplicate, format!("{} again as {}", effect.id, effect.number));
            }
            Some(_) => {}
        }
    }
    for id in expected.keys().filter(|id| !seen.contains(id.as_str())) {
        found.add(Kind::Lost, format!("{id} has no effect"));
    }
}

/// Effects of each key are numbered 1, 2, 3 … by offset, all in one partition.
fn numbered_in_turn(observed: &Observed, found: &mut Findings) {
    let mut last: HashMap<&str, (usize, u64)> = HashMap::new();
    for (partition, effects) in observed.effects.iter().enumerate() {
        for effect in effects {
            let (home, before) = last.entry(&effect.key).or_insert((partition, 0));
            if *home != partition {
                found.add(Kind::Inverted, format!("key {} is in two partitions", effect.key));
            } else if effect.number != *before + 1 {
                let (key, number) = (&effect.key, effect.number);
                found.add(Kind::Misnumbered, format!("{number} after {before} of {key}"));
            }
            (*home, *before) = (partition, effect.number);
        }
    }
}

/// Effects of one key and source topic are in the order in which their events first arrived.
fn in_order_of_arrival(wanted: &[Wanted<'_>], observed: &Observed, found: &mut Findings) {
    for source in wanted {
        let mut last: HashMap<&str, (usize, &str)> = HashMap::new();
        for effect in observed.effects.iter().flatten() {
            let Some((place, _)) = source.first.get(effect.id.as_str()) else { continue };
            if let Some((before, id)) = last.insert(&effect.key, (*place, &effect.id))
                && before > *place
            {
                found.add(Kind::Inverted, format!("{id} came out before {}", effect.id));
            }
        }
    }
}

/// No timer fires before its event's timestamp and its delay say.
fn never_early(wanted: &[Wanted<'_>], observed: &Observed, found: &mut Findings) {
    for effect in observed.effects.iter().flatten() {
        let Some(id) = effect.id.strip_prefix("timer:") else { continue };
        let due = wanted.iter().find_map(|source| {
            let (_, moment) = source.first.get(id)?;
            Some(moment + source.events.get(id)?.timer_ms?)
        });
        if let Some(due) = due.filter(|due| effect.timestamp_ms < *due) {
            let early = due - effect.timestamp_ms;
            found.add(Kind::EarlyTimer, format!("{id} fired {early} ms too soon"));
        }
    }
}

/// Each rejected event is exactly once a dead letter of its topic, as rejected; no other is.
fn letters_hold(wanted: &[Wanted<'_>], observed: &Observed, found: &mut Findings) {
    for source in wanted {
        let poison: BTreeSet<&str> =
            source.events.values().filter(|it| it.poison).map(|it| it.id.as_str()).collect();
        let mut seen = HashSet::new();
        for letter in observed.letters.get(source.topic).into_iter().flatten().flatten() {
            if !poison.contains(letter.id.as_str()) {
                let what = format!("{} is a dead letter ({})", letter.id, letter.class);
                found.add(Kind::Stray, what);
            } else if letter.class != "rejected" {
                let what = format!("{} is one as {}", letter.id, letter.class);
                found.add(Kind::MissingDeadLetter, what);
            }
            if !seen.insert(letter.id.as_str()) {
                found.add(Kind::Duplicate, format!("{} is a dead letter again", letter.id));
            }
        }
        for id in poison.difference(&seen.iter().copied().collect()) {
            found.add(Kind::MissingDeadLetter, format!("{id} is none"));
        }
    }
}

#[cfg(test)]
mod tests;
