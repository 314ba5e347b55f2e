//! Sending replies.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use recount_core::{BoxError, EventId, TransientError};

use super::outcome::{Answer, REPLY};
use crate::broker::{Unconfirmed, publish_one};
use crate::{Broker, BrokerError, Message, MessageId, Topic};

/// How long the replies to an instance that is away wait for it. The topics and groups of instances that never come back
/// would stay at the broker otherwise. A request is sent again until its reply comes, so no outcome is lost.
pub(crate) const REPLIES_EXPIRE: Duration = Duration::from_secs(24 * 60 * 60);

/// The topic of the replies to one requester.
pub(crate) fn replies(address: &str) -> Result<Topic, recount_core::NameError> {
    Ok(Topic::new(address)?.with_lanes(NonZeroU16::MIN).keep_for(REPLIES_EXPIRE))
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
        match publish_one(&*self.broker, &topic, reply).await {
            Ok(()) => Ok(()),
            Err(Unconfirmed::Refused(refusal)) => {
                tracing::warn!(request = %request.id, address, %refusal, "the reply was refused");
                Ok(())
            }
            Err(Unconfirmed::NotSent(BrokerError::Missing { object })) => {
                tracing::warn!(request = %request.id, address, object, "the requester has no topic of replies");
                Ok(())
            }
            Err(Unconfirmed::Unknown(error) | Unconfirmed::NotSent(error)) => Err(TransientError::new(error).into()),
        }
    }
}
