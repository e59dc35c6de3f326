//! Decides what functions are called in a component. A compiler writes every generic argument
//! into a name, which makes a third of a small plugin; a backtrace is as clear without them.

use rustc_demangle::try_demangle;
use wasm_encoder::{CustomSection, Module, NameMap, NameSection, RawSection};
use wasmparser::{BinaryReaderError, KnownCustom, Name, NameSectionReader, Parser, Payload};

/// Longest name kept, in characters.
const NAME_MAX: usize = 120;

/// The same module with short names of its functions and none of anything else.
///
/// # Errors
///
/// Where the bytes are no module.
pub(crate) fn shorten(module: &[u8]) -> Result<Vec<u8>, BinaryReaderError> {
    let mut shortened = Module::new();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        if let Payload::CustomSection(section) = &payload {
            if let KnownCustom::Name(names) = section.as_known() {
                shortened.section(&functions(names)?);
            } else {
                let (name, data) = (section.name().into(), section.data().into());
                shortened.section(&CustomSection { name, data });
            }
        } else if let Some((id, range)) = payload.as_section() {
            let data = module.get(range).unwrap_or_default();
            shortened.section(&RawSection { id, data });
        }
    }
    Ok(shortened.finish())
}

/// The names of functions, shortened.
fn functions(names: NameSectionReader<'_>) -> Result<NameSection, BinaryReaderError> {
    let mut map = NameMap::new();
    for subsection in names {
        if let Name::Function(functions) = subsection? {
            for naming in functions {
                let naming = naming?;
                map.append(naming.index, &short(naming.name));
            }
        }
    }
    let mut section = NameSection::new();
    section.functions(&map);
    Ok(section)
}

/// `<b::C as e::F>::g` of a mangled name: an implementation's type and trait, and the end of every
/// path, without generic arguments. Other names stay what they are.
fn short(name: &str) -> String {
    let Ok(demangled) = try_demangle(name) else {
        return name.chars().take(NAME_MAX).collect();
    };
    let path = without_arguments(&format!("{demangled:#}"));
    let short = match path.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
        Some((types, method)) => {
            let types: Vec<String> = types.split(" as ").map(|path| end(path, 2)).collect();
            format!("<{}>::{}", types.join(" as "), end(method, 2))
        }
        None => end(&path, 3),
    };
    short.chars().take(NAME_MAX).collect()
}

/// The path without what stands in brackets, but for those an implementation begins with.
fn without_arguments(path: &str) -> String {
    let kept_depth = i32::from(path.starts_with('<'));
    let (mut depth, mut before, mut kept) = (0, ' ', String::new());
    for character in path.chars() {
        depth += i32::from(character == '<');
        // Brackets after an implementation's own hold arguments again.
        let in_arguments = depth > kept_depth || (depth == 1 && kept.contains('>'));
        if !in_arguments {
            kept.push(character);
        }
        // The arrow of a function's type closes nothing.
        depth -= i32::from(character == '>' && before != '-');
        before = character;
    }
    kept.replace("::<>", "")
}

/// The last `segments` of a path, with what stands before it such as `&mut`.
fn end(path: &str, segments: usize) -> String {
    let path = path.trim_end_matches("::");
    let (sign, path) = path.rsplit_once(' ').map_or(("", path), |(sign, path)| (sign, path));
    let mut parts: Vec<&str> = path.rsplit("::").filter(|part| !part.is_empty()).collect();
    parts.truncate(segments);
    parts.reverse();
    let space = if sign.is_empty() { "" } else { " " };
    format!("{sign}{space}{}", parts.join("::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_arguments() {
        for (name, expected) in [
            ("__wasm_call_ctors", "__wasm_call_ctors"),
            ("_RNvNtCsdHv6IOyQxEj_8dlmalloc8dlmalloc4free", "dlmalloc::dlmalloc::free"),
            (
                "_RNvMs3_NtCscF5LtBYKPqF_10serde_json2deINtB5_12DeserializerNtNtB7_4read9\
                 SliceReadE12ignore_value",
                "<de::Deserializer>::ignore_value",
            ),
            (
                "_RINvXs5_NtCscF5LtBYKPqF_10serde_json2deQINtB6_12DeserializerNtNtB8_4read9\
                 SliceReadENtNtCs8whQbV63hYt_10serde_core2de12Deserializer18deserialize_struct\
                 NtB6_1AE",
                "<&mut de::Deserializer as de::Deserializer>::deserialize_struct",
            ),
            (
                "_RINvNtCs1owyDG0M1Q8_5alloc3str17join_generic_copyehNtNtB4_6string6StringE",
                "alloc::str::join_generic_copy",
            ),
        ] {
            assert_eq!(short(name), expected);
        }
    }

    #[test]
    fn a_long_name_is_cut() {
        assert_eq!(short(&"a".repeat(NAME_MAX)).len(), NAME_MAX);
        assert_eq!(short(&"a".repeat(NAME_MAX + 1)).len(), NAME_MAX);
    }

    #[test]
    fn everything_else_stays() {
        let mut names = NameMap::new();
        names.append(7, "_RNvNtCsdHv6IOyQxEj_8dlmalloc8dlmalloc4free");
        let mut section = NameSection::new();
        section.module("left out");
        section.functions(&names);
        let mut module = Module::new();
        module.section(&CustomSection { name: "kept".into(), data: b"as it is"[..].into() });
        module.section(&section);
        let shortened = shorten(&module.finish()).unwrap();
        let text = String::from_utf8_lossy(&shortened).into_owned();
        assert!(text.contains("kept") && text.contains("as it is"), "{text:?}");
        assert!(text.contains("dlmalloc::dlmalloc::free"), "{text:?}");
        assert!(!text.contains("_RNv") && !text.contains("left out"), "{text:?}");
    }

    #[test]
    fn what_is_no_module_is_refused() {
        assert!(shorten(b"not wasm").is_err());
    }
}
