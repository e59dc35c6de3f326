//! Holds the reading of configuration to what operators are promised.

#[cfg(test)]
mod bad;
#[cfg(test)]
mod cross;
#[cfg(test)]
mod generated;
#[cfg(test)]
mod good;
#[cfg(test)]
mod slips;
