//! Replications are read as they are written, with the documented defaults.

use gristmill_config::{CopyFrom, OnRefused, ReplicationConfig, TopicSelector};
use gristmill_engine::Millis;

use super::host_of;

const LEAST: &str = "[replication.west]\ntopics = [\"orders\", \"^eu-.*\"]\n\
                     brokers = [\"west:9092\"]\ncluster = \"east\"\nto_cluster = \"west\"\n";

fn only(text: &str) -> ReplicationConfig {
    host_of(text).replication.remove("west").unwrap()
}

#[test]
fn a_replication_needs_topics_and_two_clusters_only() {
    let found = only(LEAST);
    let topics: Vec<&str> = found.topics.iter().map(TopicSelector::as_str).collect();
    assert_eq!(
        (topics, &*found.brokers),
        (vec!["orders", "^eu-.*"], &["west:9092".to_owned()][..])
    );
    assert_eq!((&*found.cluster, &*found.to_cluster, found.rename), ("east", "west", None));
    assert_eq!((found.from, found.on_refused), (CopyFrom::Earliest, OnRefused::Wait));
    assert_eq!((found.relay, found.replication), (true, None));
    let timeouts = (found.session_timeout, found.transaction_timeout);
    assert_eq!(timeouts, (Millis::seconds(10), Millis::seconds(8)));
    assert!(found.properties.is_empty() && host_of("").replication.is_empty());
}

#[test]
fn a_replication_is_as_it_is_written() {
    let found = only(&format!(
        "[topics.Order]\nname = \"dev.orders\"\n{LEAST}rename = \"east.{{topic}}\"\n\
         from = \"latest\"\nrelay = false\non_refused = \"skip\"\nreplication = 3\n\
         properties = {{ \"security.protocol\" = \"SSL\" }}\n"
    ));
    assert_eq!(found.rename.unwrap().fill("orders"), "east.orders");
    assert_eq!((found.from, found.on_refused), (CopyFrom::Latest, OnRefused::Skip));
    assert_eq!((found.relay, found.replication), (false, Some(3)));
    assert_eq!(found.properties.len(), 1);
    let named = format!("[topics.Order]\nname = \"dev.orders\"\n{LEAST}");
    let named = only(&named.replace("\"orders\"", "\"Order\""));
    assert_eq!(named.topics[0].as_str(), "dev.orders", "topics go by their names on the broker");
}
