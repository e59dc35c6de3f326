//! The in-memory host keeps what the contract promises: limits, grants, and that a failure voids
//! everything.

use std::time::Duration;

use gristmill_plugin::{
    Emission, EmitError, Event, Host, Outcome, StateError, TimerError, Timestamp, info,
    log::Level,
    reject,
    testing::{EVENT_TIME, TestHost, event},
};

fn keyed() -> Event {
    event("orders", "{}").with_key("ada")
}

/// What one call of the host answers.
fn ask<T>(host: &mut TestHost, call: impl FnOnce(&mut Host) -> T) -> T {
    let mut answer = None;
    let outcome = host.handle(
        |_, host| {
            answer = Some(call(host));
            Ok(())
        },
        &keyed(),
    );
    outcome.unwrap();
    answer.unwrap()
}

#[test]
fn a_failure_voids_everything_but_the_log() {
    let mut host = TestHost::new();
    let handle = |event: &Event, host: &mut Host| -> Outcome {
        info!("event {}", event.id);
        host.state().set("a", b"1")?;
        host.timers().set("t", EVENT_TIME, "")?;
        host.emit(Emission::new("out", "done", "{}"))?;
        Err(reject("no", "not this time"))
    };
    let failure = host.handle(handle, &keyed()).unwrap_err();
    assert_eq!(failure.code(), Some("no"));
    assert_eq!((host.emissions().len(), host.timers().len()), (0, 0));
    assert_eq!(host.state("ada", "a"), None);
    let logs = host.logs();
    assert_eq!((logs[0].level, logs[0].line.as_str()), (Level::Info, "event orders:0:0"));
}

#[test]
fn state_belongs_to_its_key() {
    let mut host = TestHost::new();
    let handle = |event: &Event, host: &mut Host| -> Outcome {
        host.state().set("seen", &event.payload)?;
        Ok(())
    };
    host.handle(handle, &event("orders", "1").with_key("ada")).unwrap();
    host.handle(handle, &event("orders", "2").with_key("bob")).unwrap();
    assert_eq!(host.state("ada", "seen"), Some(&b"1"[..]));
    assert_eq!(host.state("bob", "seen"), Some(&b"2"[..]));
}

#[test]
fn a_value_ends_when_its_time_to_live_has_passed() {
    let mut host = TestHost::new();
    ask(&mut host, |host| host.state().set_for("a", b"1", Duration::from_secs(1))).unwrap();
    for (later, expected) in [(999, Some(b"1".to_vec())), (1_000, None)] {
        let event = keyed().with_time(EVENT_TIME.after(Duration::from_millis(later)));
        let read = |_: &Event, host: &mut Host| -> Outcome {
            assert_eq!(host.state().get("a")?, expected, "{later} ms later");
            Ok(())
        };
        host.handle(read, &event).unwrap();
    }
}

#[test]
fn state_keeps_its_limits() {
    let mut host = TestHost::new();
    for (name, bytes, holds) in [
        ("a".repeat(1_024), 1 << 20, true),
        ("a".repeat(1_025), 1, false),
        (String::new(), 1, false),
        ("a".to_owned(), (1 << 20) + 1, false),
    ] {
        let set = ask(&mut host, |host| host.state().set(&name, &vec![0; bytes]));
        assert_eq!(set.is_ok(), holds, "{} {bytes}", name.len());
    }
}

#[test]
fn names_come_in_order_and_by_pages() {
    let mut host = TestHost::new();
    for number in 0..2_001 {
        host.put_state("ada", &format!("item/{number:05}"), "");
    }
    host.put_state("ada", "other", "");
    host.put_state("bob", "item/x", "");
    let names = ask(&mut host, |host| host.state().names("item/")).unwrap();
    assert_eq!(names.len(), 2_001);
    assert!(names.is_sorted());
    let page = ask(&mut host, |host| host.state().page("item/", Some("item/00001"), 2)).unwrap();
    assert_eq!(page.names, ["item/00002", "item/00003"]);
    assert_eq!(page.cursor.as_deref(), Some("item/00003"));
}

#[test]
fn emissions_keep_their_limits() {
    let full = [1 << 20; 7];
    // Eight emissions of three bytes of topic and four of type fill 8 MiB with this.
    let rest = (1 << 20) - 8 * 7;
    for (sizes, holds) in [
        (vec![0; 1_000], true),
        (vec![0; 1_001], false),
        ([&full[..], &[rest]].concat(), true),
        ([&full[..], &[rest + 1]].concat(), false),
        (vec![(1 << 20) + 1], false),
    ] {
        let emitted = ask(&mut TestHost::new(), |host| -> Result<(), EmitError> {
            for size in &sizes {
                host.emit(Emission::new("out", "done", vec![0; *size]))?;
            }
            Ok(())
        });
        assert_eq!(emitted.is_ok(), holds, "{} emissions: {emitted:?}", sizes.len());
    }
}

