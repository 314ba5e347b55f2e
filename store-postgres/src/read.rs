//! Event streams: pages, one read ahead while the consumer works on the one before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use recount_core::{EventStream, Position, ReadAll, ReadStream, RecordedEvent, StoreError};
use sqlx::Row;
use tokio::task::JoinHandle;
use tracing::Instrument;

use crate::database::{Database, Statement};
use crate::error::During;
use crate::kinds::Kinds;
use crate::page::{Cursor, OPERATION, PageSize, stream_page};

/// What reading takes.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(crate) database: Database,
    pub(crate) kinds: Arc<Kinds>,
    /// The furthest that was ever safe to read. An append that looked at the sequence long ago may only now take its lock, from
    /// there on: that draws the head back for the moment, though what lies between was safe and stays so.
    pub(crate) safe: Arc<AtomicU64>,
}

/// A read under way: each step gives a page and what is left, if anything.
trait Pages: Send + Sized + 'static {
    fn next(
        self,
        reader: Reader,
    ) -> impl Future<Output = Result<(Vec<RecordedEvent>, Option<Self>), StoreError>> + Send;
}

/// Stops its task when dropped.
struct Ahead<T>(JoinHandle<T>);

impl<T> Drop for Ahead<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn stream<P: Pages>(reader: Reader, first: P) -> EventStream {
    Box::pin(async_stream::try_stream! {
        let page = |pages: P| pages.next(reader.clone()).instrument(tracing::trace_span!("read_page"));
        let (mut events, mut rest) = page(first).await?;
        loop {
            let ahead = rest.map(|rest| Ahead(tokio::spawn(page(rest))));
            for event in events {
                yield event;
            }
            let Some(mut ahead) = ahead else { break };
            (events, rest) = match (&mut ahead.0).await {
                Ok(page) => page?,
                Err(error) => Err(StoreError::Backend { operation: OPERATION, source: Box::new(error) })?,
            };
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

    /// Up to where statements after this one see everything that will ever be there.
    pub(crate) async fn safe_head(&self) -> Result<Position, StoreError> {
        let select = Statement::new(&self.database.schema, include_str!("sql/safe_head.sql"));
        let safe = self.position(select).await?.get();
        Ok(Position::new(self.safe.fetch_max(safe, Ordering::AcqRel).max(safe)))
    }

    /// The last position of an event that everybody can see.
    pub(crate) async fn head(&self) -> Result<Position, StoreError> {
        let safe = self.safe_head().await?;
        let select = Statement::new(&self.database.schema, include_str!("sql/select_head.sql"));
        self.position(select.bind(safe.as_i64())).await
    }

    async fn position(&self, select: Statement) -> Result<Position, StoreError> {
        const OPERATION: &str = "reading the head";
        let rows = self.database.read(OPERATION, select).await?;
        let position: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0)).during(OPERATION)?;
        Ok(Position::new(u64::try_from(position).unwrap_or(0)))
    }
}

enum AllPages {
    Start(ReadAll),
    Rest(Cursor),
}

impl Pages for AllPages {
    async fn next(self, reader: Reader) -> Result<(Vec<RecordedEvent>, Option<Self>), StoreError> {
        let mut cursor = match self {
            Self::Rest(cursor) => cursor,
            Self::Start(read) => {
                let head = reader.safe_head().await?;
                // After the head: so all kinds of what lies before it are known, and the query misses nothing.
                if !read.query.is_all() {
                    reader.kinds.refresh(&reader.database).await?;
                }
                Cursor::new(read, head, &reader.kinds)
            }
        };
        // A page can be empty: what it looked at was of other kinds.
        while !cursor.is_done() {
            let events = cursor.next_page(&reader.database, &reader.kinds).await?;
            if !events.is_empty() {
                return Ok((events, (!cursor.is_done()).then_some(Self::Rest(cursor))));
            }
        }
        Ok((Vec::new(), None))
    }
}

struct StreamPages {
    read: ReadStream,
    size: PageSize,
    first: bool,
}

impl Pages for StreamPages {
    async fn next(mut self, reader: Reader) -> Result<(Vec<RecordedEvent>, Option<Self>), StoreError> {
        let page = stream_page(&reader.database, &mut self.read, self.first, &mut self.size, &reader.kinds).await?;
        self.first = false;
        let done = page.exhausted || self.read.limit == Some(0) || self.read.from > self.read.to;
        Ok((page.events, (!done).then_some(self)))
    }
}
