//! Makes plugins of a few lines of text: one that fails on every event, one that succeeds.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A plugin whose handler traps.
pub(crate) fn trapping() -> Vec<u8> {
    component("unreachable")
}

/// A plugin whose handler succeeds and does nothing: the result at address 16 is all zeros.
pub(crate) fn succeeding() -> Vec<u8> {
    component("(i32.const 16)")
}

fn component(body: &str) -> Vec<u8> {
    let text = format!(
        "(module
            (memory (export \"memory\") 16)
            (global $next (mut i32) (i32.const 4096))
            (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (local $at i32)
                (local.set $at
                    (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
                (global.set $next (i32.add (local.get $at) (local.get 3)))
                (local.get $at))
            (func (export \"gristmill:plugin/event-handler@0.1.0#handle\")
                (param i32) (result i32) {body}))"
    );
    let mut module = wat::parse_str(text).unwrap();
    let mut resolve = Resolve::default();
    resolve.push_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit")).unwrap();
    let wit = "package test:guest; world w { include gristmill:plugin/handler@0.1.0; }";
    let package = resolve.push_str("test.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some("w")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
}
