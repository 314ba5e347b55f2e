//! Deadlines from durations that a caller chose.

use std::time::Duration;

use tokio::time::Instant;

/// The longest time until a deadline, about 30 years: longer durations overflow an [`Instant`] on some systems.
const LONGEST: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// The longest call timeout that adapters take, an hour. A longer one is no bound, and its multiples overflow.
pub const MAX_CALL_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// The moment after this time, of which `Duration::MAX` is a valid value. For adapters: the sum of an instant and a time that a
/// caller chose may overflow, and panic.
///
/// ```
/// use std::time::Duration;
/// use recount_messaging::deadline_after;
/// use tokio::time::Instant;
///
/// assert!(deadline_after(Duration::MAX) > Instant::now() + Duration::from_secs(1_000_000));
/// ```
#[must_use]
pub fn deadline_after(time: Duration) -> Instant {
    Instant::now() + time.min(LONGEST)
}
