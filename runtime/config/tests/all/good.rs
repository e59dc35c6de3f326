//! What is right is read as it is written, and what is left out is the contract's default.

mod broker;
mod commands;
mod replication;
mod tokens;

use std::{net::SocketAddr, path::PathBuf};

use gristmill_config::{
    Broker, Ceilings, Clock, DeadLetter, Format, Glob, HostConfig, KeyRule, KeyTemplate, LogFormat,
    Manifest, Pointer, Reserve, Retention, Secret, Source, Start, SubscriptionConfig, host,
    manifest, read,
};
use gristmill_engine::{
    Bytes, FailureClass, Millis, OnDead, OnExhausted, Order, Policy, WorkerPolicy,
};

fn env(name: &str) -> Option<String> {
    match name {
        "PARTITIONS" => Some("12".to_owned()),
        "ANONYMOUS" => Some("true".to_owned()),
        "JITTER" => Some("0.5".to_owned()),
        "TOKEN" => Some("s3cret".to_owned()),
        "BROKER" => Some("kafka:9092".to_owned()),
        _ => None,
    }
}

fn host_of(text: &str) -> HostConfig {
    let answer = host(&Source { name: "conf/gristmill.toml", text }, &env);
    answer.unwrap_or_else(|problems| panic!("{problems}"))
}

fn manifest_of(text: &str) -> Manifest {
    let source = Source { name: "plugins/geo.toml", text };
    let answer = manifest(&source, &env, &Ceilings::default());
    answer.unwrap_or_else(|problems| panic!("{problems}"))
}

fn subscription(text: &str) -> SubscriptionConfig {
    let manifest = manifest_of(&format!("[[subscription]]\ntopics = [\"orders\"]\n{text}"));
    manifest.subscriptions.into_iter().next().unwrap()
}

#[test]
fn an_empty_host_has_the_defaults_of_the_contract() {
    let config = host_of("");
    assert_eq!(config.name, "gristmill");
    assert_eq!(config.listen, SocketAddr::from(([127, 0, 0, 1], 8080)));
    assert_eq!(config.data_dir, PathBuf::from("conf/.gristmill"));
    assert_eq!(config.plugins_dir, PathBuf::from("conf/plugins"));
    assert_eq!(config.workers, None);
    assert_eq!(config.worker_policy(), WorkerPolicy::default());
    assert_eq!(config.broker, Broker::Embedded);
    let topic = config.topics.settings("any");
    assert_eq!((topic.partitions, topic.compaction), (8, false));
    assert_eq!(topic.retention, Retention::For(Millis::seconds(7 * 86_400)));
    assert_eq!((topic.max_event_bytes, &topic.key), (Bytes::mib(1), &KeyRule::None));
    assert!(!config.topics.create_on_publish && !config.http.allow_anonymous);
    assert_eq!(config.ceilings, Ceilings::default());
    assert!(config.warnings.is_empty());
}

#[test]
fn a_short_manifest_has_the_policy_of_the_contract() {
    let manifest = manifest_of("[[subscription]]\ntopics = [\"orders\"]\n");
    assert_eq!(manifest.name, "geo");
    let subscription = &manifest.subscriptions[0];
    assert_eq!(subscription.name, "geo");
    assert_eq!(subscription.policy(), Policy::default());
    assert_eq!(subscription.start, Start::Earliest);
    assert_eq!(subscription.envelope.format, Format::Auto);
    assert_eq!(subscription.dead_letter_topic("orders").as_deref(), Some("orders.geo.dlq"));
    let limits = &subscription.limits;
    assert_eq!((limits.memory, limits.attempt_timeout), (Bytes::mib(64), Millis::seconds(5)));
    assert_eq!((limits.emissions, limits.emitted_bytes), (1_000, Bytes::mib(8)));
    assert_eq!((limits.value_bytes, limits.log_bytes), (Bytes::mib(1), Bytes(65_536)));
    assert_eq!((limits.fuel, limits.reuse), (None, 1));
}