#[test]
fn a_malformed_emission_is_refused() {
    for (emission, holds) in [
        (Emission::new("out", "done", "").header("x", "1"), true),
        (Emission::new("out", "", ""), false),
        (Emission::new("out", "done", "").header("ce_id", "1"), false),
        (Emission::new("out", "done", "").header("dlq-version", "1"), false),
        (Emission::new("out", "done", "").header("traceparent", "1"), false),
    ] {
        let emitted = ask(&mut TestHost::new(), |host| host.emit(emission.clone()));
        assert_eq!(emitted.is_ok(), holds, "{emission:?}");
    }
}

#[test]
fn what_is_not_granted_is_refused_with_the_line_that_would() {
    let mut host = TestHost::new().with_emit(&["orders.*"]).without_state().without_timers();
    let granted = ask(&mut host, |host| host.emit(Emission::new("orders.new", "done", "")));
    assert_eq!(granted, Ok(()));
    let refused = ask(&mut host, |host| host.emit(Emission::new("carts", "done", "")));
    assert_eq!(refused, Err(EmitError::NotGranted("emit = [\"carts\"]".to_owned())));
    let state = ask(&mut host, |host| host.state().get("a"));
    assert!(matches!(state, Err(StateError::NotGranted(line)) if line == "state = true"));
    let timers = ask(&mut host, |host| host.timers().cancel("a"));
    assert_eq!(timers, Err(TimerError::NotGranted("timers = true".to_owned())));
}

#[test]
fn an_unavailable_store_makes_a_retry() {
    let mut host = TestHost::new();
    host.set_state_available(false);
    let handle = |_: &Event, host: &mut Host| -> Outcome {
        host.state().get("a")?;
        Ok(())
    };
    assert!(host.handle(handle, &keyed()).unwrap_err().is_retry());
    host.set_state_available(true);
    assert_eq!(host.handle(handle, &keyed()), Ok(()));
}

#[test]
fn timers_keep_their_limits() {
    let year = Duration::from_hours(365 * 24);
    let mut host = TestHost::new();
    for (due, bytes, holds) in [
        (EVENT_TIME.after(year), 64 << 10, true),
        (EVENT_TIME.after(year).after(Duration::from_millis(1)), 0, false),
        (EVENT_TIME, (64 << 10) + 1, false),
        (Timestamp::default(), 0, true),
    ] {
        let set = ask(&mut host, |host| host.timers().set("t", due, vec![0; bytes]));
        assert_eq!(set.is_ok(), holds, "{due} {bytes}");
    }
}

#[test]
fn timers_fire_in_order_and_once() {
    let mut host = TestHost::new();
    let second = |number| EVENT_TIME.after(Duration::from_secs(number));
    ask(&mut host, |host| -> Result<(), TimerError> {
        host.timers().set("late", second(2), "")?;
        host.timers().set("early", second(1), "")?;
        host.timers().set("later", second(3), "")
    })
    .unwrap();
    let on_timer = |timer: &gristmill_plugin::Timer, host: &mut Host| -> Outcome {
        host.emit(Emission::new("fired", timer.name.clone(), ""))?;
        Ok(())
    };
    assert_eq!(host.advance(on_timer, second(2)), Ok(2));
    assert_eq!(host.advance(on_timer, second(2)), Ok(0));
    host.fire(on_timer, "ada", "later").unwrap();
    let fired: Vec<&str> =
        host.emissions().iter().map(|emission| emission.event_type.as_str()).collect();
    assert_eq!(fired, ["early", "late", "later"]);
}

#[test]
fn configuration_is_read_by_type() {
    let host = &mut TestHost::new().with_config("limit", "7").with_config("name", "geo");
    let limit = ask(host, |host| host.config().require::<u32>("limit"));
    assert_eq!(limit, Ok(7));
    assert_eq!(ask(host, |host| host.config().get_or("absent", 3)), Ok(3));
    assert!(ask(host, |host| host.config().get_or("name", 3)).is_err());
    assert!(ask(host, |host| host.config().require::<u32>("absent")).is_err());
    assert_eq!(ask(host, |host| host.config().all()).unwrap().len(), 2);
}
