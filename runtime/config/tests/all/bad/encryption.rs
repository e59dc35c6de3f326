//! Encrypted fields without a key, and for whoever may not see them.

use expect_test::expect;
use gristmill_config::{Ceilings, Source, host, manifest};

use super::{check, env, host_problems};

#[test]
fn keys_are_there_and_fields_are_pointed_at() {
    let text = "[encryption.emails]\ntopics = [\"users\"]\nfields = [\"email\"]\nkey = \"june\"\n\
                keys = { may = \"x\" }\n[encryption.phones]\ntopics = [\"users\"]\n";
    check(
        &host_problems(text),
        &expect![[r#"
        gristmill.toml:3: [E0111] `fields`: "email" is not a JSON pointer such as `/customer/id`
          write: `fields = ["/email"]`
        gristmill.toml:4: [E0129] `keys` of `encryption.emails` has no key "june": it has may
          write: `key = "may"`
        gristmill.toml:6: [E0104] `fields` is missing in `[encryption.phones]`
          write: `fields = ["/email"]`
        gristmill.toml:6: [E0104] `key` is missing in `[encryption.phones]`
          write: `key = "may"`
        gristmill.toml:6: [E0104] `keys` is missing in `[encryption.phones]`
          write: `keys = { may = { file = "may.key" } }`
    "#]],
    );
}

#[test]
fn fields_of_others_are_not_granted() {
    let text = "[encryption.emails]\ntopics = [\"users\"]\nfields = [\"/email\"]\nkey = \"may\"\n\
                keys = { may = \"x\" }\nplugins = [\"mail*\"]\n";
    let ceilings = host(&Source { name: "gristmill.toml", text }, &env).unwrap().ceilings;
    let read = |name: &str| {
        let text = "[[subscription]]\ntopics = [\"users\"]\n\
                    grants.decrypt = [\"emails\", \"phones\"]\n";
        manifest(&Source { name, text }, &env, &ceilings).unwrap_err()
    };
    check(
        &read("mailer.toml"),
        &expect![[r"
        mailer.toml:3: [E0118] the host has no `encryption.phones`; it has emails
    "]],
    );
    check(
        &read("audit.toml"),
        &expect![[r#"
        audit.toml:3: [E0118] plugin "audit" may not see fields of `encryption.emails`: its `plugins` in the host's configuration do not name it
        audit.toml:3: [E0118] the host has no `encryption.phones`; it has emails
    "#]],
    );
    for (count, holds) in [(64, true), (65, false)] {
        let names: Vec<String> = (0..count).map(|number| format!("f{number}")).collect();
        let rule = |name: &String| {
            format!(
                "[encryption.{name}]\ntopics = [\"users\"]\nfields = [\"/email\"]\nkey = \"may\"\n\
                 keys = {{ may = \"x\" }}\nplugins = [\"*\"]\n"
            )
        };
        let text: String = names.iter().map(rule).collect();
        let source = Source { name: "gristmill.toml", text: &text };
        let ceilings = host(&source, &env).unwrap().ceilings;
        let text = format!("[[subscription]]\ntopics = [\"users\"]\ngrants.decrypt = {names:?}\n");
        let read = manifest(&Source { name: "geo.toml", text: &text }, &env, &ceilings);
        assert_eq!(read.is_ok(), holds, "{count} of them");
    }
    let nothing = Ceilings::default();
    let text = "[[subscription]]\ntopics = [\"users\"]\ngrants.decrypt = [\"emails\"]\n";
    let problems = manifest(&Source { name: "geo.toml", text }, &env, &nothing).unwrap_err();
    check(
        &problems,
        &expect![[r"
        geo.toml:3: [E0118] the host has no `encryption.emails`
    "]],
    );
}