#[test]
fn a_subscription_reads_what_it_selects_and_not_its_own_dead_letters() {
    let head = "[[subscription]]\ntopics = [\"orders.geo.dlq\", \"^orders.*\"]\n";
    let manifest = manifest_of(&format!("{head}dead_letter = \"orders.dead\"\n"));
    let subscription = &manifest.subscriptions[0];
    for (topic, is_read) in [
        ("orders", true),
        ("orders.geo.dlq", true),
        ("orders-eu.geo.dlq", true),
        ("orders.dead", false),
        ("payments", false),
    ] {
        assert_eq!(subscription.reads(topic), is_read, "{topic}");
    }
    let manifest = manifest_of("[[subscription]]\ntopics = [\"^orders.*\"]\n");
    let subscription = &manifest.subscriptions[0];
    assert!(subscription.reads("orders.other.dlq") && !subscription.reads("orders.geo.dlq"));
}

#[test]
fn a_topic_says_only_what_differs_from_the_defaults() {
    let config = host_of(
        "[topics]\ndefaults.partitions = 3\ndefaults.retention_bytes = \"1GiB\"\n\
         [topics.\"orders.placed\"]\nretention = \"forever\"\nkey = \"/customer/id\"\n\
         [topics.audit]\npartitions = \"${PARTITIONS}\"\nretention = \"2555d\"\n",
    );
    let orders = config.topics.settings("orders.placed");
    assert_eq!((orders.partitions, orders.retention), (3, Retention::Forever));
    assert_eq!(orders.retention_bytes, Some(Bytes::mib(1_024)));
    assert_eq!(orders.key, KeyRule::Of(KeyTemplate::new("/customer/id").unwrap()));
    let audit = config.topics.settings("audit");
    assert_eq!(audit.partitions, 12);
    assert_eq!(audit.retention, Retention::For(Millis::seconds(2_555 * 86_400)));
    assert_eq!(config.topics.settings("else").partitions, 3);
    assert_eq!(config.topics.declared.len(), 2);
}

#[test]
fn an_address_is_opened_by_the_operators_word() {
    let config = host_of("listen = \"[::]:80\"\nhttp.allow_anonymous = \"${ANONYMOUS}\"\n");
    assert_eq!(config.listen.port(), 80);
    assert!(config.http.allow_anonymous);
    assert_eq!(host_of("listen = \"[::1]:80\"").listen.port(), 80);
}

#[test]
fn storage_keeps_a_size_or_a_share_free() {
    let reserve = |value: &str| host_of(&format!("storage.reserve = \"{value}\"")).storage.reserve;
    assert_eq!(reserve("8MB"), Reserve::Bytes(Bytes(8_000_000)));
    assert_eq!(reserve("90%"), Reserve::Percent(90));
    assert_eq!(reserve("0%"), Reserve::Percent(0));
    let telemetry = host_of("telemetry = { log_format = \"json\", log = \"warn\" }").telemetry;
    assert_eq!((telemetry.log.as_str(), telemetry.log_format), ("warn", LogFormat::Json));
}

