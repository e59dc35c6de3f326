//! Holds every key of the table to its own description, so that a key added later is tested too.

use super::{Key, Kind, Preset, Table, host::HOST, manifest::MANIFEST};
use crate::{Ceilings, Problems, Source, problem::code, text::Text, units, walk::value::literal};

/// A key and where it is written.
struct Row {
    /// The document up to the line of the key.
    before: String,
    key: &'static Key,
}

/// Every key that takes a value, in the document that has it.
fn rows(table: &'static Table, before: &str, path: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for key in table.keys {
        let inner =
            if path.is_empty() { key.name.to_owned() } else { format!("{path}.{}", key.name) };
        if let Kind::Table(table) = key.kind {
            rows.extend(self::rows(table, &format!("{before}\n[{inner}]\n"), &inner));
        } else if let Kind::Tables(table) = key.kind {
            let before = format!("{before}\n[[{inner}]]\ntopics = [\"a\"]\n");
            rows.extend(self::rows(table, &before, &inner));
        } else {
            rows.push(Row { before: before.to_owned(), key });
        }
    }
    if let Some(open) = &table.open {
        let header = format!("{path}.\"any\"");
        let required = |key: &&Key| matches!(key.preset, Preset::Required(_));
        let required: Vec<&Key> = open.table.keys.iter().filter(required).collect();
        for row in self::rows(open.table, "", &header) {
            let others = required.iter().filter(|key| key.name != row.key.name);
            let others: Vec<String> =
                others.map(|key| format!("{} = {}\n", key.name, key.example())).collect();
            let before = format!("{before}\n[{header}]\n{}{}", others.concat(), row.before);
            rows.push(Row { before, ..row });
        }
    }
    rows
}

fn host_rows() -> Vec<Row> {
    rows(&HOST, "", "").into_iter().map(on_kafka).map(commanding).map(judging).collect()
}

/// Whom a schema follows is declared.
fn judging(mut row: Row) -> Row {
    if let Some((before, rest)) = row.before.split_once("[schemas.\"any\"]") {
        let other = "[schemas.gristmill]\ntopics = [\"x\"]\nschema = \"x.json\"\n";
        row.before = format!("{before}{other}[schemas.\"any\"]{rest}");
    }
    row
}

/// The topics of a command are declared.
fn commanding(mut row: Row) -> Row {
    if let Some((before, rest)) = row.before.split_once("[commands.\"any\"]") {
        let topics = "[topics.orders]\n[topics.\"billing.commands\"]\n[topics.replies]\n";
        row.before = format!("{before}{topics}[commands.\"any\"]{rest}");
    }
    row
}

/// Keys of `[broker]` are Kafka's, which has brokers.
fn on_kafka(mut row: Row) -> Row {
    let lines = match row.key.name {
        _ if !row.before.ends_with("[broker]\n") => "",
        "kind" => "",
        "brokers" => KAFKA,
        _ => &format!("{KAFKA}{BROKERS}"),
    };
    row.before.push_str(lines);
    row
}

const KAFKA: &str = "kind = \"kafka\"\n";
const BROKERS: &str = "brokers = [\"kafka:9092\"]\n";

fn manifest_rows() -> Vec<Row> {
    let rows = rows(&MANIFEST, "", "");
    let topics = |row: &Row| row.key.name != "topics";
    let plugin = |row: Row| {
        let subscription = if row.before.contains("[plugin]") {
            "[[subscription]]\ntopics = [\"a\"]\n"
        } else {
            ""
        };
        Row { before: format!("{subscription}{}", row.before), ..row }
    };
    rows.into_iter().filter(topics).map(plugin).collect()
}

fn env(_: &str) -> Option<String> {
    None
}

/// What the document means, or what is wrong with it.
fn host(text: &str) -> Result<String, Problems> {
    crate::host(&Source { name: "gristmill.toml", text }, &env).map(|config| format!("{config:?}"))
}

fn manifest(text: &str) -> Result<String, Problems> {
    let ceilings = Ceilings::default();
    let source = Source { name: "geo.toml", text };
    crate::manifest(&source, &env, &ceilings).map(|manifest| format!("{manifest:?}"))
}

type Read = fn(&str) -> Result<String, Problems>;

fn documents() -> [(Vec<Row>, Read); 2] {
    [(host_rows(), host), (manifest_rows(), manifest)]
}

#[test]
fn every_default_written_down_changes_nothing() {
    let mut defaults = 0;
    for (rows, read) in documents() {
        for Row { before, key } in rows {
            let Preset::Is(value) = key.preset else { continue };
            let written = format!("{before}{} = {value}\n", key.name);
            let silent = read(&before).unwrap_or_else(|problems| panic!("{before}\n{problems}"));
            assert_eq!(read(&written), Ok(silent), "{written}");
            defaults += 1;
        }
    }
    assert!(defaults > 60, "only {defaults} defaults were found");
}

