//! Decides whether an instance may grow. It never frees anything.

use wasmtime::ResourceLimiter;

use crate::Limits;

/// Bounds and measures what one instance holds.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory_bytes_max: u64,
    table_elements_max: u64,
    memory_bytes: u64,
    table_elements: u64,
    /// What was refused last, within the current attempt.
    denied: Option<Denied>,
}

/// A refused growth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// Linear memory would have had this many bytes.
    Memory(u64),
    /// Tables would have had this many elements.
    Table(u64),
}

impl Limiter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            memory_bytes_max: limits.memory_bytes,
            table_elements_max: u64::from(limits.table_elements),
            memory_bytes: 0,
            table_elements: 0,
            denied: None,
        }
    }

    /// Most linear memory the instance had, in bytes: memory never shrinks.
    pub(crate) fn memory_bytes_peak(&self) -> u64 {
        self.memory_bytes
    }

    /// What was refused last since the attempt began.
    pub(crate) fn denied(&self) -> Option<Denied> {
        self.denied
    }

    /// Forgets refusals of the attempt before.
    pub(crate) fn begin_attempt(&mut self) {
        self.denied = None;
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let grown = grown(self.memory_bytes, current, desired);
        // A guest's own maximum is its own affair: the growth fails, but no limit was hit.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        if grown > self.memory_bytes_max {
            self.denied = Some(Denied::Memory(grown));
            return Ok(false);
        }
        self.memory_bytes = grown;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let grown = grown(self.table_elements, current, desired);
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        if grown > self.table_elements_max {
            self.denied = Some(Denied::Table(grown));
            return Ok(false);
        }
        self.table_elements = grown;
        Ok(true)
    }
}

fn grown(total: u64, current: usize, desired: usize) -> u64 {
    let by = u64::try_from(desired.saturating_sub(current)).unwrap_or(u64::MAX);
    total.saturating_add(by)
}

#[cfg(test)]
mod tests {
    use super::{Denied, Limiter};
    use crate::Limits;
    use wasmtime::ResourceLimiter;

    fn limiter() -> Limiter {
        Limiter::new(&Limits { memory_bytes: 100, table_elements: 10, ..Limits::default() })
    }

    #[test]
    fn memory_is_allowed_at_the_limit_and_refused_one_past_it() {
        let mut limiter = limiter();
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(0, 40, None).unwrap(), "the sum of two memories counts");
        assert_eq!(limiter.denied(), None);
        assert!(!limiter.memory_growing(40, 41, None).unwrap());
        assert_eq!(limiter.denied(), Some(Denied::Memory(101)));
        assert_eq!(limiter.memory_bytes_peak(), 100);
    }

    #[test]
    fn tables_are_allowed_at_the_limit_and_refused_one_past_it() {
        let mut limiter = limiter();
        assert!(limiter.table_growing(0, 10, None).unwrap());
        assert!(!limiter.table_growing(10, 11, None).unwrap());
        assert_eq!(limiter.denied(), Some(Denied::Table(11)));
    }

    #[test]
    fn a_guest_at_its_own_maximum_hit_no_limit() {
        let mut limiter = limiter();
        assert!(!limiter.memory_growing(0, 60, Some(50)).unwrap());
        assert_eq!(limiter.denied(), None);
    }
}
