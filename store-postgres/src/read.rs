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

use crate::database::Database;
use crate::error::{During, damaged};
use crate::kinds::Kinds;
use crate::page::{Cursor, OPERATION, PageSize, stream_page};
use crate::statement::Statement;

/// What reading takes.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(crate) database: Database,
    pub(crate) kinds: Arc<Kinds>,
    /// The furthest that was ever safe to read; the kinds of all that are known. An append that looked at the sequence long ago may only now take its lock, from
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
                    let Some(rest) = rest else {
                        self.next = Next::Nothing;
                        continue;
                    };
                    self.next = Next::Ahead(tokio::spawn(page(self.reader.clone(), rest)));
                    // The task starts on this thread: before the consumer goes on with this page, not after that.
                    context.waker().wake_by_ref();
                    return Poll::Pending;
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

    /// The last position of an event that everybody can see.
    pub(crate) async fn head(&self) -> Result<Position, StoreError> {
        Ok(self.look().await?.1)
    }

    /// Up to where statements after this one see everything that will ever be there, and the last event of that. All of its kinds
    /// are known then.
    async fn look(&self) -> Result<(Position, Position), StoreError> {
        const OPERATION: &str = "reading the head";
        let before = i64::try_from(self.safe.load(Ordering::Acquire)).unwrap_or(i64::MAX);
        let select = Statement::new(&self.database.schema, include_str!("sql/head.sql")).bind(before);
        let rows = self.database.read(OPERATION, select).await?;
        let row = rows.first().ok_or_else(|| damaged("the head answers nothing"))?;
        let position = |column| row.try_get::<i64, _>(column).map(|at| at.max(0).cast_unsigned()).during(OPERATION);
        let (safe, last, kinds) = (position(0)?, position(1)?, position(2)?);
        if (self.kinds.len() as u64) < kinds {
            self.kinds.reload(&self.database).await?;
        }
        self.safe.fetch_max(safe, Ordering::AcqRel);
        Ok((Position::new(safe), Position::new(last)))
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
                let safe = Position::new(reader.safe.load(Ordering::Acquire));
                let safe = if read.to <= safe { safe } else { reader.look().await?.0 };
                Cursor::new(read, safe, &reader.kinds)
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
