//! Publishing one message: its fate as a result.

use recount_core::MessageMetrics;
use tracing::Instrument;

use super::{Broker, BrokerError, Fate, Outgoing, Refusal, Topic};
use crate::Message;

/// A message that the broker has not confirmed.
pub(crate) enum Unconfirmed {
    /// The broker never takes it as it is.
    Refused(Refusal),
    /// It may be stored.
    Unknown(BrokerError),
    /// It is not stored.
    NotSent(BrokerError),
}

/// Publishes one message. A duplicate is stored.
pub(crate) async fn publish_one(broker: &dyn Broker, topic: &Topic, message: Message) -> Result<(), Unconfirmed> {
    match broker.publish(topic, vec![Outgoing::new(message)]).await.pop() {
        Some(Fate::Stored(_) | Fate::Duplicate) => Ok(()),
        Some(Fate::Refused(refusal)) => Err(Unconfirmed::Refused(refusal)),
        Some(Fate::Unknown(error)) => Err(Unconfirmed::Unknown(error)),
        Some(Fate::NotSent(Some(error))) => Err(Unconfirmed::NotSent(error)),
        Some(Fate::NotSent(None)) | None => {
            let source = "the message was not sent".into();
            Err(Unconfirmed::NotSent(BrokerError::Unavailable { operation: "publish", source }))
        }
    }
}

/// Publishes one message in a span of its own, and measures it.
pub(crate) async fn send_one(
    broker: &dyn Broker,
    topic: &Topic,
    message: Message,
    metrics: &MessageMetrics,
) -> Result<(), Unconfirmed> {
    let span = tracing::info_span!(
        "send",
        otel.name = format!("send {topic}"),
        otel.kind = "producer",
        messaging.system = broker.system(),
        messaging.operation.type = "send",
        messaging.destination.name = topic.name(),
        messaging.message.id = message.id.as_str(),
    );
    let started = metrics.start();
    let published = publish_one(broker, topic, message).instrument(span).await;
    metrics.operation("send", started);
    metrics.sent(u64::from(published.is_ok()));
    published
}
