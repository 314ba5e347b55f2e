//! The sink of an inbox: it handles messages, tries failed ones again, and sets messages that fail for longer aside.

use std::sync::Arc;
use std::time::Duration;

use recount_core::{BoxError, MessageMetrics, Recount, Sink, error_chain};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::admission::Admission;
use super::item::{Delivered, Item};
use super::settings::{LaterMessages, SubscriberParts};
use crate::deadline::deadline_after;
use crate::handler::{Failure, classify};
use crate::middleware::Layered;
use crate::parking::{Content, Parking, QueueKey, Standing};
use crate::request::{Answer, Replier};
use crate::route::Forwarder;
use crate::{Circuit, Message, Order};

/// The time for the state store beside a handler's own, in which a parked message is claimed.
const CLAIM_MARGIN: Duration = Duration::from_secs(30);

/// Handles the messages of a subscriber.
pub(crate) struct InboxSink {
    pub(super) recount: Recount,
    pub(super) name: String,
    pub(super) parts: SubscriberParts,
    layered: Option<Layered>,
    parking: Parking,
    circuit: Circuit,
    replier: Replier,
    pub(super) forwarder: Arc<Forwarder>,
    pub(super) metrics: Arc<MessageMetrics>,
    places: Semaphore,
}

/// The outcome of attempts at a message.
enum Outcome {
    Done,
    /// They failed so often, the last time for this reason.
    Failed(u32, String),
    /// No attempt helps.
    Hopeless(u32, String),
}

impl InboxSink {
    pub(crate) fn new(
        recount: Recount,
        parts: SubscriberParts,
        parking: Parking,
        circuit: Circuit,
        (replier, forwarder): (Replier, Arc<Forwarder>),
        metrics: Arc<MessageMetrics>,
    ) -> Self {
        let (name, places) = (parts.name(), Semaphore::new(parts.at_once));
        let layered = |wrap| Layered::new(wrap, &name, recount.clone(), parts.handlers.clone());
        let layered = parts.layers.clone().map(layered);
        Self { recount, name, parts, layered, parking, circuit, replier, forwarder, metrics, places }
    }

    async fn delivered(&self, delivered: &Delivered) -> Result<(), BoxError> {
        let message = match &delivered.message {
            Ok(message) => message,
            Err(_) if self.parking.is_settled(|| delivered.identity.clone()) => return Ok(()),
            // It has a queue of its own, so it is the message in it.
            Err(_) if delivered.may_repeat && self.parking.is_parked(&delivered.identity) => return Ok(()),
            Err(malformed) => return self.bury(delivered, &delivered.identity, malformed.to_string(), 0).await,
        };
        if self.parking.is_settled(|| delivered.identity.clone()) {
            tracing::debug!(consumer = self.name, message = %message.id, "an operator has discarded or edited it: dropped");
            return Ok(());
        }
        if delivered.may_repeat && self.parking.holds(&delivered.queue, message).await? {
            return Ok(());
        }
        if self.parking.is_parked(&delivered.queue) {
            let letter =
                delivered.letter(self.parking.now().await?, "an earlier message of its key waits".to_owned(), 0);
            if self.parking.park_behind(&delivered.queue, &letter).await? {
                return Ok(());
            }
        }
        let Some(expiry) = self.expiry(message).await? else {
            self.drop_expired(message);
            return Ok(());
        };
        let admission = self.enter().await.ready().await;
        // The wait may have been long.
        if expiry < Instant::now() {
            admission.abandon();
            self.drop_expired(message);
            return Ok(());
        }
        if delivered.may_repeat && delivered.count_once() {
            if delivered.is_repeated {
                self.metrics.duplicate();
            }
            let attempts = self.parking.count_attempt(&delivered.identity).await?;
            if attempts > self.parts.crashes {
                admission.abandon();
                let reason =
                    format!("it was delivered {attempts} times and never finished: programs may have died of it");
                self.bury(delivered, &self.dead_queue(delivered), reason, attempts).await?;
                return self.parking.forget_attempts(&delivered.identity).await;
            }
        }
        match self.attempt(message, (0, self.parts.plan.in_place), admission).await? {
            Outcome::Done => {}
            Outcome::Failed(attempts, reason) => match self.parts.plan.delay(0) {
                Some(delay) => {
                    let letter = delivered.letter(self.parking.now().await?, reason, attempts);
                    self.parking.park(&delivered.queue, &letter, Standing::Retry(delay)).await?;
                }
                None => self.bury(delivered, &self.dead_queue(delivered), reason, attempts).await?,
            },
            Outcome::Hopeless(attempts, reason) => {
                self.bury(delivered, &self.dead_queue(delivered), reason, attempts).await?;
            }
        }
        if delivered.may_repeat {
            self.parking.forget_attempts(&delivered.identity).await?;
        }
        Ok(())
    }

    /// When the message expires, by this process's clock. `None` if it has expired.
    async fn expiry(&self, message: &Message) -> Result<Option<Instant>, BoxError> {
        let Some(expires) = message.expires else { return Ok(Some(deadline_after(Duration::MAX))) };
        let left = Duration::try_from(expires.duration_since(self.parking.now().await?));
        Ok(left.ok().map(deadline_after))
    }

    /// No sender waits for the message any more.
    fn drop_expired(&self, message: &Message) {
        tracing::debug!(consumer = self.name, message = %message.id, "its sender does not wait any more: dropped");
        self.metrics.expired();
    }

