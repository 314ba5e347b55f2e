//! Importing: events that were recorded elsewhere, in bulk, with the times that they have.

use std::pin::pin;
use std::time::Instant;

use futures_util::future::try_join;
use futures_util::{Stream, StreamExt};
use recount_core::{AppendError, BoxError, EventId, InvalidAppend, RecordedEvent, StoreError, Transient, is_transient};

use crate::database::pause;
use crate::error::{Class, Failed};
use crate::import_batch::Session;
use crate::store::PostgresStore;

/// The maximum number of events in one transaction: about 100 ms, for which other appends may have to wait.
const BATCH_EVENTS: usize = 5000;
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// How often a batch is tried again after other transactions were in its way, or after its connection broke off.
const ATTEMPTS: usize = 8;

/// How an [import](PostgresStore::import) ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// How many events were written.
    pub written: u64,
    /// How many were there already, by an earlier import of the same events.
    pub skipped: u64,
}

/// Why an [import](PostgresStore::import) broke off. The events before the failure are imported, except for up to a few
/// thousand that share a transaction with the failed event. Run again from the start, it goes on where it broke off.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The stream of events to import failed.
    #[error("the events to import can't be read any further")]
    Source(#[source] BoxError),
    /// No store takes this event.
    #[error("event {id} can't be imported")]
    Invalid {
        /// The event.
        id: EventId,
        /// Why.
        source: InvalidAppend,
    },
    /// The store refused or failed: [`AppendError::Conflict`] if a stream is closed, [`AppendError::DuplicateEvent`] if the id
    /// belongs to another event, else [`AppendError::Store`]: the error inside tells whether trying again can help.
    #[error(transparent)]
    Store(#[from] AppendError),
}

impl Transient for ImportError {
    fn is_transient(&self) -> bool {
        match self {
            Self::Source(error) => is_transient(&**error),
            Self::Invalid { .. } => false,
            Self::Store(error) => error.is_transient(),
        }
    }
}

impl From<StoreError> for ImportError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.into())
    }
}

impl PostgresStore {
    /// Writes events that were recorded elsewhere, with their ids, times, tags and metadata as they are: the way in from another
    /// store or a backup, several times as fast as appending.
    ///
    /// The source is any stream of events, such as another store's [`read_all`](recount_core::EventStore::read_all). Each event
    /// comes after those that its stream has: the `position` and `version` that it had in the source are not looked at. Times
    /// keep microseconds, and need not be in order.
    ///
    /// *It is idempotent.* An event is skipped if its id is recorded already, in the same stream and with the same
    /// time. So after a failure or a crash, run the same import again from the start, or from anywhere before the place
    /// where it broke off. The same holds for an event that the source brings twice. The id of any other event is
    /// refused.
    ///
    /// *To other writers and readers it is an ordinary append.* Transactions of up to 5,000 events or about 8 MiB keep
    /// all promises of the store. Other writers may append to the same streams meanwhile: to them, imported events are
    /// just events that come in between. Conditions see the imported events, and subscribers see them all, once and in
    /// order, as they come in. An append may have to wait for such a transaction,
    /// about a tenth of a second; if the importing machine or its network dies in one, 20 seconds. Nothing tells a projection that an event is of old, other than its time.
    ///
    /// Two batches at most are in memory: one is written while the next is gathered. The import has a connection of its own.
    ///
    /// # Errors
    /// See [`ImportError`]. Failures of the server are sat out for as long as the [patience](crate::PostgresBuilder::patience).
    ///
    /// # Cancel safety
    /// Dropping the future undoes at most the transaction under way, wholly or not at all. Repeating the import, as
    /// above, brings in the rest.
    ///
    /// # Examples
    /// Moving to another server. The bar counts the events read, which are at most two batches ahead of the writes.
    ///
    /// ```no_run
    /// use futures_util::TryStreamExt;
    /// use recount_core::{EventStore, Query, ReadAll, StoreError};
    /// use recount_store_postgres::{ImportError, PostgresStore};
    ///
    /// # fn show(_: &recount_core::RecordedEvent) {}
    /// # async fn example(old: PostgresStore) -> Result<(), Box<dyn std::error::Error>> {
    /// let new = PostgresStore::open("postgres://db.example.com/bank").await?;
    /// let events = old.read_all(ReadAll::new(Query::all())).inspect_ok(|event| show(event));
    /// let imported = new.import(events).await?;
    /// println!("{} events, {} of them were there", imported.written + imported.skipped, imported.skipped);
    /// # Ok(())
    /// # }
    /// ```
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn import<E: Into<BoxError>>(
        &self,
        events: impl Stream<Item = Result<RecordedEvent, E>> + Send,
    ) -> Result<Imported, ImportError> {
        let mut session = self.importing()?;
        let mut events = pin!(events);
        let mut imported = Imported::default();
        let mut batch = gather(&mut events).await;
        loop {
            let (written, next) = match batch.end {
                Some(_) => (write(&mut session, &batch.events).await?, None),
                None => {
                    let gathering = async { Ok(Some(gather(&mut events).await)) };
                    try_join(write(&mut session, &batch.events), gathering).await?
                }
            };
            imported.written += written.written;
            imported.skipped += written.skipped;
            tracing::debug!(written = imported.written, skipped = imported.skipped, "imported");
            match (next, batch.end) {
                (Some(next), _) => batch = next,
                (None, end) => return end.unwrap_or(Ok(())).map(|()| imported),
            }
        }
    }
}

