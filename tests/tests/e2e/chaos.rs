//! A short run of what `make chaos` does for minutes.

use gristmill_tests::chaos::{self, Options};
use gristmill_tests::support::component;

fn options() -> Options {
    Options { binary: component::binary("debug"), events: 5_000, kills: 15, swaps: 10, seed: 1 }
}

#[test]
fn nothing_is_lost_repeated_or_reordered_however_often_the_host_is_killed() {
    let report = chaos::kills(&options(), &mut |_, _, _, _| {}).unwrap();
    assert!(report.is_clean(), "{report}");
    assert!(report.kills.counted() >= 15 && report.events.published >= 5_000, "{report}");
}

#[test]
fn nothing_is_lost_repeated_or_reordered_while_the_plugin_is_replaced() {
    let report = chaos::swaps(&options(), &mut |_, _, _, _| {}).unwrap();
    assert!(report.is_clean(), "{report}");
    assert!(report.swaps >= 10 && report.events.published >= 5_000, "{report}");
}
