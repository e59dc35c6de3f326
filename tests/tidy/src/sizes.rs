//! Measures files and functions, and holds the list of exceptions to its promise to shrink.

use std::ops::RangeInclusive;

use anyhow::{Context as _, Result, ensure};
use proc_macro2::{Span, TokenStream, TokenTree};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

use crate::Finding;

/// Most lines of a source file, its unit tests included.
pub const FILE_LINES_MAX: usize = 600;

/// Most lines of a function, from `fn` to its closing brace.
pub const FUNCTION_LINES_MAX: usize = 70;

/// Most characters of a line of source.
pub const COLUMNS_MAX: usize = 100;

/// A file or function that may be larger than the rule, exactly as large as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// Path from the root of the repository.
    pub path: String,
    /// The function (`Type::method`, or a bare name); none speaks of the whole file.
    pub function: Option<String>,
    /// Its size in lines.
    pub lines: usize,
}

/// Something that has a size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// Path from the root of the repository.
    pub path: String,
    /// Line it begins at; 0 for a file.
    pub line: usize,
    /// The function; none for a file.
    pub function: Option<String>,
    /// Its size in lines.
    pub lines: usize,
}

impl Measured {
    const fn lines_max(&self) -> usize {
        if self.function.is_some() { FUNCTION_LINES_MAX } else { FILE_LINES_MAX }
    }
}

/// Reads `exceptions.toml`.
///
/// # Errors
///
/// When it is not TOML, or an entry lacks its path, lines or reason.
pub fn read_exceptions(text: &str) -> Result<Vec<Exception>> {
    let document: toml_edit::DocumentMut = text.parse().context("read the exceptions")?;
    let mut exceptions = Vec::new();
    for (key, _) in document.iter() {
        ensure!(key == "exception", "exceptions: unknown table {key}; write [[exception]]");
    }
    let Some(entries) = document.get("exception") else { return Ok(exceptions) };
    let entries = entries.as_array_of_tables().context("write exceptions as [[exception]]")?;
    for entry in entries {
        let text = |key: &str| entry.get(key).and_then(toml_edit::Item::as_str).map(str::to_owned);
        let path = text("path").context("an exception needs a path")?;
        ensure!(text("reason").is_some(), "{path}: an exception needs a reason");
        let lines = entry.get("lines").and_then(toml_edit::Item::as_integer);
        let lines = lines.with_context(|| format!("{path}: an exception needs its lines"))?;
        let lines = usize::try_from(lines).context("lines count from 0")?;
        exceptions.push(Exception { path, function: text("function"), lines });
    }
    Ok(exceptions)
}

/// The size of a source file.
pub fn measure_file(path: &str, text: &str) -> Measured {
    Measured { path: path.to_owned(), line: 0, function: None, lines: text.lines().count() }
}

/// The sizes of the functions and methods in a Rust file; a finding when it does not parse.
///
/// # Errors
///
/// The finding, when the file is not Rust.
pub fn measure_functions(path: &str, text: &str) -> Result<Vec<Measured>, Finding> {
    let file = syn::parse_file(text).map_err(|error| {
        Finding::new(path, error.span().start().line, format!("is not Rust: {error}"))
    })?;
    let mut ruler = Ruler { path, owner: None, measured: Vec::new() };
    ruler.visit_file(&file);
    Ok(ruler.measured)
}

/// What is too large, and what in `exceptions` is not needed or larger than needed.
pub fn check(measured: &[Measured], exceptions: &[Exception]) -> Vec<Finding> {
    let of = |thing: &Measured, exception: &Exception| {
        thing.path == exception.path && thing.function == exception.function
    };
    let mut findings = Vec::new();
    for thing in measured.iter().filter(|thing| thing.lines > thing.lines_max()) {
        let name = thing.function.as_deref().unwrap_or("the file");
        let allowed = exceptions.iter().find(|exception| of(thing, exception));
        let what = match allowed {
            Some(exception) if exception.lines == thing.lines => continue,
            Some(exception) if exception.lines > thing.lines => {
                format!("{name} shrank: set its lines in exceptions.toml to {}", thing.lines)
            }
            Some(exception) => format!(
                "{name} grew from its exception's {} to {} lines; split it",
                exception.lines, thing.lines
            ),
            None => {
                format!("{name} has {} lines, {} at most; split it", thing.lines, thing.lines_max())
            }
        };
        findings.push(Finding::new(&thing.path, thing.line, what));
    }
    for exception in exceptions {
        let needed = |thing: &Measured| of(thing, exception) && thing.lines > thing.lines_max();
        if !measured.iter().any(needed) {
            let name = exception.function.as_deref().unwrap_or("the file");
            let what =
                format!("{name} needs no exception any more; take it out of exceptions.toml");
            findings.push(Finding::new(&exception.path, 0, what));
        }
    }
    findings
}

/// Lines of source wider than [`COLUMNS_MAX`]. A line that holds a link may be, and in Rust one
/// inside a literal of several lines, such as expected output: neither can be broken.
pub fn check_columns(path: &str, text: &str) -> Vec<Finding> {
    let verbatim = if path.rsplit('.').next() == Some("rs") { verbatim(text) } else { vec![] };
    let mut findings = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let number = at.saturating_add(1);
        let columns = line.chars().count();
        let breakable = !line.contains("://") && !verbatim.iter().any(|run| run.contains(&number));
        if columns > COLUMNS_MAX && breakable {
            let what = format!("{columns} columns, {COLUMNS_MAX} at most; break it");
            findings.push(Finding::new(path, number, what));
        }
    }
    findings
}

