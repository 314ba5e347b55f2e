//! The replies of a responder to one question.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use recount_core::{EncodeError, Published};
use smol_str::SmolStr;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};

use super::frame::{End, Framing, ReplyData};
use super::stored::StoredReplies;
use crate::retry::jitter;
use crate::{Broker, BrokerError, Undelivered};

/// How many replies may be under way to an asker that has not taken them. The asker lets more come as it takes them.
pub(crate) const WINDOW: usize = 64;
/// The bounds of the first and the longest pause before a message is sent again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Sends the replies to one question, one after the other.
pub struct ReplySender<'s, R> {
    outlet: &'s mut Outlet,
    replies: PhantomData<fn(R)>,
}

impl<'s, R: Published> ReplySender<'s, R> {
    pub(crate) fn new(outlet: &'s mut Outlet) -> Self {
        Self { outlet, replies: PhantomData }
    }

    /// Sends a reply. Where the broker carries replies itself, it waits while 64 replies are under way that the asker has not
    /// taken, and while the broker can't be reached: until the question's deadline or the responder's time limit. Where replies
    /// go through a topic, they are collected and sent when the handler has returned, up to 1024 replies
    /// and 256 KiB; beyond that each is sent at once. A question that is delivered again is then answered anew, and its asker
    /// may get replies of both answers.
    ///
    /// # Errors
    /// [`ReplyError`] if the reply can't be written or is too large, or the broker refuses it; where replies go through a topic,
    /// also if the broker can't be reached.
    ///
    /// # Cancel safety
    /// A dropped call may have sent the reply. The next reply then has the same number, and the asker takes the first one.
    pub async fn send(&mut self, reply: &R) -> Result<(), ReplyError> {
        self.outlet.send(ReplyData::encode(reply)?).await
    }
}

/// Why a reply was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// It has no JSON form.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The broker has not taken it.
    #[error("the reply was not delivered")]
    Undelivered(#[from] Undelivered),
}

/// The way of the replies to one question.
pub(crate) struct Outlet {
    framing: Framing,
    /// `None` if the question has no address for replies: they are dropped.
    address: Option<SmolStr>,
    sent: u64,
    way: Way,
}

enum Way {
    /// The broker carries replies, as many as there is room for.
    Native { broker: Arc<dyn Broker>, room: Arc<Semaphore> },
    /// Through a topic.
    Stored(StoredReplies),
}

impl Outlet {
    pub(crate) fn native(
        framing: Framing,
        address: Option<SmolStr>,
        broker: Arc<dyn Broker>,
        room: Arc<Semaphore>,
    ) -> Self {
        Self { framing, address, sent: 0, way: Way::Native { broker, room } }
    }

    pub(crate) fn stored(framing: Framing, address: Option<SmolStr>, replies: StoredReplies) -> Self {
        Self { framing, address, sent: 0, way: Way::Stored(replies) }
    }

    async fn send(&mut self, reply: ReplyData) -> Result<(), ReplyError> {
        match &mut self.way {
            Way::Native { broker, room } => {
                let Some(address) = &self.address else { return Ok(()) };
                // The semaphore is never closed.
                let place = room.acquire().await.ok();
                send_native(&**broker, address, self.framing.reply(self.sent, reply)).await?;
                // A reply that was not sent takes no room.
                if let Some(place) = place {
                    place.forget();
                }
            }
            Way::Stored(replies) => replies.add(&self.framing, reply).await?,
        }
        self.sent += 1;
        Ok(())
    }

    /// How many replies were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// The replies that wait for the end, where they are recorded.
    pub(crate) fn into_stored(self) -> Option<StoredReplies> {
        match self.way {
            Way::Stored(replies) => Some(replies),
            Way::Native { .. } => None,
        }
    }

    /// Ends the replies that the broker carries itself, if it can be reached until this moment. An end that is lost leaves the
    /// asker to its deadline.
    pub(crate) async fn finish(self, end: &End, until: Instant) {
        let (Way::Native { broker, .. }, Some(address)) = (&self.way, &self.address) else { return };
        let reason = match timeout_at(until, send_native(&**broker, address, self.framing.end(end))).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the broker can't be reached".to_owned(),
        };
        tracing::warn!(question = %self.framing.key, reason, "the end of the replies was not delivered");
    }
}

/// Sends a message to an inbox, again and again while the broker can't be reached; the caller limits the time. The inbox may
/// get copies: replies are numbered, and an end or an order has no effect the second time.
pub(crate) async fn send_native(
    broker: &dyn Broker,
    address: &str,
    message: crate::Message,
) -> Result<(), Undelivered> {
    let (system, ability) = (broker.system(), "carry replies itself");
    let native = broker.native_requests().ok_or(BrokerError::Unsupported { system, ability })?;
    let mut failures = 0;
    loop {
        match native.send(address, message.clone()).await {
            Err(Undelivered::Failed(error)) if error.is_transient() => {
                tracing::debug!(message = %message.id, %error, "a message to an inbox was not delivered: it is sent again");
                failures += 1;
                sleep(jitter(PAUSES.0, failures, PAUSES.1)).await;
            }
            ended => return ended,
        }
    }
}
