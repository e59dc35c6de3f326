//! Tests of what is told of settings.

use super::*;

const HOST_TEXT: &str = r#"
[ceilings]
memory = "8MiB"
concurrency = 1000
[checkpoint]
drain = "3s"
"#;

const MANIFEST_TEXT: &str = r#"
[plugin]
name = "bills"
[[subscription]]
topics = ["orders"]
envelope = "shipping"
dead_letter = false
[subscription.fields]
id = "/no"
[subscription.filter.header]
region = "eu"
[subscription.grants]
emit = ["bills", "tax.*"]
config = { rate = "19" }
[subscription.retry]
max_attempts = 3
[subscription.retry.class.timeout]
max_attempts = 5
[[subscription]]
name = "other"
topics = ["returns"]
"#;

fn explained(host: &str) -> Vec<Explanation> {
    let host = Source { name: "gristmill.toml", text: host };
    let manifest = Source { name: "bills.toml", text: MANIFEST_TEXT };
    explain(&host, &manifest, &|_| None).unwrap()
}

fn find<'a>(explanation: &'a Explanation, key: &str) -> (&'static str, &'a Setting) {
    let all = explanation
        .stages
        .iter()
        .flat_map(|stage| stage.settings.iter().map(move |setting| (stage.name, setting)));
    let found: Vec<_> = all.filter(|(_, setting)| setting.key == key).collect();
    assert_eq!(found.len(), 1, "{key}: {found:?}");
    found[0]
}

fn written(file: &str, line: u32) -> Because {
    Because::Written { file: file.to_owned(), line }
}

#[test]
fn every_setting_says_what_holds_and_why() {
    let told = explained(HOST_TEXT);
    let names: Vec<_> = told.iter().map(|it| (&*it.plugin, &*it.subscription)).collect();
    assert_eq!(names, [("bills", "bills"), ("bills", "other")]);
    for (key, stage, value, because) in [
        ("topics", "read", "[\"orders\"]", written("bills.toml", 5)),
        ("start", "read", "\"earliest\"", Because::Default),
        ("fields.id", "decode", "\"/no\"", written("bills.toml", 9)),
        ("fields.type", "decode", "[\"/EventType\", \"/eventType\"]", Because::Follows("envelope")),
        ("filter.header", "filter", "{ \"region\" = \"eu\" }", written("bills.toml", 10)),
        ("grants.emit", "publish", "[\"bills\", \"tax.*\"]", written("bills.toml", 13)),
        ("grants.state", "handle", "false", Because::Default),
        ("grants.config", "handle", "{ rate = \u{2026} }", written("bills.toml", 14)),
        ("limits.memory", "handle", "\"8MiB\"", Because::Ceiling),
        ("retry.max_attempts", "retry", "3", written("bills.toml", 16)),
        ("retry.class.timeout.max_attempts", "retry", "5", written("bills.toml", 18)),
        ("on_exhausted", "give up", "\"pause-key\"", Because::Follows("dead_letter")),
        ("events_per_second", "order", "no limit", Because::Default),
        ("checkpoint.drain", "commit", "\"3s\"", written("gristmill.toml", 6)),
        ("broker.kind", "commit", "\"embedded\"", Because::Default),
    ] {
        let setting = Setting { key: key.to_owned(), value: value.to_owned(), because };
        assert_eq!(find(&told[0], key), (stage, &setting));
    }
    assert_eq!(find(&told[1], "on_exhausted").1.value, "\"dead-letter\"");
    assert_eq!(find(&told[1], "topics").1.because, written("bills.toml", 21));
}

#[test]
fn kafka_has_an_interval_of_its_own_and_more_to_say() {
    let text = "[broker]\nkind = \"kafka\"\nbrokers = [\"b:9092\"]\n";
    let told = explained(text);
    let interval = find(&told[0], "checkpoint.interval_min").1;
    assert_eq!(interval.value, "\"5ms\"");
    assert_eq!(interval.because, Because::Follows("broker.kind"));
    assert_eq!(find(&told[0], "broker.guarantee").1.value, "\"exactly-once\"");
    let own = format!("{text}[checkpoint]\ninterval_min = \"9ms\"\n");
    let interval = explained(&own);
    let interval = find(&interval[0], "checkpoint.interval_min").1;
    assert_eq!((&*interval.value, &interval.because), ("\"9ms\"", &written("gristmill.toml", 5)));
}

