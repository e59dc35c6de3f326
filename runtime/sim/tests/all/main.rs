//! Proves the engine in a simulated world: seeded histories, planted bugs, scenarios. It never
//! looks inside the engine.

#[cfg(test)]
mod determinism;
#[cfg(test)]
mod histories;
#[cfg(test)]
mod planted;
#[cfg(test)]
mod scenarios;
