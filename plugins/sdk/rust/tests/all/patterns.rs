//! Patterns find the same matches at every pace, and keep nothing for long.

use std::collections::BTreeMap;
use std::time::Duration;

use gristmill_plugin::patterns::{Match, Pattern};
use gristmill_plugin::testing::{EVENT_TIME, TestHost, event};
use gristmill_plugin::{Emission, Event, Host, Outcome, Timer, Timestamp};
use serde_json::{Value, json};

use crate::pace::{KEY, Pace, records, run};

const WITHIN_MS: u64 = 90_000;
const WITHIN: Duration = Duration::from_millis(WITHIN_MS);
const KEEP: Duration = Duration::from_mins(10);

const SEQUENCE: Pattern = Pattern::first(|event| event.event_type == "a")
    .then(|event| event.event_type == "b")
    .without(|event| event.event_type == "c")
    .within(WITHIN)
    .tell("sequence", tell)
    .keep(KEEP);
const ABSENCE: Pattern = Pattern::first(|event| event.event_type == "a")
    .without(|event| event.event_type == "b")
    .within(WITHIN)
    .tell("absence", tell)
    .keep(KEEP);
const TIMES: Pattern = Pattern::times(3, |event| event.event_type == "a")
    .within(WITHIN)
    .tell("times", tell)
    .keep(KEEP);

fn tell(found: &Match, host: &mut Host) -> Outcome {
    Ok(host.emit(Emission::json("found", "pattern.found", found)?)?)
}

fn handle(event: &Event, host: &mut Host) -> Outcome {
    SEQUENCE.add(event, host)?;
    ABSENCE.add(event, host)?;
    TIMES.add(event, host)
}

fn on_timer(timer: &Timer, host: &mut Host) -> Outcome {
    let is_one = SEQUENCE.on_timer(timer, host)?
        || ABSENCE.on_timer(timer, host)?
        || TIMES.on_timer(timer, host)?;
    assert!(is_one, "{timer:?}");
    Ok(())
}

type Found = BTreeMap<(String, String), (String, String, u64)>;

/// What holds in the end, and how often something was taken back.
fn results(host: &TestHost) -> (Found, usize) {
    let mut last: BTreeMap<(String, String), Value> = BTreeMap::new();
    let mut taken_back = 0;
    for emission in host.emissions() {
        let found: Value = serde_json::from_slice(&emission.payload).unwrap();
        let text = |field: &str| found[field].as_str().unwrap().to_owned();
        taken_back += usize::from(found["holds"] == json!(false));
        let before = last.insert((text("pattern"), text("event")), found.clone());
        let revision = before.map_or(0, |before| before["revision"].as_u64().unwrap());
        assert_eq!(found["revision"], json!(revision + 1), "{found}");
    }
    last.retain(|_, found| found["holds"] == json!(true));
    let short = |found: Value| {
        let text = |field: &str| found[field].as_str().unwrap().to_owned();
        (text("start"), text("end"), found["events"].as_u64().unwrap())
    };
    (last.into_iter().map(|(place, found)| (place, short(found))).collect(), taken_back)
}

/// The same from the records alone.
fn expected(records: &[Event]) -> Found {
    let lateness = Duration::from_mins(1);
    let mut events: Vec<&Event> =
        records.iter().filter(|it| it.timestamp <= it.time.after(lateness)).collect();
    events.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
    let mut found = Found::new();
    let mut find = |pattern: &str, event: &Event, (start, end, events): (u64, u64, u64)| {
        let moment = |ms: u64| Timestamp::from_millis(ms).to_string();
        let place = (pattern.to_owned(), event.id.clone());
        found.insert(place, (moment(start), moment(end), events));
    };
    let firsts: Vec<usize> = (0..events.len()).filter(|&at| events[at].event_type == "a").collect();
    for &at in &firsts {
        let (event, start) = (events[at], events[at].time.as_millis());
        let until = start + WITHIN_MS;
        let after = || events[at + 1..].iter().filter(|it| it.time.as_millis() <= until);
        let next = after().find(|it| it.event_type != "a");
        if let Some(then) = next.filter(|it| it.event_type == "b") {
            find("sequence", event, (start, then.time.as_millis(), 2));
        }
        if after().all(|it| it.event_type != "b") {
            find("absence", event, (start, until, 1));
        }
    }
    let mut count_before = 0;
    for (number, &at) in firsts.iter().enumerate() {
        let end = events[at].time.as_millis();
        let near = firsts[..=number].iter().map(|&it| events[it].time.as_millis());
        let near: Vec<u64> = near.filter(|time| time + WITHIN_MS > end).collect();
        if near.len() >= 3 && count_before < 3 {
            find("times", events[at], (near[0], end, near.len() as u64));
        }
        count_before = near.len();
    }
    found
}

#[test]
fn matches_are_the_same_at_every_pace() {
    let mut taken_back = 0;
    for seed in 100..106 {
        let records = records(seed, 200, if seed % 2 == 0 { 2 } else { 5 }, &["a", "a", "b", "c"]);
        let expected = expected(&records);
        for pace in [Pace::Live, Pace::Replay, Pace::Behind] {
            let (host, late) = run(&records, pace, seed, handle, on_timer);
            let (found, taken) = results(&host);
            assert!(late > 0 && !found.is_empty(), "SEED={seed} {pace:?}");
            for (place, what) in expected.iter().chain(&found) {
                let both = (found.get(place), expected.get(place));
                assert_eq!(both, (Some(what), Some(what)), "SEED={seed} {pace:?} {place:?}");
            }
            if let Pace::Behind = pace {
                taken_back += taken;
            } else {
                assert_eq!(taken, 0, "SEED={seed} {pace:?}");
            }
            nothing_is_left(&host);
        }
    }
    assert!(taken_back > 0, "no pace was so far behind that a match had to be taken back");
}

fn nothing_is_left(host: &TestHost) {
    assert_eq!(host.timers(), [] as [&gristmill_plugin::testing::SetTimer; 0]);
    for name in ["pattern/absence", "pattern/sequence", "pattern/times"] {
        let kept: Value = host.state_json(KEY, name).unwrap();
        assert_eq!(kept["events"], json!([]), "{name}");
    }
}

#[test]
fn more_events_than_a_pattern_keeps_are_refused() {
    let mut host = TestHost::new();
    let fail = |event: &Event, host: &mut Host| TIMES.add(event, host);
    let record = |number: u64| {
        let time = EVENT_TIME.after(Duration::from_millis(number));
        event("in", "").with_key(KEY).with_type("a").with_time(time).with_id(&number.to_string())
    };
    for number in 0..1_000 {
        host.handle(fail, &record(number)).unwrap();
    }
    let refused = host.handle(fail, &record(1_000)).unwrap_err();
    assert_eq!(refused.code(), Some("pattern-full"));
    // Others go on, and so does the key when time has passed.
    let later = record(0).with_id("later").with_time(EVENT_TIME.after(Duration::from_hours(1)));
    host.handle(fail, &later).unwrap();
    assert_eq!(host.emissions().len(), 1);
}
