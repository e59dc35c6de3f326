//! Who runs when: no guest holds its thread, a dropped call is gone, and calls beyond the pool
//! wait their turn.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use gristmill_engine::FailureClass;
use gristmill_plugin_host::{Limits, Runtime, RuntimeSettings};

use crate::{
    bench::{Memory, answer, at_best_within, block_on, event, runner, runner_with},
    guests,
};

fn small(instances_max: u32) -> Runtime {
    Runtime::new(RuntimeSettings { instances_max, ..RuntimeSettings::default() }).unwrap()
}

#[test]
fn a_looping_guest_leaves_its_thread_to_others_and_ends_in_time() {
    let timeout = Duration::from_millis(500);
    let looping = runner("endless-loop", Limits { timeout, ..Limits::default() });
    let ordinary = runner("global-counter", Limits::default());
    let contend = async || {
        let started = Instant::now();
        let looping = Arc::clone(&looping).call(event(""), Box::new(Memory::default()));
        let looping = tokio::spawn(looping);
        let mut served = 0;
        while !looping.is_finished() {
            let call = Arc::clone(&ordinary).call(event(""), Box::new(Memory::default()));
            assert_eq!(answer(&call.await), "1");
            served += 1;
            tokio::task::yield_now().await;
        }
        let took = started.elapsed();
        let failure = looping.await.unwrap().result.unwrap_err();
        assert_eq!(failure.class, FailureClass::Timeout);
        // A guest that held its thread would let the other run once, before itself.
        if served > 10 { took } else { Duration::MAX }
    };
    at_best_within(timeout + Duration::from_millis(50), || block_on(contend()));
}

#[test]
fn two_looping_guests_share_a_thread() {
    let timeout = Duration::from_millis(500);
    let runner = runner("endless-loop", Limits { timeout, ..Limits::default() });
    let (first, second) = block_on(async {
        let call = || Arc::clone(&runner).call(event(""), Box::new(Memory::default()));
        tokio::join!(call(), call())
    });
    let (first, second) = (first.usage.busy, second.usage.busy);
    assert!(first.min(second) * 4 > first.max(second), "{first:?} and {second:?}");
}

#[test]
fn a_guest_holds_its_thread_for_one_to_two_milliseconds() {
    let timeout = Duration::from_millis(300);
    let looping = runner("endless-loop", Limits { timeout, ..Limits::default() });
    let lower_quartile = async || {
        let looping = Arc::clone(&looping).call(event(""), Box::new(Memory::default()));
        let looping = tokio::spawn(looping);
        let (mut gaps, mut last) = (Vec::new(), Instant::now());
        while !looping.is_finished() {
            tokio::task::yield_now().await;
            gaps.push(last.elapsed());
            last = Instant::now();
        }
        gaps.sort();
        gaps[gaps.len() / 4]
    };
    at_best_within(Duration::from_millis(2), || block_on(lower_quartile()));
}

#[test]
fn a_dropped_call_gives_its_instance_back() {
    let runtime = small(1);
    let looping = runtime.load(&guests::component("endless-loop")).unwrap();
    let sleeping = runtime.load(&guests::component("snoop")).unwrap();
    let counting = runtime.load(&guests::component("global-counter")).unwrap();
    let runner = |plugin| runner_with(&runtime, plugin, Limits::default());
    block_on(async {
        for (plugin, payload) in [(&looping, ""), (&sleeping, "4000")] {
            let call = runner(plugin).call(event(payload), Box::new(Memory::default()));
            let cut = tokio::time::timeout(Duration::from_millis(20), call).await;
            assert!(cut.is_err(), "it would have run on");
            let call = runner(&counting).call(event(""), Box::new(Memory::default()));
            assert_eq!(answer(&call.await), "1", "the only instance is free again");
        }
        // One that was never polled holds nothing.
        drop(runner(&counting).call(event(""), Box::new(Memory::default())));
    });
}

#[test]
fn a_thousand_calls_beyond_the_pool_wait_their_turn() {
    let runtime = small(8);
    let plugin = runtime.load(&guests::component("snoop")).unwrap();
    let runner = runner_with(&runtime, &plugin, Limits::default());
    block_on(async {
        let calls: Vec<_> = (0..1_000)
            .map(|_| {
                tokio::spawn(Arc::clone(&runner).call(event("1"), Box::new(Memory::default())))
            })
            .collect();
        for call in calls {
            let finished = call.await.unwrap();
            assert!(answer(&finished).contains("after 1000000"), "{finished:?}");
        }
    });
}

#[test]
fn many_threads_share_a_small_pool() {
    let runtime = small(3);
    let load = |name| runtime.load(&guests::component(name)).unwrap();
    let (looping, counting) = (load("endless-loop"), load("global-counter"));
    let timeout = Duration::from_millis(5);
    let looping = runner_with(&runtime, &looping, Limits { timeout, ..Limits::default() });
    let counting = runner_with(&runtime, &counting, Limits { reuse: 5, ..Limits::default() });
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    threads.worker_threads(4).enable_all().build().unwrap().block_on(async {
        let calls: Vec<_> = (0..200)
            .map(|call| match call % 4 {
                0 => (&looping, "", Some(FailureClass::Timeout)),
                1 => (&counting, "trap", Some(FailureClass::Trap)),
                _ => (&counting, "", None),
            })
            .map(|(runner, payload, expected)| {
                let call = Arc::clone(runner).call(event(payload), Box::new(Memory::default()));
                (tokio::spawn(call), expected)
            })
            .collect();
        for (call, expected) in calls {
            let finished = call.await.unwrap();
            assert_eq!(finished.result.err().map(|failure| failure.class), expected);
        }
    });
}

#[test]
fn instances_kept_for_reuse_give_way_to_others() {
    let runtime = small(2);
    let plugin = runtime.load(&guests::component("global-counter")).unwrap();
    let reuse = Limits { reuse: 100, ..Limits::default() };
    let keeping = [
        runner_with(&runtime, &plugin, reuse.clone()),
        runner_with(&runtime, &plugin, reuse.clone()),
        runner_with(&runtime, &plugin, reuse),
    ];
    block_on(async {
        for round in 0..3 {
            for runner in &keeping {
                let call = Arc::clone(runner).call(event(""), Box::new(Memory::default()));
                let answered = tokio::time::timeout(Duration::from_secs(5), call).await;
                assert!(answered.is_ok(), "round {round} waits for an idle instance");
            }
        }
    });
}

#[test]
fn an_idle_runtime_uses_no_processor_time() {
    let runtime = small(1);
    let plugin = runtime.load(&guests::component("global-counter")).unwrap();
    let runner = runner_with(&runtime, &plugin, Limits::default());
    block_on(async {
        for _ in 0..3 {
            let call = Arc::clone(&runner).call(event(""), Box::new(Memory::default()));
            assert_eq!(answer(&call.await), "1");
            let deadline = Instant::now() + Duration::from_secs(5);
            while !runtime.is_idle() {
                assert!(Instant::now() < deadline, "the ticker parks when no guest runs");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    });
}