/// Runs of lines that belong to one raw literal of several lines.
fn verbatim(text: &str) -> Vec<RangeInclusive<usize>> {
    let Ok(tokens) = text.parse::<TokenStream>() else { return Vec::new() };
    let mut runs = Vec::new();
    let mut pending: Vec<TokenTree> = tokens.into_iter().collect();
    while let Some(token) = pending.pop() {
        match token {
            TokenTree::Group(group) => pending.extend(group.stream()),
            TokenTree::Literal(literal) if literal.to_string().starts_with('r') => {
                let (first, last) = (literal.span().start().line, literal.span().end().line);
                if first < last {
                    runs.push(first..=last);
                }
            }
            TokenTree::Literal(_) | TokenTree::Ident(_) | TokenTree::Punct(_) => {}
        }
    }
    runs
}

/// Walks a file and measures each function, knowing whose method it is.
struct Ruler<'a> {
    path: &'a str,
    owner: Option<String>,
    measured: Vec<Measured>,
}

impl Ruler<'_> {
    fn measure(&mut self, signature: &syn::Signature, end: Span) {
        let (first, last) = (signature.span().start().line, end.end().line);
        let name = signature.ident.to_string();
        self.measured.push(Measured {
            path: self.path.to_owned(),
            line: first,
            function: Some(self.owner.as_ref().map_or(name.clone(), |of| format!("{of}::{name}"))),
            lines: last.saturating_sub(first).saturating_add(1),
        });
    }
}

impl<'ast> Visit<'ast> for Ruler<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.measure(&item.sig, item.block.span());
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.measure(&item.sig, item.block.span());
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.measure(&item.sig, block.span());
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let path = if let syn::Type::Path(path) = &*item.self_ty { Some(&path.path) } else { None };
        let owner = path.and_then(|path| path.segments.last()).map(|last| last.ident.to_string());
        let outer = std::mem::replace(&mut self.owner, owner);
        visit::visit_item_impl(self, item);
        self.owner = outer;
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        let outer = self.owner.replace(item.ident.to_string());
        visit::visit_item_trait(self, item);
        self.owner = outer;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function_of(lines: usize) -> String {
        let body = "    step();\n".repeat(lines.saturating_sub(2));
        format!("struct Mill;\nimpl Mill {{\n/// Grinds.\n#[inline]\nfn grind() {{\n{body}}}\n}}\n")
    }

    fn check_function(lines: usize, exceptions: &[Exception]) -> Vec<String> {
        let measured = measure_functions("a.rs", &function_of(lines)).unwrap();
        check(&measured, exceptions).into_iter().map(|finding| finding.to_string()).collect()
    }

    fn exception(lines: usize) -> Exception {
        Exception { path: "a.rs".into(), function: Some("Mill::grind".into()), lines }
    }

    #[test]
    fn a_function_has_at_most_70_lines() {
        assert_eq!(check_function(70, &[]), Vec::<String>::new());
        let findings = check_function(71, &[]);
        assert_eq!(findings, ["a.rs:5: Mill::grind has 71 lines, 70 at most; split it"]);
    }

    #[test]
    fn a_file_has_at_most_600_lines() {
        assert_eq!(check(&[measure_file("a.rs", &"\n".repeat(600))], &[]), []);
        assert_eq!(check(&[measure_file("a.rs", &"\n".repeat(601))], &[]).len(), 1);
    }

    #[test]
    fn exceptions_only_shrink() {
        assert_eq!(check_function(80, &[exception(80)]), Vec::<String>::new());
        assert!(check_function(80, &[exception(81)])[0].contains("to 80"));
        assert!(check_function(80, &[exception(79)])[0].contains("grew"));
        assert!(check_function(70, &[exception(70)])[0].contains("no exception"));
    }

    #[test]
    fn an_exception_is_complete() {
        let entry = "[[exception]]\npath = \"a.rs\"\nlines = 601\nreason = \"generated\"\n";
        let read = read_exceptions(entry).unwrap();
        assert_eq!(read, [Exception { path: "a.rs".into(), function: None, lines: 601 }]);
        assert_eq!(read_exceptions("# none\n").unwrap(), []);
        read_exceptions("[[exception]]\npath = \"a.rs\"\nlines = 601\n").unwrap_err();
        read_exceptions("[[exeption]]\npath = \"a.rs\"\n").unwrap_err();
    }

    #[test]
    fn what_does_not_parse_is_found() {
        assert_eq!(measure_functions("a.rs", "fn (").unwrap_err().path, "a.rs");
    }

    #[test]
    fn a_line_has_at_most_100_columns() {
        assert_eq!(check_columns("a.rs", &"é".repeat(100)), []);
        assert_eq!(check_columns("a.rs", &format!("\n{}", "x".repeat(101)))[0].line, 2);
        assert_eq!(check_columns("a.sh", &format!("# see https://{}", "x".repeat(101))), []);
    }

    #[test]
    fn a_literal_of_several_lines_is_as_wide_as_it_is() {
        let wide = "x".repeat(101);
        let several = format!("fn f() {{ expect![[r#\"\n{wide}\n\"#]]; }}\n");
        assert_eq!(check_columns("a.rs", &several), []);
        let one = format!("fn f() {{ g(r\"{wide}\"); }}\n");
        assert_eq!(check_columns("a.rs", &one).len(), 1);
        assert_eq!(check_columns("a.sh", &several).len(), 1);
    }
}