#[test]
fn a_policy_is_read_whole() {
    let policy = subscription(
        "order = \"partition\"\nconcurrency = 7\non_dead = \"block-key\"\n\
         on_exhausted = \"pause-subscription\"\nwindow_events = 10\nwindow_bytes = \"1MiB\"\n\
         [subscription.retry]\ninitial_interval = \"1s\"\nmultiplier = 1.5\n\
         max_interval = \"1m\"\njitter = \"${JITTER}\"\nmax_attempts = 5\nmax_age = \"1d\"\n\
         retry_after_max = \"2h\"\ninline_attempts = 2\ninline_time = \"500ms\"\n\
         parked_events_max = 9\nparked_bytes_max = \"2MiB\"\n\
         [subscription.retry.class.trap]\nmax_attempts = 4\non_exhausted = \"discard\"\n\
         [subscription.retry.class]\nretryable.max_attempts = 6\n",
    )
    .policy();
    let mut expected = Policy {
        order: Order::Partition,
        concurrency: 7,
        initial_interval: Millis::seconds(1),
        multiplier_permille: 1_500,
        max_interval: Millis::seconds(60),
        jitter_permille: 500,
        max_attempts: 5,
        max_age: Millis::seconds(86_400),
        retry_after_max: Millis::seconds(7_200),
        inline_attempts: 2,
        inline_time: Millis(500),
        on_exhausted: OnExhausted::PauseSubscription,
        on_dead: OnDead::BlockKey,
        window_events: 10,
        window_bytes: Bytes::mib(1),
        parked_events_max: 9,
        parked_bytes_max: Bytes::mib(2),
        ..Policy::default()
    };
    let trap = expected.classes.get_mut(&FailureClass::Trap).unwrap();
    (trap.max_attempts, trap.on_exhausted) = (Some(4), Some(OnExhausted::Discard));
    let retryable = expected.classes.entry(FailureClass::Retryable).or_default();
    retryable.max_attempts = Some(6);
    assert_eq!(policy, expected);
}

#[test]
fn grants_make_a_subscription_stateful() {
    for (grant, stateful) in [
        ("state = true", true),
        ("timers = true", true),
        ("clock = \"wall\"", false),
        ("emit = [\"*\"]", false),
    ] {
        let subscription = subscription(&format!("[subscription.grants]\n{grant}\n"));
        assert_eq!(subscription.stateful(), stateful, "{grant}");
        assert_eq!(subscription.policy().stateful, stateful, "{grant}");
    }
    let grants = subscription("grants = { clock = \"wall\", emit = [\"orders.*\"] }").grants;
    assert_eq!(grants.clock, Clock::Wall);
    assert!(grants.may_emit("orders.placed") && !grants.may_emit("payments"));
}

#[test]
fn dead_letters_go_where_the_manifest_says() {
    for (text, kind, topic, exhausted) in [
        ("dead_letter = true", DeadLetter::Default, Some("a.geo.dlq"), OnExhausted::DeadLetter),
        ("dead_letter = false", DeadLetter::None, None, OnExhausted::PauseKey),
        (
            "dead_letter = \"dlq-events\"",
            DeadLetter::Topic("dlq-events".to_owned()),
            Some("dlq-events"),
            OnExhausted::DeadLetter,
        ),
    ] {
        let subscription = subscription(text);
        assert_eq!(subscription.dead_letter, kind);
        assert_eq!(subscription.dead_letter_topic("a").as_deref(), topic);
        assert_eq!(subscription.policy().on_exhausted, exhausted);
    }
}

#[test]
fn envelopes_of_known_systems_have_their_fields() {
    for (word, format, id, data) in [
        ("auto", Format::Auto, None, None),
        ("cloudevents", Format::CloudEvents, None, None),
        ("json", Format::Json, Some("/eventId"), Some("/data")),
        ("raw", Format::Raw, None, None),
        ("ticketing", Format::Json, Some("/eventId"), None),
        ("shipping", Format::Json, Some("/EventId"), None),
        ("billing", Format::CloudEvents, None, None),
        ("pos", Format::Json, Some("/eventId"), Some("/data")),
        ("commerce", Format::Json, Some("/eventId"), Some("/data")),
    ] {
        let envelope = subscription(&format!("envelope = \"{word}\"")).envelope;
        assert_eq!(envelope.format, format, "{word}");
        assert_eq!(envelope.fields.id.first().map(Pointer::as_str), id, "{word}");
        assert_eq!(envelope.fields.data.first().map(Pointer::as_str), data, "{word}");
    }
}

#[test]
fn fields_of_a_manifest_replace_those_of_the_preset() {
    let envelope = subscription(
        "envelope = \"commerce\"\nid_header = \"event-id\"\n\
         [subscription.fields]\nid = \"/id\"\ntime = [\"/a\", \"/b\"]\n",
    )
    .envelope;
    let shown: Vec<&str> = envelope.fields.time.iter().map(Pointer::as_str).collect();
    assert_eq!(shown, ["/a", "/b"]);
    assert_eq!(envelope.fields.id.len(), 1);
    assert_eq!(envelope.fields.kind[0].as_str(), "/eventType");
    assert_eq!(envelope.id_header.as_deref(), Some("event-id"));
}

