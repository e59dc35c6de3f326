//! What one call may leave to the next: nothing, or with `reuse` exactly what was asked for.

use std::{sync::Arc, time::Duration};

use gristmill_engine::FailureClass;
use gristmill_plugin_host::{Limits, Runner};

use crate::bench::{Memory, answer, call_on, runner};

fn reusing(guest: &str, reuse: u32) -> Arc<Runner> {
    runner(guest, Limits { reuse, ..Limits::default() })
}

fn counts(runner: &Arc<Runner>, payloads: &[&str]) -> Vec<String> {
    let count = |payload: &&str| {
        let finished = call_on(runner, payload, Memory::default());
        match &finished.result {
            Ok(_) => answer(&finished),
            Err(failure) => format!("{:?}", failure.class),
        }
    };
    payloads.iter().map(count).collect()
}

#[test]
fn reuse_counts_events_exactly() {
    for (reuse, expected) in [
        (0, ["1", "1", "1", "1", "1"]),
        (1, ["1", "1", "1", "1", "1"]),
        (2, ["1", "2", "1", "2", "1"]),
        (4, ["1", "2", "3", "4", "1"]),
    ] {
        assert_eq!(counts(&reusing("global-counter", reuse), &[""; 5]), expected, "reuse {reuse}");
    }
}

#[test]
fn an_instance_is_fresh_after_a_trap_and_kept_after_an_answer() {
    let runner = reusing("global-counter", 100);
    let counts = counts(&runner, &["", "reject", "retry", "", "trap", "", ""]);
    assert_eq!(counts, ["1", "Rejected", "Retryable", "4", "Trap", "1", "2"]);
}

#[test]
fn usage_says_whether_the_instance_was_fresh() {
    let runner = reusing("global-counter", 2);
    let fresh = |_| call_on(&runner, "", Memory::default()).usage.fresh;
    assert_eq!((0..4).map(fresh).collect::<Vec<_>>(), [true, false, true, false]);
}

#[test]
fn an_instance_is_fresh_after_a_timeout_and_after_its_memory_was_refused() {
    let timeout = Duration::from_millis(50);
    let looping = runner("endless-loop", Limits { reuse: 100, timeout, ..Limits::default() });
    for _ in 0..2 {
        let finished = call_on(&looping, "", Memory::default());
        assert_eq!(finished.result.unwrap_err().class, FailureClass::Timeout);
        assert!(finished.usage.fresh);
    }
    let hoarding = reusing("memory-bomb", 100);
    for _ in 0..2 {
        let finished = call_on(&hoarding, "", Memory::default());
        assert_eq!(finished.result.unwrap_err().class, FailureClass::Memory);
        assert!(finished.usage.fresh);
    }
}

#[test]
fn clocks_and_randomness_of_a_reused_instance_are_those_of_a_fresh_one() {
    let (fresh, reused) = (reusing("snoop", 0), reusing("snoop", 10));
    let seen = answer(&call_on(&fresh, "2", Memory::default()));
    for _ in 0..3 {
        assert_eq!(answer(&call_on(&reused, "2", Memory::default())), seen);
    }
}

#[test]
fn one_runner_serves_concurrent_calls_from_separate_instances() {
    let runner = reusing("global-counter", 100);
    let finished = crate::bench::block_on(async {
        let call = || {
            let world = Box::new(Memory::default());
            Arc::clone(&runner).call(crate::bench::event(""), world)
        };
        tokio::join!(call(), call())
    });
    // The first instance was idle again for the second call, unless that call found it in use
    // because the first had to give its thread up.
    assert_eq!((answer(&finished.0), finished.0.usage.fresh), ("1".to_owned(), true));
    let second = if finished.1.usage.fresh { "1" } else { "2" };
    assert_eq!(answer(&finished.1), second);
}
