//! Topics and records that the other cluster does not take: what waits says so, all else goes on.

use anyhow::{Result, ensure};
use gristmill_tests::chaos::complaints::Expected;
use gristmill_tests::support::kafka::Written;

use super::pair::{Pair, Told, end, metric, of, replication, skipped, until};

/// What a host rightly says of it.
const EXPECTED: [Expected; 3] = [
    Expected { parts: &["E0522", "narrow"], why: "it has fewer partitions there" },
    Expected { parts: &["E0523", "small", "offset=2"], why: "it takes no record as large" },
    Expected { parts: &["E0527", "small", "offset=2"], why: "it is left out, as configured" },
];
/// A topic that takes no record of 5,000 bytes.
const SMALL: [&str; 1] = ["max.message.bytes=2000"];

#[test]
fn what_is_not_taken_waits_or_is_left_out_and_all_else_goes_on() -> Result<()> {
    let pair = Pair::start()?;
    pair.west.create_topic("narrow", 2, &[])?;
    pair.west.create_topic("small", 1, &SMALL)?;
    pair.west.create_topic("left.small", 1, &SMALL)?;
    let way = ("east", "west", &pair.west);
    let tables = format!(
        "[topics.narrow]\npartitions = 3\n[topics.small]\npartitions = 1\n[topics.free]\n\
         partitions = 1\n{}{}on_refused = \"skip\"\nrename = \"left.{{topic}}\"\n",
        replication("waits", way, "[\"narrow\", \"small\", \"free\"]"),
        replication("skips", way, "[\"small\"]"),
    );
    let home = Pair::home(&pair.east, "east", &tables)?;
    let mut host = home.start(&[])?;
    let client = host.must_be_ready()?;
    let (mut told, mut writer) = (Told::default(), pair.east.writer()?);
    told.write(&mut writer, ("narrow", 3), 30)?;
    told.write(&mut writer, ("small", 1), 2)?;
    let large = Written {
        topic: "small".to_owned(),
        partition: 0,
        timestamp_ms: 1_700_000_000_002,
        headers: Vec::new(),
        key: Some("large".to_owned()),
        value: Some(format!("\"{}\"", "x".repeat(5_000))),
    };
    writer.write([&large])?;
    told.0.entry("small".to_owned()).or_default()[0].push(large);
    told.write(&mut writer, ("small", 1), 5)?;
    let mut without = told.clone();
    let small = without.0.entry("small".to_owned()).or_default();
    small[0].retain(|record| record.key.as_deref() != Some("large"));
    told.write(&mut writer, ("free", 1), 100)?;
    writer.finish()?;
    told.hold(&pair.west, ("free", "free"), "east")?;
    without.hold(&pair.west, ("small", "left.small"), "east")?;
    let report = until(&client, "waits", |report| {
        of(report, "small")["state"] == "waits" && of(report, "narrow")["state"] == "refused"
    })?;
    let waiting = &of(&report, "small")["waiting"][0];
    ensure!(waiting["partition"] == 0 && waiting["offset"] == 2, "{report}");
    ensure!(waiting["error"]["code"] == "E0523" && of(&report, "free")["lag"] == 0, "{report}");
    ensure!(of(&report, "narrow")["error"]["code"] == "E0522", "{report}");
    let left = &skipped("refused", "skips", "small");
    ensure!(metric(&client, left)? == 1, "{}", client.get("/metrics")?);
    pair.west.grow_topic("narrow", 3)?;
    pair.west.set_topic("small", "max.message.bytes=20000")?;
    told.hold(&pair.west, ("narrow", "narrow"), "east")?;
    told.hold(&pair.west, ("small", "small"), "east")?;
    until(&client, "waits", |report| {
        report["topics"].as_array().is_some_and(|all| all.iter().all(|it| it["state"] == "runs"))
    })?;
    end(&home, host, &EXPECTED)
}
