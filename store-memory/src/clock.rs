//! The clock of memory stores: tokio's, so that tests which pause time control it.

use std::sync::LazyLock;
use std::time;

use recount_core::Timestamp;
use tokio::time::Instant;

/// The time when a memory store was first used, by both clocks. The instant is the earlier one of the real and tokio's: a
/// paused clock starts behind the real one, and runs ahead of it later.
static START: LazyLock<(Timestamp, time::Instant)> = LazyLock::new(|| {
    let instant = time::Instant::now().min(Instant::now().into_std());
    (Timestamp::now(), instant)
});

/// The time in whole microseconds, as every store keeps it.
pub(crate) fn now() -> Timestamp {
    let (time, instant) = *START;
    let passed = Instant::now().into_std().saturating_duration_since(instant);
    let now = time.checked_add(passed).unwrap_or(Timestamp::MAX);
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}
