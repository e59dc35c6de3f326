//! Describes every key of `[access]` in `gristmill.toml`.

use super::{Key, Kind, Open, Table};
use crate::text::Text;

pub(crate) static ACCESS: Table = Table {
    doc: "Whose topics are whose. A table `[access.NAME]` says which plugins may publish to some \
          topics and subscribe to them; all others may not. Topics of no table are everybody's.",
    keys: &[],
    open: Some(Open { placeholder: "NAME", rule: Text::Name, table: &RULE, inherits: None }),
};

static RULE: Table = Table {
    doc: "What holds for some topics.",
    open: None,
    keys: &[
        Key::required(
            "topics",
            Kind::Texts { of: Text::TopicPattern, min: 1, max: 256 },
            "[\"shipping.*\"]",
            "Topics that it holds for.",
        ),
        Key::new(
            "publish",
            Kind::Texts { of: Text::TypePattern, min: 0, max: 256 },
            "[]",
            "Plugins whose manifests may grant `emit` to these topics, by name, `*` for any run of \
             characters.",
        ),
        Key::new(
            "subscribe",
            Kind::Texts { of: Text::TypePattern, min: 0, max: 256 },
            "[]",
            "Plugins whose subscriptions may read these topics. An expression of topics matches \
             none that its plugin may not read.",
        ),
    ],
};
