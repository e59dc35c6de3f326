//! A short run of what `make chaos` does for minutes.

use gristmill_tests::chaos::{self, Options};
use gristmill_tests::support::component;

fn options() -> Options {
    let binary = component::binary("debug");
    let (events, kills, swaps, disk) = (5_000, 15, 10, 12);
    Options { binary, events, kills, swaps, wire: 0, storm: 0, brokers: 0, disk, seed: 1 }
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

#[test]
fn nothing_is_lost_repeated_or_reordered_though_writes_and_syncs_fail() {
    let report = chaos::disk::disk(&options(), &mut |_, _, _, _| {}).unwrap();
    assert!(report.is_clean(), "{report}");
    let failed: u64 =
        report.done.faults.iter().filter(|(it, _)| it.starts_with('E')).map(|it| it.1).sum();
    assert!(failed >= 12 && report.events.published >= 5_000, "{report}");
}
