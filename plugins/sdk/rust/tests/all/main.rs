//! Tests the SDK as a plugin's author uses it, natively.

#[cfg(test)]
mod contract;
#[cfg(test)]
mod host;
