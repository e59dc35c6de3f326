//! Replications to where they come from, of what cannot be copied, and of nothing.

use expect_test::expect;

use super::{check, host_problems};

#[test]
fn a_replication_is_between_two_clusters_and_of_topics_that_are_kept() {
    let text = "[broker]\nkind = \"kafka\"\nbrokers = [\"east:9092\"]\n\
                [topics.near]\nlocal = true\n[replication.west]\n\
                topics = [\"near\", \"__own\", \"^[\"]\n\
                brokers = [\"east:9092\"]\ncluster = \"a\"\nto_cluster = \"a\"\n\
                rename = \"west\"\nproperties = { \"group.id\" = \"x\" }\n[replication.south]\n";
    check(
        &host_problems(text),
        &expect![[r#"
        gristmill.toml:7: [E0141] `replication.west` cannot copy "near", which is local: its events are kept nowhere
        gristmill.toml:7: [E0141] `replication.west` cannot copy "__own", which is a host's own
        gristmill.toml:7: [E0110] `topics`: "^[" is no regular expression: unclosed character class
          write: `topics = ["near", "__own"]`
        gristmill.toml:8: [E0140] `replication.west` would copy topics to themselves: "east:9092" is a broker of this host's own cluster
          write: `rename = "copy.{topic}"`
        gristmill.toml:10: [E0140] `replication.west` is from "a" to "a": nothing would be copied, for all of it has been there
          write: `to_cluster = "a-2"`
        gristmill.toml:11: [E0111] `rename`: "west" is not a template of topic names: letters of such names and `{topic}` once, such as `west.{topic}`, and no `__` to begin with
          write: `rename = "west.{topic}"`
        gristmill.toml:12: [E0122] `group.id` is the host's to decide
        gristmill.toml:13: [E0104] `brokers` is missing in `[replication.south]`
          write: `brokers = ["kafka-west:9092"]`
        gristmill.toml:13: [E0104] `cluster` is missing in `[replication.south]`
          write: `cluster = "east"`
        gristmill.toml:13: [E0104] `to_cluster` is missing in `[replication.south]`
          write: `to_cluster = "west"`
        gristmill.toml:13: [E0104] `topics` is missing in `[replication.south]`
          write: `topics = ["orders"]`
    "#]],
    );
    let text = "[broker]\nkind = \"kafka\"\nbrokers = [\"east:9092\"]\n[replication.west]\n\
                topics = [\"orders\"]\nbrokers = [\"west:9092\", \"east:9092\"]\n\
                cluster = \"east\"\nto_cluster = \"west\"\n";
    check(
        &host_problems(text),
        &expect![[r#"
        gristmill.toml:6: [E0140] `replication.west` would copy topics to themselves: "east:9092" is a broker of this host's own cluster
          write: `rename = "copy.{topic}"`
    "#]],
    );
}
