//! A host without a cluster of its own, which ships its topics to one.

use anyhow::{Context, Result, ensure};
use gristmill_tests::support::component::binary;
use gristmill_tests::support::home::Home;
use gristmill_tests::support::kafka::Cluster;
use gristmill_tests::support::wait;
use serde_json::{Value, json};

use super::pair::{PATIENCE, common, end, replication, shown};

/// Events published before the host is killed, and after.
const HALF: u64 = 1_500;

#[test]
fn topics_of_a_host_alone_are_shipped_to_a_cluster_once() -> Result<()> {
    let central = Cluster::start(1)?;
    let rename = "rename = \"shop-7.{topic}\"\n";
    let config = format!(
        "{}[topics.sales]\npartitions = 2\n{}{rename}",
        common("shop-7"),
        replication("central", ("shop-7", "central", &central), "[\"sales\"]")
    );
    let home = Home::new(&binary("debug"), &config)?;
    let mut host = home.start(&[("GRISTMILL_FAILPOINT", "written:2".to_owned())])?;
    let client = host.must_be_ready()?;
    client.publish("sales", &events(0))?;
    let died = host.ended(PATIENCE)?;
    died.with_context(|| format!("it lives on:\n{}", host.tail()))?;
    let mut host = home.start(&[])?;
    let client = host.must_be_ready()?;
    client.publish("sales", &events(HALF))?;
    let source = client.topic("sales")?;
    let expected: Vec<Vec<String>> = source
        .iter()
        .map(|partition| {
            let copy = |record: &_| {
                shown(record).replacen("] ", ", (\"gristmill-provenance\", \"shop-7\")] ", 1)
            };
            partition.iter().map(copy).map(|it| it.replace("[, (", "[(")).collect()
        })
        .collect();
    ensure!(expected.iter().map(Vec::len).sum::<usize>() as u64 == 2 * HALF, "all are published");
    let mut last = Vec::new();
    let held = wait::until(PATIENCE, || {
        let found = central.topic("shop-7.sales")?;
        last = found.iter().map(|it| it.iter().map(shown).collect::<Vec<_>>()).collect();
        Ok((last == expected).then_some(()))
    })?;
    held.with_context(|| format!("{:?}, not {:?}", last.first(), expected.first()))?;
    end(&home, host, &[])
}

/// Events as a request has them.
fn events(from: u64) -> String {
    let event = |n: u64| {
        json!({
            "specversion": "1.0", "id": format!("sale-{n}"), "source": "/till", "type": "sale",
            "partitionkey": format!("c-{}", n % 30), "data": { "n": n },
        })
    };
    Value::Array((from..from + HALF).map(event).collect()).to_string()
}
