//! Windows give the same last results at every pace, and keep nothing for long.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gristmill_plugin::testing::{EVENT_TIME, TestHost, event};
use gristmill_plugin::windows::{
    Count, Distinct, Session, Sliding, Sum, TooLate, Tumbling, Uniques, Window,
};
use gristmill_plugin::{Emission, Event, Failure, Host, OrFail, Outcome, Timer, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};

use crate::pace::{KEY, Pace, records, run};

const MINUTE: Duration = Duration::from_mins(1);
const KEEP: Duration = Duration::from_mins(10);

type Sums = (Count, (Sum, Distinct<20>));
type Summed = (u64, (i128, Uniques));

const TUMBLING: Tumbling<Sums> = Tumbling::new("minutes", MINUTE, tell).keep(KEEP);
const SLIDING: Sliding<Sums> =
    Sliding::new("sliding", Duration::from_mins(6), Duration::from_mins(2), tell).keep(KEEP);
const SESSION: Session<Sums> = Session::new("sessions", Duration::from_secs(45), tell).keep(KEEP);

fn tell(window: &Window<Summed>, host: &mut Host) -> Outcome {
    told(window, host)
}

fn told<T: Serialize>(window: &Window<T>, host: &mut Host) -> Outcome {
    Ok(host.emit(Emission::json(window.window, "window.told", window)?)?)
}

fn input(event: &Event) -> Result<((), (i64, String)), Failure> {
    let text = event.text()?;
    Ok(((), (text.parse().or_reject("amount")?, text.to_owned())))
}

fn handle(event: &Event, host: &mut Host) -> Outcome {
    // Sessions and sliding windows take some that tumbling ones do not: each refuses for itself.
    let late = [
        TUMBLING.late_to("late").add(event, host, input(event)?),
        SLIDING.late_to("late").add(event, host, input(event)?),
        SESSION.late_to("late").add(event, host, input(event)?),
    ];
    late.into_iter().collect()
}

fn on_timer(timer: &Timer, host: &mut Host) -> Outcome {
    let is_one = TUMBLING.on_timer(timer, host)?
        || SLIDING.on_timer(timer, host)?
        || SESSION.on_timer(timer, host)?;
    assert!(is_one, "{timer:?}");
    Ok(())
}

/// The last result of each window, as consumers keep it: by name and start.
fn results(host: &TestHost) -> BTreeMap<(String, String), Value> {
    let mut last: BTreeMap<(String, String), Value> = BTreeMap::new();
    for emission in host.emissions().iter().filter(|it| it.event_type == "window.told") {
        let window: Value = serde_json::from_slice(&emission.payload).unwrap();
        let text = |field: &str| window[field].as_str().unwrap().to_owned();
        let before = last.insert((text("window"), text("start")), window.clone());
        let revision = |it: &Value| it["revision"].as_u64().unwrap();
        let grows = before.as_ref().is_none_or(|before| revision(before) < revision(&window));
        assert!(grows, "{before:?} then {window}");
    }
    last.retain(|_, window| window["mergedInto"].is_null());
    last
}

/// The same from the records alone.
fn expected(records: &[Event]) -> BTreeMap<(String, String), Value> {
    let mut windows: BTreeMap<(&str, u64, u64), Vec<&Event>> = BTreeMap::new();
    let in_time = |it: &Event, end: u64| it.timestamp.as_millis() <= end + 60_000;
    for record in records {
        for (name, length, step) in [("minutes", 60_000, 60_000), ("sliding", 360_000, 120_000)] {
            let pane = record.time.as_millis() / step * step;
            for start in (pane + step - length..=pane).step_by(usize::try_from(step).unwrap()) {
                if in_time(record, start + length) {
                    windows.entry((name, start, start + length)).or_default().push(record);
                }
            }
        }
    }
    let mut visits: Vec<&Event> =
        records.iter().filter(|it| in_time(it, it.time.as_millis() + 45_000)).collect();
    visits.sort_by_key(|it| it.time);
    for visit in visits.chunk_by(|a, b| b.time.since(a.time) < Duration::from_secs(45)) {
        let (first, last) = (visit.first().unwrap(), visit.last().unwrap());
        let place = ("sessions", first.time.as_millis(), last.time.as_millis() + 45_000);
        windows.insert(place, visit.to_vec());
    }
    windows.into_iter().map(|(place, events)| result(place, &events)).collect()
}

