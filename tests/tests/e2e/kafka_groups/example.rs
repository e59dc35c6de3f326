//! The ticketing example on Kafka: the same files, and `[broker]`.

use anyhow::{Context, Result};
use gristmill_tests::support::kafka::witness::Ground;

use crate::ticketing;

#[test]
fn the_example_runs_on_kafka_by_changing_the_broker_alone() -> Result<()> {
    let ground = Ground::shared()?;
    let brokers = ground.cluster().bootstrap();
    let home =
        ticketing::home(&format!("\n[broker]\nkind = \"kafka\"\nbrokers = [\"{brokers}\"]\n"))?;
    let mut host = home.start(&[("GRISTMILL_LISTEN", "127.0.0.1:0".to_owned())])?;
    let client = host.must_be_ready()?;
    ticketing::plays_as_expected(&client, &|topic| {
        ground.read(&[topic])?.remove(topic).context("the topic was not read")
    })?;
    ticketing::mends(&home, &client)?;
    host.stop()
}
