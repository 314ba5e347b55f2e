//! The bounds of the times of topics and bindings.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Binding, BrokerError, Plan, Topic};

const SECOND: Duration = Duration::from_secs(1);
/// The bounds of leases and of the expiry of groups. An inbox extends leases once a second. The longest expiry that RabbitMQ
/// holds is 49 days.
const TIMES: RangeInclusive<Duration> = SECOND..=Duration::from_secs(30 * 24 * 60 * 60);
/// How long a topic keeps its messages. On NATS, zero would be for ever.
const KEPT: RangeInclusive<Duration> = SECOND..=Duration::MAX;

impl Binding {
    /// Checks that brokers can keep its times. For adapters: [`Plan::distinct`] does it, and `subscribe` has to.
    ///
    /// # Errors
    /// [`BrokerError::Invalid`] names a time that is out of its bounds.
    pub fn check(&self) -> Result<(), BrokerError> {
        check_topic(&self.topic)?;
        check("lease", self.lease, TIMES, || format!("give {self} a lease of 1 s to 30 days"))?;
        let Some(expiry) = self.expires_after else { return Ok(()) };
        let cure = || format!("let {self} expire after 1 s to 30 days, or leave the time out for a group that stays");
        check("expiry of a group", expiry, TIMES, cure)
    }
}

impl Plan {
    /// Checks the times of all topics and bindings.
    pub(super) fn check_times(&self) -> Result<(), BrokerError> {
        self.topics.iter().try_for_each(check_topic)?;
        self.bindings.iter().try_for_each(Binding::check)
    }
}

fn check_topic(topic: &Topic) -> Result<(), BrokerError> {
    let cure = || format!("let topic {topic} keep its messages for 1 s or longer");
    topic.kept_for().map_or(Ok(()), |time| check("time to keep messages", time, KEPT, cure))
}

fn check(
    kind: &'static str,
    time: Duration,
    bounds: RangeInclusive<Duration>,
    cure: impl FnOnce() -> String,
) -> Result<(), BrokerError> {
    if bounds.contains(&time) {
        return Ok(());
    }
    Err(BrokerError::Invalid { kind, value: format!("{time:?}"), cure: cure() })
}
