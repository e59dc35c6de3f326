//! Runs the binary as an operator does: alone, and against a host of its own.

#[cfg(test)]
mod documents;
#[cfg(test)]
mod guest;
#[cfg(test)]
mod host;
#[cfg(test)]
mod letters;
#[cfg(test)]
mod plugin;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod support;
mod tokens;
