//! Subscriptions: history first, then live, without a seam.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_stream::stream;
use futures_util::{Stream, StreamExt};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::run::history::compare;
use crate::{Checkpoint, EventId, EventStream, Position, Query, ReadAll, RecordedEvent, Retry, Store, StoreError};

/// The interval at which a subscription polls the head and compares its checkpoint, without a wake-up by the store.
const LOOK: Duration = Duration::from_secs(1);
/// How long the store may take to tell its head, or the event at a position.
const PATIENCE: Duration = Duration::from_secs(30);

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
    deliveries: Pin<Box<dyn Stream<Item = Result<Delivery, StoreError>> + Send>>,
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
        Self { store, reader, at, deliveries: Box::pin(deliveries(follower, resumes)) }
    }

    /// The checkpoint of a subscriber that has handled all deliveries so far, as far as is known without the store.
    pub(crate) fn known(&self) -> Checkpoint {
        self.at
    }

    /// The checkpoint of a subscriber that has handled all deliveries so far. Store it, and subscribe with it after a
    /// restart. It names the store and the event at its position.
    ///
    /// Asks the store only if the last delivery was [`Delivery::CaughtUp`] at an event that the query doesn't select.
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
        let next = self.deliveries.poll_next_unpin(cx);
        if let Poll::Ready(Some(Ok(delivery))) = &next {
            match delivery {
                Delivery::Event(event) => {
                    (self.at.position, self.at.event) = (event.position, Some(event.data.id));
                }
                Delivery::CaughtUp(position) if *position == self.at.position => {}
                Delivery::CaughtUp(position) => (self.at.position, self.at.event) = (*position, None),
            }
        }
        next
    }
}

/// Reads a store from a checkpoint on, and regularly checks that the store still has the events that were read.
struct Follower {
    store: Arc<dyn Store>,
    reader: String,
    query: Query,
    /// Everything up to here was delivered, or is not selected.
    after: Position,
    /// The last position with a known event.
    known: Checkpoint,
    /// Whether the query selects the known event.
    selected: bool,
    /// The time of the last comparison. `None`: a comparison must precede the next read.
    compared: Option<Instant>,
}

impl Follower {
    fn new(store: Arc<dyn Store>, reader: String, query: Query, after: Checkpoint) -> Self {
        Self { store, reader, query, after: after.position, known: after, selected: false, compared: None }
    }

    /// The head to read up to. Compares the store with the last known event at the start, after a failure, if the head
    /// is behind, and each second.
    async fn head(&mut self, told: Position) -> Result<Position, StoreError> {
        let first = self.compared.is_none();
        if self.is_due() {
            self.compare().await?;
        }
        // The head of the wake-up is new enough, except at the start, where it may lag behind.
        if told > self.after && !first {
            return Ok(told);
        }
        let head = in_time("head", self.store.head()).await?;
        if head < self.after {
            self.compare().await?;
        }
        Ok(head)
    }

    /// Whether the next comparison with the store is due.
    fn is_due(&self) -> bool {
        self.compared.is_none_or(|last| last.elapsed() >= LOOK)
    }

    /// Fails if the store lacks events that were read.
    async fn compare(&mut self) -> Result<(), StoreError> {
        let id = self.event_of(&self.known).await?;
        self.known.event = self.known.event.or(id);
        if self.known.position < self.after {
            let here = Checkpoint { position: self.after, event: None, ..self.known };
            if let Some(id) = self.event_of(&here).await? {
                (self.known, self.selected) = (Checkpoint { event: Some(id), ..here }, false);
            }
        }
        self.compared = Some(Instant::now());
        Ok(())
    }

    async fn event_of(&self, checkpoint: &Checkpoint) -> Result<Option<EventId>, StoreError> {
        in_time("event_at", compare(&*self.store, &self.reader, checkpoint)).await
    }

    /// Whether a read can begin at the last delivered event, so that it compares the store without another request.
    fn can_repeat(&self) -> bool {
        self.selected && self.known.position == self.after
    }

    fn read(&self, to: Position, repeat: bool) -> EventStream {
        let after = if repeat { Position::new(self.after.get() - 1) } else { self.after };
        self.store.read_all(ReadAll { after, to, ..ReadAll::new(self.query.clone()) })
    }

    /// Expects the last delivered event again. Any other event makes it compare the store.
    async fn expect_known(&mut self, event: &RecordedEvent) -> Result<(), StoreError> {
        if event.position == self.after && Some(event.data.id) == self.known.event {
            return Ok(());
        }
        self.compare().await
    }

    fn deliver(&mut self, event: &RecordedEvent) {
        self.after = event.position;
        (self.known.position, self.known.event, self.selected) = (event.position, Some(event.data.id), true);
    }
}

fn deliveries(mut follower: Follower, resumes: bool) -> impl Stream<Item = Result<Delivery, StoreError>> + Send {
    stream! {
        let mut wake_ups = follower.store.watch();
        let mut pauses = None;
        let (mut first, mut waited) = (true, false);
        loop {
            // Each append from here on wakes the wait below.
            let told = *wake_ups.borrow_and_update();
            let mut broken = None;
            let head = match follower.head(told).await {
                Ok(head) => head,
                Err(error) => {
                    broken = Some(error);
                    follower.after
                }
            };
            if head > follower.after {
                let mut unproven = waited && follower.can_repeat();
                let mut events = follower.read(head, unproven);
                while let Some(event) = events.next().await {
                    let event = match event {
                        Ok(event) if unproven => follower.expect_known(&event).await.map(|()| event),
                        // The store may have lost the events that were read ahead.
                        Ok(event) if follower.is_due() => follower.compare().await.map(|()| event),
                        event => event,
                    };
                    unproven = false;
                    match event {
                        Ok(event) if event.position > follower.after => {
                            follower.deliver(&event);
                            pauses = None;
                            yield Ok(Delivery::Event(event));
                        }
                        Ok(_) => {}
                        Err(error) => {
                            broken = Some(error);
                            break;
                        }
                    }
                }
                if unproven && broken.is_none() {
                    broken = follower.compare().await.err();
                }
                if broken.is_none() {
                    follower.after = head;
                }
            }
            if let Some(error) = broken {
                // The next answer may come from another server, or from a restored backup.
                follower.compared = None;
                match pause(&mut pauses, error, resumes).await {
                    Ok(()) => continue,
                    Err(error) => { yield Err(error); return },
                }
            }
            if head >= follower.after || first {
                yield Ok(Delivery::CaughtUp(follower.after));
                first = false;
            }
            if !woken(&mut wake_ups).await {
                return;
            }
            waited = true;
        }
    }
}

/// The store's answer to a short question, or that it gave none in time.
async fn in_time<T>(
    operation: &'static str,
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let answer = tokio::time::timeout(PATIENCE, answer).await;
    answer.unwrap_or_else(|elapsed| Err(StoreError::Unavailable { operation, source: elapsed.into() }))
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