#[test]
fn every_key_of_a_subscription_belongs_to_a_stage() {
    for explanation in explained("") {
        let count = explanation.stages.iter().map(|stage| stage.settings.len()).sum::<usize>();
        assert!(explanation.stages.iter().all(|stage| !stage.settings.is_empty()));
        let Kind::Tables(table) = MANIFEST.key("subscription").kind else { panic!() };
        let own = explanation.stages.iter().flat_map(|stage| &stage.settings);
        let of_host = |it: &Setting| it.key.starts_with(AUTHENTICATE);
        let own = own.filter(|it| !of_host(it) && stage_of(&STAGES, &it.key).is_some()).count();
        assert_eq!(own, leaves(table) - 1, "all but the name, of {count}");
    }
}

fn leaves(table: &Table) -> usize {
    let one = |key: &Key| if let Kind::Table(inner) = key.kind { leaves(inner) } else { 1 };
    table.keys.iter().map(one).sum()
}

#[test]
fn schemas_of_its_topics_are_a_stage() {
    let told = explained("[schemas.order]\ntopics = [\"ord*\"]\nschema = \"order.json\"\n");
    let (stage, setting) = find(&told[0], "judge.order");
    assert_eq!((stage, &*setting.value), ("judge", "\"order.json\""));
    assert_eq!(setting.because, written("gristmill.toml", 3));
    assert!(told[1].stages.iter().all(|stage| stage.name != "judge"), "of other topics");
}

#[test]
fn a_handler_of_local_topics_has_no_retries_of_its_own() {
    let told = explained("[topics.returns]\nlocal = true\n");
    let stages: Vec<&str> = told[1].stages.iter().map(|stage| stage.name).collect();
    assert_eq!(stages, ["read", "decode", "filter", "decrypt", "handle", "publish"]);
    assert!(told[0].stages.iter().any(|stage| stage.name == "retry"));
}

#[test]
fn who_may_publish_to_its_topics_is_a_stage() {
    let who = |host: &str, key: &str| {
        let told = explained(host);
        let (stage, setting) = find(&told[0], key);
        assert_eq!(stage, "authenticate");
        (setting.value.clone(), setting.because.clone())
    };
    let anybody = ("anybody on loopback".to_owned(), Because::Default);
    assert_eq!(who("", "authenticate.anonymous"), anybody);
    let open = who("[http]\nallow_anonymous = true\n", "authenticate.anonymous");
    assert_eq!(open, ("anybody".to_owned(), written("gristmill.toml", 2)));
    let token = |name: &str, role: &str, topics: &str| {
        let hash = name.repeat(64);
        format!("[tokens.{name}]\nhash = \"sha256:{hash}\"\nroles = [\"{role}\"]\n{topics}\n")
    };
    let shop = token("a", "publish", "topics = [\"ord*\"]");
    let others = [token("b", "publish", "topics = [\"returns\"]"), token("c", "read", "")].concat();
    let found = who(&format!("{shop}{others}"), "authenticate.a");
    assert_eq!(found, ("[\"ord*\"]".to_owned(), written("gristmill.toml", 1)));
    assert_eq!(who(&others, "authenticate.tokens"), ("nobody".to_owned(), Because::Default));
}

#[test]
fn encrypted_fields_of_its_topics_are_a_stage() {
    let rule = "[encryption.mail]\ntopics = [\"ord*\"]\nfields = [\"/email\"]\nkey = \"k\"\n\
                keys = { k = \"x\" }\n";
    let told = explained(rule);
    let (stage, setting) = find(&told[0], "decrypt.mail");
    assert_eq!((stage, &*setting.value), ("decrypt", "[\"/email\"]"));
    assert_eq!(find(&told[0], "grants.decrypt").0, "decrypt");
    let mut of_others = told[1].stages.iter().flat_map(|stage| &stage.settings);
    assert!(of_others.all(|setting| setting.key != "decrypt.mail"));
}

#[test]
fn what_is_wrong_is_not_explained() {
    let host = Source { name: "gristmill.toml", text: "" };
    let manifest = Source { name: "bills.toml", text: "[[subscription]]\ntopic = [\"x\"]\n" };
    let problems = explain(&host, &manifest, &|_| None).unwrap_err();
    assert!(problems.has_errors());
}
