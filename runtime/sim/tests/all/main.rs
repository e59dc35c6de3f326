//! Proves the engine in a simulated world: seeded histories, planted bugs, scenarios. It never
//! looks inside the engine.
#![expect(clippy::print_stdout, reason = "what was run and how fast is part of the answer")]

#[cfg(test)]
mod determinism;
#[cfg(test)]
mod exploring;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod planted;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod shrinking;
