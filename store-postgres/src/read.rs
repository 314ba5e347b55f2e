//! Event streams: pages, one read ahead while the consumer works on the one before.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use recount_core::{Driven, EventStream, Position, ReadAll, ReadStream, RecordedEvent, StoreError, driven};
use sqlx::Row;
use tracing::Instrument;

use crate::database::Database;
use crate::error::{During, damaged};
use crate::incarnation::Safe;
use crate::kinds::Kinds;
use crate::page::{Cursor, OPERATION, PageSize, stream_page};
use crate::statement::Statement;

/// The maximum number of requests for the head while servers take over from each other.
const ATTEMPTS: usize = 3;

/// The database and the kinds: all that a read needs.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(crate) database: Database,
    pub(crate) kinds: Arc<Kinds>,
}

/// A read under way: each step gives a page and the rest of the read, if there is one.
trait Pages: Send + Sized + Unpin + 'static {
    fn next(
        self,
        reader: Reader,
    ) -> impl Future<Output = Result<(Vec<RecordedEvent>, Option<Self>), StoreError>> + Send;
}

type Read<P> = (Vec<RecordedEvent>, Option<P>);

/// The events of pages, of which the next is read while those of one are taken. Each page is read in a task of its own: a
/// consumer that does not poll holds no connection.
struct Events<P> {
    reader: Reader,
    /// The read, before it has begun.
    first: Option<P>,
    next: Option<Driven<Read<P>>>,
    page: std::vec::IntoIter<RecordedEvent>,
}

fn stream<P: Pages>(reader: Reader, first: P) -> EventStream {
    Box::pin(Events { reader, first: Some(first), next: None, page: Vec::new().into_iter() })
}

impl<P: Pages> Events<P> {
    fn read(&mut self, pages: P) {
        let page = pages.next(self.reader.clone()).instrument(tracing::trace_span!("read_page"));
        self.next = Some(driven(OPERATION, page));
    }
}

impl<P: Pages> Stream for Events<P> {
    type Item = Result<RecordedEvent, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(first) = self.first.take() {
            self.read(first);
        }
        loop {
            if let Some(event) = self.page.next() {
                return Poll::Ready(Some(Ok(event)));
            }
            let Some(next) = &mut self.next else { return Poll::Ready(None) };
            let read = ready!(Pin::new(next).poll(context));
            self.next = None;
            let (events, rest) = match read {
                Ok(read) => read,
                Err(error) => return Poll::Ready(Some(Err(error))),
            };
            self.page = events.into_iter();
            if let Some(rest) = rest {
                self.read(rest);
                // The task starts on this thread: before the consumer goes on with this page, not after that.
                context.waker().wake_by_ref();
                return Poll::Pending;
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
        Ok(self.look().await?.last)
    }

    /// Reads the safe position: up to it no further event can be committed. Loads the kinds of all events up to it.
    pub(crate) async fn look(&self) -> Result<Safe, StoreError> {
        const OPERATION: &str = "reading the head";
        let Database { schema, incarnation, .. } = &self.database;
        let ask = || Statement::new(schema, include_str!("sql/head.sql")).bind(incarnation.safe().last.as_i64());
        for _ in 0..ATTEMPTS {
            let mut rows = Vec::new();
            self.database.read_into(OPERATION, ask, &mut rows).await?;
            let row = rows.first().ok_or_else(|| damaged("the head answers nothing"))?;
            let number = |column| row.try_get::<i64, _>(column).during(OPERATION);
            let (last, kinds, server) = (number(0)?, number(1)?, number(2)?);
            if i64::try_from(self.kinds.len()).is_ok_and(|known| known < kinds) {
                self.kinds.reload(&self.database).await?;
            }
            // Otherwise another server took over meanwhile.
            if server == incarnation.server() {
                let safe = Safe { server, last: Position::new(last.max(0).cast_unsigned()) };
                incarnation.remember(safe);
                return Ok(safe);
            }
        }
        let source = "the server changed during every attempt";
        Err(StoreError::Unavailable { operation: OPERATION, source: source.into() })
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
                let safe = reader.database.incarnation.safe();
                let safe = if read.to <= safe.last { safe } else { reader.look().await? };
                Cursor::new(read, safe, &reader.kinds)
            }
        };
        // A page can be empty: the rows that it scanned may all be of other kinds.
        while !cursor.is_done() {
            let events = cursor.next_page(&reader).await?;
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
