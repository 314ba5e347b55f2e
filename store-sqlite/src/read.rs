//! Event streams: pages, one read ahead while the consumer works on the one before.

use std::sync::Arc;

use recount_core::{EventStream, Position, ReadAll, ReadStream, RecordedEvent, StoreError, StoreWaits, driven};
use sqlx::pool::PoolConnection;
use sqlx::{Row, Sqlite, SqliteConnection, SqlitePool};
use tracing::Instrument;

use crate::error::During;
use crate::kinds::Kinds;
use crate::ledger::StreamState;
use crate::page::{Cursor, OPERATION, PageSize, stream_page};
use crate::place::Place;
use crate::query::{Compiled, Range};

/// The name of the pool of connections that read, for metrics.
pub(crate) const READERS: &str = "readers";

/// The parts of the store that reads need.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(crate) pool: SqlitePool,
    pub(crate) kinds: Arc<Kinds>,
    pub(crate) place: Arc<Place>,
    pub(crate) waits: StoreWaits,
}

/// A read under way: each step gives a page and the rest of the read, if any.
trait Pages: Send + Sized + 'static {
    fn next(
        self,
        reader: Reader,
    ) -> impl Future<Output = Result<(Vec<RecordedEvent>, Option<Self>), StoreError>> + Send;
}

fn stream<P: Pages>(reader: Reader, first: P) -> EventStream {
    Box::pin(async_stream::try_stream! {
        // Each page is read in a task of its own: a consumer that does not poll holds no connection.
        let read = |pages: P| {
            driven(OPERATION, pages.next(reader.clone()).instrument(tracing::trace_span!("read_page")))
        };
        let mut next = Some(read(first));
        while let Some(page) = next {
            let (events, rest) = page.await?;
            next = rest.map(read);
            if next.is_some() {
                // The task starts on this thread: before the consumer goes on with this page, not after that.
                tokio::task::yield_now().await;
            }
            for event in events {
                yield event;
            }
        }
    })
}

impl Reader {
    /// Reads the whole store, as far as it goes now.
    pub(crate) fn read_all(&self, read: ReadAll) -> EventStream {
        stream(self.clone(), AllPages::Start(read))
    }

    /// Reads one stream.
    pub(crate) fn read_stream(&self, read: ReadStream) -> EventStream {
        stream(self.clone(), StreamPages { read, size: PageSize::default(), first: true })
    }

    /// A connection that reads the files that were opened.
    pub(crate) async fn acquire(&self, operation: &'static str) -> Result<PoolConnection<Sqlite>, StoreError> {
        let since = if self.pool.num_idle() == 0 { self.waits.start() } else { None };
        let acquired = self.pool.acquire().await;
        self.waits.connected(READERS, since);
        let connection = acquired.during(operation)?;
        if self.place.is_suspect()
            && let Err(error) = self.place.check(operation)
        {
            // The connection may have been opened after the file was replaced.
            drop(connection.close().await);
            return Err(error);
        }
        Ok(connection)
    }

    /// The head, and all kinds of the events up to it.
    pub(crate) async fn head(&self, connection: &mut SqliteConnection) -> Result<Position, StoreError> {
        let select = sqlx::query(include_str!("sql/select_head.sql"));
        let row = select.fetch_one(&mut *connection).await.during(OPERATION)?;
        let (head, last_kind): (i64, i64) = (row.try_get(0).during(OPERATION)?, row.try_get(1).during(OPERATION)?);
        if last_kind > self.kinds.last() {
            self.kinds.refresh(connection).await?;
        }
        Ok(Position::new(head.cast_unsigned()))
    }
}

enum AllPages {
    Start(ReadAll),
    Rest(Cursor),
}

impl Pages for AllPages {
    async fn next(self, reader: Reader) -> Result<(Vec<RecordedEvent>, Option<Self>), StoreError> {
        let mut connection = reader.acquire(OPERATION).await?;
        let mut cursor = match self {
            Self::Rest(cursor) => cursor,
            Self::Start(read) => {
                // All kinds of the events before the head are known then, so that the query misses nothing.
                let head = reader.head(&mut connection).await?;
                Cursor::new(read, head, &reader.kinds)
            }
        };
        // A page can be empty: the rows that it looked at were of other kinds.
        while !cursor.is_done() {
            let events = cursor.next_page(&mut connection, &reader.kinds).await?;
            if !events.is_empty() {
                return Ok((events, (!cursor.is_done()).then_some(Self::Rest(cursor))));
            }
        }
        Ok((Vec::new(), None))
    }
}

impl Cursor {
    /// Starts reading, up to the head at most.
    pub(crate) fn new(read: ReadAll, head: Position, kinds: &Kinds) -> Self {
        Self {
            compiled: Compiled::new(&read.query, kinds),
            query: read.query,
            range: Range { after: read.after, to: read.to.min(head) },
            direction: read.direction,
            limit: read.limit,
            size: PageSize::default(),
            dense: false,
        }
    }
}

struct StreamPages {
    read: ReadStream,
    size: PageSize,
    first: bool,
}

impl Pages for StreamPages {
    async fn next(mut self, reader: Reader) -> Result<(Vec<RecordedEvent>, Option<Self>), StoreError> {
        let mut connection = reader.acquire(OPERATION).await?;
        let page = stream_page(&mut connection, &mut self.read, &mut self.size, &reader.kinds).await?;
        if self.first && page.events.is_empty() {
            exists(&mut connection, &self.read).await?;
        }
        self.first = false;
        let done = page.exhausted || self.read.limit == Some(0) || self.read.from > self.read.to;
        Ok((page.events, (!done).then_some(self)))
    }
}

/// Tells a stream with nothing in the wanted range from one that isn't there.
async fn exists(connection: &mut SqliteConnection, read: &ReadStream) -> Result<(), StoreError> {
    let select = sqlx::query(include_str!("sql/select_stream_state.sql"));
    let select = select.bind(read.stream.category()).bind(read.stream.id());
    let stream = read.stream.clone();
    match select.fetch_optional(connection).await.during(OPERATION)? {
        None => Err(StoreError::StreamNotFound { stream }),
        Some(row) => match StreamState::from_sql(row.try_get(1).during(OPERATION)?) {
            StreamState::Erased => Err(StoreError::StreamErased { stream }),
            StreamState::Open | StreamState::Archived => Ok(()),
        },
    }
}
