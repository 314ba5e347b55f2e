//! Sending requests and waiting for replies.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use recount_core::{BoxError, EventId, KeyOutcome, Metadata, StateStore, Store, TransientError};
use tokio::sync::{OnceCell, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::outcome::Answer;
use super::replier::Replier;
use crate::broker::{Unconfirmed, publish_one};
use crate::deadline::deadline_after;
use crate::{Binding, Broker, BrokerError, Circuit, Message, MessageId, Plan, Topic};

/// How long a request waits for a reply before it is sent again, the first time. Each next wait is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(30);
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// Sends requests to other services. Clones share their replies.
#[derive(Clone)]
pub(crate) struct Requester {
    broker: Arc<dyn Broker>,
    service: Arc<str>,
    /// The topic of replies.
    address: Arc<str>,
    waiters: Waiters,
    circuit: Circuit,
    /// Its clock says when a request expires.
    store: Arc<dyn Store>,
    /// The topic and group of replies at the broker: without them a reply is lost.
    plan: Arc<Plan>,
    declared: Arc<OnceCell<()>>,
}

/// How a request can fail.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// No reply came in time. The request may still be carried out: repeat it with the same key, or withdraw it.
    #[error("no reply to request {key} within {limit:?}: its outcome is unknown")]
    TimedOut {
        /// The request's key.
        key: String,
        /// The time.
        limit: Duration,
    },
    /// The broker can't be reached, so that the request was not sent.
    #[error("request {key} was not sent")]
    Broker {
        /// The request's key.
        key: String,
        /// Why.
        source: BrokerError,
    },
    /// The own store has no time for the request's expiry, so that it was not sent.
    #[error("request {key} was not sent, because the time is not known")]
    Store {
        /// The request's key.
        key: String,
        /// Why.
        source: recount_core::StoreError,
    },
    /// The broker or the other service can't carry it out as it is.
    #[error("request {key} can't be carried out: {reason}")]
    Impossible {
        /// The request's key.
        key: String,
        /// Why.
        reason: String,
    },
}

impl RequestError {
    /// The error for a consumer or a process, which retry transient errors without limit.
    #[must_use]
    pub fn into_boxed(self) -> BoxError {
        match self {
            Self::Impossible { .. } => self.into(),
            _ => TransientError::new(self).into(),
        }
    }
}

/// A request without its envelope.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The topic of the service that carries it out.
    pub(crate) topic: Topic,
    pub(crate) message_type: String,
    pub(crate) key: String,
    pub(crate) data: bytes::Bytes,
    pub(crate) metadata: Metadata,
    /// Requests with the same text are carried out in order.
    pub(crate) ordering: String,
}

impl Requester {
    /// `replies` is the binding of the topic of replies.
    pub(crate) fn new(replier: Replier, store: Arc<dyn Store>, replies: Binding, waiters: Waiters) -> Self {
        let Replier { broker, service } = replier;
        let address = replies.topic.name().into();
        let plan = Arc::new(Plan { topics: Vec::new(), bindings: vec![replies] });
        Self { broker, service, address, waiters, circuit: Circuit::default(), store, plan, declared: Arc::default() }
    }

    /// Sends a request and waits for its outcome. Without a limit it is sent again from time to time, until a reply comes.
    pub(crate) async fn send(&self, request: &Request, limit: Option<Duration>) -> Result<KeyOutcome, RequestError> {
        let Some(limit) = limit else { return self.exchange(request, None).await };
        let end = deadline_after(limit);
        let timed_out = |_| Err(RequestError::TimedOut { key: request.key.clone(), limit });
        timeout_at(end, self.exchange(request, Some(end))).await.unwrap_or_else(timed_out)
    }

    /// Sends a request until a reply comes. The request expires at `end`.
    async fn exchange(&self, request: &Request, end: Option<Instant>) -> Result<KeyOutcome, RequestError> {
        let key = &request.key;
        let mut wait = FIRST_WAIT;
        loop {
            let mut reply = self.waiters.wait(key);
            self.publish(request, end).await?;
            if let Ok(Ok(answer)) = timeout(wait, &mut reply.receiver).await {
                let impossible = |reason| RequestError::Impossible { key: key.clone(), reason };
                return answer.into_outcome().map_err(impossible);
            }
            wait = wait.saturating_mul(2).min(LONGEST_WAIT);
        }
    }

    async fn publish(&self, request: &Request, end: Option<Instant>) -> Result<(), RequestError> {
        let key = || request.key.clone();
        let permit = self.circuit.enter().await;
        let declare = async { self.broker.ensure(&self.plan, false).await.map(drop) };
        if let Err(source) = self.declared.get_or_try_init(|| declare).await {
            permit.failed();
            return Err(RequestError::Broker { key: key(), source });
        }
        // A new id each time: a broker that recognises messages would drop a repeated request, and no reply would come.
        let id = MessageId::from(EventId::new());
        let mut message = Message::new(id, &self.service, &request.message_type, request.data.clone());
        message.key = Some(request.ordering.as_str().into());
        message.idempotency_key = Some(request.key.as_str().into());
        message.reply_to = Some(Arc::clone(&self.address).into());
        message.metadata = request.metadata.clone();
        message.expires = match end {
            Some(end) => {
                let failed = |error: recount_core::StoreError| RequestError::Store { key: key(), source: error };
                let now = self.store.now().await.map_err(failed)?;
                now.checked_add(end.saturating_duration_since(Instant::now())).ok()
            }
            None => None,
        };
        match publish_one(&*self.broker, &request.topic, message).await {
            // A message that may be stored is sent again when no reply has come.
            Ok(()) | Err(Unconfirmed::Unknown(_)) => {
                permit.succeeded();
                Ok(())
            }
            Err(Unconfirmed::Refused(refusal)) => {
                permit.succeeded();
                Err(RequestError::Impossible { key: key(), reason: refusal.to_string() })
            }
            Err(Unconfirmed::NotSent(source)) => {
                permit.failed();
                Err(RequestError::Broker { key: key(), source })
            }
        }
    }
}

/// The requests that wait for a reply, by key.
#[derive(Clone, Default)]
pub(crate) struct Waiters(Arc<Mutex<Waiting>>);

/// The waits by key: each has a number that tells it from an earlier one, and the way to it.
type Waiting = HashMap<String, (u64, oneshot::Sender<Answer>)>;

/// A wait for a reply. It ends when it is dropped.
struct Wait {
    waiters: Waiters,
    key: String,
    number: u64,
    receiver: oneshot::Receiver<Answer>,
}

impl Waiters {
    /// Waits for the reply to a request. A second wait for a key ends the first one.
    fn wait(&self, key: &str) -> Wait {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        self.lock().insert(key.to_owned(), (number, sender));
        Wait { waiters: self.clone(), key: key.to_owned(), number, receiver }
    }

    /// Hands a reply to its request. Returns whether one waits.
    pub(crate) fn answer(&self, key: &str, answer: Answer) -> bool {
        let waiter = self.lock().remove(key);
        waiter.is_some_and(|(_, sender)| sender.send(answer).is_ok())
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut waiters = self.waiters.lock();
        if waiters.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            waiters.remove(&self.key);
        }
    }
}
