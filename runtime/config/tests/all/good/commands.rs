//! Commands are read as they are written, with the contract's defaults.

use gristmill_config::{CommandConfig, KeyTemplate};
use gristmill_engine::Millis;

use super::host_of;

const TOPICS: &str = "[topics.orders]\n[topics.replies]\n";

#[test]
fn a_command_needs_topics_and_a_handler_only() {
    let config = host_of(&format!(
        "{TOPICS}[commands.place]\ntopic = \"orders\"\nsubscription = \"shop\"\n\
         reply = \"replies\"\n"
    ));
    let commands = config.commands;
    assert_eq!((commands.waiting_max, commands.replies_kept), (1_024, Millis::seconds(86_400)));
    let place = CommandConfig {
        topic: "orders".to_owned(),
        subscription: "shop".to_owned(),
        reply: "replies".to_owned(),
        kind: "place".to_owned(),
        key: None,
        timeout: Millis::seconds(10),
        fallback_reply: None,
    };
    assert_eq!(commands.named.into_iter().collect::<Vec<_>>(), [("place".to_owned(), place)]);
    assert!(host_of("").commands.named.is_empty());
}

#[test]
fn a_command_is_as_it_is_written() {
    let config = host_of(&format!(
        "{TOPICS}[commands]\nwaiting_max = 7\nreplies_kept = \"2d\"\n[commands.place]\n\
         topic = \"orders\"\nsubscription = \"shop\"\nreply = \"replies\"\ntype = \"order.place\"\n\
         key = \"{{/tenant}}:{{/order/id}}\"\n\
         timeout = \"250ms\"\nfallback_reply = '{{ \"status\": \"later\" }}'\n"
    ));
    let commands = config.commands;
    assert_eq!((commands.waiting_max, commands.replies_kept), (7, Millis::seconds(2 * 86_400)));
    let place = &commands.named["place"];
    assert_eq!((&*place.kind, place.timeout), ("order.place", Millis(250)));
    assert_eq!(place.key, KeyTemplate::new("{/tenant}:{/order/id}"));
    assert_eq!(place.fallback_reply.as_deref(), Some("{ \"status\": \"later\" }"));
}
