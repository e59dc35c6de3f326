//! Proves the checker: a right history passes, and each planted fault is found under its name.

use super::*;

fn event(id: &str, key: &str) -> Event {
    Event { id: id.into(), key: key.into(), fails: 0, poison: false, timer_ms: None }
}

fn effect(id: &str, number: u64) -> Effect {
    Effect { id: id.into(), key: "k".into(), number, timestamp_ms: 2_000 }
}

/// Key `k`: a, b (sets a timer after 100 ms), a again, c (rejected), d; all arrive at 1,000.
fn right() -> History {
    let timer = Event { timer_ms: Some(100), ..event("b", "k") };
    let poison = Event { poison: true, ..event("c", "k") };
    let sent =
        vec![event("a", "k"), timer, event("a", "k"), poison, event("d", "k"), event("e", "l")];
    let arrive = |ids: &[&str]| {
        ids.iter().map(|id| Arrival { id: (*id).into(), timestamp_ms: 1_000 }).collect::<Vec<_>>()
    };
    let arrived = vec![arrive(&["e"]), arrive(&["a", "b", "a", "a", "b", "c", "d"])];
    let other = Effect { key: "l".into(), ..effect("e", 1) };
    let of_k = vec![effect("a", 1), effect("b", 2), effect("timer:b", 3), effect("d", 4)];
    let letter = Letter { id: "c".into(), class: "rejected".into() };
    let observed = Observed {
        effects: vec![of_k, vec![other]],
        letters: BTreeMap::from([("in".to_owned(), vec![vec![letter]])]),
        unsettled: 0,
    };
    History {
        sources: BTreeMap::from([("in".to_owned(), Source { sent, arrived })]),
        subscriptions: BTreeMap::from([("s".to_owned(), observed)]),
        strays: Vec::new(),
    }
}

#[test]
fn a_right_history_passes() {
    assert_eq!(check(&right()), []);
}

type Plant<T> = (&'static str, Kind, fn(&mut T));

#[test]
fn each_fault_of_a_subscription_is_found_under_its_name() {
    let planted: [Plant<Observed>; 19] = [
        ("the last effect is lost", Kind::Lost, |it| drop(it.effects[0].pop())),
        ("an effect is lost, numbers close up", Kind::Lost, |it| {
            it.effects[0].remove(1);
            it.effects[0][1].number = 2;
            it.effects[0][2].number = 3;
        }),
        ("an effect is lost, its number too", Kind::Misnumbered, |it| {
            it.effects[0].remove(1);
        }),
        ("a timer is lost", Kind::Lost, |it| {
            it.effects[0].remove(2);
            it.effects[0][2].number = 3;
        }),
        ("all of a key are lost", Kind::Lost, |it| it.effects[1].clear()),
        ("an effect is repeated with its number", Kind::Duplicate, |it| {
            it.effects[0].push(effect("d", 4));
        }),
        ("an effect is repeated with the next number", Kind::Duplicate, |it| {
            it.effects[0].push(effect("a", 5));
        }),
        ("a timer fires twice", Kind::Duplicate, |it| it.effects[0].push(effect("timer:b", 5))),
        ("state was lost between two", Kind::Misnumbered, |it| it.effects[0][3].number = 1),
        ("state was applied twice", Kind::Misnumbered, |it| it.effects[0][3].number = 5),
        ("two events change places", Kind::Inverted, |it| {
            it.effects[0][0].id = "b".into();
            it.effects[0][1].id = "a".into();
        }),
        ("a later event overtakes", Kind::Inverted, |it| {
            it.effects[0][1].id = "d".into();
            it.effects[0][3].id = "b".into();
        }),
        ("a key has two partitions", Kind::Inverted, |it| {
            let moved = it.effects[0].pop().unwrap();
            it.effects[1].push(moved);
        }),
        ("a timer is early by a millisecond", Kind::EarlyTimer, |it| {
            it.effects[0][2].timestamp_ms = 1_099;
        }),
        ("a dead letter is missing", Kind::MissingDeadLetter, |it| it.letters.clear()),
        ("a dead letter has another class", Kind::MissingDeadLetter, |it| {
            it.letters.get_mut("in").unwrap()[0][0].class = "trap".into();
        }),
        ("a dead letter is repeated", Kind::Duplicate, |it| {
            let letters = &mut it.letters.get_mut("in").unwrap()[0];
            letters.push(letters[0].clone());
        }),
        ("a rejected event has an effect", Kind::Stray, |it| it.effects[0].push(effect("c", 5))),
        ("something is left to do", Kind::Behind, |it| it.unsettled = 1),
    ];
    for (what, kind, plant) in planted {
        let mut history = right();
        plant(history.subscriptions.get_mut("s").unwrap());
        let found = check(&history);
        assert!(found.iter().any(|it| it.kind == kind && it.at == "s"), "{what}: {found:?}");
    }
}

#[test]
fn a_timer_on_time_to_the_millisecond_is_not_early() {
    let mut history = right();
    history.subscriptions.get_mut("s").unwrap().effects[0][2].timestamp_ms = 1_100;
    assert_eq!(check(&history), []);
}

#[test]
fn the_first_arrival_says_when_a_timer_is_due_and_what_the_order_is() {
    let mut history = right();
    let source = history.sources.get_mut("in").unwrap();
    // The producer's repeat of b came later: neither the timer nor the order moves with it.
    source.arrived[1][4].timestamp_ms = 10_000;
    assert_eq!(check(&history), []);
}

#[test]
fn each_fault_of_a_source_is_found_under_its_name() {
    let planted: [Plant<Source>; 5] = [
        ("an acknowledged event is lost", Kind::Lost, |it| drop(it.arrived[1].pop())),
        ("a whole partition is lost", Kind::Lost, |it| it.arrived[1].clear()),
        ("events were stored out of order", Kind::Inverted, |it| it.arrived[1].swap(5, 6)),
        ("a key is in two partitions", Kind::Inverted, |it| {
            let moved = it.arrived[1].pop().unwrap();
            it.arrived[0].push(moved);
        }),
        ("an event nobody published", Kind::Stray, |it| {
            it.arrived[0].push(Arrival { id: "x".into(), timestamp_ms: 1 });
        }),
    ];
    for (what, kind, plant) in planted {
        let mut history = right();
        plant(history.sources.get_mut("in").unwrap());
        let found = check(&history);
        assert!(found.iter().any(|it| it.kind == kind && it.at == "in"), "{what}: {found:?}");
    }
}

#[test]
fn a_dead_letter_of_a_good_event_and_a_record_elsewhere_are_strays() {
    let mut history = right();
    let observed = history.subscriptions.get_mut("s").unwrap();
    let letter = Letter { id: "d".into(), class: "retryable".into() };
    observed.letters.get_mut("in").unwrap()[0].push(letter);
    history.strays.push("topic other holds 1 record".into());
    let kinds: Vec<_> = check(&history).iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [Kind::Stray, Kind::Stray]);
}