fn result((name, start, end): (&str, u64, u64), events: &[&Event]) -> ((String, String), Value) {
    let texts: BTreeSet<&str> = events.iter().map(|it| it.text().unwrap()).collect();
    let sum: i64 = events.iter().map(|it| it.text().unwrap().parse::<i64>().unwrap()).sum();
    let uniques = json!({ "count": texts.len().min(20), "more": texts.len() > 20 });
    let moment = |ms: u64| Timestamp::from_millis(ms).to_string();
    let window = json!({
        "window": name, "key": KEY, "start": moment(start), "end": moment(end),
        "revision": events.len(), "value": [events.len(), [sum, uniques]],
    });
    ((name.to_owned(), moment(start)), window)
}

#[test]
fn last_results_are_the_same_at_every_pace() {
    for seed in 0..6 {
        // Dense enough for windows of many events and full sets, sparse enough for many sessions.
        let records = records(seed, 250, if seed % 2 == 0 { 1 } else { 8 }, &["paid"]);
        let expected = expected(&records);
        for pace in [Pace::Live, Pace::Replay, Pace::Behind] {
            let (host, _) = run(&records, pace, seed, handle, on_timer);
            let results = results(&host);
            for (window, result) in &expected {
                assert_eq!(results.get(window), Some(result), "SEED={seed} {pace:?} {window:?}");
            }
            assert_eq!(results.len(), expected.len(), "SEED={seed} {pace:?}");
            let late = host.emissions().iter().filter(|it| it.topic == "late").count();
            assert!(late > 0, "SEED={seed} {pace:?}: nothing is late");
            nothing_is_left(&host);
        }
    }
}

/// When a key has had no events for long, a value per name of windows is left of it, and no timer.
fn nothing_is_left(host: &TestHost) {
    assert_eq!(host.timers(), [] as [&gristmill_plugin::testing::SetTimer; 0]);
    let names = host.state_names(KEY);
    let known = [
        "window/minutes/clock",
        "window/minutes/late",
        "window/sessions",
        "window/sessions/late",
        "window/sliding/clock",
        "window/sliding/late",
    ];
    assert!(names.iter().all(|name| known.contains(name)), "{names:?}");
    let sessions: Value = host.state_json(KEY, "window/sessions").unwrap();
    assert_eq!(sessions["kept"], json!([]));
}

#[test]
fn a_busy_key_keeps_the_windows_of_lateness_and_keep() {
    let mut host = TestHost::new();
    for minute in 0..300 {
        let time = EVENT_TIME.after(MINUTE * minute);
        let paid = event("in", "1").with_key(KEY).with_id(&minute.to_string()).with_time(time);
        host.handle(handle, &paid).unwrap();
        let count = |of: &str| host.state_names(KEY).iter().filter(|it| it.contains(of)).count();
        assert!(count("window/minutes/pane/") <= 13, "{:?}", host.state_names(KEY));
        assert!(count("window/sliding/pane/") <= 10, "{:?}", host.state_names(KEY));
        assert!(host.state(KEY, "window/sessions").unwrap().len() < 2_000);
    }
    // Nobody waited for a timer: what a record proves to be complete is told with it.
    assert_eq!(host.timers().len(), 3);
    assert!(results(&host).len() > 300);
}

#[test]
fn more_results_than_an_event_may_cause_are_told_one_after_the_other() {
    /// Tells it eight times, so that 150 results are more than one event may cause.
    fn repeated(window: &Window<u64>, host: &mut Host) -> Outcome {
        (0..8).try_for_each(|_| told(window, host))
    }
    const SECONDS: Tumbling<Count> = Tumbling::new("seconds", Duration::from_secs(1), repeated);
    const VISITS: Session<Count> = Session::new("visits", Duration::from_secs(1), repeated);
    const MOST: u64 = 150;
    let add = |event: &Event, host: &mut Host| {
        SECONDS.add(event, host, ())?;
        VISITS.add(event, host, ())
    };
    let mut host = TestHost::new();
    for second in 0..MOST {
        host.handle(add, &at(2 * second, 2 * second)).unwrap();
    }
    let on_timer = |timer: &Timer, host: &mut Host| {
        let is_one = SECONDS.on_timer(timer, host)? || VISITS.on_timer(timer, host)?;
        assert!(is_one);
        Ok(())
    };
    // A host that comes back fires what is overdue, all at once.
    host.advance(on_timer, EVENT_TIME.after(Duration::from_hours(2))).unwrap();
    assert_eq!(host.emissions().len() as u64, 2 * 8 * MOST);
}

