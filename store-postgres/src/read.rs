//! Event streams: pages, one read ahead while the consumer works on the one before.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, Stream};
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
trait Pages: Send + Sized + Unpin + 'static {
    fn next(
        self,
        reader: Reader,
    ) -> impl Future<Output = Result<(Vec<RecordedEvent>, Option<Self>), StoreError>> + Send;
}

type Read<P> = Result<(Vec<RecordedEvent>, Option<P>), StoreError>;

/// The events of pages, of which the next is read while those of one are taken.
struct Events<P> {
    reader: Reader,
    page: std::vec::IntoIter<RecordedEvent>,
    next: Next<P>,
}

enum Next<P> {
    /// The first page is read by whoever polls.
    First(BoxFuture<'static, Read<P>>),
    Ahead(JoinHandle<Read<P>>),
    Nothing,
}

impl<P> Drop for Next<P> {
    fn drop(&mut self) {
        if let Self::Ahead(task) = self {
            task.abort();
        }
    }
}

fn stream<P: Pages>(reader: Reader, first: P) -> EventStream {
    let next = Next::First(page(reader.clone(), first).boxed());
    Box::pin(Events { reader, page: Vec::new().into_iter(), next })
}

fn page<P: Pages>(reader: Reader, pages: P) -> impl Future<Output = Read<P>> + Send {
    pages.next(reader).instrument(tracing::trace_span!("read_page"))
}

impl<P: Pages> Stream for Events<P> {
    type Item = Result<RecordedEvent, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(event) = self.page.next() {
                return Poll::Ready(Some(Ok(event)));
            }
            let read = match &mut self.next {
                Next::First(page) => ready!(page.as_mut().poll(context)),
                Next::Ahead(page) => ready!(Pin::new(page).poll(context))
                    .unwrap_or_else(|error| Err(StoreError::Backend { operation: OPERATION, source: error.into() })),
                Next::Nothing => return Poll::Ready(None),
            };
            match read {
                Ok((events, rest)) => {
                    self.page = events.into_iter();
                    self.next = match rest {
                        Some(rest) => Next::Ahead(tokio::spawn(page(self.reader.clone(), rest))),
                        None => Next::Nothing,
                    };
                }
                Err(error) => {
                    self.next = Next::Nothing;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
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
