//! Decides how the table of keys looks as a page for readers. It adds no fact of its own.

use crate::{
    Pointer,
    envelope::{WORDS, preset},
    keys::{Key, Kind, Preset, Table, host::HOST, manifest::MANIFEST},
    subscription::Format,
};

const OPENING: &str = "\
# Configuration

Two documents: the host's `gristmill.toml` and, per plugin, a manifest `NAME.toml` beside
`NAME.wasm`. Both are TOML. This page is generated from the table of keys that reads them; the
JSON Schemas `gristmill.schema.json` and `manifest.schema.json` beside it are made from the same
table, for editors.

`gristmill check` reads everything and reports every problem at once: file, line, code, reason and
the line to write instead. An unknown key is an error. Each code has a page in `errors/`.
`gristmill explain SUBSCRIPTION` tells which settings hold and where each comes from.

## Values

- **duration**: a whole number and `ms`, `s`, `m`, `h` or `d`, as in `\"100ms\"` or `\"7d\"`.
- **size**: a whole number and `B`, `KiB`, `MiB`, `GiB`, `TiB` (of 1,024) or `KB`, `MB`, `GB`,
  `TB` (of 1,000), as in `\"64MiB\"`.
- **number**: up to three decimals.
- **pattern**: `*` stands for any run of characters, the empty one included; every other character
  stands for itself. `\"orders.*\"` covers `orders.placed` and `orders.line.added`, not `orders`.
- **substitution**: in any string value, `${NAME}` is the environment variable `NAME`, and
  `${NAME:-default}` is `default` where the variable is unset or empty. `$$` is a dollar sign. A
  string with a substitution may stand for a number or a boolean: `workers = \"${WORKERS:-4}\"`.
- **secret**: where a value may be `{ file = \"/run/secrets/x\" }`, it is the file's text without
  its last line end.
- **path**: relative to the folder of the document it is in.
";

/// The page `docs/configuration.md`.
pub fn reference() -> String {
    let mut page = OPENING.to_owned();
    page.push_str("\n## The host: `gristmill.toml`\n");
    section(&mut page, &HOST, "", "");
    page.push_str("\n## A plugin's manifest: `NAME.toml`\n");
    section(&mut page, &MANIFEST, "", "");
    envelopes(&mut page);
    page
}

/// What each word of `envelope` stands for.
fn envelopes(page: &mut String) {
    page.push_str(
        "\n## Envelopes\n\nWhat each word of `envelope` stands for. `[subscription.fields]` \
         replaces single fields of it.\n\n| word | format | fields |\n|---|---|---|\n",
    );
    for (word, (format, fields)) in WORDS.iter().filter_map(|word| Some((word, preset(word)?))) {
        let format = match format {
            Format::Auto => "CloudEvents where a record says it is one, else raw",
            Format::CloudEvents => "CloudEvents, binary or structured; anything else is invalid",
            Format::Json => "JSON; what is not JSON or has no id is invalid",
            Format::Raw => "none: the payload is the data",
        };
        let rows = [
            ("id", fields.id),
            ("type", fields.kind),
            ("version", fields.version),
            ("source", fields.source),
            ("time", fields.time),
            ("subject", fields.subject),
            ("correlation", fields.correlation),
            ("causation", fields.causation),
            ("tenant", fields.tenant),
            ("data", fields.data),
        ];
        let fields: Vec<String> = rows
            .into_iter()
            .filter(|(_, pointers)| !pointers.is_empty())
            .map(|(name, pointers)| {
                let pointers: Vec<&str> = pointers.iter().map(Pointer::as_str).collect();
                format!("{name} `{}`", pointers.join("` or `"))
            })
            .collect();
        page.extend(["| `", word, "` | ", format, " | ", &fields.join(", "), " |\n"]);
    }
}

/// The keys of one table, then those of the tables in it. `path` is the table's header without
/// brackets, `inherits` the table whose values hold where this one is silent.
fn section(page: &mut String, shape: &Table, path: &str, inherits: &str) {
    let rows: Vec<String> = shape
        .keys
        .iter()
        .filter(|key| !matches!(key.kind, Kind::Table(_) | Kind::Tables(_)))
        .map(|key| row(key, inherits))
        .collect();
    if !rows.is_empty() {
        page.push_str("\n| key | type | default | range | meaning |\n|---|---|---|---|---|\n");
        page.push_str(&rows.concat());
    }
    for key in shape.keys {
        let inner =
            if path.is_empty() { key.name.to_owned() } else { format!("{path}.{}", key.name) };
        if let Kind::Table(table) | Kind::Tables(table) = key.kind {
            let several = matches!(key.kind, Kind::Tables(_));
            let header = if several { format!("[[{inner}]]") } else { format!("[{inner}]") };
            heading(page, &header, table.doc);
            section(page, table, &inner, "");
        }
    }
    if let Some(open) = &shape.open {
        let inner = format!("{path}.\"{}\"", open.placeholder);
        heading(page, &format!("[{inner}]"), open.table.doc);
        let inherits = open.inherits.map(|key| format!("{path}.{key}"));
        section(page, open.table, &inner, &inherits.unwrap_or_default());
    }
}

fn heading(page: &mut String, header: &str, doc: &str) {
    page.extend(["\n### `", header, "`\n\n", doc, "\n"]);
}

fn row(key: &Key, inherits: &str) -> String {
    let default = match key.preset {
        _ if !inherits.is_empty() => format!("that of `[{inherits}]`"),
        Preset::Is(value) => format!("`{value}`"),
        Preset::Absent(meaning) => meaning.to_owned(),
        Preset::Required(_) | Preset::Inner => "required".to_owned(),
    };
    let cells =
        [format!("`{}`", key.name), key.kind.word().to_owned(), default, range(key), doc(key)];
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// The range, with words as code.
fn range(key: &Key) -> String {
    let Kind::Choice { now, .. } = key.kind else { return key.kind.range() };
    let words: Vec<String> = now.iter().map(|word| format!("`\"{word}\"`")).collect();
    words.join(", ")
}

/// The meaning, and what a later release brings.
fn doc(key: &Key) -> String {
    let Kind::Choice { later, .. } = key.kind else { return key.doc.to_owned() };
    let later: Vec<String> =
        later.iter().map(|(word, release)| format!(" `{word}` comes with {release}.")).collect();
    format!("{}{}", key.doc, later.concat())
}
