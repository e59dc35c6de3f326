//! Owns waiting: by the host's clock in the component, by the thread's in native tests.

use std::time::Duration;

/// Waits. Other attempts of the host go on meanwhile.
#[cfg(target_arch = "wasm32")]
pub fn wait(time: Duration) {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    bindings::wasi::clocks::monotonic_clock::subscribe_duration(nanos).block();
}

/// Waits.
#[cfg(not(target_arch = "wasm32"))]
pub fn wait(time: Duration) {
    std::thread::sleep(time);
}

#[cfg(target_arch = "wasm32")]
#[allow(warnings, clippy::all, clippy::pedantic, reason = "generated from the interface")]
mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "gristmill:waits/waits", generate_all });
}
