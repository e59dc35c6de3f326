//! A short run of what `make chaos` does for minutes.

use gristmill_tests::chaos::{self, Options};
use gristmill_tests::support::component;

fn options() -> Options {
    let binary = component::binary("debug");
    Options { binary, events: 5_000, kills: 15, swaps: 10, wire: 0, seed: 1 }
}

#[test]
fn nothing_is_lost_repeated_or_reordered_however_often_the_host_is_killed() {
    let report = chaos::kills(&options(), &mut |_, _, _, _| {}).unwrap();
    assert!(report.is_clean(), "{report}");
    assert!(report.done.kills.counted() >= 15 && report.events.published >= 5_000, "{report}");
}

#[test]
fn nothing_is_lost_repeated_or_reordered_while_the_plugin_is_replaced() {
    let report = chaos::swaps(&options(), &mut |_, _, _, _| {}).unwrap();
    assert!(report.is_clean(), "{report}");
    assert!(report.done.swaps >= 10 && report.events.published >= 5_000, "{report}");
}
