//! Subscriptions: history first, then live, without a seam.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_stream::stream;
use futures_util::{Stream, StreamExt, TryStreamExt};
use tokio::sync::watch;

use crate::run::follower::Follower;
use crate::run::history::compare;
use crate::store::in_time;
use crate::{Checkpoint, EventId, Position, Query, RecordedEvent, Retry, Store, StoreError};

/// The interval at which a subscription polls the head and compares its checkpoint, without a wake-up by the store.
pub(super) const LOOK: Duration = Duration::from_secs(1);
/// How long a read may go on without an event: the store may pass over many that are not selected.
const READ: Duration = Duration::from_secs(300);

/// The events that a query selects, in the order of their positions: those recorded already, then each new one.
/// A stream that ends only with an error that time won't heal, or when the store is closed.
///
/// The consumer pulls: a slow consumer delays no other one and holds no more than a page of events. If the store can't
/// be reached, it is asked again with backoff for the events after the last delivered one. None is missed or repeated.
///
/// If the store lacks delivered events, or the checkpoint's event, the subscription ends with
/// [`StoreError::WentBack`] or [`StoreError::OtherStore`]: at the start, and within a second or at the next event
/// while it runs.
///
/// ```
/// use futures_util::StreamExt;
/// use recount_core::{Delivery, Position, Query, Recount};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), recount_core::StoreError> {
/// let recount = Recount::new(recount_store_memory::MemoryStore::new());
/// let mut orders = recount.subscribe(Query::category("order"), Position::START);
/// while let Some(delivery) = orders.next().await {
///     match delivery? {
///         Delivery::Event(event) => println!("{}", event.data.event_type),
///         Delivery::CaughtUp(_) => break, // or go on, and wait for new events
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is read until this is polled"]
pub struct Subscription {
    store: Arc<dyn Store>,
    reader: String,
    /// The checkpoint of a subscriber that has handled all deliveries so far.
    at: Checkpoint,
    proven: Checkpoint,
    deliveries: Pin<Box<dyn Stream<Item = Result<Step, StoreError>> + Send>>,
}

/// A delivery with the circumstances that the store has told.
struct Step {
    delivery: Delivery,
    /// The event at its position, if there is one.
    event: Option<EventId>,
    proven: Checkpoint,
}

/// A delivery of a [`Subscription`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly every delivery is an event, and a box for each would cost more")]
pub enum Delivery {
    /// An event.
    Event(RecordedEvent),
    /// There is nothing more up to this position. Comes each time the subscription has caught up, so that
    /// a checkpoint can advance past events that the query doesn't select.
    CaughtUp(Position),
}

impl Delivery {
    /// How far the subscriber is once it has taken this.
    #[must_use]
    pub fn position(&self) -> Position {
        match self {
            Self::Event(event) => event.position,
            Self::CaughtUp(position) => *position,
        }
    }
}

impl Subscription {
    /// A subscription that waits until an interruption is over.
    pub(crate) fn new(store: Arc<dyn Store>, reader: String, query: Query, after: Checkpoint) -> Self {
        Self::start(store, reader, query, after, true)
    }

    /// A subscription that ends with the error of an interruption.
    pub(crate) fn interruptible(store: Arc<dyn Store>, reader: String, query: Query, after: Checkpoint) -> Self {
        Self::start(store, reader, query, after, false)
    }

    fn start(store: Arc<dyn Store>, reader: String, query: Query, after: Checkpoint, resumes: bool) -> Self {
        let at = Checkpoint { store: Some(store.identity()), filter: None, ..after };
        let follower = Follower::new(Arc::clone(&store), reader.clone(), query, after);
        Self { store, reader, at, proven: at, deliveries: Box::pin(deliveries(follower, resumes)) }
    }

    /// The checkpoint of a subscriber that has handled all deliveries so far, as far as is known without the store.
    pub(crate) fn known(&self) -> Checkpoint {
        self.at
    }

    /// The last checkpoint of which the store is known to have had all that was delivered before. It is at or before the
    /// last delivery.
    pub(crate) fn proven(&self) -> Checkpoint {
        self.proven
    }

