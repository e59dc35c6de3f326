//! What the host says of bytes that are no plugin, and of those that are.

use gristmill_plugin_host::{Abi, Limits, LoadError, Runtime, RuntimeSettings};

use crate::{
    bench::{Memory, answer, call_on, logged, plugin, runner_with, runtime},
    guests,
};

fn refused(bytes: &[u8]) -> LoadError {
    let error = runtime().load(bytes).unwrap_err();
    assert!(!error.hint().is_empty());
    error
}

/// A component whose only content is an import or export of `interface`, version `version`.
fn foreign(direction: &str, package: &str, interface: &str, body: &str) -> Vec<u8> {
    let (name, version) = package.split_once('@').unwrap();
    let wit = format!(
        "package {name}@{version};\ninterface {interface} {{ {body} }}\n\
         world w {{ {direction} {interface}; }}"
    );
    let path = format!("{name}/{interface}@{version}");
    let text = match direction {
        "import" => {
            format!(r#"(module (import "{path}" "f" (func)) (memory (export "memory") 1))"#)
        }
        _ => format!(r#"(module (func (export "{path}#f")) (memory (export "memory") 1))"#),
    };
    guests::component_of_wit(&wit, &text)
}

#[test]
fn bytes_that_are_no_webassembly() {
    for bytes in [b"".as_slice(), b"\0as", b"#!/bin/sh\necho hello\n", b"(component)"] {
        assert!(matches!(refused(bytes), LoadError::NotWasm { .. }));
    }
    assert_eq!(refused(b"").code(), "E0311");
}

#[test]
fn a_core_module() {
    let error = refused(&wat::parse_str("(module)").unwrap());
    assert!(matches!(error, LoadError::CoreModule));
    assert!(error.hint().contains("gristmill plugin build"), "{}", error.hint());
    assert_eq!(error.code(), "E0312");
}

#[test]
fn too_many_bytes() {
    let component = guests::component("endless-loop");
    let runtime = |component_bytes_max| {
        let settings =
            RuntimeSettings { component_bytes_max, instances_max: 1, ..Default::default() };
        Runtime::new(settings).unwrap()
    };
    let bytes = component.len() as u64;
    runtime(bytes).load(&component).unwrap();
    let error = runtime(bytes - 1).load(&component).unwrap_err();
    assert!(matches!(error, LoadError::TooLarge { .. }), "{error}");
    assert_eq!(error.code(), "E0313");
}

#[test]
fn a_component_cut_short() {
    let component = guests::component("ordinary");
    let error = refused(&component[..component.len() / 2]);
    assert!(matches!(error, LoadError::Invalid(_)), "{error}");
    assert_eq!(error.code(), "E0314");
}

#[test]
fn a_component_for_a_newer_contract() {
    for version in ["0.2.0", "0.1.1", "1.0.0"] {
        let package = format!("gristmill:plugin@{version}");
        let error = refused(&foreign("export", &package, "event-handler", "f: func();"));
        assert_eq!(error.code(), "E0315");
        let text = error.to_string();
        assert!(text.contains(version) && text.contains("0.1.0"), "{text}");
    }
}

#[test]
fn a_component_of_another_world() {
    let error = refused(&foreign("export", "other:thing@1.0.0", "doer", "f: func();"));
    assert_eq!(error.code(), "E0316");
    let text = error.to_string();
    assert!(text.contains("gristmill:plugin/event-handler@0.1.0"), "{text}");
}

#[test]
fn an_import_this_host_does_not_have() {
    let wit = "package gristmill:plugin@0.1.0;
        interface event-handler { f: func(); }
        interface telepathy { f: func(); }
        world w { import telepathy; export event-handler; }";
    let text = r#"(module
        (import "gristmill:plugin/telepathy@0.1.0" "f" (func))
        (func (export "gristmill:plugin/event-handler@0.1.0#f"))
        (memory (export "memory") 1))"#;
    let error = refused(&guests::component_of_wit(wit, text));
    assert_eq!(error.code(), "E0317");
    assert!(error.to_string().contains("gristmill:plugin/telepathy@0.1.0"), "{error}");
}

#[test]
fn a_handler_of_another_shape() {
    let wit = "package gristmill:plugin@0.1.0;
        interface event-handler { handle: func(event: string); }
        world w { export event-handler; }";
    let text = r#"(module
        (func (export "gristmill:plugin/event-handler@0.1.0#handle") (param i32 i32))
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 0))"#;
    let error = refused(&guests::component_of_wit(wit, text));
    assert!(matches!(error, LoadError::Mismatch(_)), "{error}");
    assert_eq!(error.code(), "E0318");
}

