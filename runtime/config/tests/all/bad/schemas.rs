//! Schemas that come from nowhere, or follow nobody.

use expect_test::expect;
use gristmill_config::{Source, host};

use super::{check, env, host_problems};

#[test]
fn a_schema_comes_from_somewhere() {
    let text = "[schemas]\nregistry = \"registry:8081\"\n[schemas.one]\ntopics = [\"orders\"]\n\
                schema = \"registry:\"\n[schemas.two]\ntopics = []\n[schemas.three]\n\
                topics = [\"a b\"]\nschema = \"\"\n";
    check(
        &host_problems(text),
        &expect![[r#"
        gristmill.toml:2: [E0111] `registry`: "registry:8081" is not an address such as `http://registry:8081`
          write: `registry = "http://registry:8081"`
        gristmill.toml:5: [E0111] schema `one` names no subject of the registry
          write: `schema = "registry:one-value"`
        gristmill.toml:6: [E0104] `schema` is missing in `[schemas.two]`
          write: `schema = "schemas/order.json"`
        gristmill.toml:7: [E0107] `topics` takes 1 to 256 strings, not 0
          write: `topics = ["orders"]`
        gristmill.toml:9: [E0111] `topics`: "a b" is not a topic pattern: a topic name in which `*` stands for any run of characters
          write: `topics = ["a-b"]`
        gristmill.toml:10: [E0111] `schema`: "" is not a path: not empty
          write: `schema = "schemas/order.json"`
    "#]],
    );
    let text = "[schemas.one]\ntopics = [\"orders\"]\nschema = \"registry:orders-value\"\n";
    check(
        &host_problems(text),
        &expect![[r#"
        gristmill.toml:3: [E0122] schema `one` comes from a registry, and there is no `registry`
          write: `registry = "http://127.0.0.1:8081"`
    "#]],
    );
}

#[test]
fn a_schema_follows_another() {
    let text = "[schemas.one]\ntopics = [\"orders\"]\nschema = \"1.json\"\nfollows = \"one\"\n\
                [schemas.two]\ntopics = [\"orders\"]\nschema = \"2.json\"\nfollows = \"zero\"\n\
                compatibility = \"both\"\n";
    check(
        &host_problems(text),
        &expect![[r#"
        gristmill.toml:4: [E0122] schema `one` follows itself
          write: `follows = "two"`
        gristmill.toml:8: [E0122] schema `two` follows `zero`, which is not declared
          write: `follows = "one"`
        gristmill.toml:9: [E0108] `compatibility` must be "none", "backward", "forward" or "full", not "both"
          write: `compatibility = "backward"`
    "#]],
    );
}

#[test]
fn a_password_needs_somebody() {
    let text = "[schemas]\nregistry = \"https://registry/apis\"\npassword_file = \"secret\"\n";
    let config = host(&Source { name: "gristmill.toml", text }, &env).unwrap();
    check(
        &config.warnings,
        &expect![[r"
        gristmill.toml:3: [E0122] warning: `password_file` says nothing without `user`
    "]],
    );
}
