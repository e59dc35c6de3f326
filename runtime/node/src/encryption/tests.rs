//! Tests of who sees which fields, and of what is told where one cannot be opened.

use base64::prelude::{BASE64_STANDARD, Engine};

use super::*;

fn encoded(byte: u8) -> String {
    BASE64_STANDARD.encode([byte; KEY_BYTES])
}

fn config(keys: &str, key: &str) -> HostConfig {
    let text = format!(
        "[encryption.emails]\ntopics = [\"users\"]\ntypes = [\"user.*\"]\nfields = [\"/email\"]\n\
         keys = {{ {keys} }}\nkey = \"{key}\"\nplugins = [\"mailer\"]\n\
         [encryption.phones]\ntopics = [\"users\"]\nfields = [\"/phones/*\"]\n\
         keys = {{ one = \"{}\" }}\nkey = \"one\"\n",
        encoded(9)
    );
    let source = gristmill_config::Source { name: "gristmill.toml", text: &text };
    gristmill_config::host(&source, &|_| None).unwrap()
}

fn rules(keys: &[(&str, u8)], key: &str) -> Encryption {
    let keys: Vec<String> =
        keys.iter().map(|(id, byte)| format!("{id} = \"{}\"", encoded(*byte))).collect();
    load(&config(&keys.join(", "), key)).unwrap()
}

const USER: &str = r#"{"id":1,"email":"a@b.c","phones":["7","8"]}"#;

fn kept<'a>(topic: &'a str, payload: &'a Bytes) -> Kept<'a> {
    Kept { topic, kind: "user.created", payload }
}

fn text(payload: &Bytes) -> &str {
    std::str::from_utf8(payload).unwrap()
}

#[test]
fn a_plugin_sees_the_fields_that_it_is_granted() {
    let rules = rules(&[("may", 1)], "may");
    let plain = Bytes::from_static(USER.as_bytes());
    let sealed = rules.sealed(kept("users", &plain)).unwrap().unwrap();
    for hidden in ["a@b.c", "\"7\"", "\"8\""] {
        assert!(!text(&sealed).contains(hidden), "{sealed:?}");
    }
    let seen = |payload: &Bytes, granted: &[&str]| {
        let granted: Vec<String> = granted.iter().map(|&it| it.to_owned()).collect();
        let seen = rules.seen(kept("users", payload), &granted).unwrap();
        seen.unwrap_or_else(|| payload.clone())
    };
    let emails = seen(&sealed, &["emails"]);
    assert!(text(&emails).contains("a@b.c") && !text(&emails).contains("\"7\""), "{emails:?}");
    assert_eq!(seen(&sealed, &["emails", "phones"]), plain);
    assert_eq!(seen(&sealed, &[]), sealed);
    assert_eq!(rules.opened(kept("users", &sealed)).unwrap().unwrap(), plain);
    // Whoever published it knew nothing of the rule.
    let hidden = seen(&plain, &["phones"]);
    assert!(!text(&hidden).contains("a@b.c") && text(&hidden).contains("\"7\""), "{hidden:?}");
}

#[test]
fn topics_and_types_of_no_rule_stay_as_they_are() {
    let rules = rules(&[("may", 1)], "may");
    let plain = Bytes::from_static(USER.as_bytes());
    assert!(rules.is_of("users") && rules.is_of("users.mailer.dlq") && !rules.is_of("orders"));
    assert_eq!(rules.sealed(kept("orders", &plain)), Ok(None));
    let other = Kept { kind: "account.closed", ..kept("users", &plain) };
    let sealed = rules.sealed(other).unwrap().unwrap();
    assert!(text(&sealed).contains("a@b.c") && !text(&sealed).contains("\"7\""), "{sealed:?}");
    let letters = rules.sealed(kept("users.mailer.dlq", &plain)).unwrap().unwrap();
    assert!(!text(&letters).contains("a@b.c"));
    assert_eq!(rules.sealed(kept("users", &Bytes::new())), Ok(None), "there is nothing in it");
}

#[test]
fn a_key_that_is_not_here_is_waited_for_and_a_wrong_one_is_not() {
    let plain = Bytes::from_static(USER.as_bytes());
    let sealed = rules(&[("may", 1)], "may").sealed(kept("users", &plain)).unwrap().unwrap();
    let rotated = rules(&[("may", 1), ("june", 2)], "june");
    assert_eq!(rotated.opened(kept("users", &sealed)).unwrap().unwrap(), plain);
    let without = rules(&[("june", 2)], "june");
    let Err(Broken::Away(away)) = without.opened(kept("users", &sealed)) else {
        panic!("the key may come");
    };
    assert_eq!(away.code, "E0474");
    let told = "/email is encrypted under key \"may\", which is not among these: june; add it to \
                `keys` of `encryption.emails`";
    assert_eq!(away.reason, told);
    assert_eq!(without.seen(kept("users", &sealed), &[]), Ok(None), "who may not see needs none");
    let wrong = rules(&[("may", 3)], "may");
    let Err(Broken::Invalid(invalid)) = wrong.opened(kept("users", &sealed)) else {
        panic!("it never will");
    };
    assert_eq!(invalid.code, "E0409");
}

#[test]
fn what_is_no_json_cannot_be_sealed() {
    let rules = rules(&[("may", 1)], "may");
    let avro = Bytes::from_static(b"\0\0\0\0\x01abc");
    let Err(Broken::Invalid(invalid)) = rules.sealed(kept("users", &avro)) else {
        panic!("its fields would be in the clear");
    };
    assert_eq!(invalid.code, "E0409");
    assert_eq!(rules.opened(kept("users", &avro)), Ok(None));
    assert_eq!(rules.seen(kept("users", &avro), &[]), Ok(None));
}

#[test]
fn keys_have_32_bytes_and_are_never_shown() {
    let short = BASE64_STANDARD.encode([1; KEY_BYTES - 1]);
    let long = BASE64_STANDARD.encode([1; KEY_BYTES + 1]);
    for wrong in [short.as_str(), long.as_str(), "not base64!", ""] {
        let problems = check(&config(&format!("may = \"{wrong}\""), "may"));
        let told = problems.to_string();
        assert!(
            told.contains("[E0129] key \"may\" of `encryption.emails` is not 32 bytes"),
            "{told}"
        );
        assert!(wrong.is_empty() || !told.contains(wrong), "{told}");
    }
    let there = config(&format!("may = \"{}\"", encoded(1)), "may");
    assert!(!check(&there).has_errors());
    assert!(!format!("{:?}", load(&there)).contains(&encoded(1)));
}
