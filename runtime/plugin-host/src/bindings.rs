//! Owns the Rust shape of the contract, generated from `wit/`. It decides nothing.
//!
//! Exports borrow what they are given: lowering an event copies each of its bytes once, from the
//! fetched record into the guest's memory.

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "gristmill:plugin/timed-handler",
    imports: { default: trappable },
    exports: { default: async },
    ownership: Borrowing { duplicate_if_necessary: true },
});
