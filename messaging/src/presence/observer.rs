//! Observing announcements: the services at a broker, and whether they are present.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use recount_core::{EventId, Timestamp};
use tokio::time::{Instant, timeout, timeout_at};

use super::announcement::{Announcement, Heard, probe, topic};
use super::directory::{Directory, Instance, Presence};
use crate::broker::publish_one;
use crate::deadline::deadline_after;
use crate::{
    Binding, Broker, BrokerConsumer, BrokerError, Delivery, Group, MessageId, Order, Plan, Room, Settle, Signal,
};

/// The broker removes the group of an observer that was unused for this time.
const GROUP_EXPIRES: Duration = Duration::from_secs(60);
/// How many messages are taken at once.
const BATCH: usize = 256;
/// How many instances are kept in mind, and how many bytes of announcements. Beyond that the instances that are gone or
/// expired are forgotten, the oldest ones first. Further instances are ignored while all are present.
const MAX_INSTANCES: usize = 10_000;
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// How long a consumer may take to end.
const DRAIN: Duration = Duration::from_secs(2);
/// After the end of the history was found, messages that are a little out of order may follow for this time.
const STRAGGLERS: Duration = Duration::from_millis(200);
/// The pause after an error that time heals.
const PAUSE: Duration = Duration::from_millis(200);

/// Follows the announcements at a broker.
///
/// ```
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// # use recount_messaging::{Broker, BrokerError, Observer, Presence};
/// # async fn f(broker: Arc<dyn Broker>) -> Result<(), BrokerError> {
/// let mut observer = Observer::open(broker).await?;
/// observer.observe(Duration::from_secs(12)).await?;
/// for instance in observer.directory().instances {
///     if instance.state == Presence::Present {
///         println!("{} is {:?}", instance.manifest.service, instance.health.status);
///     }
/// }
/// observer.close().await;
/// # Ok(()) }
/// ```
pub struct Observer {
    broker: Arc<dyn Broker>,
    /// Its own group. The broker removes it in an outage that is longer than the group's expiry.
    binding: Binding,
    consumer: Box<dyn BrokerConsumer>,
    /// The last announcement of each service and instance.
    instances: HashMap<(String, String), Seen>,
    /// The size of these announcements, as they were sent.
    bytes: usize,
    ignored: u64,
    history: History,
}

/// How far the history of announcements was read.
enum History {
    /// The broker keeps none.
    None,
    /// Up to the probe with this id.
    Until(MessageId),
    /// The probe has arrived: its time by the broker's clock, and by the own one.
    Read(Option<Timestamp>, Instant),
    /// No probe could be published.
    Unknown,
}

/// An announcement as it was heard.
struct Seen {
    announcement: Announcement,
    /// Its size in bytes, as it was sent.
    size: usize,
    /// When it arrived here.
    arrived: Instant,
    /// When the broker stored it, if it says.
    stored: Option<Timestamp>,
}

impl Observer {
    /// Declares a group of its own at the broker, which the broker removes when the observer is gone.
    ///
    /// # Errors
    /// [`BrokerError`] if the broker can't be reached or refuses.
    pub async fn open(broker: Arc<dyn Broker>) -> Result<Self, BrokerError> {
        let invalid = |error: recount_core::NameError| BrokerError::Invalid {
            kind: "name of an observer",
            value: error.to_string(),
            cure: "report it: names of observers are made by recount".to_owned(),
        };
        let name = format!("observer-{}", EventId::new().0.simple());
        let binding = Binding::new(topic().map_err(invalid)?, Group::new(&name).map_err(invalid)?);
        let binding = binding.order(Order::Unordered).expires_after(GROUP_EXPIRES);
        let consumer = declared(&*broker, &binding).await?;
        let history = if broker.capabilities(&binding).late_group_gets_history {
            let probe = probe(&name);
            let id = probe.id.clone();
            match publish_one(&*broker, &binding.topic, probe).await {
                Ok(()) => History::Until(id),
                Err(_) => History::Unknown,
            }
        } else {
            History::None
        };
        Ok(Self { broker, binding, consumer, instances: HashMap::new(), bytes: 0, ignored: 0, history })
    }

    /// Listens for this time at most. Where the broker keeps announcements, the first call returns as soon as these are
    /// read. Elsewhere it listens for the whole time: services announce themselves each ten seconds unless set.
    ///
    /// # Errors
    /// [`BrokerError`] if the broker refuses. Outages are waited for, within the time. After a long one the group is declared
    /// again, since the broker has removed it.
    ///
    /// # Cancel safety
    /// Cancel-safe: announcements that were heard are kept.
    pub async fn observe(&mut self, within: Duration) -> Result<(), BrokerError> {
        let until = deadline_after(within);
        let was_read = matches!(self.history, History::Read(..));
        let mut end = until;
        while let Ok(signal) = timeout_at(end, self.consumer.next(&Room::of(BATCH))).await {
            match signal {
                Ok(Signal::Deliveries(deliveries)) => self.take(deliveries, until).await,
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => self.recover(error, end).await?,
            }
            if !was_read && matches!(self.history, History::Read(..)) {
                end = until.min(Instant::now() + STRAGGLERS);
            }
            if Instant::now() >= end {
                break;
            }
        }
        Ok(())
    }

    /// Waits after an error of the consumer, and replaces a consumer that has lost its group.
    async fn recover(&mut self, error: BrokerError, end: Instant) -> Result<(), BrokerError> {
        tokio::time::sleep_until(end.min(Instant::now() + PAUSE)).await;
        if error.is_transient() {
            return Ok(());
        }
        let BrokerError::Missing { object } = &error else { return Err(error) };
        tracing::info!(object, "the group of an observer is gone: it is declared again");
        match timeout_at(end, declared(&*self.broker, &self.binding)).await {
            Ok(Ok(consumer)) => self.consumer = consumer,
            Ok(Err(error)) if !error.is_transient() => return Err(error),
            // The consumer reports again that its group is gone.
            Ok(Err(_)) | Err(_) => {}
        }
        Ok(())
    }

