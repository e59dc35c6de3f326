//! `init`, `check` and `explain`: what is written is right, what is wrong is told all at once, and
//! what holds can be asked for.

use crate::support::Folder;

const MANIFEST: &str = "[[subscription]]\nname = \"billing\"\ntopics = [\"orders\"]\n";

#[test]
fn what_init_writes_is_right() {
    let folder = Folder::new();
    let told = folder.run("init shop");
    assert!(told.done().contains("shop/gristmill.toml is written"), "{told:?}");
    assert!(told.out.contains("cd shop"), "{told:?}");
    for name in ["gristmill.toml", "gristmill.schema.json", "manifest.schema.json", "plugins"] {
        assert!(folder.path("shop").join(name).exists(), "{name}");
    }
    let checked = folder.run("check --config shop/gristmill.toml");
    assert_eq!(checked.done(), "shop/gristmill.toml and 0 manifests with 0 subscriptions: right\n");
    assert_eq!(checked.err, "");
}

#[test]
fn init_overwrites_only_when_told_to() {
    let folder = Folder::new();
    folder.write("gristmill.toml", "mine");
    folder.write(".gitignore", "target");
    let refused = folder.run("init");
    assert_eq!(refused.code, Some(2));
    assert_eq!(
        refused.err,
        "error[E0555]: . has gristmill.toml already\n\
         hint: give --force to overwrite, or name another folder\n"
    );
    assert!(!folder.path("plugins").exists(), "nothing is written");
    let text = |name| std::fs::read_to_string(folder.path(name)).unwrap();
    folder.run("init --force").done();
    assert!(text("gristmill.toml").starts_with("#:schema"));
    assert_eq!(text(".gitignore"), "target\n.gristmill/\n");
    let answer = folder.run("init --force --json").json();
    assert_eq!(answer["files"][0], "gristmill.toml");
    assert_eq!(text(".gitignore"), "target\n.gristmill/\n", "once is enough");
}

#[test]
fn check_tells_every_problem_of_every_document() {
    let folder = Folder::new();
    folder.write("gristmill.toml", "listn = \"a\"\n\n[topics.orders]\npartitions = \"many\"\n");
    folder.write("plugins/billing.toml", "[[subscription]]\ntopics = []\nconcurrency = 0\n");
    let checked = folder.run("check");
    assert_eq!(checked.code, Some(1));
    assert_eq!(checked.out, "4 errors and 1 warning in gristmill.toml and 1 manifest\n");
    for told in [
        "error[E0103]: unknown key `listn`\n  at gristmill.toml:1:1\n  write: listen = \"a\"\n",
        "error[E0105]: `partitions` takes a whole number, not a string\n  at gristmill.toml:4:1\n",
        "  at plugins/billing.toml:2:1\n",
        "  at plugins/billing.toml:3:1\n",
        "warning[E0564]: plugins/billing.wasm is not there, so the plugin does not run\n",
    ] {
        assert!(checked.err.contains(told), "{told}\n---\n{}", checked.err);
    }
    let answer = folder.run("check --json").json();
    assert_eq!((&answer["ok"], answer["problems"].as_array().unwrap().len()), (&false.into(), 5));
    assert_eq!(answer["problems"][0]["code"], "E0103");
}

#[test]
fn check_holds_manifests_against_the_host() {
    let folder = Folder::new();
    folder.write("gristmill.toml", "[topics.order]\n");
    folder.write("plugins/billing.toml", MANIFEST);
    folder.write("plugins/billing.wasm", "");
    folder.write("plugins/.billing.toml.swp", "not a manifest");
    let checked = folder.run("check");
    assert_eq!(checked.code, Some(1));
    assert!(checked.err.contains("E0120"), "{checked:?}");
    assert!(checked.err.contains("write: topics = [\"order\"]"), "{checked:?}");
    folder.write("gristmill.toml", "[topics.orders]\n");
    assert_eq!(
        folder.run("check").done(),
        "gristmill.toml and 1 manifest with 1 subscription: right\n"
    );
}

#[test]
fn without_a_configuration_the_defaults_hold() {
    let folder = Folder::new();
    let checked = folder.run("check");
    checked.done();
    assert!(checked.err.starts_with("no gristmill.toml here: every default holds"), "{checked:?}");
    let named = folder.run("check --config other.toml");
    assert_eq!(named.code, Some(1));
    assert!(named.err.contains("error[E0124]"), "{named:?}");
}

#[test]
fn schemas_are_printed_as_they_are_documented() {
    let folder = Folder::new();
    for (name, page) in [
        ("host", include_str!("../../../../docs/gristmill.schema.json")),
        ("manifest", include_str!("../../../../docs/manifest.schema.json")),
    ] {
        let printed = folder.run(&format!("check --schema {name}")).json();
        assert_eq!(printed, serde_json::from_str::<serde_json::Value>(page).unwrap(), "{name}");
    }
}

#[test]
fn run_refuses_what_check_refuses() {
    let folder = Folder::new();
    folder.write("gristmill.toml", "workers = 0\n");
    let refused = folder.run("run");
    assert_eq!(refused.code, Some(2));
    assert!(refused.err.ends_with("1 error: the host does not start\n"), "{refused:?}");
    assert!(!folder.path(".gristmill").exists());
}

