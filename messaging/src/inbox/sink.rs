//! The sink of an inbox: it handles messages, tries failed ones again, and sets messages that fail for longer aside.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use recount_core::{BoxError, MessageMetrics, Recount, Sink, error_chain, panic_message};
use tokio::sync::Semaphore;
use tracing::Instrument;

use super::item::{Delivered, Item};
use super::settings::{LaterMessages, SubscriberParts};
use crate::handler::{Failure, Incoming, classify};
use crate::parking::{Content, Parking, QueueKey, Standing};
use crate::request::{Answer, Replier};
use crate::{Circuit, Message, Order};

/// The time for the state store beside a handler's own, in which a parked message is claimed.
const CLAIM_MARGIN: Duration = Duration::from_secs(30);

/// Handles the messages of a subscriber.
pub(crate) struct InboxSink {
    recount: Recount,
    name: String,
    parts: SubscriberParts,
    parking: Parking,
    circuit: Circuit,
    replier: Replier,
    metrics: Arc<MessageMetrics>,
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
        replier: Replier,
        metrics: Arc<MessageMetrics>,
    ) -> Self {
        let places = Semaphore::new(parts.at_once);
        Self { recount, name: parts.name(), parts, parking, circuit, replier, metrics, places }
    }

    async fn delivered(&self, delivered: &Delivered) -> Result<(), BoxError> {
        let message = match &delivered.message {
            Ok(message) => message,
            Err(_) if self.parking.is_settled(|| delivered.identity.clone()) => return Ok(()),
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
        if let Some(expires) = message.expires
            && expires < self.parking.now().await?
        {
            tracing::debug!(consumer = self.name, message = %message.id, "nobody waits for the message any more: dropped");
            return Ok(());
        }
        if delivered.may_repeat && delivered.count_once() {
            self.metrics.duplicate();
            let attempts = self.parking.count_attempt(&delivered.identity).await?;
            if attempts > self.parts.crashes {
                let reason =
                    format!("it was delivered {attempts} times and never finished: programs may have died of it");
                self.bury(delivered, &self.dead_queue(delivered), reason, attempts).await?;
                return self.parking.forget_attempts(&delivered.identity).await;
            }
        }
        match self.attempt(message, self.parts.plan.in_place).await? {
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
        let Some(claim) = self.parking.claim(queue, lease).await? else { return Ok(()) };
        let message = match &claim.letter.content {
            Content::Message(message) => message.clone(),
            Content::Malformed(_) => {
                let reason = claim.letter.reason.clone();
                return self.parking.failed(claim, Standing::Dead, reason).await;
            }
        };
        if claim.is_redriven() {
            self.metrics.redriven();
        }
        let outcome = match self.attempt(&message, 1).await {
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

    /// Tries a message, so often at most. An error is one that time heals.
    async fn attempt(&self, message: &Message, times: u32) -> Result<Outcome, BoxError> {
        let mut failures = 0;
        loop {
            let permit = self.circuit.enter().await;
            let error = match self.call(message).await {
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
        }
    }

    /// Replies, if the sender of the message waits for an answer.
    async fn reply(&self, message: &Message, answer: Option<Answer>) -> Result<Outcome, BoxError> {
        if let (Some(address), Some(answer)) = (&message.reply_to, answer) {
            self.replier.reply(address, message, &answer).await?;
        }
        Ok(Outcome::Done)
    }

    /// One call of the handler, within its time limit.
    async fn call(&self, message: &Message) -> Result<Option<Answer>, BoxError> {
        let incoming = Incoming::new(message, &self.name);
        let span = self.span(message);
        let started = self.metrics.start();
        let call = AssertUnwindSafe(self.parts.handlers.handle(&self.recount, &incoming)).catch_unwind();
        match tokio::time::timeout(self.parts.time_limit, call.instrument(span)).await {
            Ok(Ok(Ok(answer))) => {
                self.metrics.consumed(started.map(|started| started.elapsed()));
                Ok(answer)
            }
            Ok(Ok(Err(error))) => Err(error),
            Ok(Err(panic)) => Err(format!("the handler panicked: {}", panic_message(&*panic)).into()),
            Err(_) => Err(format!("the handler has not returned within {:?}", self.parts.time_limit).into()),
        }
    }

    fn span(&self, message: &Message) -> tracing::Span {
        let topic = self.parts.binding.topic.name();
        let span = tracing::info_span!(
            "process",
            otel.name = format!("process {topic}"),
            otel.kind = "consumer",
            messaging.operation.type = "process",
            messaging.destination.name = topic,
            messaging.consumer.group.name = self.parts.binding.group.name(),
            messaging.message.id = message.id.as_str(),
        );
        if let (Some(context), Some(traceparent)) = (self.recount.trace_context(), &message.metadata.traceparent) {
            context.adopt(&span, traceparent);
        }
        span
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
