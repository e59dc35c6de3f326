//! A short run of what `make chaos ARGS=--kafka` does for minutes.

use gristmill_tests::chaos::{self, Options};
use gristmill_tests::support::component;

#[test]
fn nothing_is_lost_repeated_or_reordered_however_often_hosts_on_kafka_are_killed() {
    let binary = component::binary("debug");
    let options = Options { binary, events: 3_000, kills: 6, swaps: 0, seed: 1 };
    let report = chaos::kafka::kills(&options, &mut |_, _, _, _| {}).unwrap();
    assert!(report.is_clean(), "{report}");
    assert!(report.kills.counted() >= 6 && report.events.published >= 3_000, "{report}");
}
