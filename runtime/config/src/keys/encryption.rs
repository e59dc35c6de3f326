//! Describes every key of `[encryption]` in `gristmill.toml`.

use super::{Key, Kind, Open, Pairs, Table};
use crate::text::Text;

pub(crate) static ENCRYPTION: Table = Table {
    doc: "Fields that are encrypted in topics. A table `[encryption.NAME]` says which, and who \
          sees them.",
    keys: &[],
    open: Some(Open { placeholder: "NAME", rule: Text::Name, table: &RULE, inherits: None }),
};

static RULE: Table = Table {
    doc: "Fields of some events. They are encrypted when an event is published or emitted, and \
          stay so for everybody but the plugins whose manifests grant `decrypt = [\"NAME\"]`.",
    open: None,
    keys: &[
        Key::required(
            "topics",
            Kind::Texts { of: Text::TopicPattern, min: 1, max: 256 },
            "[\"users\"]",
            "Topics whose events it is for. Their dead letters too.",
        ),
        Key::new(
            "types",
            Kind::Texts { of: Text::TypePattern, min: 1, max: 256 },
            "[\"*\"]",
            "Types of events that it is for.",
        ),
        Key::required(
            "fields",
            Kind::Texts { of: Text::Pointer, min: 1, max: 256 },
            "[\"/email\"]",
            "JSON pointers to the fields, into the data of a CloudEvent, else into the whole \
             payload; `*` stands for any one name or number of an array.",
        ),
        Key::required(
            "keys",
            Kind::Pairs(Pairs::Secrets),
            "{ may = { file = \"may.key\" } }",
            "Keys by their ids: each 32 bytes in base64. `{ file = \"PATH\" }` takes one from a \
             file, relative to this one.",
        ),
        Key::required(
            "key",
            Kind::Text(Text::Any),
            "\"may\"",
            "Id of the key that new values are encrypted under. The others are for those there \
             are.",
        ),
        Key::new(
            "plugins",
            Kind::Texts { of: Text::TypePattern, min: 0, max: 256 },
            "[]",
            "Plugins whose manifests may grant `decrypt` for it, by name, `*` for any run of \
             characters.",
        ),
    ],
};
