//! Topics that have no name on the broker, and topics of others.

use expect_test::expect;
use gristmill_config::{Source, host, manifest};

use super::{check, env, host_problems};

#[test]
fn a_template_makes_a_name_of_every_topic() {
    let text = "[topics]\ntemplate = \"{env}.{domain}.{topic}\"\nnames = { env = \"prod\" }\n\
                [topics.Invoice]\n[topics.Bill]\nnames = { domain = \"a b\" }\n\
                [topics.Cashier]\nnames = { domain = \"till\" }\n[topics.cashiers]\n\
                name = \"prod.till.cashiers\"\n[topics.defaults]\nname = \"x\"\n";
    check(
        &host_problems(text),
        &expect![[r#"
        gristmill.toml:4: [E0128] topic "Invoice" has no name on the broker: the template needs `{domain}`, and nothing says what it stands for
          write: `name = "Invoice"`
        gristmill.toml:5: [E0128] topic "Bill" has no name on the broker: the template makes it "prod.a b.bills", which is no topic's name
          write: `name = "Bill"`
        gristmill.toml:9: [E0128] another topic is called "prod.till.cashiers" on the broker as well
          write: `name = "cashiers"`
        gristmill.toml:12: [E0128] warning: `name` says nothing here: each topic has its own
    "#]],
    );
    check(
        &host_problems("[topics]\ntemplate = \"invoices\"\n"),
        &expect![[r#"
        gristmill.toml:2: [E0111] `template`: "invoices" is not a template of topic names: letters of such names and placeholders such as `{env}.{topic}`, at least one
          write: `template = "dev.{topic}"`
    "#]],
    );
}

#[test]
fn topics_of_others_are_not_granted() {
    let text = "[topics]\ntemplate = \"dev.{topic}\"\n[topics.Shipment]\n[topics.Order]\n\
                [access.shipping]\ntopics = [\"Shipment\", \"shipping.*\"]\n\
                publish = [\"shipping-*\"]\nsubscribe = [\"shipping-*\", \"audit\"]\n\
                [access.secret]\ntopics = [\"secret\"]\n";
    let ceilings = host(&Source { name: "gristmill.toml", text }, &env).unwrap().ceilings;
    let read = |name: &str, text: &str| {
        let source = Source { name, text };
        manifest(&source, &env, &ceilings)
    };
    let both = "[[subscription]]\ntopics = [\"Shipment\", \"Order\", \"secret\"]\n\
                [subscription.grants]\nemit = [\"Order\", \"ship*\", \"Shipment\"]\n";
    check(
        &read("billing.toml", both).unwrap_err(),
        &expect![[r#"
        billing.toml:2: [E0118] plugin "billing" may not subscribe to "dev.shipments": `access.shipping` of the host lets shipping-*, audit
        billing.toml:2: [E0118] plugin "billing" may not subscribe to "secret": `access.secret` of the host lets nobody
        billing.toml:4: [E0118] plugin "billing" may not publish to dev.shipments, shipping.*, which "ship*" reaches: `access.shipping` of the host lets shipping-*
        billing.toml:4: [E0118] plugin "billing" may not publish to dev.shipments, shipping.*, which "dev.shipments" reaches: `access.shipping` of the host lets shipping-*
    "#]],
    );
    let both = both.replace(", \"secret\"", "");
    assert!(read("shipping-history.toml", &both).is_ok());
    let reads = "[[subscription]]\ntopics = [\"dev.shipments\", \"^.*\"]\n";
    let audit = read("audit.toml", reads).unwrap();
    let [subscription] = &audit.subscriptions[..] else { panic!("{audit:?}") };
    assert!(subscription.reads("dev.shipments") && subscription.reads("dev.orders"));
    for others in ["secret", "secret.geo.dlq"] {
        assert!(!subscription.reads(others), "an expression does not match {others}");
    }
}
