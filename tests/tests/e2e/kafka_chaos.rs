//! Short runs of what `make chaos` does for minutes to hosts on Kafka.

use gristmill_tests::chaos::{self, Options};
use gristmill_tests::support::component;

fn options() -> Options {
    let binary = component::binary("debug");
    let (events, kills, wire) = (3_000, 6, 12);
    Options { binary, events, kills, swaps: 0, wire, storm: 0, brokers: 0, disk: 0, seed: 1 }
}

#[test]
fn nothing_is_lost_repeated_or_reordered_however_often_hosts_on_kafka_are_killed() {
    let report = chaos::kafka::kills(&options(), &mut |_, _, _, _| {}).unwrap();
    assert!(report.is_clean(), "{report}");
    assert!(report.done.kills.counted() >= 6 && report.events.published >= 3_000, "{report}");
}

#[test]
fn nothing_is_lost_repeated_or_reordered_where_nobody_knows_what_became_of_commits() {
    let report = chaos::kafka::wire(&options(), &mut |_, _, _, _| {}).unwrap();
    assert!(report.is_clean(), "{report}");
    let told = |words: &str| {
        let faults = report.done.faults.iter().filter(|(name, _)| name.starts_with(words));
        faults.map(|(_, count)| count).sum::<u64>()
    };
    assert!(told("commits") >= 12 && report.events.published >= 3_000, "{report}");
}