    /// Makes a delivery a dead letter.
    async fn bury(
        &self,
        delivered: &Delivered,
        queue: &QueueKey,
        reason: String,
        attempts: u32,
    ) -> Result<(), BoxError> {
        let id = delivered.message.as_ref().map(|message| message.id.to_string()).ok();
        tracing::error!(consumer = self.name, message = ?id, reason, attempts, "dead letter");
        let letter = delivered.letter(self.parking.now().await?, reason, attempts);
        self.parking.park(queue, &letter, Standing::Dead).await?;
        self.metrics.dead_letter();
        Ok(())
    }

    /// The queue of a dead letter: that of its key if later messages wait, else one of its own.
    fn dead_queue(&self, delivered: &Delivered) -> QueueKey {
        match self.later() {
            LaterMessages::Wait => delivered.queue.clone(),
            LaterMessages::Pass => delivered.identity.clone(),
        }
    }

    fn later(&self) -> LaterMessages {
        if self.parts.binding.order == Order::PerKey { self.parts.later } else { LaterMessages::Wait }
    }

    /// Takes up the first message of a queue.
    async fn due(&self, queue: &QueueKey) -> Result<(), BoxError> {
        let lease = self.parts.time_limit.saturating_add(CLAIM_MARGIN);
        // A claim counts as an attempt, so it comes after all waiting.
        let ready = self.enter().await.ready().await;
        let Some(claim) = self.parking.claim(queue, lease).await? else {
            ready.abandon();
            return Ok(());
        };
        let message = match &claim.letter.content {
            Content::Message(message) => message.clone(),
            Content::Malformed(_) => {
                ready.abandon();
                let reason = claim.letter.reason.clone();
                return self.parking.failed(claim, Standing::Dead, reason).await;
            }
        };
        if claim.is_redriven() {
            self.metrics.redriven();
        }
        let before = claim.letter.attempts.saturating_add(claim.attempt()).saturating_sub(1);
        let outcome = match self.attempt(&message, (before, 1), ready).await {
            Ok(outcome) => outcome,
            Err(error) => return self.parking.postpone(claim, error_chain(&*error)).await,
        };
        let (reason, delay) = match outcome {
            Outcome::Done => return self.parking.done(claim).await,
            Outcome::Failed(_, reason) => (reason, self.parts.plan.delay(claim.attempt())),
            Outcome::Hopeless(_, reason) => (reason, None),
        };
        if let Some(delay) = delay {
            return self.parking.failed(claim, Standing::Retry(delay), reason).await;
        }
        tracing::error!(consumer = self.name, message = %message.id, reason, "dead letter");
        self.metrics.dead_letter();
        match self.later() {
            LaterMessages::Wait => self.parking.failed(claim, Standing::Dead, reason).await,
            LaterMessages::Pass => self.parking.set_apart(claim, reason).await,
        }
    }

    async fn enter(&self) -> Admission<'_> {
        Admission::enter(&self.circuit, self.layered.as_ref()).await
    }

    /// Tries a message after so many earlier attempts, so often at most. An error is one that time heals.
    async fn attempt(
        &self,
        message: &Message,
        (before, times): (u32, u32),
        mut admission: Admission<'_>,
    ) -> Result<Outcome, BoxError> {
        let mut failures = 0;
        loop {
            let Admission { permit, turn, unready } = admission;
            let attempt = before.saturating_add(failures).saturating_add(1);
            let called = match unready {
                Some(error) => Err(error),
                None => self.call(message, attempt, turn).await,
            };
            let error = match called {
                Ok(answer) => {
                    permit.succeeded();
                    return self.reply(message, answer).await;
                }
                Err(error) => error,
            };
            let class = classify(&*error);
            if class == Failure::Transient {
                permit.failed();
                return Err(error);
            }
            permit.succeeded();
            failures += 1;
            let reason = error_chain(&*error);
            if class == Failure::Permanent {
                if message.reply_to.is_some() {
                    // Its sender decides.
                    return self.reply(message, Some(Answer::Failed { error: reason })).await;
                }
                return Ok(Outcome::Hopeless(failures, reason));
            }
            tracing::warn!(consumer = self.name, message = %message.id, error = reason, failures, "message failed");
            match self.parts.plan.pause(failures) {
                Some(pause) if failures < times => tokio::time::sleep(pause).await,
                _ => return Ok(Outcome::Failed(failures, reason)),
            }
            admission = self.enter().await.ready().await;
        }
    }

    /// Replies, if the sender of the message waits for an answer.
    async fn reply(&self, message: &Message, answer: Option<Answer>) -> Result<Outcome, BoxError> {
        if let (Some(address), Some(answer)) = (&message.reply_to, answer) {
            self.replier.reply(address, message, &answer).await?;
        }
        Ok(Outcome::Done)
    }
}

impl Sink for InboxSink {
    type Item = Item;

    async fn take(&self, item: &Item) -> Result<(), BoxError> {
        let _place = self.places.acquire().await?;
        match item {
            Item::Delivered(delivered) => self.delivered(delivered).await,
            Item::Due(queue) => {
                let outcome = self.due(queue).await;
                if outcome.is_ok() {
                    self.parking.give_back(queue);
                }
                outcome
            }
        }
    }

    /// Handlers have a limit of their own, and an open circuit holds them up for longer.
    fn time_limit(&self) -> Duration {
        Duration::from_secs(24 * 60 * 60)
    }
}
