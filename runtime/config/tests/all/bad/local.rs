//! Local topics that are used as if they kept events.

use expect_test::expect;
use gristmill_config::{Ceilings, Problems, Source, host, manifest};

use super::{check, env, host_problems};

/// Ceilings of a host with the local topics `happened` and `told`.
fn ceilings() -> Ceilings {
    let text = "[topics.happened]\nlocal = true\n[topics.told]\nlocal = true\n[topics.orders]\n";
    host(&Source { name: "gristmill.toml", text }, &env).unwrap().ceilings
}

fn read(text: &str) -> Result<Problems, Problems> {
    let source = Source { name: "geo.toml", text };
    manifest(&source, &env, &ceilings()).map(|manifest| manifest.warnings)
}

#[test]
fn what_is_kept_nowhere_has_no_keeping() {
    let text = "[topics.defaults]\nlocal = true\n[topics.happened]\nlocal = true\n\
                partitions = 4\nkey = \"/id\"\nmax_event_bytes = \"2KiB\"\n[topics.in]\n\
                [commands.tell]\ntopic = \"happened\"\nsubscription = \"geo\"\nreply = \"in\"\n";
    check(
        &host_problems(text),
        &expect![[r#"
        gristmill.toml:2: [E0125] topics are local one by one: if all were, nothing could come in from outside
          write: `local = false`
        gristmill.toml:5: [E0125] `partitions` says nothing of the local topic "happened": its events are in no partition, and kept nowhere
        gristmill.toml:6: [E0125] `key` says nothing of the local topic "happened": its events are in no partition, and kept nowhere
        gristmill.toml:10: [E0125] command `tell`: its topic "happened" is local, where only handlers publish and read
    "#]],
    );
}

#[test]
fn its_handlers_have_no_lanes_of_their_own() {
    let text = "[[subscription]]\ntopics = [\"happened\", \"orders\"]\ngrants.timers = true\n\
                retry.max_attempts = 3\norder = \"none\"\n";
    check(
        &read(text).unwrap_err(),
        &expect![[r#"
        geo.toml:2: [E0125] "orders" is not local and "happened" is: two subscriptions can handle them
          write: `topics = ["happened"]`
        geo.toml:3: [E0125] a handler of local topics has no timers: it runs within an event of another subscription, which can set them
          write: `timers = false`
        geo.toml:4: [E0125] warning: `retry` says nothing of a handler of local topics: it runs within an event of another subscription, whose `retry` holds
        geo.toml:5: [E0116] timers need the events of a key in order, not `order = "none"`
          write: `order = "key"`
        geo.toml:5: [E0125] warning: `order` says nothing of a handler of local topics: it runs within an event of another subscription, whose `order` holds
    "#]],
    );
    let text = "[[subscription]]\ntopics = [\"happened\", \"told\"]\nstart = \"latest\"\n";
    check(
        &read(text).unwrap(),
        &expect![[r"
        geo.toml:3: [E0125] warning: `start` says nothing of a handler of local topics: it runs within an event of another subscription, whose `start` holds
    "]],
    );
}

#[test]
fn nothing_is_put_aside_there() {
    let text = "[[subscription]]\ntopics = [\"orders\"]\ndead_letter = \"told\"\n\
                breaker.fallback = \"happened\"\n";
    check(
        &read(text).unwrap_err(),
        &expect![[r#"
        geo.toml:3: [E0125] "told" is local and keeps no events
          write: `dead_letter = "geo.dead-letter"`
        geo.toml:4: [E0125] "happened" is local and keeps no events
          write: `fallback = "geo.fallback"`
    "#]],
    );
}
