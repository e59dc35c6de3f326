//! Tables of services that cannot be reached or understood.

use expect_test::expect;

use super::{check, host_problems};

#[test]
fn a_table_is_reached_and_its_columns_have_meanings() {
    let text = r#"[outbox.shipping]
shape = "shiping"
[outbox.billing]
database = { hots = "db", dbname = "billing" }
columns = { aggregate = "tenant_id", payload = "" }
states = { done = "DONE" }
topic = "billing.{kind}"
[outbox.pos]
database = { host = "db", dbname = "pos" }
columns = { topic = "" }
"#;
    check(
        &host_problems(text),
        &expect![[r#"
        gristmill.toml:1: [E0104] `database` is missing in `[outbox.shipping]`
          write: `database = { host = "db", dbname = "shop", user = "relay" }`
        gristmill.toml:2: [E0108] `shape` must be "gristmill", "shipping", "billing", "pos" or "debezium", not "shiping"
          write: `shape = "shipping"`
        gristmill.toml:4: [E0130] `database` of `outbox.billing` has no `host`
        gristmill.toml:4: [E0130] `database`: `hots` is none of host, hostaddr, port, dbname, user, password, sslmode, options, connect_timeout, tcp_user_timeout, keepalives, keepalives_idle, target_session_attrs, load_balance_hosts
        gristmill.toml:5: [E0131] `columns` of `outbox.billing` takes `payload` away, which is needed
        gristmill.toml:5: [E0131] `columns`: `aggregate` means nothing; there is id, order, topic, key, type, version, payload, headers, source, time, correlation, trace, status, published, error
        gristmill.toml:6: [E0131] `states`: `done` means nothing; there is pending, published
        gristmill.toml:7: [E0131] `topic`: `{kind}` stands for nothing: there are `{topic}` and `{type}`
          write: `topic = "{topic}"`
        gristmill.toml:10: [E0131] `columns` of `outbox.pos` takes `topic` away, which is needed
    "#]],
    );
}