#[test]
fn every_bound_holds_at_the_limit_and_not_one_past_it() {
    let mut bounds = 0;
    for (rows, read) in documents() {
        for Row { before, key } in rows {
            let (Kind::Count { min, max }
            | Kind::Decimal { min, max }
            | Kind::Span { min, max, .. }
            | Kind::Size { min, max, .. }) = key.kind
            else {
                continue;
            };
            let outside = |number: u64| {
                let value = literal(&key.kind, number);
                let problems = read(&format!("{before}{} = {value}\n", key.name)).err();
                let mut found = problems.iter().flatten();
                found.find(|problem| problem.code == code::OUT_OF_RANGE).cloned()
            };
            assert_eq!(outside(min), None, "{} at least", key.name);
            assert_eq!(outside(max), None, "{} at most", key.name);
            let past = outside(max + 1).unwrap_or_else(|| panic!("{} past most", key.name));
            assert_eq!(past.instead, Some(format!("{} = {}", key.name, literal(&key.kind, max))));
            if let Some(before_least) = min.checked_sub(1) {
                let past =
                    outside(before_least).unwrap_or_else(|| panic!("{} past least", key.name));
                let least = format!("{} = {}", key.name, literal(&key.kind, min));
                assert_eq!(past.instead, Some(least));
            }
            bounds += 1;
        }
    }
    assert!(bounds > 40, "only {bounds} bounds were found");
}

#[test]
fn every_list_holds_at_the_limit_and_not_one_past_it() {
    let mut lists = 0;
    for (rows, read) in documents() {
        for Row { before, key } in rows {
            let (Kind::Texts { of, max, .. } | Kind::OneOrMore { of, max }) = key.kind else {
                continue;
            };
            // There are no more than may be listed, or as many as the host has.
            if of == Text::Role || key.name == "decrypt" {
                continue;
            }
            let usual = if of == Text::Pointer { "/" } else { "t" };
            let prefix = if of == Text::Origin { "http://t" } else { usual };
            let suffix = if of == Text::Server { ":9092" } else { "" };
            let holds = |count: usize| {
                let texts: Vec<String> =
                    (0..count).map(|number| format!("\"{prefix}{number}{suffix}\"")).collect();
                read(&format!("{before}{} = [{}]\n", key.name, texts.join(", "))).is_ok()
            };
            assert!(holds(max), "{} with {max}", key.name);
            assert!(!holds(max + 1), "{} with {}", key.name, max + 1);
            lists += 1;
        }
    }
    assert!(lists > 10, "only {lists} lists were found");
}

#[test]
fn topics_of_a_subscription_are_64_at_most() {
    let topics = |count: u32| (0..count).map(|number| format!("\"t{number}\", "));
    let read = |count| {
        manifest(&format!("[[subscription]]\ntopics = [{}]\n", topics(count).collect::<String>()))
    };
    assert!(read(64).is_ok());
    assert!(read(65).is_err());
}

#[test]
fn every_value_of_a_wrong_type_is_answered_with_one_of_the_right() {
    for (rows, read) in documents() {
        for Row { before, key } in rows {
            for wrong in ["1979-05-27", "[[1]]", "{ x = 1 }"] {
                if wrong == "{ x = 1 }" && matches!(key.kind, Kind::Pairs(_)) {
                    continue;
                }
                let problems = read(&format!("{before}{} = {wrong}\n", key.name)).unwrap_err();
                let problem = problems.iter().next().unwrap();
                assert!(
                    [code::WRONG_TYPE, code::LATER_RELEASE].contains(&problem.code),
                    "{} = {wrong}: {problem}",
                    key.name
                );
                let Some(instead) = &problem.instead else { panic!("{problem}") };
                let mended = read(&format!("{before}{instead}\n"));
                assert!(mended.is_ok(), "{instead}: {}", mended.unwrap_err());
            }
        }
    }
}

#[test]
fn every_choice_and_example_is_accepted() {
    for (rows, read) in documents() {
        for Row { before, key } in rows {
            let mut values = vec![key.example()];
            if let Kind::Choice { now, .. } = key.kind {
                values.extend(now.iter().map(|word| format!("\"{word}\"")));
            }
            for value in values {
                let brokers = if value == "\"kafka\"" { BROKERS } else { "" };
                let text = format!("{before}{} = {value}\n{brokers}", key.name);
                let answer = read(&text);
                assert!(answer.is_ok(), "{text}{}", answer.unwrap_err());
            }
        }
    }
}

#[test]
fn no_key_or_meaning_is_empty() {
    for (rows, _) in documents() {
        for Row { key, .. } in rows {
            assert!(!key.name.is_empty());
            assert!(key.doc.ends_with('.'), "{} says: {}", key.name, key.doc);
            assert!(key.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{}", key.name);
        }
    }
}

#[test]
fn bounds_are_shown_in_words() {
    assert_eq!(Kind::Count { min: 1, max: 1_000_000 }.range(), "1 to 1,000,000");
    assert_eq!(Kind::Decimal { min: 0, max: 1_500 }.range(), "0.0 to 1.5");
    let span = Kind::Span { min: 0, max: 3_600_000, word: Some("forever") };
    assert_eq!(span.range(), "0s to 1h, or \"forever\"");
    let size = Kind::Size { min: 1, max: 1 << 30, percent: Some(90) };
    assert_eq!(size.range(), "1B to 1GiB, or 0% to 90%");
    assert_eq!(units::span(90_000), "90s");
}
