//! Publishing one message: its fate as a result.

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