#[test]
fn an_import_of_another_shape() {
    let wit = "package gristmill:plugin@0.1.0;
        interface event-handler { f: func(); }
        interface publish { emit: func(text: string); }
        world w { import publish; export event-handler; }";
    let text = r#"(module
        (import "gristmill:plugin/publish@0.1.0" "emit" (func (param i32 i32)))
        (func (export "gristmill:plugin/event-handler@0.1.0#f"))
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 0))"#;
    let error = refused(&guests::component_of_wit(wit, text));
    assert_eq!(error.code(), "E0318");
}

#[test]
fn more_memories_than_a_slot_has() {
    let text = "(component
        (core module $m (memory 1))
        (core instance (instantiate $m))
        (core instance (instantiate $m))
        (core instance (instantiate $m))
        (instance $i)
        (export \"gristmill:plugin/event-handler@0.1.0\" (instance $i)))";
    let error = refused(&wat::parse_str(text).unwrap());
    assert_eq!(error.code(), "E0319");
    assert!(error.to_string().contains("3 memories, at most 2"), "{error}");
}

#[test]
fn logging_without_a_version_is_the_same_logging() {
    let package = "package wasi:logging;
        interface logging {
            enum level { trace, debug, info, warn, error, critical }
            log: func(level: level, context: string, message: string);
        }";
    let text = r#"(module
        (import "wasi:logging/logging" "log" (func $log (param i32 i32 i32 i32 i32)))
        (memory (export "memory") 1)
        (data (i32.const 16) "hello")
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 4096)
        (func (export "gristmill:plugin/event-handler@0.1.0#handle") (param i32) (result i32)
            (call $log (i32.const 3) (i32.const 16) (i32.const 2) (i32.const 16) (i32.const 5))
            (i32.const 0)))"#;
    let component = guests::component_with(package, "import wasi:logging/logging;", text);
    let plugin = runtime().load(&component).unwrap();
    assert!(plugin.imports().contains(&"wasi:logging/logging".to_owned()));
    let runner = runner_with(runtime(), &plugin, Limits::default());
    let (lines, finished) = logged(|| call_on(&runner, "", Memory::default()));
    finished.result.unwrap();
    assert!(lines[0].starts_with("WARN") && lines[0].contains("message=hello"), "{lines:?}");
}

#[test]
fn a_machine_without_room_for_the_pool_allocates_on_demand() {
    // 10,000 slots of 64 GiB are more than the 128 TiB a process can address.
    let settings = RuntimeSettings {
        memory_bytes_max: 64 << 30,
        instances_max: 10_000,
        ..RuntimeSettings::default()
    };
    let (lines, runtime) = logged(|| Runtime::new(settings).unwrap());
    assert!(!runtime.is_pooled());
    assert!(lines[0].contains("no pool of instances"), "{lines:?}");
    let plugin = runtime.load(&guests::component("global-counter")).unwrap();
    let runner = runner_with(&runtime, &plugin, Limits::default());
    assert_eq!(answer(&call_on(&runner, "", Memory::default())), "1");
}

#[test]
fn a_runtime_without_instances_is_refused() {
    for instances_max in [0, 10_001] {
        let settings = RuntimeSettings { instances_max, ..RuntimeSettings::default() };
        assert_eq!(Runtime::new(settings).unwrap_err().code(), "E0301");
    }
}

#[test]
fn a_plugin_says_what_it_is() {
    let (puppet, ordinary) = (plugin("puppet"), plugin("ordinary"));
    assert_eq!((puppet.abi(), ordinary.abi()), (Abi::V0_1, Abi::V0_1));
    assert!(puppet.has_timers() && puppet.wants_timers() && puppet.wants_state());
    assert!(!ordinary.has_timers() && !ordinary.wants_timers() && ordinary.wants_state());
    assert!(!plugin("endless-loop").wants_state());
    assert_eq!(ordinary.digest().len(), 64);
    assert_eq!(ordinary.bytes(), guests::component("ordinary").len() as u64);
    assert!(ordinary.exports().contains(&"gristmill:plugin/event-handler@0.1.0".to_owned()));
    assert!(ordinary.imports().contains(&"gristmill:plugin/state@0.1.0".to_owned()));
    assert!(ordinary.imports().iter().all(|import| !import.contains("@0.2")), "no WASI");
}

#[test]
fn every_error_has_a_page() {
    let pages = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
    let codes = (301..=304).chain(311..=319).chain(341..=347);
    for code in codes {
        let page = pages.join(format!("E0{code}.md"));
        assert!(page.exists(), "{}", page.display());
    }
}