#[test]
fn explain_tells_what_holds_and_where_it_is_from() {
    let folder = Folder::new();
    folder.write("gristmill.toml", "[ceilings]\nmemory = \"8MiB\"\n");
    folder.write("plugins/billing.toml", MANIFEST);
    let told = folder.run("explain billing");
    let out = told.done().to_owned();
    assert!(
        out.starts_with("billing, of plugin billing in plugins/billing.toml\n\nauthenticate: "),
        "{out}"
    );
    for words in [
        ["topics", "plugins/billing.toml:3", "[\"orders\"]"].as_slice(),
        &["retry.max_attempts", "default", "8"],
        &["limits.memory", "ceiling", "\"8MiB\""],
        &["fuel", "default", "no limit"],
    ] {
        let line = out.lines().find(|line| words.iter().all(|word| line.contains(word)));
        assert!(line.is_some(), "{words:?} in:\n{out}");
    }
    let answer = folder.run("--json explain billing").json();
    assert_eq!(answer["file"], "plugins/billing.toml");
    let stages: Vec<_> = answer["stages"].as_array().unwrap().iter().collect();
    let names: Vec<_> = stages.iter().map(|stage| stage["stage"].as_str().unwrap()).collect();
    let order = "authenticate read forward decode filter decrypt log trace order retry breaker \
                 handle give_up publish commit";
    assert_eq!(names, order.split(' ').map(|it| it.replace('_', " ")).collect::<Vec<_>>());
    let topics = stages[1]["settings"].as_array().unwrap().iter().find(|it| it["key"] == "topics");
    let wanted = serde_json::json!({
        "key": "topics", "value": "[\"orders\"]", "from": "written",
        "file": "plugins/billing.toml", "line": 3,
    });
    assert_eq!(topics, Some(&wanted));
}

#[test]
fn explain_knows_no_other_subscriptions_and_repairs_no_document() {
    let folder = Folder::new();
    folder.write("gristmill.toml", "");
    folder.write("plugins/billing.toml", MANIFEST);
    let unknown = folder.run("explain biling");
    assert_eq!(unknown.code, Some(2));
    assert_eq!(
        unknown.err,
        "error[E0567]: no manifest has a subscription \"biling\"\nhint: there are billing\n"
    );
    folder.write("plugins/broken.toml", "[[subscription]]\ntopics = []\n");
    let broken = folder.run("explain other");
    assert_eq!(broken.code, Some(1));
    assert!(broken.err.contains("plugins/broken.toml:2:1"), "it may be in there: {broken:?}");
    folder.run("explain billing").done();
    folder.write("gristmill.toml", "listn = 1\n");
    let broken = folder.run("explain billing");
    assert!(
        broken.err.contains("E0103") && broken.err.contains("nothing is explained"),
        "{broken:?}"
    );
}

#[test]
fn check_reads_schemas_and_holds_them_against_each_other() {
    let folder = Folder::new();
    let schema = |name: &str, more: &str| {
        format!("[schemas.{name}]\ntopics = [\"orders\"]\nschema = \"{name}.json\"\n{more}")
    };
    let config = [
        "[topics.orders]\n".to_owned(),
        schema("first", ""),
        schema("second", "follows = \"first\"\n"),
        schema("third", "follows = \"first\"\ncompatibility = \"full\"\n"),
        schema("lost", ""),
    ];
    folder.write("gristmill.toml", config.concat());
    folder.write("first.json", r#"{"properties":{"id":{"type":"integer"}}}"#);
    folder.write("second.json", r#"{"properties":{"id":{"type":"number"}}}"#);
    folder.write("third.json", r#"{"properties":{"id":{"type":"number"}},"required":["id"]}"#);
    let checked = folder.run("check");
    assert_eq!(checked.code, Some(1));
    assert!(checked.out.starts_with("3 errors and 0 warnings"), "{checked:?}");
    for told in [
        "error[E0126]: schema `lost` in lost.json: No such file or directory (os error 2)\n  \
         at gristmill.toml:16:1\n",
        "error[E0127]: schema `third` cannot follow `first`: it cannot read what the one before \
         wrote: /id: it is required, and may be missing\n  at gristmill.toml:11:1\n",
        "error[E0127]: schema `third` cannot follow `first`: the one before cannot read what it \
         writes: /id: number is not accepted\n",
    ] {
        assert!(checked.err.contains(told), "{told}\n---\n{}", checked.err);
    }
}

#[test]
fn a_host_is_not_started_with_a_schema_that_is_none() {
    let folder = Folder::new();
    let schema = "[schemas.order]\ntopics = [\"orders\"]\nschema = \"order.json\"\n";
    folder.write("gristmill.toml", format!("listen = \"127.0.0.1:0\"\n{schema}"));
    folder.write("order.json", "{");
    let told = folder.run("run");
    assert_ne!(told.code, Some(0));
    assert!(told.err.contains("E0126") && told.err.contains("order.json"), "{told:?}");
}
