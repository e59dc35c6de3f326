//! Tests of the instruments: that they show what was counted and that the documentation lists
//! exactly what there is.

use std::time::Duration;

use gristmill_engine::{Bytes, FailureClass, Figures, Instant, Millis};
use gristmill_plugin_host::Usage;
use gristmill_store::{Figures as StoreFigures, Histogram, Space};

use super::{Metrics, Outcome};

fn assert_shows(metrics: &Metrics, lines: &[&str]) {
    let text = metrics.render();
    for line in lines {
        assert!(text.lines().any(|other| other == *line), "{line} is not in\n{text}");
    }
}

#[test]
fn the_documentation_lists_exactly_what_there_is() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
    let document = std::fs::read_to_string(path).unwrap();
    let mut listed: Vec<&str> = document.lines().filter(|line| line.starts_with("| `")).collect();
    listed.sort_unstable();
    let rows = Metrics::new().rows();
    assert_eq!(listed, rows, "docs/metrics.md should have these rows:\n{}", rows.join("\n"));
}

#[test]
fn names_follow_the_rules() {
    for entry in &Metrics::new().entries {
        let name = entry.name;
        let is_own = name.starts_with("gristmill_") || name.starts_with("process_");
        // Counted on request, under a name that others know.
        assert!(is_own || name == "kafka_events_published_total", "{name}");
        let is_counter = entry.kind == "counter" || name == "process_cpu_seconds_total";
        assert_eq!(name.ends_with("_total"), is_counter, "{name}");
        assert!(entry.kind != "histogram" || name.ends_with("_seconds"), "{name}");
    }
}

#[test]
fn a_subscriptions_life_is_counted() {
    let metrics = Metrics::new();
    let instruments = metrics.subscription("ordering", "shop", &["orders".into()]);
    let (one, two) = (instruments.meter(), instruments.meter());
    one.consumed("orders");
    two.consumed("orders");
    one.consumed("a topic it does not read");
    one.attempted(None, Duration::from_micros(300));
    one.attempted(Some(FailureClass::Trap), Duration::from_secs(20));
    one.completed(Outcome::Committed, Instant(7_000), Millis(30));
    one.completed(Outcome::Duplicate, Instant(8_999), Millis(0));
    one.completed(Outcome::DeadLettered, Instant(8_999), Millis(0));
    instruments.dead_lettered(FailureClass::Trap);
    one.waited(Millis(2));
    instruments.timer_fired(Millis(40_000));
    one.emitted(3);
    let used = |memory_bytes_peak, fuel| Usage {
        memory_bytes_peak,
        fuel,
        busy: Duration::from_millis(250),
        ..Usage::default()
    };
    one.used(&used(65_536, Some(500)));
    one.used(&used(1_024, None));
    let oldest_parked = Some(Instant(5_500));
    let figures = Figures { lanes_active: 4, oldest_parked, ..Figures::default() };
    metrics.set_figures("ordering", &figures);
    one.tell();
    drop(two);
    assert_shows(
        &metrics,
        &[
            r#"gristmill_events_consumed_total{subscription="ordering",topic="orders"} 2"#,
            r#"gristmill_attempts_total{class="success",plugin="shop",subscription="ordering"} 1"#,
            r#"gristmill_attempts_total{class="trap",plugin="shop",subscription="ordering"} 1"#,
            r#"gristmill_attempts_total{class="memory",plugin="shop",subscription="ordering"} 0"#,
            r#"gristmill_plugin_traps_total{plugin="shop"} 1"#,
            r#"gristmill_events_completed_total{outcome="committed",subscription="ordering"} 1"#,
            r#"gristmill_events_completed_total{outcome="filtered",subscription="ordering"} 0"#,
            r#"gristmill_dedupe_hits_total{subscription="ordering"} 1"#,
            r#"gristmill_dead_letters_total{class="trap",subscription="ordering"} 1"#,
            r#"gristmill_process_duration_seconds_bucket{subscription="ordering",le="0.0005"} 1"#,
            r#"gristmill_process_duration_seconds_bucket{subscription="ordering",le="10"} 1"#,
            r#"gristmill_process_duration_seconds_count{subscription="ordering"} 2"#,
            r#"gristmill_end_to_end_latency_seconds_count{subscription="ordering"} 1"#,
            r#"gristmill_timer_lateness_seconds_bucket{subscription="ordering",le="120"} 1"#,
            r#"gristmill_emissions_total{subscription="ordering"} 3"#,
            r#"gristmill_plugin_memory_bytes{plugin="shop"} 65536"#,
            r#"gristmill_plugin_busy_seconds_total{plugin="shop"} 0.5"#,
            r#"gristmill_plugin_fuel_total{plugin="shop"} 500"#,
            r#"gristmill_lanes_active{subscription="ordering"} 4"#,
            r#"gristmill_oldest_parked_timestamp_seconds{subscription="ordering"} 5"#,
            r#"gristmill_last_event_processed_timestamp_seconds{subscription="ordering"} 8"#,
        ],
    );
    assert_eq!(metrics.last_processed("ordering"), Some(Instant(8_000)));
    assert_eq!(metrics.last_processed("other"), None);
}

#[test]
fn only_the_version_in_use_is_shown() {
    let metrics = Metrics::new();
    metrics.plugin_activated("shop", "aa", "cc");
    metrics.plugin_activated("shop", "bb", "cc");
    metrics.plugin_activated("shop", "bb", "cc");
    let text = metrics.render();
    let shown: Vec<_> = text.lines().filter(|it| it.starts_with("gristmill_plugin_info")).collect();
    assert_eq!(shown, [r#"gristmill_plugin_info{component="cc",digest="bb",plugin="shop"} 1"#]);
}

#[test]
fn the_stores_figures_are_shown_as_it_counts_them() {
    let metrics = Metrics::new();
    let sync =
        Histogram { buckets: vec![(0.001, 2), (0.01, 3), (f64::INFINITY, 1)], sum: 0.5, count: 6 };
    let figures = StoreFigures { sync, state: Bytes(77), ..StoreFigures::default() };
    metrics.set_store(figures, Space { free: Bytes(99), total: Bytes(200), low: true });
    assert_shows(
        &metrics,
        &[
            r#"gristmill_fsync_duration_seconds_bucket{le="0.001"} 2"#,
            r#"gristmill_fsync_duration_seconds_bucket{le="0.01"} 5"#,
            r#"gristmill_fsync_duration_seconds_bucket{le="+Inf"} 6"#,
            "gristmill_fsync_duration_seconds_count 6",
            "gristmill_state_bytes 77",
            "gristmill_storage_free_bytes 99",
            "gristmill_storage_low 1",
        ],
    );
}

#[test]
fn the_process_shows_itself() {
    let text = Metrics::new().render();
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    assert!(value("process_resident_memory_bytes ") > 1_000_000.0);
    assert!(value("process_threads ") >= 1.0);
    assert!(text.contains(concat!("version=\"", env!("CARGO_PKG_VERSION"), "\"} 1")));
}
