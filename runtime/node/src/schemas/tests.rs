//! Tests of which schema judges an event, and of what is published and read by it.

use gristmill_schema::{Registered, Registry, RegistryError, RegistrySettings};

use super::*;

const NUMBERED: &str =
    r#"{"type":"object","required":["id"],"properties":{"id":{"type":"integer"}}}"#;
const NAMED: &str = r#"{"type":"object","required":["id"],"properties":{"id":{"type":"string"}}}"#;
const AVRO: &str = r#"{"type":"record","name":"E","fields":[{"name":"id","type":"long"}]}"#;
const WIDER: &str = r#"{"type":"record","name":"E","fields":[
    {"name":"id","type":"long"},{"name":"note","type":"string","default":"-"}]}"#;

fn schema(kind: Kind, text: &str) -> Arc<Schema> {
    Arc::new(Schema::new(kind, text).unwrap())
}

fn rule(name: &str, types: &str, versions: &[&str], source: Source) -> Rule {
    Rule {
        name: name.to_owned(),
        topics: vec![Glob::new("orders.*")],
        types: vec![Glob::new(types)],
        versions: versions.iter().map(|&it| it.to_owned()).collect(),
        is_framed: name == "framed",
        source,
    }
}

fn schemas(rules: Vec<Rule>) -> Schemas {
    let settings = RegistrySettings {
        url: "http://127.0.0.1:1".to_owned(),
        user: None,
        timeout: std::time::Duration::from_secs(1),
    };
    let url = settings.url.clone();
    Schemas { rules, known: Some(Known::new((Registry::new(settings), url))) }
}

fn hear(schemas: &Schemas, id: u32, schema: Arc<Schema>) -> bool {
    let known = schemas.known.as_ref().unwrap();
    known.heard("orders", Ok(Registered { id, version: id, schema }))
}

fn judged<'a>(kind: &'a str, version: Option<&'a str>, payload: &'a Bytes) -> Judged<'a> {
    Judged { topic: "orders.new", kind, version, payload }
}

fn code(broken: Broken) -> String {
    match broken {
        Broken::Invalid(invalid) => format!("{} {}", invalid.code, invalid.violations.join("; ")),
        Broken::Away(away) => format!("away {}", away.code),
    }
}