/// Events to write in one transaction, and how the source ended behind them, if it did.
#[derive(Default)]
struct Batch {
    events: Vec<RecordedEvent>,
    end: Option<Result<(), ImportError>>,
}

async fn gather<E: Into<BoxError>>(
    events: &mut (impl Stream<Item = Result<RecordedEvent, E>> + Send + Unpin),
) -> Batch {
    let mut batch = Batch::default();
    let mut bytes = 0;
    while batch.events.len() < BATCH_EVENTS && bytes < BATCH_BYTES {
        let event = match events.next().await {
            None => Err(Ok(())),
            Some(Err(error)) => Err(Err(ImportError::Source(error.into()))),
            Some(Ok(event)) => match event.data.validate() {
                Ok(()) => Ok(event),
                Err(source) => Err(Err(ImportError::Invalid { id: event.data.id, source })),
            },
        };
        match event {
            Ok(event) => {
                bytes += weight(&event);
                batch.events.push(event);
            }
            Err(end) => {
                batch.end = Some(end);
                break;
            }
        }
    }
    batch
}

/// About how much memory it takes.
fn weight(event: &RecordedEvent) -> usize {
    const EVENT: usize = 512;
    let tags = event.data.tags.iter().map(|tag| tag.as_str().len() + 32);
    let headers = event.data.metadata.headers.iter().map(|(name, value)| name.len() + value.len() + 64);
    EVENT + event.data.payload.len() + tags.sum::<usize>() + headers.sum::<usize>()
}

/// Writes a batch in one transaction. If the answer is lost the batch is tried again: events already written are
/// skipped then.
async fn write(session: &mut Session<'_>, events: &[RecordedEvent]) -> Result<Imported, ImportError> {
    if events.is_empty() {
        return Ok(Imported::default());
    }
    session.learn(events).await?;
    let started = Instant::now();
    let mut attempt = 1;
    loop {
        let cause = match session.write(events).await {
            Ok(imported) => return Ok(imported),
            Err(Failed::Answer(error)) => return Err(error.into()),
            Err(Failed::Call(cause)) => cause,
        };
        let class = cause.class();
        tracing::debug!(error = %cause, ?class, attempt, "a batch was undone");
        session.start_over(class).await;
        let patient = attempt < ATTEMPTS || started.elapsed() < session.patience();
        match class {
            Class::Unique if attempt < ATTEMPTS => {}
            Class::Contention | Class::Ended | Class::Lost if patient => {}
            _ => return Err(session.failure(&cause).await.into()),
        }
        attempt += 1;
        tokio::time::sleep(pause(attempt)).await;
    }
}
