//! Sources: items in lanes, and the marks from which a consumer goes on after a restart.

use std::future::Future;
use std::hash::{BuildHasher, Hash};
use std::pin::{Pin, pin};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Filter;
use super::failure::{bounded_call, guarded};
use crate::{BoxError, Position};

/// The order of items: the items of one lane are handled one after the other, the items of different lanes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lane(pub u64);

impl Lane {
    /// The lane of a key, such as a stream, a customer, or a partition. Two keys may share a lane.
    #[must_use]
    pub fn of(key: &(impl Hash + ?Sized)) -> Self {
        Self(foldhash::fast::FixedState::default().hash_one(key))
    }
}

/// A delivery of a [`Source`]: an item, or the notice that all items were delivered.
#[derive(Debug)]
pub enum Delivered<S: Source> {
    /// An item to handle.
    Item {
        /// The item.
        item: S::Item,
        /// Its lane.
        lane: Lane,
        /// Identifies the item when it is settled.
        ticket: S::Ticket,
        /// The mark of a consumer that has handled everything up to this item. `None` if there is none to store.
        mark: Option<S::Mark>,
    },
    /// Everything that there is was delivered; more may come.
    CaughtUp {
        /// The mark of a consumer that has handled all deliveries so far.
        mark: Option<S::Mark>,
    },
}

/// Where the items of a consumer come from: a store's events, the lines of a file, a broker's messages.
///
/// A source that is resumed by a position gives each item a [`Mark`](Self::Mark). The consumer stores the mark of the
/// last item up to which all items were handled, without a gap. A source that acknowledges each item by itself gives
/// no marks, and is told of each handled item by [`settle`](Self::settle).
///
/// ```
/// use std::collections::VecDeque;
///
/// use recount_core::{BoxError, Delivered, Lane, Source};
///
/// /// Numbers; the place in the list is the mark.
/// struct Numbers {
///     all: Vec<u64>,
///     next: usize,
///     caught_up: bool,
/// }
///
/// impl Source for Numbers {
///     type Item = u64;
///     type Mark = usize;
///     type Ticket = ();
///
///     async fn open(&mut self, after: Option<usize>) -> Result<(), BoxError> {
///         (self.next, self.caught_up) = (after.unwrap_or(0), false);
///         Ok(())
///     }
///
///     async fn next(&mut self) -> Result<Delivered<Self>, BoxError> {
///         if let Some(item) = self.all.get(self.next).copied() {
///             self.next += 1;
///             return Ok(Delivered::Item { item, lane: Lane(item % 8), ticket: (), mark: Some(self.next) });
///         }
///         if self.caught_up {
///             std::future::pending::<()>().await;
///         }
///         self.caught_up = true;
///         Ok(Delivered::CaughtUp { mark: Some(self.next) })
///     }
/// }
/// ```
pub trait Source: Sized + Send + 'static {
    /// The type of the items.
    type Item: Send + Sync + 'static;
    /// How far a consumer is. It is stored, and given to [`open`](Self::open) after a restart.
    type Mark: Clone + Send + Sync + Serialize + DeserializeOwned + 'static;
    /// Identifies a delivered item, for example a broker's delivery tag. `()` if only marks matter.
    type Ticket: Send + 'static;

    /// Whether its [positions](Self::position) are those of the application's store, so that the distance to the store's
    /// head says how far a consumer is behind.
    const FOLLOWS_STORE: bool = false;

    /// Whether its marks stand for [positions](Self::position), which progress shows and a caller can wait for.
    const HAS_POSITIONS: bool = Self::FOLLOWS_STORE;

    /// The filter of the source. It is stored with the mark: a consumer with a changed filter must say how to go on.
    fn filter(&self) -> Filter {
        Filter::everything()
    }

    /// Starts to deliver behind this mark, or from the beginning. Called at the start and after each failure;
    /// items that were delivered before and not settled are delivered again.
    fn open(&mut self, after: Option<Self::Mark>) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Waits for the next delivery.
    ///
    /// # Errors
    /// Any. The consumer handles the items that were delivered before, stores their mark, and opens the source again:
    /// without limit after an error that time heals, see [`is_transient`](crate::is_transient). After another one, until
    /// the [retry budget](crate::RetryBudget) is used up, which an item beyond the failing one gives back.
    ///
    /// # Cancel safety
    /// Must be cancel-safe: a call that is dropped loses nothing.
    fn next(&mut self) -> impl Future<Output = Result<Delivered<Self>, BoxError>> + Send;

    /// Items were handled, in the order in which that happened. A failure is one of the source, as that of `next` is.
    fn settle(&mut self, tickets: Vec<Self::Ticket>) -> impl Future<Output = Result<(), BoxError>> + Send {
        drop(tickets);
        async { Ok(()) }
    }

    /// Does due maintenance while items are being handled, such as extending leases. Called about once a second, also
    /// while there is no room for deliveries. A failure is one of the source, as that of `next` is.
    fn maintain(&mut self) -> impl Future<Output = Result<(), BoxError>> + Send {
        async { Ok(()) }
    }

    /// Ends the deliveries: the last call when the consumer is shut down, after the handled items were settled. Items that
    /// were not settled are given back. It has the [time limit](Self::time_limit); a failure is logged.
    fn close(&mut self) -> impl Future<Output = Result<(), BoxError>> + Send {
        async { Ok(()) }
    }

    /// Completes a mark before it is stored, for example with data that only the store has. After a failure it is tried again
    /// while items go on. It runs beside the items that are being handled, so it holds nothing of the source.
    fn complete(&self, mark: Self::Mark) -> impl Future<Output = Result<Self::Mark, BoxError>> + Send + 'static {
        async { Ok(mark) }
    }

    /// How long [`open`](Self::open), [`settle`](Self::settle) and [`complete`](Self::complete) may last each. Then the call is
    /// dropped, which counts as a failure that time heals: the source is opened again, or the mark completed again.
    /// 30 seconds unless defined.
    fn time_limit(&self) -> Duration {
        super::TIME_LIMIT
    }

    /// The position that a mark stands for, as progress shows it and [`wait_for_one`](crate::Consumers::wait_for_one) compares
    /// it. Define it with [`HAS_POSITIONS`](Self::HAS_POSITIONS).
    fn position(mark: &Self::Mark) -> Position {
        let _ = mark;
        Position::START
    }
}

