//! Reads the messages of `thiserror` types: a message never repeats its source, because the chain
//! is printed once, by one function. Sees only what is derived, not hand-written `Display`.

use syn::visit::{self, Visit};
use syn::{Attribute, Fields, Lit, Token};

use crate::Finding;

/// Messages that repeat their source, end in a full stop or begin with "failed to".
///
/// A file that does not parse has no messages here; the size rule reports it.
pub fn check(path: &str, text: &str) -> Vec<Finding> {
    let Ok(file) = syn::parse_file(text) else { return Vec::new() };
    let mut reader = Reader { path, findings: Vec::new() };
    reader.visit_file(&file);
    reader.findings
}

struct Reader<'a> {
    path: &'a str,
    findings: Vec<Finding>,
}

/// What stands in `#[error(…)]`: a format string and its arguments.
struct Message {
    format: String,
    arguments: String,
    line: usize,
}

impl Reader<'_> {
    fn read(&mut self, attributes: &[Attribute], fields: &Fields) {
        let Some(message) = attributes.iter().find_map(message) else { return };
        let mut find = |what: String| {
            self.findings.push(Finding::new(self.path, message.line, what));
        };
        if let Some(source) = source(fields)
            && mentions(&message, &source)
        {
            find(format!("the message repeats its source `{source}`; the chain prints it"));
        }
        if message.format.ends_with('.') {
            find("the message ends in a full stop; take it away".to_owned());
        }
        let start = message.format.to_lowercase();
        if ["failed to", "could not", "error"].iter().any(|word| start.starts_with(word)) {
            find("say what was being done: \"read manifest …\", not that it failed".to_owned());
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        if derives_error(&item.attrs) {
            for variant in &item.variants {
                self.read(&variant.attrs, &variant.fields);
            }
        }
        visit::visit_item_enum(self, item);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        if derives_error(&item.attrs) {
            self.read(&item.attrs, &item.fields);
        }
        visit::visit_item_struct(self, item);
    }
}

fn derives_error(attributes: &[Attribute]) -> bool {
    let mut found = false;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("derive")) {
        let walked = attribute.parse_nested_meta(|meta| {
            found |= meta.path.segments.last().is_some_and(|last| last.ident == "Error");
            Ok(())
        });
        // A derive that does not parse is the compiler's to report.
        found &= walked.is_ok();
    }
    found
}

fn message(attribute: &Attribute) -> Option<Message> {
    if !attribute.path().is_ident("error") {
        return None;
    }
    let parse = |input: syn::parse::ParseStream<'_>| {
        let format: Lit = input.parse()?;
        let _comma: Option<Token![,]> = input.parse()?;
        let arguments: proc_macro2::TokenStream = input.parse()?;
        Ok((format, arguments.to_string()))
    };
    match attribute.parse_args_with(parse).ok()? {
        (Lit::Str(format), arguments) => Some(Message {
            line: format.span().start().line,
            format: format.value(),
            arguments: arguments.replace(' ', ""),
        }),
        _ => None,
    }
}

/// Name or number of the field that is the source.
fn source(fields: &Fields) -> Option<String> {
    let is_marked = |attribute: &Attribute| {
        attribute.path().is_ident("source") || attribute.path().is_ident("from")
    };
    fields.iter().enumerate().find_map(|(at, field)| {
        let name = field.ident.as_ref().map_or_else(|| at.to_string(), ToString::to_string);
        let marked = field.attrs.iter().any(is_marked) || name == "source";
        marked.then_some(name)
    })
}

/// Whether the message shows the field `source`, in the format string or as an argument.
fn mentions(message: &Message, source: &str) -> bool {
    let text = message.format.replace("{{", "");
    let shown = text.split('{').skip(1).any(|rest| {
        let name = rest.split(['}', ':']).next().unwrap_or_default();
        name.trim() == source
    });
    let field = format!(".{source}");
    let argued = message.arguments.match_indices(&field).any(|(at, _)| {
        let after = message.arguments.get(at.saturating_add(field.len())..).unwrap_or_default();
        !after.starts_with(|next: char| next.is_alphanumeric() || next == '_')
    });
    shown || argued
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_variant(variant: &str) -> usize {
        let text = format!("#[derive(Debug, thiserror::Error)]\nenum Error {{\n{variant}\n}}\n");
        check("a.rs", &text).len()
    }

    #[test]
    fn a_message_never_repeats_its_source() {
        let rows = [
            (r#"#[error("read {path}")] Read { path: String, source: Io },"#, 0),
            (r#"#[error("read {path}: {source}")] Read { path: String, source: Io },"#, 1),
            (r#"#[error("read: {cause:?}")] Read { #[source] cause: Io },"#, 1),
            (r#"#[error("read: {0}")] Read(#[from] Io),"#, 1),
            (r#"#[error("read {0}")] Read(String, #[source] Io),"#, 0),
            (r#"#[error("read {0}: {1}")] Read(String, #[source] Io),"#, 1),
            (r#"#[error("read: {}", .0)] Read(#[from] Io),"#, 1),
            (r#"#[error("read: {}", .source.kind())] Read { source: Io },"#, 1),
            (r#"#[error("read: {}", .sources)] Read { sources: u8, source: Io },"#, 0),
            (r#"#[error("read {{source}}")] Read { source: Io },"#, 0),
            (r#"#[error("read {0}")] Read(String),"#, 0),
            (r"#[error(transparent)] Read(#[from] Io),", 0),
        ];
        for (variant, findings) in rows {
            assert_eq!(check_variant(variant), findings, "{variant}");
        }
    }

    #[test]
    fn a_message_says_what_was_being_done() {
        assert_eq!(check_variant(r#"#[error("failed to read")] Read,"#), 1);
        assert_eq!(check_variant(r#"#[error("read manifest.")] Read,"#), 1);
    }

    #[test]
    fn structs_are_read_and_other_types_are_not() {
        let message = r#"#[error("read: {0}")] struct Read(#[source] Io);"#;
        assert_eq!(check("a.rs", &format!("#[derive(Error)]\n{message}")).len(), 1);
        assert_eq!(check("a.rs", &format!("#[derive(Clone)]\n{message}")).len(), 0);
    }
}