    /// The checkpoint of a subscriber that has handled all deliveries so far. Store it, and subscribe with it after a
    /// restart. It names the store and the event at its position.
    ///
    /// Asks the store only if there were no deliveries, or if the position of the last one holds no event.
    ///
    /// # Errors
    /// [`StoreError::WentBack`] if the store has lost that position meanwhile, and the store's other failures.
    pub async fn checkpoint(&mut self) -> Result<Checkpoint, StoreError> {
        if self.at.event.is_none() && self.at.position > Position::START {
            self.at.event = compare(&*self.store, &self.reader, &self.at).await?;
        }
        Ok(self.at)
    }
}

impl Stream for Subscription {
    type Item = Result<Delivery, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.deliveries.poll_next_unpin(cx).map(|next| {
            next.map(|step| {
                let Step { delivery, event, proven } = step?;
                (self.at.position, self.at.event) = (delivery.position(), event);
                (self.proven.position, self.proven.event) = (proven.position, proven.event);
                Ok(delivery)
            })
        })
    }
}

fn deliveries(mut follower: Follower, resumes: bool) -> impl Stream<Item = Result<Step, StoreError>> + Send {
    stream! {
        let mut wake_ups = follower.store.watch();
        let mut pauses = None;
        let mut first = true;
        loop {
            // Each append from here on wakes the wait below.
            let told = *wake_ups.borrow_and_update();
            let mut broken = None;
            let head = match follower.head(told).await {
                Ok(head) => head,
                Err(error) => {
                    broken = Some(error);
                    follower.at.position
                }
            };
            if head > follower.at.position {
                broken = follower.expect_newest(head).await.err();
                while broken.is_none() {
                    let mut events = follower.read(head);
                    while let Some(event) = in_time(READ, "read_all", events.try_next()).await.transpose() {
                        match follower.accept(event).await {
                            Ok(Some(event)) => {
                                pauses = None;
                                yield Ok(follower.step(Delivery::Event(event)));
                            }
                            Ok(None) => {}
                            Err(error) => {
                                broken = Some(error);
                                break;
                            }
                        }
                    }
                    if broken.is_none() {
                        match follower.has_read_up_to(head).await {
                            Ok(true) => break,
                            Ok(false) => {}
                            Err(error) => broken = Some(error),
                        }
                    }
                }
            }
            if let Some(error) = broken {
                follower.was_interrupted();
                match pause(&mut pauses, error, resumes).await {
                    Ok(()) => continue,
                    Err(error) => { yield Err(error); return },
                }
            }
            if head >= follower.at.position || first {
                yield Ok(follower.step(Delivery::CaughtUp(follower.at.position)));
                first = false;
            }
            if !woken(&mut wake_ups).await {
                return;
            }
            follower.has_waited();
        }
    }
}

impl Follower {
    fn step(&self, delivery: Delivery) -> Step {
        Step { delivery, event: self.at.event, proven: self.known }
    }
}

/// Waits for something to look for; false if the store is gone.
async fn woken(wake_ups: &mut watch::Receiver<Position>) -> bool {
    !matches!(tokio::time::timeout(LOOK, wake_ups.changed()).await, Ok(Err(_)))
}

type Pauses = Box<dyn Iterator<Item = Duration> + Send>;

fn healing() -> Pauses {
    let retry =
        Retry { retries: usize::MAX, first_pause: Duration::from_millis(20), longest_pause: Duration::from_secs(5) };
    Box::new(retry.backoff())
}

/// Waits after an error that time can heal; gives back any other.
async fn pause(pauses: &mut Option<Pauses>, error: StoreError, resumes: bool) -> Result<(), StoreError> {
    if !resumes || !error.is_transient() {
        return Err(error);
    }
    let wait = pauses.get_or_insert_with(healing).next().unwrap_or(LOOK);
    tracing::warn!(%error, ?wait, "subscription interrupted, resuming");
    tokio::time::sleep(wait).await;
    Ok(())
}
