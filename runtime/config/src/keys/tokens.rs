//! Describes every key of `[tokens]` in `gristmill.toml`.

use super::{Key, Kind, Open, Table};
use crate::text::Text;

pub(crate) static TOKENS: Table = Table {
    doc: "Who may use the HTTP surface. A table `[tokens.NAME]` admits whoever has one secret, the \
          bearer token; `gristmill token new` makes both. While there is any, nobody is served \
          without one, but for `/healthz` and `/readyz`.",
    keys: &[],
    open: Some(Open { placeholder: "NAME", rule: Text::Name, table: &TOKEN, inherits: None }),
};

static TOKEN: Table = Table {
    doc: "One token, by the name it has in logs.",
    open: None,
    keys: &[
        Key::required(
            "hash",
            Kind::Text(Text::TokenHash),
            "\"sha256:46b4ca215b89878777d6c1eaf31fd99ae84e7fb0aadc871e52fdd0ae4013d3cc\"",
            "SHA-256 of the token. The token itself is not kept anywhere.",
        ),
        Key::required(
            "roles",
            Kind::Texts { of: Text::Role, min: 1, max: 3 },
            "[\"read\"]",
            "What it may do: `read`, `publish` (events and commands), `operate` (pause, redrive, \
             reset, topics). None includes another.",
        ),
        Key::new(
            "topics",
            Kind::Texts { of: Text::TopicPattern, min: 1, max: 64 },
            "[\"*\"]",
            "Topics it may read and publish to. One that may not use them all may use nothing but \
             topics and commands.",
        ),
        Key::optional(
            "expires",
            Kind::Text(Text::Moment),
            "it does not",
            "Moment from which on it is refused, in RFC 3339.",
        ),
    ],
};
