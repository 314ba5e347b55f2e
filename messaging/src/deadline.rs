//! Deadlines from durations that a caller chose.

use std::time::Duration;

use tokio::time::Instant;

/// The longest time until a deadline, about 30 years: longer durations overflow an [`Instant`] on some systems.
const LONGEST: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// The moment after this time, of which `Duration::MAX` is a valid value.
pub(crate) fn deadline_after(time: Duration) -> Instant {
    Instant::now() + time.min(LONGEST)
}
