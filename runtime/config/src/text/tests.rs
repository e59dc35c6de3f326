//! Holds each rule to what it lets pass, what it refuses and what it proposes.

use super::{HOST_MAX, NAME_MAX, TOPIC_MAX, Text, VISIBLE_MAX};

fn check(rule: Text, rows: &[(&str, bool)]) {
    for (text, holds) in rows {
        assert_eq!(rule.check(text).is_ok(), *holds, "{rule:?} of {text:?}");
    }
}

#[test]
fn names_are_lower_case_and_short() {
    let longest = "n".repeat(NAME_MAX);
    let longer = "n".repeat(NAME_MAX + 1);
    let rows =
        [("a", true), ("a-1", true), ("", false), ("A", false), ("a_b", false), ("a.b", false)];
    check(Text::Name, &rows);
    check(Text::Name, &[(&longest, true), (&longer, false)]);
}

#[test]
fn topics_follow_kafkas_rule() {
    let longest = "t".repeat(TOPIC_MAX);
    let longer = "t".repeat(TOPIC_MAX + 1);
    let rows = [
        ("orders", true),
        ("Orders.placed_v1-eu", true),
        ("...", true),
        (".", false),
        ("..", false),
        ("", false),
        ("orders placed", false),
        ("orders/placed", false),
        ("ordérs", false),
        ("orders*", false),
    ];
    check(Text::Topic, &rows);
    check(Text::Topic, &[(&longest, true), (&longer, false)]);
    check(Text::TopicSelector, &[("orders", true), ("..", false), (&longer, false)]);
    check(Text::TopicSelector, &[("^orders-.*", true), ("^", true), ("^(", false), ("a*", false)]);
    check(Text::TopicPattern, &[("orders.*", true), ("*", true), ("", false), ("a b", false)]);
}

#[test]
fn addresses_are_numbers_with_a_port() {
    let rows = [
        ("127.0.0.1:8080", true),
        ("[::1]:8080", true),
        ("0.0.0.0:0", true),
        ("localhost:8080", false),
        ("127.0.0.1", false),
        (":8080", false),
        ("127.0.0.1:99999", false),
    ];
    check(Text::Address, &rows);
}

#[test]
fn log_filters_name_levels() {
    let rows = [
        ("info", true),
        ("off", true),
        ("info,gristmill_node=debug,a::b=trace", true),
        ("", false),
        ("INFO", false),
        ("loud", false),
        ("info,", false),
        ("=info", false),
    ];
    check(Text::Directives, &rows);
}

#[test]
fn servers_are_a_host_with_a_port() {
    let longest = format!("{}:1", "h".repeat(HOST_MAX));
    let longer = format!("{}:1", "h".repeat(HOST_MAX + 1));
    let rows = [
        ("kafka:9092", true),
        ("kafka-0.kafka.svc.cluster.local:1", true),
        ("my_broker:65535", true),
        ("10.0.0.1:9092", true),
        ("[::1]:9092", true),
        ("kafka", false),
        ("kafka:", false),
        (":9092", false),
        ("", false),
        ("kafka:0", false),
        ("kafka:65536", false),
        ("kafka:+1", false),
        ("kafka:9092 ", false),
        ("::1:9092", false),
        ("[::1]", false),
        ("[kafka]:9092", false),
        ("[::1:9092", false),
        ("PLAINTEXT://kafka:9092", false),
        ("a:9092,b:9092", false),
    ];
    check(Text::Server, &rows);
    check(Text::Server, &[(&longest, true), (&longer, false)]);
}

#[test]
fn prefixes_are_visible_and_short() {
    let longest = "p".repeat(VISIBLE_MAX);
    let longer = "p".repeat(VISIBLE_MAX + 1);
    let rows = [("team:mill/1", true), ("", false), ("a b", false), ("ä", false), ("a\n", false)];
    check(Text::Prefix, &rows);
    check(Text::Prefix, &[(&longest, true), (&longer, false)]);
}

#[test]
fn properties_are_lower_case() {
    let rows = [
        ("security.protocol", true),
        ("log_level", true),
        ("a-1", true),
        ("", false),
        ("Security.Protocol", false),
        ("a b", false),
        ("a=b", false),
    ];
    check(Text::Property, &rows);
}

#[test]
fn what_is_mended_holds() {
    for (rule, text, mended) in [
        (Text::Name, "My Plugin", Some("my-plugin")),
        (Text::Topic, "orders placed", Some("orders-placed")),
        (Text::Topic, "..", None),
        (Text::TopicSelector, "orders placed", Some("orders-placed")),
        (Text::TopicSelector, "shop.orders-*", Some(r"^shop\.orders-.*")),
        (Text::TopicSelector, "^(", None),
        (Text::Pointer, "$.customer.id", Some("/customer/id")),
        (Text::Pointer, "eventId", Some("/eventId")),
        (Text::Pointer, "", None),
        (Text::Address, "localhost:8080", Some("127.0.0.1:8080")),
        (Text::Address, "8080", Some("127.0.0.1:8080")),
        (Text::Address, ":8080", Some("127.0.0.1:8080")),
        (Text::Address, "10.0.0.1", Some("10.0.0.1:8080")),
        (Text::Address, "kafka:9092", None),
        (Text::Server, "kafka", Some("kafka:9092")),
        (Text::Server, "SSL://kafka:9093/", Some("kafka:9093")),
        (Text::Server, "kafka:0", Some("kafka:9092")),
        (Text::Server, ":9093", Some("localhost:9093")),
        (Text::Server, "::1", Some("[::1]:9092")),
        (Text::Server, "[::1]", Some("[::1]:9092")),
        (Text::Server, "a:9092,b:9092", None),
        (Text::Group, "mill", Some("mill-{subscription}")),
        (Text::Prefix, "my mill", Some("my-mill")),
        (Text::Prefix, "", None),
        (Text::Property, "SASL.Username", Some("sasl.username")),
        (Text::Property, "sasl username", Some("sasl.username")),
        (Text::Property, "", None),
        (Text::Directives, "INFO", Some("info")),
        (Text::Directives, "warning", Some("warn")),
    ] {
        let misfit = rule.check(text).unwrap_err();
        assert_eq!(misfit.instead.as_deref(), mended, "{rule:?} of {text:?}");
    }
}
