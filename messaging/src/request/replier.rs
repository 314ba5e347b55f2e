//! Sending replies.

use std::num::NonZeroU16;
use std::sync::Arc;

use recount_core::{BoxError, EventId, TransientError};

use super::outcome::{Answer, REPLY};
use crate::{Broker, BrokerError, Fate, Message, MessageId, Outgoing, Topic};

/// The topic of the replies to one requester.
pub(crate) fn replies(address: &str) -> Result<Topic, recount_core::NameError> {
    Ok(Topic::new(address)?.with_lanes(NonZeroU16::MIN))
}

/// Sends the replies of a service.
#[derive(Clone)]
pub(crate) struct Replier {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) service: Arc<str>,
}

impl Replier {
    /// Sends a reply. If its requester is gone for good, the reply is dropped.
    ///
    /// # Errors
    /// One that time heals: then the request is carried out again, with the same outcome.
    pub(crate) async fn reply(&self, address: &str, request: &Message, answer: &Answer) -> Result<(), BoxError> {
        let topic = match replies(address) {
            Ok(topic) => topic,
            Err(error) => {
                tracing::warn!(request = %request.id, %error, "the reply has no address");
                return Ok(());
            }
        };
        let id = MessageId::from(EventId::new());
        let mut reply = Message::new(id, &self.service, REPLY, serde_json::to_vec(answer)?);
        reply.idempotency_key = request.idempotency_key.clone().or_else(|| Some(request.id.as_str().into()));
        reply.metadata.causation_id = Some(request.id.as_str().into());
        reply.metadata.correlation_id.clone_from(&request.metadata.correlation_id);
        reply.metadata.traceparent.clone_from(&request.metadata.traceparent);
        let error = match self.broker.publish(&topic, vec![Outgoing::new(reply)]).await.pop() {
            Some(Fate::Stored(_) | Fate::Duplicate) => return Ok(()),
            Some(Fate::Refused(refusal)) => {
                tracing::warn!(request = %request.id, address, %refusal, "the reply was refused");
                return Ok(());
            }
            Some(Fate::NotSent(Some(BrokerError::Missing { object }))) => {
                tracing::warn!(request = %request.id, address, object, "the requester has no topic of replies");
                return Ok(());
            }
            Some(Fate::Unknown(error) | Fate::NotSent(Some(error))) => error,
            Some(Fate::NotSent(None)) | None => {
                BrokerError::Unavailable { operation: "publish", source: "the reply was not sent".into() }
            }
        };
        Err(TransientError::new(error).into())
    }
}
