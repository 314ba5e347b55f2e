//! Questions and replies through topics, where the broker does not carry them itself.
//!
//! A question may be delivered twice. Its replies are recorded under its key before they are sent, so that a second delivery
//! gets equal ones. A record is kept until the question's deadline has passed; a question without one is kept for an hour.

use std::sync::Arc;
use std::time::Duration;

use recount_core::{
    BoxError, ExpectedRevision, MessageMetrics, Namespace, Recount, StateError, StateStore, TransientError,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::clock::Clock;
use super::frame::{End, Failure, Framing, ReplyData, key};
use super::replies::{Outlet, ReplyError};
use super::responder::{Ended, Responder};
use crate::digest::hex_digest;
use crate::request::replies;
use crate::{Broker, BrokerError, Fate, Message, Outgoing, Topic, Undelivered};

/// How many replies a record has at most.
pub(crate) const MAX_REPLIES: usize = 1024;
/// How many bytes the replies of a record have at most, together.
const MAX_BYTES: usize = 256 * 1024;
/// A record outlives its question's deadline by this time: clocks differ.
const MARGIN: Duration = Duration::from_secs(60);
/// How long the record of a question without a deadline is kept.
const WITHOUT_DEADLINE: Duration = Duration::from_secs(60 * 60);

/// How the topics of replies begin. Any client that may publish questions chooses the address of the replies, so a responder
/// publishes to no other topics.
pub(crate) const REPLY_PREFIX: &str = "answers-";

/// Whether a question may name this address: it is a topic of replies.
fn is_reply_address(address: &str) -> bool {
    address.starts_with(REPLY_PREFIX) && replies(address).is_ok()
}

/// The replies to a question, as they are recorded.
#[derive(Serialize, Deserialize)]
struct Record {
    replies: Vec<ReplyData>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
}

/// The replies to a question that go through a topic.
pub(crate) struct StoredReplies {
    broker: Arc<dyn Broker>,
    /// `None` if the question has no address for replies: they are dropped.
    topic: Option<Topic>,
    collected: Vec<ReplyData>,
    bytes: usize,
    /// How many replies were sent, because they are too many for a record.
    sent: u64,
}

impl StoredReplies {
    pub(crate) async fn add(&mut self, framing: &Framing, reply: ReplyData) -> Result<(), ReplyError> {
        self.bytes += reply.data.len();
        self.collected.push(reply);
        if self.sent == 0 && self.bytes <= MAX_BYTES && self.collected.len() <= MAX_REPLIES {
            return Ok(());
        }
        if self.sent == 0 {
            tracing::warn!(
                question = %framing.key,
                "its replies are over {MAX_REPLIES} or {MAX_BYTES} bytes: they are sent without a record, so a question that is \
                 delivered again is answered anew"
            );
        }
        let collected = std::mem::take(&mut self.collected);
        self.send(framing, collected, None).await
    }

    /// Sends replies and the end. Replies that the broker refuses end in a failure that says so.
    async fn send(&mut self, framing: &Framing, data: Vec<ReplyData>, end: Option<End>) -> Result<(), ReplyError> {
        let Some(topic) = &self.topic else { return Ok(()) };
        let numbered = data.into_iter().zip(self.sent..);
        let mut batch: Vec<_> = numbered.map(|(data, number)| Outgoing::new(framing.reply(number, data))).collect();
        let replies = batch.len() as u64;
        batch.extend(end.map(|end| Outgoing::new(framing.end(&end))));
        for (number, fate) in (self.sent..).zip(self.broker.publish(topic, batch).await) {
            match fate {
                Fate::Stored(_) | Fate::Duplicate => {}
                Fate::Refused(refusal) => {
                    let failure = Failure { transient: false, reason: format!("reply {number}: {refusal}") };
                    let end = framing.end(&End { replies: number, failure: Some(failure) });
                    self.broker.publish(topic, vec![Outgoing::new(end)]).await;
                    return Err(Undelivered::Refused(refusal).into());
                }
                // The asker is gone for good.
                Fate::NotSent(Some(BrokerError::Missing { object })) => {
                    tracing::warn!(question = %framing.key, object, "the asker has no topic of replies");
                    return Ok(());
                }
                Fate::Unknown(error) | Fate::NotSent(Some(error)) => return Err(Undelivered::Failed(error).into()),
                Fate::NotSent(None) => {
                    let source = "a reply before it was not stored".into();
                    let error = BrokerError::Unavailable { operation: "publish", source };
                    return Err(Undelivered::Failed(error).into());
                }
            }
        }
        self.sent += replies;
        Ok(())
    }
}

/// Answers questions that come through an inbox.
pub(crate) struct StoredResponder {
    pub(crate) responder: Responder,
    pub(crate) recount: Recount,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) service: Arc<str>,
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<MessageMetrics>,
}

