//! The clock of memory stores: tokio's, so that tests which pause time control it.

use std::sync::LazyLock;
use std::time::Instant;

use recount_core::Timestamp;

/// The moment when a memory store was first used, by both clocks.
static START: LazyLock<(Timestamp, Instant)> = LazyLock::new(|| (Timestamp::now(), Instant::now()));

/// The time in whole microseconds, as every store keeps it.
pub(crate) fn now() -> Timestamp {
    time_of(tokio::time::Instant::now().into_std(), *START)
}

/// The instant may be before the start: the clock of a runtime that began with paused time stands since then.
fn time_of(instant: Instant, (time, start): (Timestamp, Instant)) -> Timestamp {
    let now = match instant.checked_duration_since(start) {
        Some(passed) => time.checked_add(passed).unwrap_or(Timestamp::MAX),
        None => time.checked_sub(start.saturating_duration_since(instant)).unwrap_or(Timestamp::MIN),
    };
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_behind_the_start_goes_on() {
        let (early, second) = (Instant::now(), Duration::from_secs(1));
        let start = (Timestamp::now(), early + Duration::from_secs(10));
        let times = [0, 1, 10, 11].map(|seconds| time_of(early + second * seconds, start).as_second());
        assert_eq!(times.map(|time| time - times[0]), [0, 1, 10, 11]);
    }
}
