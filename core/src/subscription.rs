//! Subscriptions: history first, then live, without a seam.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_stream::stream;
use futures_util::{Stream, StreamExt};
use tokio::sync::watch;

use crate::{Position, Query, ReadAll, RecordedEvent, Retry, Store, StoreError};

/// How long a subscription trusts the store's wake-ups before it looks by itself.
const LOOK: Duration = Duration::from_secs(1);

/// The events that a query selects, in the order of their positions: those recorded already, then each new one.
/// A stream that ends only with an error that time won't heal, or when the store is closed.
///
/// The consumer pulls: a slow one delays nobody and holds no more than a page of events. A store that can't be reached
/// is asked again, with backoff, from where it was left: nothing is missed or repeated.
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
///         Delivery::CaughtUp(_) => break, // or go on, and wait for what comes
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is read until this is polled"]
pub struct Subscription {
    deliveries: Pin<Box<dyn Stream<Item = Result<Delivery, StoreError>> + Send>>,
}

/// What a [`Subscription`] delivers.
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
    pub(crate) fn new(store: Arc<dyn Store>, query: Query, after: Position) -> Self {
        Self { deliveries: Box::pin(deliveries(store, query, after)) }
    }
}

impl Stream for Subscription {
    type Item = Result<Delivery, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.deliveries.poll_next_unpin(cx)
    }
}

fn deliveries(
    store: Arc<dyn Store>,
    query: Query,
    mut after: Position,
) -> impl Stream<Item = Result<Delivery, StoreError>> + Send {
    stream! {
        let mut wake_ups = store.watch();
        let mut pauses = None;
        let mut first = true;
        loop {
            // Whatever is appended from here on wakes the wait below.
            let told = *wake_ups.borrow_and_update();
            // What woke it is enough to go on with. At first it may lag behind, and then it wouldn't have caught up.
            let head = if first || told <= after { store.head().await } else { Ok(told) };
            let head = match head {
                Ok(head) => head,
                Err(error) => match pause(&mut pauses, error).await {
                    Ok(()) => continue,
                    Err(error) => { yield Err(error); return },
                },
            };
            if head > after {
                let mut events = store.read_all(ReadAll { after, to: head, ..ReadAll::new(query.clone()) });
                let mut broken = None;
                while let Some(event) = events.next().await {
                    match event {
                        Ok(event) => {
                            after = event.position;
                            pauses = None;
                            yield Ok(Delivery::Event(event));
                        }
                        Err(error) => broken = Some(error),
                    }
                }
                match broken {
                    None => after = head,
                    Some(error) => match pause(&mut pauses, error).await {
                        Ok(()) => continue,
                        Err(error) => { yield Err(error); return },
                    },
                }
            }
            if head >= after || first {
                yield Ok(Delivery::CaughtUp(after));
                first = false;
            }
            if !woken(&mut wake_ups).await {
                return;
            }
        }
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
async fn pause(pauses: &mut Option<Pauses>, error: StoreError) -> Result<(), StoreError> {
    if !error.is_transient() {
        return Err(error);
    }
    let wait = pauses.get_or_insert_with(healing).next().unwrap_or(LOOK);
    tracing::warn!(%error, ?wait, "subscription interrupted, resuming");
    tokio::time::sleep(wait).await;
    Ok(())
}