/// Opens a source within its time limit.
pub(crate) async fn open<S: Source>(source: &mut S, after: Option<S::Mark>) -> Result<(), BoxError> {
    bounded_call("`Source::open`", source.time_limit(), source.open(after)).await
}

/// Settles items within the source's time limit.
pub(crate) async fn settle<S: Source>(source: &mut S, tickets: Vec<S::Ticket>) -> Result<(), BoxError> {
    bounded_call("`Source::settle`", source.time_limit(), source.settle(tickets)).await
}

/// Lets a source do its due maintenance, within its time limit.
pub(crate) async fn maintain<S: Source>(source: &mut S) -> Result<(), BoxError> {
    bounded_call("`Source::maintain`", source.time_limit(), source.maintain()).await
}

/// Ends the deliveries of a source, within its time limit.
pub(crate) async fn close<S: Source>(source: &mut S) -> Result<(), BoxError> {
    bounded_call("`Source::close`", source.time_limit(), source.close()).await
}

/// Completes a mark within the source's time limit.
pub(crate) fn complete<S: Source>(source: &S, mark: S::Mark) -> Completing<S::Mark> {
    let (limit, completing) = (source.time_limit(), source.complete(mark));
    Box::pin(async move { bounded_call("`Source::complete`", limit, completing).await })
}

/// A mark that is being completed.
pub(crate) type Completing<M> = Pin<Box<dyn Future<Output = Result<M, BoxError>> + Send>>;

/// Does the last work of a consumer while its source is still polled: a read that is not polled may hold a connection for
/// which the work waits in line. The deliveries count for nothing; they come again after the next start.
pub(crate) async fn beside<S: Source, T>(source: &mut S, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let mut works = true;
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            delivered = guarded(source.next()), if works => works = delivered.is_ok(),
        }
    }
}
