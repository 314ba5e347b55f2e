//! Sinks: they handle the items of a consumer.

use std::any::Any;
use std::future::Future;
use std::time::Duration;

use crate::{BoxError, RecordedEvent};

/// Handles the items of a [`Source`](crate::Source), one at a time in each lane and many lanes at once.
///
/// An item is handled at least once: after a crash, the items behind the stored mark come again. So a sink recognises
/// an item that it has handled, or its effect is the same the second time.
///
/// ```
/// use std::sync::Mutex;
///
/// use recount_core::{BoxError, RecordedEvent, Sink};
///
/// /// Remembers the types of the events.
/// #[derive(Default)]
/// struct Types(Mutex<Vec<String>>);
///
/// impl Sink for Types {
///     type Item = RecordedEvent;
///
///     async fn take(&self, event: &RecordedEvent) -> Result<(), BoxError> {
///         self.0.lock().map_err(|_| "poisoned")?.push(event.data.event_type.to_string());
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # use recount_core::{Query, Recount};
/// let recount = Recount::new(recount_store_memory::MemoryStore::new());
/// let events = recount.source("types", Query::all());
/// let running = recount.consumers().consumer("types", events, Types::default()).start();
/// running.shutdown().await;
/// # }
/// ```
pub trait Sink: Send + Sync + 'static {
    /// The type of the items.
    type Item: Send + Sync + 'static;

    /// How many items it handles at once at most. With 1, it handles all items in the order of the source.
    const AT_ONCE: usize = 256;

    /// Makes the sink ready. Runs before the first item, at every start and after a failure of the source.
    fn setup(&self) -> impl Future<Output = Result<(), BoxError>> + Send {
        async { Ok(()) }
    }

    /// Handles an item.
    ///
    /// # Errors
    /// Any. An error that time heals, see [`is_transient`](crate::is_transient), is retried without limit; another one until
    /// the item's [retry budget](crate::RetryBudget) is used up. Then the consumer stops. A panic is such an error.
    ///
    /// # Cancel safety
    /// The call is dropped at a shutdown that lasts too long, and after [`time_limit`](Self::time_limit).
    fn take(&self, item: &Self::Item) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// The event of a store that the item is, or follows from. The item is then handled in the event's trace.
    fn event<'i>(&self, item: &'i Self::Item) -> Option<&'i RecordedEvent> {
        (item as &dyn Any).downcast_ref()
    }

    /// How long [`take`](Self::take) may last. Then it is dropped and tried again. 30 seconds unless defined.
    fn time_limit(&self) -> Duration {
        super::TIME_LIMIT
    }
}
