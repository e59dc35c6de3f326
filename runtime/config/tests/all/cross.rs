//! What is wrong between documents is found, and both are named.

use expect_test::{Expect, expect};
use gristmill_config::{HostConfig, Manifest, Source, cross_check, host, manifest};

fn env(_: &str) -> Option<String> {
    None
}

fn host_of(text: &str) -> HostConfig {
    host(&Source { name: "gristmill.toml", text }, &env).unwrap()
}

fn manifest_of(name: &str, text: &str) -> Manifest {
    manifest(&Source { name, text }, &env, &host_of("").ceilings).unwrap()
}

fn check(host: &HostConfig, manifests: &[Manifest], expected: &Expect) {
    expected.assert_eq(&format!("{}\n", cross_check(host, manifests, &[])));
}

const TOPICS: &str = "[topics.orders]\n[topics.payments]\npartitions = 4\n";

#[test]
fn names_are_used_once() {
    let geo = manifest_of("plugins/geo.toml", "[[subscription]]\ntopics = [\"orders\"]\n");
    let copy = "[plugin]\nname = \"geo\"\n[[subscription]]\nname = \"geo\"\ntopics = [\"orders\"]\n\
                [[subscription]]\nname = \"two\"\ntopics = [\"orders\"]\n";
    let copy = manifest_of("plugins/copy.toml", copy);
    let third = manifest_of(
        "plugins/third.toml",
        "[[subscription]]\nname = \"two\"\ntopics = [\"orders\"]",
    );
    check(
        &host_of(TOPICS),
        &[geo, copy, third],
        &expect![[r#"
        plugins/copy.toml:1: [E0119] plugin "geo" is already that of plugins/geo.toml
          write: `plugin.name = "geo-2"`
        plugins/copy.toml:4: [E0119] subscription "geo" is already that of plugins/geo.toml:1
          write: `name = "geo-2"`
        plugins/third.toml:2: [E0119] subscription "two" is already that of plugins/copy.toml:7
          write: `name = "third-two"`
    "#]],
    );
}

#[test]
fn topics_and_grants_reach_topics() {
    let text = "[[subscription]]\ntopics = [\"orders\", \"paymets\", \"users\"]\n\
                [subscription.grants]\nemit = [\"orders\", \"payment\", \"users.*\"]\n";
    check(
        &host_of(TOPICS),
        &[manifest_of("geo.toml", text)],
        &expect![[r#"
            geo.toml:2: [E0120] unknown topic "paymets"; "payments" exists
              write: `topics = ["orders", "payments", "users"]`
            geo.toml:2: [E0120] unknown topic "users"; declare it in gristmill.toml
              write: `[topics."users"]`
            geo.toml:4: [E0121] warning: grant "payment" reaches no topic
              write: `emit = ["orders", "payments", "users.*"]`
        "#]],
    );
}

#[test]
fn dead_letters_of_another_subscription_are_a_topic() {
    let geo = manifest_of("geo.toml", "[[subscription]]\ntopics = [\"orders\"]\n");
    let mender = manifest_of("mender.toml", "[[subscription]]\ntopics = [\"orders.geo.dlq\"]\n");
    assert!(cross_check(&host_of(TOPICS), &[geo, mender], &[]).is_empty());
}

#[test]
fn topics_that_exist_need_no_declaration() {
    let geo = manifest_of("geo.toml", "[[subscription]]\ntopics = [\"users\"]\n");
    let existing = ["users".to_owned()];
    assert!(cross_check(&host_of(TOPICS), std::slice::from_ref(&geo), &existing).is_empty());
    assert!(cross_check(&host_of(TOPICS), &[geo], &[]).has_errors());
}

#[test]
fn topics_created_on_publish_are_only_doubted() {
    let text = "[[subscription]]\ntopics = [\"users\"]\n[subscription.grants]\nemit = [\"new\"]\n";
    let host = host_of("[topics]\ncreate_on_publish = true\n");
    check(
        &host,
        &[manifest_of("geo.toml", text)],
        &expect![[r#"
            geo.toml:2: [E0120] warning: unknown topic "users"; declare it in gristmill.toml
              write: `[topics."users"]`
        "#]],
    );
}

#[test]
fn state_over_several_topics_needs_equal_partitions() {
    let text = "[[subscription]]\ntopics = [\"orders\", \"payments\"]\n";
    let stateless = manifest_of("geo.toml", text);
    assert!(cross_check(&host_of(TOPICS), &[stateless], &[]).is_empty());
    let stateful = manifest_of("geo.toml", &format!("{text}grants.state = true\n"));
    check(
        &host_of(TOPICS),
        &[stateful],
        &expect![[r#"
            geo.toml:2: [E0123] state and timers over several topics need equal partition counts, or `repartition`: in gristmill.toml, "orders" has 8, "payments" has 4
              write: `repartition = 8`
        "#]],
    );
}

#[test]
fn state_whose_keys_are_spread_takes_any_partitions() {
    let text = "[[subscription]]\ntopics = [\"orders\", \"payments\"]\nrepartition = 8\n\
                grants.state = true\n";
    let spread = manifest_of("geo.toml", text);
    assert_eq!(spread.subscriptions[0].repartition, Some(8));
    assert!(cross_check(&host_of(TOPICS), &[spread], &[]).is_empty());
}

#[test]
fn an_expression_that_matches_nothing_yet_is_only_doubted() {
    let text = "[[subscription]]\ntopics = [\"^pay.*\", \"^orders-.*\"]\ngrants.state = true\n";
    let geo = manifest_of("geo.toml", text);
    check(
        &host_of(TOPICS),
        std::slice::from_ref(&geo),
        &expect![[r"
        geo.toml:2: [E0120] warning: no topic is known that `^orders-.*` matches
    "]],
    );
    assert!(cross_check(&host_of(TOPICS), &[geo], &["orders-eu".to_owned()]).is_empty());
    let both =
        manifest_of("geo.toml", "[[subscription]]\ntopics = ['^\\w+']\ngrants.state = true\n");
    check(
        &host_of(TOPICS),
        &[both],
        &expect![[r#"
            geo.toml:2: [E0123] state and timers over several topics need equal partition counts, or `repartition`: in gristmill.toml, "orders" has 8, "payments" has 4
              write: `repartition = 8`
        "#]],
    );
}

#[test]
fn state_of_a_local_handler_is_kept_with_who_causes_its_events() {
    let host = host_of("[topics.orders]\n[topics.happened]\nlocal = true\n");
    let read = |name, text| manifest(&Source { name, text }, &env, &host.ceilings).unwrap();
    let handler = "[[subscription]]\ntopics = [\"happened\"]\ngrants.state = true\n";
    let cause = "[[subscription]]\ntopics = [\"orders\"]\ngrants.emit = [\"happen*\"]\n";
    let manifests = [read("handler.toml", handler), read("cause.toml", cause)];
    check(
        &host,
        &manifests,
        &expect![[r#"
        cause.toml:3: [E0125] "happen*" causes local events that "handler" handles, which keeps state: it is kept with this subscription, which may keep none
          write: `grants.state = true`
    "#]],
    );
    let cause = format!("{cause}grants.state = true\n");
    let manifests = [read("handler.toml", handler), read("cause.toml", &cause)];
    assert!(cross_check(&host, &manifests, &[]).is_empty());
}
