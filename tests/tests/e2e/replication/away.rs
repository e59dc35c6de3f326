//! A second cluster that is away for longer than every time-out, and comes back.

use anyhow::{Context, Result, ensure};
use gristmill_tests::chaos::complaints::Expected;

use super::pair::{Pair, Told, end, listed, metric, of, replication, skipped, until};

/// What a host rightly says of it.
const EXPECTED: [Expected; 4] = [
    Expected { parts: &["no broker answers", "cluster=\"west\""], why: "it was killed" },
    Expected { parts: &["E0520", "does not answer"], why: "it was killed" },
    Expected { parts: &["E0524", "short", "not copied yet"], why: "records were removed" },
    Expected { parts: &["E0525", "short", "from=8 to=20 lost=12"], why: "records were removed" },
];

#[test]
fn a_cluster_that_is_away_loses_nothing_and_what_retention_takes_is_told() -> Result<()> {
    let mut pair = Pair::start()?;
    let tables = format!(
        "[topics.orders]\npartitions = 3\n[topics.short]\npartitions = 1\n{}",
        replication("west", ("east", "west", &pair.west), "[\"orders\", \"short\"]")
    );
    let home = Pair::home(&pair.east, "east", &tables)?;
    let mut host = home.start(&[])?;
    let client = host.must_be_ready()?;
    let (mut told, mut writer) = (Told::default(), pair.east.writer()?);
    told.write(&mut writer, ("orders", 3), 3_000)?;
    told.write(&mut writer, ("short", 1), 8)?;
    told.hold(&pair.west, ("orders", "orders"), "east")?;
    told.hold(&pair.west, ("short", "short"), "east")?;
    pair.west.broker(1)?.kill()?;
    told.write(&mut writer, ("orders", 3), 3_000)?;
    told.write(&mut writer, ("short", 1), 20)?;
    writer.finish()?;
    // The membership is lost too, and whatever was in a transaction has timed out.
    let report = until(&client, "west", |report| {
        report["state"] == "away"
            && report["slots_held"] == 0
            && of(report, "orders")["lag"] == 3_000
    })?;
    ensure!(report["error"]["code"] == "E0520", "{report}");
    ensure!(of(&report, "orders")["lag_seconds"].as_f64() > Some(1.0), "{report}");
    ensure!(client.is_ready(), "a host whose other cluster is away does all else");
    let table = listed(&client, &[])?;
    ensure!(table.contains("away") && table.contains("west: away since"), "{table}");
    let json: serde_json::Value = serde_json::from_str(&listed(&client, &["--json"])?)?;
    ensure!(json["replications"][0]["state"] == "away", "{json}");
    ensure!(metric(&client, "gristmill_replication_up{replication=\"west\"}")? == 0);
    let lag = "gristmill_replication_lag{replication=\"west\",topic=\"orders\"}";
    ensure!(metric(&client, lag)? == 3_000, "{}", client.get("/metrics")?);
    pair.east.trim("short", 0, 20)?;
    pair.west.broker(1)?.start()?;
    told.hold(&pair.west, ("orders", "orders"), "east")?;
    let short = told.0.get_mut("short").context("it was written")?;
    short[0].drain(8..20);
    told.hold(&pair.west, ("short", "short"), "east")?;
    until(&client, "west", |report| {
        report["state"] == "runs"
            && of(report, "orders")["lag"] == 0
            && of(report, "short")["lag"] == 0
    })?;
    let lost = &skipped("lost", "west", "short");
    ensure!(metric(&client, lost)? == 12, "{}", client.get("/metrics")?);
    end(&home, host, &EXPECTED)
}
