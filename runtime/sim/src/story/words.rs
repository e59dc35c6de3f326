//! Says effects and what is durable in words. It never changes the story.

use gristmill_engine::{Effect, Instant, KeyHash, OffsetRange, Progress, Staged, Terminal};

use super::{HOME, Story, TOPICS};
use crate::script::DAWN;
use crate::topic::EventId;

/// What an event is called: `orders@3`, or the timer's name.
pub(super) fn event(story: &Story, event: EventId) -> String {
    match event {
        EventId::Record { position, .. } => {
            let topic = usize::try_from(position.topic.0).unwrap_or(0);
            format!("{}@{}", TOPICS[topic], position.offset.0)
        }
        EventId::Timer { timer, .. } => {
            let at = usize::try_from(timer.0).unwrap_or(0);
            story.timers.get(at).cloned().unwrap_or_default()
        }
    }
}

/// An effect in words; `None` for what is of no interest in a story.
pub(super) fn effect(story: &Story, effect: &Effect, about: Option<EventId>) -> Option<String> {
    let name = about.map(|id| event(story, id)).unwrap_or_default();
    match effect {
        Effect::Invoke { number, version, parked, .. } => {
            let from = if parked.is_some() { " from parking" } else { "" };
            Some(format!("run {name}{from}, attempt {number}, by version {}", version.0))
        }
        Effect::Cancel { .. } => Some("cancel an attempt".to_owned()),
        Effect::Stage { staged, checkpoint, .. } => {
            Some(format!("{} in checkpoint {}", stage(story, staged, &name), checkpoint.0))
        }
        Effect::Commit { checkpoint, progress } => {
            Some(format!("commit checkpoint {}{}", checkpoint.0, told(progress)))
        }
        Effect::Discard { .. } => Some("discard what is staged".to_owned()),
        Effect::Rewind { .. } => Some("rewind".to_owned()),
        Effect::Fetch { topic, from, .. } => {
            let topic = usize::try_from(topic.0).unwrap_or(0);
            Some(format!("read {} from {}", TOPICS[topic], from.0))
        }
        Effect::PauseFetch { topic, .. } => {
            let topic = usize::try_from(topic.0).unwrap_or(0);
            Some(format!("stop reading {}", TOPICS[topic]))
        }
        Effect::ResumeFetch { topic, .. } => {
            let topic = usize::try_from(topic.0).unwrap_or(0);
            Some(format!("go on reading {}", TOPICS[topic]))
        }
        Effect::Released { .. } => Some("the partition is free".to_owned()),
        Effect::Activated { version, .. } => Some(format!("version {} takes over", version.0)),
        Effect::Probe { .. } => Some("ask where topics end".to_owned()),
        Effect::Drained => Some("all is drained".to_owned()),
        Effect::Release { .. } | Effect::Observe(_) => None,
    }
}

/// What is durable, one line per kind.
pub(super) fn durable(story: &Story) -> String {
    let mut text = String::new();
    for ((_, topic, _), progress) in &story.durable.progress {
        let topic = TOPICS[usize::try_from(topic.0).unwrap_or(0)];
        line(
            &mut text,
            &format!("{topic}: finished below {}{}", progress.next.0, above(&progress.finished)),
        );
    }
    for ((_, key), events) in &story.durable.state {
        let seen: Vec<String> = events.iter().map(|id| event(story, *id)).collect();
        line(&mut text, &format!("state of {}: {}", key_name(story, *key), seen.join(", ")));
    }
    for ((key, place), parked) in story.durable.parked.get(&HOME).into_iter().flatten() {
        let name = event(story, parked.event);
        let due = until(story, parked.figures.due);
        let (key, attempts) = (key_name(story, Some(*key)), parked.figures.attempts);
        line(
            &mut text,
            &format!("parked for {key} at {place}: {name}, {attempts} attempts, {due}"),
        );
    }
    for timer in story.durable.timers.get(&HOME).into_iter().flat_map(|t| t.values()) {
        let at = usize::try_from(timer.timer.0).unwrap_or(0);
        line(&mut text, &format!("timer {}: {}", story.timers[at], until(story, timer.due)));
    }
    for letter in &story.durable.dead_letters {
        let name = event(story, letter.event);
        let (class, attempts) = (class(letter.class), letter.attempts);
        line(&mut text, &format!("dead letter {name}: {class} after {attempts} attempts"));
    }
    text
}

fn line(text: &mut String, what: &str) {
    text.push_str("    ");
    text.push_str(what);
    text.push('\n');
}

fn stage(story: &Story, staged: &Staged, name: &str) -> String {
    match staged {
        Staged::Settled { outcome, .. } => format!("settle {name} as {}", terminal(outcome)),
        Staged::Parked { sequence, attempts, due, .. } => {
            format!("park {name} at {sequence}, {attempts} attempts, {}", until(story, *due))
        }
        Staged::Retried { attempts, due, .. } => {
            format!("store {attempts} attempts of {name}, {}", until(story, *due))
        }
        Staged::Upgraded { version } => format!("record version {}", version.0),
    }
}

fn terminal(outcome: &Terminal) -> String {
    match outcome {
        Terminal::Succeeded { .. } => "succeeded".to_owned(),
        Terminal::Duplicate => "duplicate".to_owned(),
        Terminal::Filtered => "filtered".to_owned(),
        Terminal::Forwarded => "forwarded".to_owned(),
        Terminal::FellBack => "fell back".to_owned(),
        Terminal::DeadLettered { class: of, attempts, .. } => {
            format!("dead letter ({}, {attempts} attempts)", class(*of))
        }
        Terminal::Discarded { class: of, attempts } => {
            format!("discarded ({}, {attempts} attempts)", class(*of))
        }
    }
}

fn class(class: gristmill_engine::FailureClass) -> String {
    format!("{class:?}").to_lowercase()
}

fn told(progress: &[Progress]) -> String {
    let tell = |one: &Progress| {
        let topic = TOPICS[usize::try_from(one.topic.0).unwrap_or(0)];
        format!(", {topic} below {}{}", one.next.0, above(&one.finished))
    };
    progress.iter().map(tell).collect::<Vec<_>>().concat()
}

fn above(ranges: &[OffsetRange]) -> String {
    let ranges = ranges.iter().map(|range| format!(" and {} to {}", range.from.0, range.to.0));
    ranges.collect::<Vec<_>>().concat()
}

fn until(story: &Story, due: Instant) -> String {
    if due == Instant::NEVER {
        return "due when an operator resumes".to_owned();
    }
    if due <= story.now {
        return "due now".to_owned();
    }
    format!("due at {} ms", due.since(DAWN).0)
}

fn key_name(story: &Story, key: Option<KeyHash>) -> String {
    let name = key.and_then(|key| usize::try_from(key.0 >> 100).ok()?.checked_sub(1));
    name.and_then(|at| story.keys.get(at)).cloned().unwrap_or_else(|| "no key".to_owned())
}
