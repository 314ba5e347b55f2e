//! The announcer: a consumer that announces its service again and again, until it is shut down.
//!
//! It must not disturb the service: it fails never, has no circuit, and waits for the broker within a limit. A service
//! that can't be announced goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use recount_core::{BoxError, Check, Condition, Delivered, Health, Lane, Recount, Sink, Source, Timestamp};
use tokio::time::{Instant, sleep_until, timeout};

use super::announcement::{Announcement, MAX_BYTES, topic};
use super::found::Found;
use super::manifest::Manifest;
use crate::broker::{Unconfirmed, publish_one};
use crate::{Broker, BrokerError, Message, Plan, Refusal};

/// How long the health may take.
const HEALTH: Duration = Duration::from_secs(4);
/// How long an announcement may take at the broker.
const PUBLISH: Duration = Duration::from_secs(5);
/// How long the last announcement may take: the shutdown waits for it.
const GOODBYE: Duration = Duration::from_secs(2);

/// Announces a service.
struct Announcer {
    recount: Recount,
    broker: Arc<dyn Broker>,
    manifest: Manifest,
    /// The topics that the service has found since it was started.
    found: Found,
    interval: Duration,
    sequence: AtomicU64,
    declared: AtomicBool,
    /// Whether the last announcement failed.
    failing: AtomicBool,
}

/// The two halves of a consumer that announces a service.
pub(crate) fn announcer(
    recount: Recount,
    broker: Arc<dyn Broker>,
    (manifest, found): (Manifest, Found),
    interval: Duration,
) -> (Ticks, AnnouncerSink) {
    let (sequence, declared, failing) = (AtomicU64::new(0), AtomicBool::new(false), AtomicBool::new(false));
    let announcer = Arc::new(Announcer { recount, broker, manifest, found, interval, sequence, declared, failing });
    let ticks = Ticks { announcer: Arc::clone(&announcer), next: Instant::now(), caught_up: false };
    (ticks, AnnouncerSink(announcer))
}

impl Announcer {
    /// Announces the service within this time.
    async fn announce(&self, goodbye: bool, limit: Duration) {
        let health = if goodbye { Health::of(Vec::new()) } else { self.health().await };
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        let mut manifest = self.manifest.clone();
        self.found.add_to(&mut manifest);
        let announcement = Announcement::new(manifest, health, sequence, self.interval, goodbye);
        let published = match announcement.message() {
            Ok(message) if message.data.len() > MAX_BYTES => {
                let (bytes, topics) = (message.data.len(), announcement.manifest.subscriptions.len());
                Ok(Err(format!(
                    "the announcement has {bytes} bytes with {topics} subscriptions, the limit is {MAX_BYTES}"
                )
                .into()))
            }
            Ok(message) => timeout(limit, self.publish(message)).await,
            Err(error) => Ok(Err(error.into())),
        };
        self.note(published.unwrap_or_else(|_| Err(BrokerError::TimedOut { operation: "publish", limit }.into())));
    }

    async fn health(&self) -> Health {
        timeout(HEALTH, self.recount.health()).await.unwrap_or_else(|_| {
            let (name, message) = ("health".to_owned(), Some(format!("it was not answered within {HEALTH:?}")));
            Health::of(vec![Check { name, status: Condition::Degraded, since: Timestamp::now(), message }])
        })
    }

    async fn publish(&self, message: Message) -> Result<(), BoxError> {
        let topic = topic()?;
        if !self.declared.load(Ordering::Relaxed) {
            let plan = Plan { topics: vec![topic.clone()], bindings: Vec::new() };
            self.broker.ensure(&plan, false).await?;
            self.declared.store(true, Ordering::Relaxed);
        }
        match publish_one(&*self.broker, &topic, message).await {
            // Without an observer some brokers have no use for it.
            Ok(()) | Err(Unconfirmed::Refused(Refusal::Unroutable { .. })) => Ok(()),
            Err(Unconfirmed::Refused(refusal)) => Err(refusal.into()),
            Err(Unconfirmed::Unknown(error) | Unconfirmed::NotSent(error)) => {
                if !error.is_transient() {
                    // The topic may be gone.
                    self.declared.store(false, Ordering::Relaxed);
                }
                Err(error.into())
            }
        }
    }

    /// Logs when announcements begin to fail, and when they succeed again.
    fn note(&self, published: Result<(), BoxError>) {
        let failed = published.is_err();
        let service = &self.manifest.service;
        match (self.failing.swap(failed, Ordering::Relaxed), published) {
            (false, Err(error)) => {
                let error = recount_core::error_chain(&*error);
                tracing::warn!(service, error, "the service can't be announced; it goes on, and is announced later");
            }
            (true, Ok(())) => tracing::info!(service, "the service is announced again"),
            (true, Err(_)) | (false, Ok(())) => {}
        }
    }
}

/// The moments at which a service is announced.
pub(crate) struct Ticks {
    announcer: Arc<Announcer>,
    next: Instant,
    caught_up: bool,
}

impl Source for Ticks {
    type Item = Instant;
    type Mark = ();
    type Ticket = ();

    async fn open(&mut self, _: Option<()>) -> Result<(), BoxError> {
        (self.next, self.caught_up) = (Instant::now(), false);
        Ok(())
    }

    async fn next(&mut self) -> Result<Delivered<Self>, BoxError> {
        if !std::mem::replace(&mut self.caught_up, true) {
            return Ok(Delivered::CaughtUp { mark: None });
        }
        sleep_until(self.next).await;
        let now = Instant::now();
        self.next = now + self.announcer.interval;
        Ok(Delivered::Item { lane: Lane(0), item: now, ticket: (), mark: None })
    }

    /// Says goodbye, unless it was never announced, or the broker is away.
    async fn close(&mut self) -> Result<(), BoxError> {
        let announced = self.announcer.sequence.load(Ordering::Relaxed) > 0;
        if announced && !self.announcer.failing.load(Ordering::Relaxed) {
            self.announcer.announce(true, GOODBYE).await;
        }
        Ok(())
    }
}

/// Announces a service at each tick.
pub(crate) struct AnnouncerSink(Arc<Announcer>);

impl Sink for AnnouncerSink {
    type Item = Instant;

    const AT_ONCE: usize = 1;

    async fn take(&self, tick: &Instant) -> Result<(), BoxError> {
        // A broker that answers slowly holds ticks up: late ones are left out.
        if tick.elapsed() < self.0.interval {
            self.0.announce(false, PUBLISH).await;
        }
        Ok(())
    }
}
