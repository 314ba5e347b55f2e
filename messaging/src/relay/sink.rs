//! The sink of a relay: it publishes messages, and sets refused ones aside.

use std::sync::Arc;
use std::time::Duration;

use recount_core::{BoxError, MessageMetrics, RecordedEvent, Sink, TransientError, error_chain};

use super::PublicationParts;
use super::source::{Item, Relayed};
use crate::broker::{Unconfirmed, send_one};
use crate::parking::{Content, Letter, Parking, QueueKey, Standing};
use crate::{Broker, Circuit, Message, Refusal, Topic};

/// How long a relay has a parked message for itself while it publishes it.
const CLAIM: Duration = Duration::from_secs(60);

/// Publishes the messages of a relay.
pub(crate) struct RelaySink {
    publication: Arc<PublicationParts>,
    broker: Arc<dyn Broker>,
    parking: Parking,
    circuit: Circuit,
    /// Those of each topic, in the publication's order.
    metrics: Vec<Arc<MessageMetrics>>,
}

/// A topic of the publication.
#[derive(Clone, Copy)]
struct Target<'s> {
    topic: &'s Topic,
    metrics: &'s MessageMetrics,
}

impl RelaySink {
    pub(crate) fn new(
        publication: Arc<PublicationParts>,
        broker: Arc<dyn Broker>,
        parking: Parking,
        circuit: Circuit,
        metrics: Vec<Arc<MessageMetrics>>,
    ) -> Self {
        Self { publication, broker, parking, circuit, metrics }
    }

    async fn event(&self, Relayed { message, queue, .. }: &Relayed) -> Result<(), BoxError> {
        let (topic, message) = match message {
            Ok(Some((topic, message))) => (*topic, message),
            Ok(None) => return Ok(()),
            // The consumer stops when its retry budget is used up: an event that this program can't map is its defect.
            Err(reason) => return Err(reason.clone().into()),
        };
        let target = self.target(topic)?;
        if self.parking.is_settled(|| QueueKey::of_message(&message.source, message.id.as_str())) {
            tracing::debug!(relay = %self.publication.name, message = %message.id, "an operator has discarded or edited it");
            return Ok(());
        }
        if self.parking.is_parked(queue) {
            let letter = self.letter(target, message, "an earlier message of its key was refused".to_owned()).await?;
            if self.parking.park_behind(queue, &letter).await? {
                return Ok(());
            }
        }
        let Err(refusal) = self.publish(target, message).await? else { return Ok(()) };
        self.log(message, &refusal);
        let letter = self.letter(target, message, refusal.to_string()).await?;
        self.parking.park(queue, &letter, Standing::Dead).await?;
        target.metrics.dead_letter();
        Ok(())
    }

    /// Publishes the first message of a queue.
    async fn due(&self, queue: &QueueKey) -> Result<(), BoxError> {
        let Some(claim) = self.parking.claim(queue, CLAIM).await? else { return Ok(()) };
        let Content::Message(message) = claim.letter.content.clone() else {
            return Err("a relay has parked a message without an envelope".into());
        };
        let origin = &claim.letter.origin;
        let Some(target) = self.publication.topic_of_name(origin).and_then(|topic| self.target(topic).ok()) else {
            let publication = &self.publication.name;
            let reason =
                format!("publication {publication} has no topic {origin} any more: add it, or discard the message");
            return self.parking.failed(claim, Standing::Dead, reason).await;
        };
        if claim.is_redriven() {
            target.metrics.redriven();
        }
        match self.publish(target, &message).await {
            Ok(Ok(())) => self.parking.done(claim).await,
            Ok(Err(refusal)) => {
                self.log(&message, &refusal);
                self.parking.failed(claim, Standing::Dead, refusal.to_string()).await
            }
            Err(error) => self.parking.postpone(claim, error_chain(&*error)).await,
        }
    }

    fn target(&self, topic: usize) -> Result<Target<'_>, BoxError> {
        let (topic, metrics) = (self.publication.topics.get(topic), self.metrics.get(topic));
        let target = topic.zip(metrics).map(|(topic, metrics)| Target { topic, metrics });
        target.ok_or_else(|| "the topic of a route is not declared".into())
    }

    /// Publishes a message. An error is one that time heals; a refusal is one of this message.
    async fn publish(
        &self,
        Target { topic, metrics }: Target<'_>,
        message: &Message,
    ) -> Result<Result<(), Refusal>, BoxError> {
        let permit = self.circuit.enter().await;
        match send_one(&*self.broker, topic, message.clone(), metrics).await {
            Ok(()) => {
                permit.succeeded();
                Ok(Ok(()))
            }
            Err(Unconfirmed::Refused(refusal @ Refusal::Unroutable { .. })) => {
                // Its receiver is not there yet.
                permit.succeeded();
                Err(TransientError::new(refusal).into())
            }
            Err(Unconfirmed::Refused(refusal)) => {
                permit.succeeded();
                Ok(Err(refusal))
            }
            Err(Unconfirmed::Unknown(error) | Unconfirmed::NotSent(error)) => {
                permit.failed();
                Err(TransientError::new(error).into())
            }
        }
    }

    /// A letter of a relay. Its origin is the topic to which it is published.
    async fn letter(&self, target: Target<'_>, message: &Message, reason: String) -> Result<Letter, BoxError> {
        let now = self.parking.now().await?;
        let origin = target.topic.name().into();
        Ok(Letter::new(Content::Message(Box::new(message.clone())), origin, now, reason, 1))
    }

    fn log(&self, message: &Message, refusal: &Refusal) {
        tracing::error!(relay = %self.publication.name, message = %message.id, reason = %refusal, "the broker refused a message");
    }
}

impl Sink for RelaySink {
    type Item = Item;

    async fn take(&self, item: &Item) -> Result<(), BoxError> {
        match item {
            Item::Event(relayed) => self.event(relayed).await,
            Item::Due(queue) => {
                self.due(queue).await?;
                self.parking.give_back(queue);
                Ok(())
            }
        }
    }

    fn event<'i>(&self, item: &'i Item) -> Option<&'i RecordedEvent> {
        match item {
            Item::Event(relayed) => Some(&relayed.recorded),
            Item::Due(_) => None,
        }
    }

    /// Each call of the broker has a limit of its own, and an open circuit holds messages up for longer.
    fn time_limit(&self) -> Duration {
        Duration::from_secs(24 * 60 * 60)
    }
}
