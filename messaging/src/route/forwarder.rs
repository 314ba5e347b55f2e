//! Forwarding: a message that is made from another one is stored by the broker before that one is acknowledged.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use recount_core::{BoxError, MessageMetrics, TransientError};
use tokio::sync::Mutex;

use super::draft::Draft;
use crate::broker::{Unconfirmed, send_one};
use crate::{Broker, Incoming, PermanentError, Refusal, Topic};

/// How many locks order the messages of a service. Keys share them by hash.
const LOCKS: usize = 64;

/// The turns of keys: a service has one message with a key under way.
pub(crate) struct Turns([Mutex<()>; LOCKS]);

impl Turns {
    fn of(&self, topic: &Topic, key: Option<&str>) -> Option<&Mutex<()>> {
        let mut hasher = DefaultHasher::new();
        (topic.name(), key?).hash(&mut hasher);
        let index = usize::try_from(hasher.finish() % LOCKS as u64).ok()?;
        self.0.get(index)
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

/// Publishes the messages that a subscriber forwards.
pub(crate) struct Forwarder {
    pub(crate) broker: Arc<dyn Broker>,
    /// The source of the messages.
    pub(crate) service: Arc<str>,
    /// Shared by all subscribers of a service.
    pub(crate) turns: Arc<Turns>,
    /// By the name of a topic.
    pub(crate) metrics: HashMap<String, Arc<MessageMetrics>>,
}

/// The way to the broker for one attempt at a message.
pub(crate) struct Exit {
    forwarder: Arc<Forwarder>,
    unconfirmed: AtomicBool,
}

impl Exit {
    pub(crate) fn new(forwarder: &Arc<Forwarder>) -> Self {
        Self { forwarder: Arc::clone(forwarder), unconfirmed: AtomicBool::new(false) }
    }

    /// Whether a message is on its way to the broker, or its fate was not waited for. Then the failure of the attempt is
    /// transient.
    pub(crate) fn is_unconfirmed(&self) -> bool {
        self.unconfirmed.load(Ordering::Relaxed)
    }

    /// Publishes the message that follows from this one, and waits for its fate.
    ///
    /// # Errors
    /// A permanent error if the broker refuses the message, or it can't be written. A transient one if the broker has not
    /// confirmed it, or no group is bound to its topic yet.
    pub(crate) async fn forward(
        &self,
        topics: &[Topic],
        draft: Draft,
        incoming: &Incoming<'_>,
    ) -> Result<(), BoxError> {
        let Forwarder { broker, service, turns, metrics } = &*self.forwarder;
        let declared = topics.get(draft.topic).and_then(|topic| Some((topic, metrics.get(topic.name())?)));
        let (topic, metrics) = declared.ok_or("the topic of a route is not declared")?;
        let message = draft.of_message(service, incoming).map_err(PermanentError::new)?;
        self.unconfirmed.store(true, Ordering::Relaxed);
        let turn = turns.of(topic, message.key.as_deref());
        let _turn = match turn {
            Some(turn) => Some(turn.lock().await),
            None => None,
        };
        let published = send_one(&**broker, topic, message, metrics).await;
        self.unconfirmed.store(false, Ordering::Relaxed);
        match published {
            Ok(()) => Ok(()),
            Err(Unconfirmed::Refused(refusal @ Refusal::Unroutable { .. })) => Err(TransientError::new(refusal).into()),
            Err(Unconfirmed::Refused(refusal)) => Err(PermanentError::new(refusal).into()),
            Err(Unconfirmed::Unknown(error) | Unconfirmed::NotSent(error)) => Err(TransientError::new(error).into()),
        }
    }
}

impl fmt::Debug for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exit").field("unconfirmed", &self.unconfirmed).finish_non_exhaustive()
    }
}
