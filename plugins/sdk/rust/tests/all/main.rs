//! Tests the SDK as a plugin's author uses it, natively.

#[cfg(test)]
mod contract;
#[cfg(test)]
mod host;
#[cfg(test)]
mod pace;
#[cfg(test)]
mod patterns;
#[cfg(test)]
mod windows;
