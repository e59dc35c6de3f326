//! What is wrong with commands.

use expect_test::expect;

use super::{check, host_problems};

#[test]
fn a_command_has_its_topics_and_its_handler() {
    let text = r#"[topics.orders]
[topics.replies]
[commands]
waiting_max = 0
[commands.place]
topic = "order"
reply = "answers"
timout = "1s"
[commands.cancel]
topic = "orders"
subscription = "orders"
reply = "orders"
fallback_reply = "later"
type = ""
key = "id"
[commands.Change]
topic = "orders"
subscription = "orders"
reply = "replies"
timeout = "6m"
replies_kept = "1h"
"#;
    check(
        &host_problems(text),
        &expect![[r#"
            gristmill.toml:4: [E0107] `waiting_max` must be 1 to 100,000, not 0
              write: `waiting_max = 1`
            gristmill.toml:5: [E0104] `subscription` is missing in `[commands.place]`
              write: `subscription = "billing"`
            gristmill.toml:6: [E0120] command `place`: no `[topics]` declares its topic "order"
              write: `[topics."order"]`
            gristmill.toml:7: [E0120] command `place`: no `[topics]` declares its reply "answers"
              write: `[topics."answers"]`
            gristmill.toml:8: [E0103] unknown key `timout`
              write: `timeout = "1s"`
            gristmill.toml:12: [E0122] command `cancel`: its replies would be in the topic of its commands, and be handled as such
            gristmill.toml:13: [E0111] `fallback_reply`: "later" is not JSON such as `{ "status": "later" }`
              write: `fallback_reply = "{}"`
            gristmill.toml:14: [E0111] `type`: "" is not a type: not empty
              write: `type = "order.placed"`
            gristmill.toml:15: [E0111] `key`: "id" is not a JSON pointer such as `/customer/id`, or text with several in braces such as `{/tenant}:{/id}`
              write: `key = "/id"`
            gristmill.toml:16: [E0109] "Change" is not a name: 1 to 64 of `a-z`, `0-9` and `-`
              write: `[commands.change]`
            gristmill.toml:20: [E0107] `timeout` must be 1ms to 5m, not "6m"
              write: `timeout = "5m"`
            gristmill.toml:21: [E0103] unknown key `replies_kept`: it belongs in `[commands]`
              write: `[commands]`
        "#]],
    );
}
