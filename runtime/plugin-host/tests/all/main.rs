//! Tests of running components: hostile guests, limits, isolation, scheduling, loading.

#[cfg(test)]
mod bench;
#[cfg(test)]
mod cache;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod guests;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod load;
#[cfg(test)]
mod scheduling;