#[test]
fn a_filter_accepts_what_every_rule_accepts() {
    let filter = subscription(
        "[subscription.filter]\ntype = [\"order.*\", \"payment.failed\"]\n\
         version = [\"1\", \"2\"]\n\
         header = { region = \"eu\" }\n",
    )
    .filter;
    for (kind, version, region, accepted) in [
        ("order.placed", Some("1"), Some("eu"), true),
        ("payment.failed", Some("2"), Some("eu"), true),
        ("payment.made", Some("1"), Some("eu"), false),
        ("order.placed", Some("3"), Some("eu"), false),
        ("order.placed", None, Some("eu"), false),
        ("order.placed", Some("1"), Some("us"), false),
        ("order.placed", Some("1"), None, false),
    ] {
        let header = |name: &str| region.filter(|_| name == "region").map(str::as_bytes);
        assert_eq!(
            filter.accepts(kind, version, header),
            accepted,
            "{kind} {version:?} {region:?}"
        );
    }
    assert!(subscription("").filter.accepts("any", None, |_| None));
    assert_eq!(filter.types[0], Glob::new("order.*"));
}

#[test]
fn secrets_come_from_text_environment_or_file() {
    let config = subscription(
        "[subscription.grants.config]\nplain = \"a$$b\"\nvariable = \"${TOKEN}\"\n\
         file = { file = \"secrets/token\" }\nabsolute = { file = \"/run/x\" }\n",
    )
    .grants
    .config;
    assert_eq!(config["plain"], Secret::Text("a$b".to_owned()));
    assert_eq!(config["variable"], Secret::Text("s3cret".to_owned()));
    assert_eq!(config["file"], Secret::File(PathBuf::from("plugins/secrets/token")));
    assert_eq!(config["absolute"], Secret::File(PathBuf::from("/run/x")));
    assert!(!format!("{config:?}").contains("s3cret"));
}

#[test]
fn a_limit_left_out_stays_below_the_ceiling() {
    let text = "[ceilings]\nmemory = \"16MiB\"\nattempt_timeout = \"1s\"\nconcurrency = 2\n\
                emissions = 3\n";
    let ceilings = host_of(text).ceilings;
    let source = Source { name: "geo.toml", text: "[[subscription]]\ntopics = [\"a\"]\n" };
    let manifest = manifest(&source, &env, &ceilings).unwrap();
    let subscription = &manifest.subscriptions[0];
    assert_eq!(subscription.limits.memory, Bytes::mib(16));
    assert_eq!(subscription.limits.attempt_timeout, Millis::seconds(1));
    assert_eq!(subscription.limits.emissions, 3);
    assert_eq!(subscription.policy().concurrency, 2);
}

#[test]
fn files_are_read_up_to_a_size() {
    let folder = std::env::temp_dir().join(format!("gristmill-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("secret");
    for (content, secret) in [("x\n", "x"), ("x\r\n", "x"), ("x\n\n", "x\n"), ("x", "x"), ("", "")]
    {
        std::fs::write(&path, content).unwrap();
        assert_eq!(read::document(&path).as_deref(), Ok(content));
        assert_eq!(read::secret(&Secret::File(path.clone())).as_deref(), Ok(secret));
    }
    let most = usize::try_from(read::BYTES_MAX).unwrap();
    std::fs::write(&path, " ".repeat(most)).unwrap();
    assert_eq!(read::document(&path).unwrap().len(), most);
    std::fs::write(&path, " ".repeat(most + 1)).unwrap();
    assert_eq!(read::document(&path).unwrap_err().code, "E0124");
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert_eq!(read::document(&path).unwrap_err().code, "E0124");
    std::fs::remove_dir_all(&folder).unwrap();
}
