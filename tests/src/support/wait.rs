//! Waits for a condition until a deadline. What is waited for is never a length of time.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

/// Time between two looks at a condition.
const LOOK: Duration = Duration::from_millis(2);

/// Waits until `look` sees something; `None` when it saw nothing `within` the time.
///
/// # Errors
///
/// The first of `look`.
pub fn until<T>(
    within: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    let began = Instant::now();
    loop {
        if let Some(seen) = look()? {
            return Ok(Some(seen));
        }
        if began.elapsed() > within {
            return Ok(None);
        }
        thread::sleep(LOOK);
    }
}