#[test]
fn the_first_that_is_for_type_and_version_judges() {
    let schemas = schemas(vec![
        rule("placed-1", "placed", &["1"], Source::File(schema(Kind::Json, NUMBERED))),
        rule("placed-2", "placed", &["2", "2.1"], Source::File(schema(Kind::Json, NAMED))),
        rule("rest", "order*", &[], Source::File(schema(Kind::Json, NAMED))),
    ]);
    let (number, name) = (Bytes::from(r#"{"id":1}"#), Bytes::from(r#"{"id":"a"}"#));
    for (kind, version, payload, expected) in [
        ("placed", Some("1"), &number, Ok(())),
        ("placed", Some("2.1"), &name, Ok(())),
        ("placed", Some("1"), &name, Err("E0407 /id: \"a\" is not of type \"integer\"")),
        ("ordered", None, &name, Ok(())),
        (
            "placed",
            Some("3"),
            &name,
            Err("E0408 topic \"orders.new\" has no schema for events of type \"placed\" of \
                 version \"3\""),
        ),
        (
            "placed",
            None,
            &name,
            Err("E0408 topic \"orders.new\" has no schema for events of type \"placed\""),
        ),
    ] {
        let found = schemas
            .admit(judged(kind, version, payload), None, &Encryption::default())
            .map_err(code);
        assert_eq!(found, expected.map_err(str::to_owned), "{kind} {version:?}");
        let read =
            schemas.read(judged(kind, version, payload), &Encryption::default()).map_err(code);
        assert_eq!(read, expected.map(|()| None).map_err(str::to_owned), "{kind} {version:?}");
    }
    let elsewhere = Judged { topic: "bills", kind: "placed", version: None, payload: &number };
    assert_eq!(schemas.read(elsewhere, &Encryption::default()), Ok(None));
    assert!(schemas.judges("orders.new") && !schemas.judges("bills"));
}

#[test]
fn avro_of_a_registry_names_its_schema_and_is_read_by_the_newest() {
    let schemas = schemas(vec![rule("avro", "*", &[], Source::Subject("orders".to_owned()))]);
    let json = Bytes::from(r#"{"id":7}"#);
    let away =
        schemas.admit(judged("placed", None, &json), None, &Encryption::default()).map_err(code);
    assert_eq!(away, Err("away E0703".to_owned()));
    assert!(hear(&schemas, 3, schema(Kind::Avro, AVRO)));
    let published = schemas.publish(judged("placed", None, &json), None).unwrap().unwrap();
    assert_eq!(
        (&published.payload[..5], published.media),
        (&[0, 0, 0, 0, 3][..], Some("application/avro"))
    );
    // Who wrote it may have had an older schema.
    assert!(
        hear(&schemas, 4, schema(Kind::Avro, WIDER))
            && !hear(&schemas, 4, schema(Kind::Avro, WIDER))
    );
    let read =
        schemas.read(judged("placed", None, &published.payload), &Encryption::default()).unwrap();
    assert_eq!(read, Some(Bytes::from(r#"{"id":7,"note":"-"}"#)));
    assert!(
        schemas
            .admit(
                judged("placed", None, &published.payload),
                published.media,
                &Encryption::default()
            )
            .is_ok()
    );
    let bare = schemas
        .read(judged("placed", None, &json), &Encryption::default())
        .map_err(code)
        .unwrap_err();
    assert!(bare.starts_with("E0407"), "{bare}");
}

#[test]
fn an_unknown_id_is_waited_for_until_the_registry_denies_it() {
    let schemas = schemas(vec![rule("avro", "*", &[], Source::Subject("orders".to_owned()))]);
    hear(&schemas, 3, schema(Kind::Avro, AVRO));
    let known = schemas.known.as_ref().unwrap();
    let payload = Bytes::from(framed(9, &[14]));
    let read =
        || schemas.read(judged("placed", None, &payload), &Encryption::default()).map_err(code);
    assert_eq!(read(), Err("away E0703".to_owned()));
    assert_eq!(known.wanted(), [9]);
    let missing = RegistryError::Missing { url: "there".to_owned(), what: "schema 9".to_owned() };
    known.heard_of_id(9, Err(missing));
    assert_eq!(read(), Err("E0407 /: the registry at there has no schema 9".to_owned()));
    known.heard_of_id(9, Ok(schema(Kind::Avro, AVRO)));
    assert_eq!(read(), Ok(Some(Bytes::from(r#"{"id":7}"#))));
}

#[test]
fn what_was_said_outlives_an_outage() {
    let schemas = schemas(vec![rule("framed", "*", &[], Source::Subject("orders".to_owned()))]);
    let known = schemas.known.as_ref().unwrap();
    let away = || {
        let url = "there".to_owned();
        Err(RegistryError::Away { url, what: "it".to_owned(), why: "gone".to_owned() })
    };
    assert!(!known.heard("orders", away()));
    assert_eq!(schemas.all_away().len(), 1);
    hear(&schemas, 3, schema(Kind::Json, NUMBERED));
    assert!(!known.heard("orders", away()));
    assert!(schemas.all_away().is_empty());
    // JSON is read with and without the id of its schema before it.
    let json = Bytes::from(r#"{"id":7}"#);
    let published = schemas.publish(judged("placed", None, &json), None).unwrap().unwrap();
    assert_eq!(published, Published { payload: framed(3, &json).into(), media: None });
    for payload in [&json, &published.payload] {
        let read = schemas.read(judged("placed", None, payload), &Encryption::default()).unwrap();
        assert_eq!(read.unwrap_or_else(|| payload.clone()), json);
    }
}