impl StoredResponder {
    /// Answers a question, or repeats its recorded replies.
    ///
    /// # Errors
    /// One that time heals: the state store or the broker can't be reached.
    pub(crate) async fn answer(&self, question: &Message) -> Result<(), BoxError> {
        let Ok(left) = self.clock.left(question).await else {
            tracing::debug!(question = %question.id, "its deadline has passed: dropped");
            self.metrics.expired();
            return Ok(());
        };
        let deadline = left.map(|left| Instant::now() + left);
        let kept = left.map_or(WITHOUT_DEADLINE, |left| left + MARGIN);
        if let Some(address) = question.reply_to.as_deref().filter(|address| !is_reply_address(address)) {
            let address: String = address.chars().take(128).collect();
            tracing::warn!(question = %question.id, ?address, "its address of replies is none of an asker: refused");
            return Ok(());
        }
        let framing = Framing::new(question, &self.service, None);
        let entry = Namespace::PARKED.key(format_args!(
            "answer/{}/{}/{}",
            self.service,
            self.responder.topic,
            hex_digest(&[&question.source, key(question)])
        ))?;
        let store = self.recount.store();
        if let Some(entry) = store.get(&entry).await? {
            self.metrics.duplicate();
            return self.send(question, &framing, serde_json::from_slice(&entry.value)?).await;
        }
        let mut outlet = Outlet::stored(framing.clone(), question.reply_to.clone(), self.replies(question));
        // No order to stop comes through a topic.
        let ended = self.responder.call(&self.recount, question, deadline, &Notify::new(), &mut outlet).await;
        let sent = outlet.sent();
        let Some(mut replies) = outlet.into_stored() else { return Ok(()) };
        let failure = match ended {
            Ended::Answered => None,
            Ended::Failed(failure) => Some(failure),
            Ended::Abandoned => return Ok(()),
        };
        if replies.sent > 0 {
            return report(replies.send(&framing, Vec::new(), Some(End { replies: sent, failure })).await);
        }
        let record = Record { replies: std::mem::take(&mut replies.collected), failure };
        // A failure that time heals is none to repeat.
        if record.failure.as_ref().is_some_and(|failure| failure.transient) {
            return self.send(question, &framing, record).await;
        }
        let value = serde_json::to_vec(&record)?.into();
        match store.put(&entry, value, ExpectedRevision::Absent, Some(kept)).await {
            Ok(_) => self.send(question, &framing, record).await,
            // Another instance has answered it at the same time.
            Err(StateError::Mismatch { .. }) => {
                let recorded = store.get(&entry).await?;
                let recorded = recorded.map(|entry| serde_json::from_slice(&entry.value)).transpose()?;
                self.send(question, &framing, recorded.unwrap_or(record)).await
            }
            Err(error) => Err(error.into()),
        }
    }

    fn replies(&self, question: &Message) -> StoredReplies {
        let topic = question.reply_to.as_deref().and_then(|address| replies(address).ok());
        StoredReplies { broker: Arc::clone(&self.broker), topic, collected: Vec::new(), bytes: 0, sent: 0 }
    }

    async fn send(&self, question: &Message, framing: &Framing, record: Record) -> Result<(), BoxError> {
        let end = End { replies: record.replies.len() as u64, failure: record.failure };
        report(self.replies(question).send(framing, record.replies, Some(end)).await)
    }
}

/// An outcome of sending for the inbox. The asker knows of a reply that the broker has refused.
fn report(sent: Result<(), ReplyError>) -> Result<(), BoxError> {
    match sent {
        Err(ReplyError::Undelivered(Undelivered::Failed(error))) => Err(TransientError::new(error).into()),
        Err(error) => {
            tracing::warn!(%error, "a reply was refused");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}