fn at(time: u64, came: u64) -> Event {
    let moment = |seconds| EVENT_TIME.after(Duration::from_secs(seconds));
    let id = format!("{time}-{came}");
    let record = event("in", "1").with_key(KEY).with_id(&id);
    record.with_time(moment(time)).with_timestamp(moment(came))
}

#[test]
fn what_is_too_late_says_the_way_out_or_goes_where_it_is_sent() {
    fn noted(event: &Event, late: &TooLate, host: &mut Host) -> Outcome {
        let text = format!("{} {} {}", event.id, late.name, late.until);
        Ok(host.emit(Emission::new("noted", "noted", text))?)
    }
    const COUNT: Tumbling<Count> = Tumbling::new("count", MINUTE, told);
    let mut host = TestHost::new();
    // The last moment in time is the window's end and a minute.
    host.handle(|event, host| COUNT.add(event, host, ()), &at(59, 120)).unwrap();
    let late = at(59, 121);
    let refused = host.handle(|event, host| COUNT.add(event, host, ()), &late).unwrap_err();
    assert_eq!(refused.code(), Some("too-late"));
    assert_eq!(
        refused.reason(),
        "count: what happened at 2026-01-01T12:00:59Z counted until 2026-01-01T12:02:00Z, and came \
         at 2026-01-01T12:02:01Z; raise `lateness` and replay, or declare `late_to`"
    );
    host.handle(|event, host| COUNT.late_to("late").add(event, host, ()), &late).unwrap();
    let sent = &host.emissions()[0];
    assert_eq!((&*sent.topic, &*sent.event_type, &*sent.payload), ("late", "in", &b"1"[..]));
    assert_eq!((&*sent.headers[0].name, &*sent.headers[0].value), ("late-for", &b"count"[..]));
    host.handle(|event, host| COUNT.late(noted).add(event, host, ()), &late).unwrap();
    assert_eq!(host.emissions()[1].payload, b"59-121 count 2026-01-01T12:02:00Z");
    assert_eq!(host.state_json::<u64>(KEY, "window/count/late"), Some(2));
}

#[test]
fn an_event_of_the_future_is_refused() {
    const COUNT: Tumbling<Count> = Tumbling::new("count", MINUTE, told);
    let mut host = TestHost::new();
    host.handle(|event, host| COUNT.add(event, host, ()), &at(86_400, 0)).unwrap();
    let refused =
        host.handle(|event, host| COUNT.add(event, host, ()), &at(86_401, 0)).unwrap_err();
    assert_eq!(refused.code(), Some("time-ahead"));
    assert!(refused.reason().contains("correct the producer's clock"), "{refused}");
}

#[test]
fn an_event_whose_window_is_gone_is_refused_and_not_counted_in_part() {
    const COUNT: Tumbling<Count> = Tumbling::new("count", MINUTE, told).keep(KEEP);
    const VISITS: Session<Count> = Session::new("visits", MINUTE, told).keep(KEEP);
    let add = |event: &Event, host: &mut Host| COUNT.add(event, host, ());
    let visit = |event: &Event, host: &mut Host| VISITS.add(event, host, ());
    let mut host = TestHost::new();
    for event in [at(0, 0), at(3_600, 3_600)] {
        host.handle(add, &event).unwrap();
        host.handle(visit, &event).unwrap();
    }
    for refused in [host.handle(add, &at(59, 59)), host.handle(visit, &at(59, 59))] {
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), Some("window-gone"));
        assert!(refused.reason().ends_with("raise `keep` and replay"), "{refused}");
    }
}