    /// The services that were heard so far, with their presence at this moment.
    #[must_use]
    pub fn directory(&self) -> Directory {
        let now = Instant::now();
        let instances = self.instances.values().map(|seen| {
            let ago = self.age(seen, now);
            let state = seen.state(ago);
            let Announcement { manifest, health, .. } = seen.announcement.clone();
            let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            let expires_after_ms = milliseconds(seen.announcement.expires_after());
            Instance { manifest, health, state, heard_ms_ago: milliseconds(ago), expires_after_ms }
        });
        Directory::new(instances.collect(), self.ignored)
    }

    /// Ends the consumer, within two seconds. The broker removes the group a minute later.
    pub async fn close(self) {
        // A consumer that does not end in time is dropped.
        let _ = timeout(DRAIN * 2, self.consumer.drain(DRAIN)).await;
    }

    async fn take(&mut self, deliveries: Vec<Delivery>, until: Instant) {
        let arrived = Instant::now();
        let mut marks = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            let size = delivery.message.as_ref().map_or(0, |message| message.data.len());
            match delivery.message.as_ref().map(Heard::read) {
                Ok(Heard::Announcement(announcement)) => {
                    let (announcement, stored) = (*announcement, delivery.published_at);
                    self.hear(Seen { announcement, size, arrived, stored });
                }
                Ok(Heard::Probe(id)) => {
                    if matches!(&self.history, History::Until(probe) if *probe == id) {
                        self.history = History::Read(delivery.published_at, arrived);
                    }
                }
                Ok(Heard::Unreadable) | Err(_) => self.ignored += 1,
            }
            marks.push((delivery.ticket, Settle::Ack));
        }
        // Announcements that are not settled come again, and are known.
        let _ = timeout_at(until + DRAIN, self.consumer.settle(marks)).await;
    }

    fn hear(&mut self, seen: Seen) {
        let manifest = &seen.announcement.manifest;
        let key = (manifest.service.clone(), manifest.instance.clone());
        if self.instances.get(&key).is_some_and(|known| known.is_later_than(&seen)) {
            return;
        }
        let size = seen.size;
        if let Some(replaced) = self.instances.insert(key.clone(), seen) {
            self.bytes -= replaced.size;
        }
        self.bytes += size;
        if self.exceeds(1, 1) {
            self.forget_ended();
        }
        if self.exceeds(1, 1)
            && let Some(last) = self.instances.remove(&key)
        {
            self.bytes -= last.size;
            self.ignored += 1;
        }
    }

    /// Whether this part of the limits is exceeded.
    fn exceeds(&self, numerator: usize, denominator: usize) -> bool {
        let exceeds = |count: usize, limit: usize| count > limit / denominator * numerator;
        exceeds(self.instances.len(), MAX_INSTANCES) || exceeds(self.bytes, MAX_BYTES)
    }

    /// Forgets instances that are gone or expired, the oldest ones first, until an eighth of the room is free: each call looks
    /// at all instances.
    fn forget_ended(&mut self) {
        let now = Instant::now();
        let ages = self.instances.iter().map(|(key, seen)| (self.age(seen, now), key, seen));
        let ended = ages.filter(|(age, _, seen)| seen.state(*age) != Presence::Present);
        let mut ended: Vec<_> = ended.map(|(age, key, _)| (age, key.clone())).collect();
        ended.sort_unstable();
        while self.exceeds(7, 8)
            && let Some((_, key)) = ended.pop()
        {
            self.bytes -= self.instances.remove(&key).map_or(0, |forgotten| forgotten.size);
        }
    }

    /// How long ago an announcement was made. The clock of the broker counts, from its probe on; else the arrival.
    fn age(&self, seen: &Seen, now: Instant) -> Duration {
        let since_arrival = now.saturating_duration_since(seen.arrived);
        let (History::Read(Some(probe), probed), Some(stored)) = (&self.history, seen.stored) else {
            return since_arrival;
        };
        let before_probe: Duration = probe.duration_since(stored).try_into().unwrap_or_default();
        let since_probe = now.saturating_duration_since(*probed);
        if before_probe.is_zero() { since_arrival } else { before_probe + since_probe }
    }
}

/// Declares the group of an observer and subscribes to it.
async fn declared(broker: &dyn Broker, binding: &Binding) -> Result<Box<dyn BrokerConsumer>, BrokerError> {
    broker.ensure(&Plan { topics: Vec::new(), bindings: vec![binding.clone()] }, false).await?;
    broker.subscribe(binding).await
}

impl Seen {
    /// The state of its instance, if it was made this long ago and is the last one.
    fn state(&self, ago: Duration) -> Presence {
        match self.announcement.goodbye {
            true => Presence::Gone,
            false if ago > self.announcement.expires_after() => Presence::Expired,
            false => Presence::Present,
        }
    }

    /// Whether it is later than another announcement of its instance, by the clock of the broker. Without that clock, both its
    /// sequence and its time must be later: the service's clock may be set back, and an instance with a name of its own
    /// counts anew after a restart.
    fn is_later_than(&self, other: &Self) -> bool {
        let (sequence, others) = (self.announcement.sequence, other.announcement.sequence);
        match (self.stored, other.stored) {
            (Some(stored), Some(before)) => (stored, sequence) > (before, others),
            _ => sequence > others && self.announcement.announced_at > other.announcement.announced_at,
        }
    }
}
