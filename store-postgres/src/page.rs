//! One page of events: a short read, so that no connection is held while the consumer pauses.

use recount_core::{Direction, Position, Query, ReadStream, RecordedEvent, StoreError, StreamVersion};
use sqlx::PgConnection;

use crate::database::Database;
use crate::decoding::Decoding;
use crate::incarnation::Safe;
use crate::kinds::Kinds;
use crate::lifecycle::{self, ARCHIVED};
use crate::query::{Compiled, Range, of_kind, order};
use crate::read::Reader;
use crate::row::COLUMNS;
use crate::statement::Statement;
use crate::writer::Failed;

pub(crate) const OPERATION: &str = "reading events";
/// A page ends once it has this many bytes.
pub(crate) const PAGE_BYTES: usize = 4 * 1024 * 1024;
/// And at most this many events.
const PAGE_EVENTS: usize = 1024;
const FIRST_PAGE_EVENTS: usize = 32;
/// The size that an event counts for, in addition to its payload.
pub(crate) const EVENT_BYTES: usize = 256;

/// Payloads up to this size fit in a page however many of its events have them.
const SMALL: usize = PAGE_BYTES / PAGE_EVENTS;
const SMALL_PAYLOAD: &str = ", CASE WHEN octet_length(e.payload) <= 4096 THEN e.payload END";
const _: () = assert!(SMALL == 4096);

/// How large pages should be, judged by those before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageSize {
    events: usize,
    /// Whether payloads are such that the database has to weigh them: that takes it longer.
    pub(crate) weighed: bool,
}

impl Default for PageSize {
    fn default() -> Self {
        Self { events: FIRST_PAGE_EVENTS, weighed: false }
    }
}

impl PageSize {
    /// As many events as make a page, but no more than are wanted.
    fn limit(self, wanted: Option<u64>) -> usize {
        wanted.map_or(self.events, |wanted| usize::try_from(wanted).unwrap_or(usize::MAX).min(self.events))
    }

    fn learn(&mut self, page: &Page) {
        self.events = (self.events * 4).min(PAGE_EVENTS);
        self.weighed = page.cut || self.weighed && page.events.iter().any(|event| event.data.payload.len() > SMALL);
    }
}

/// The events of one read.
pub(crate) struct Page {
    pub(crate) events: Vec<RecordedEvent>,
    /// Whether it ended before the limit because nothing more was there.
    pub(crate) exhausted: bool,
    /// Whether it ended before an event that is too large for it.
    pub(crate) cut: bool,
}

/// Makes a select of these columns of `events AS e` one of a page that has no more bytes than it should: it ends once there are
/// enough, or, where small events are expected, it leaves out the payload of a large one, at which it ends then.
fn bounded(
    database: &Database,
    select: impl FnOnce(&mut Statement, &str),
    by: &str,
    limit: usize,
    size: PageSize,
    range: Range,
) -> Statement {
    let schema = &database.schema;
    let numbers =
        |page: Statement| page.bind(range.after.as_i64()).bind(range.to.as_i64()).bind(rows(Some(limit as u64)));
    let mut page = numbers(Statement::in_pieces());
    if !size.weighed {
        select(&mut page, &format!("{COLUMNS}{SMALL_PAYLOAD}"));
        return page;
    }
    page.push(schema, "SELECT ").push(schema, COLUMNS).push(schema, ", e.payload");
    page.push(schema, &format!(" FROM (SELECT e.*, sum(octet_length(e.payload) + {EVENT_BYTES}) OVER (ORDER BY "));
    page.push(schema, by).push(schema, " ROWS UNBOUNDED PRECEDING) - octet_length(e.payload) AS before FROM (");
    select(&mut page, "e.*");
    page.push(schema, &format!(") AS e) AS e WHERE before <= {PAGE_BYTES} ORDER BY "));
    page.push(schema, by);
    page
}

/// A limit as the database takes it.
pub(crate) fn rows(limit: Option<u64>) -> i64 {
    limit.map_or(i64::MAX, |limit| i64::try_from(limit).unwrap_or(i64::MAX))
}

/// The last version of an event that is wanted: behind it may be a mark.
pub(crate) fn last(read: &ReadStream) -> i64 {
    read.to.as_i64().min(ARCHIVED - 1)
}

/// The next page of a stream. The first one also tells a stream with nothing in the wanted range from one that isn't there.
pub(crate) async fn stream_page(
    database: &Database,
    read: &mut ReadStream,
    first: bool,
    size: &mut PageSize,
    kinds: &Kinds,
) -> Result<Page, StoreError> {
    let schema = &database.schema;
    let limit = size.limit(read.limit);
    let direction = order(read.direction);
    let select = |page: &mut Statement, columns: &str| {
        page.push(schema, "SELECT ").push(schema, columns);
        page.push(schema, " FROM {schema}.events AS e WHERE {this} AND e.stream = ").place(read.stream.as_str());
        page.push(schema, " AND e.version > $1 AND e.version <= $2 ORDER BY e.version ").push(schema, direction);
        page.push(schema, " LIMIT $3");
    };
    let after = Position::new(read.from.get().saturating_sub(1));
    let range = Range { after, to: Position::new(last(read).cast_unsigned()) };
    let by = format!("e.version {direction}");
    let statement = bounded(database, select, &by, limit, *size, range);
    let page = Decoding::new(kinds).read(database, statement, limit, *size).await?;
    if first && page.events.is_empty() && !page.cut {
        lifecycle::find(database, &read.stream, OPERATION).await?;
    }
    size.learn(&page);
    read.limit = read.limit.map(|limit| limit.saturating_sub(page.events.len() as u64));
    if let Some(last) = page.events.last() {
        match read.direction {
            Direction::Forward => read.from = last.version.next(),
            Direction::Backward => read.to = StreamVersion::new(last.version.get().saturating_sub(1)),
        }
    }
    Ok(page)
}

/// The rest of a read of the whole store.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    query: Query,
    compiled: Compiled,
    /// The server on which the range is safe to read.
    server: i64,
    range: Range,
    direction: Direction,
    limit: Option<u64>,
    size: PageSize,
}

impl Cursor {
    /// Starts a read that ends at the safe position at the latest. The kinds of all events up to there must be known.
    pub(crate) fn new(read: recount_core::ReadAll, safe: Safe, kinds: &Kinds) -> Self {
        Self {
            compiled: Compiled::new(&read.query, kinds),
            query: read.query,
            server: safe.server,
            range: Range { after: read.after, to: read.to.min(safe.last) },
            direction: read.direction,
            limit: read.limit,
            size: PageSize::default(),
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.range.after >= self.range.to || self.limit == Some(0) || matches!(self.compiled, Compiled::Nothing)
    }

    /// Reads the next page, which may be empty, and moves on.
    pub(crate) async fn next_page(&mut self, reader: &Reader) -> Result<Vec<RecordedEvent>, StoreError> {
        let Reader { database, kinds } = reader;
        // After filtering here, any number of rows can be needed for a wanted event.
        let limit = self.size.limit(self.limit.filter(|_| !self.is_filtering()));
        let statement = self.statement(database, limit);
        let page = Decoding::new(kinds).read(database, statement, limit, self.size).await?;
        if database.incarnation.server() != self.server {
            // The new server may have an earlier safe position, and other numbers for the kinds.
            let safe = reader.look().await?;
            self.server = safe.server;
            self.range.to = self.range.to.min(safe.last);
            self.compiled = Compiled::new(&self.query, kinds);
            return Ok(Vec::new());
        }
        Ok(self.taken(page))
    }

    /// The same over the given connection. Its transaction sees everything up to the end of the range.
    pub(crate) async fn next_page_within(
        &mut self,
        reader: &Reader,
        connection: &mut PgConnection,
    ) -> Result<Vec<RecordedEvent>, Failed> {
        let Reader { database, kinds } = reader;
        let limit = self.size.limit(self.limit.filter(|_| !self.is_filtering()));
        let mut decoding = Decoding::new(kinds);
        self.statement(database, limit)
            .run_into(connection, &mut decoding)
            .await
            .map_err(|e| Failed::Call(e.into()))?;
        Ok(self.taken(decoding.finish(database, limit, self.size).await?))
    }

    fn is_filtering(&self) -> bool {
        matches!(self.compiled, Compiled::Scan)
    }

    /// Whether it has read as many events as were wanted.
    pub(crate) fn is_at_limit(&self) -> bool {
        self.limit == Some(0)
    }

    /// Moves on behind this page.
    fn taken(&mut self, page: Page) -> Vec<RecordedEvent> {
        self.size.learn(&page);
        let last = page.events.last().filter(|_| !page.exhausted).map(|event| event.position);
        match (self.direction, last) {
            (Direction::Forward, Some(last)) => self.range.after = last,
            (Direction::Backward, Some(last)) => self.range.to = Position::new(last.get().saturating_sub(1)),
            (_, None) if page.cut => {}
            (_, None) => self.range.after = self.range.to,
        }
        let mut events = page.events;
        if self.is_filtering() {
            events.retain(|event| self.query.matches(event));
            events.truncate(self.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)));
        }
        self.limit = self.limit.map(|limit| limit.saturating_sub(events.len() as u64));
        events
    }

    fn statement(&self, database: &Database, limit: usize) -> Statement {
        let schema = &database.schema;
        let direction = order(self.direction);
        let by = format!("e.position {direction}");
        let select = |page: &mut Statement, columns: &str| {
            page.push(schema, "SELECT ").push(schema, columns).push(schema, " FROM ");
            match &self.compiled {
                Compiled::Kind(kind) => {
                    page.push(schema, "{schema}.events AS e WHERE {this} AND ");
                    page.push(schema, &of_kind("e", &kind.to_string(), self.direction)).push(schema, " LIMIT $3");
                }
                Compiled::Sources(sources) => {
                    page.push(schema, "(SELECT position FROM (");
                    for (index, source) in sources.iter().enumerate() {
                        if index > 0 {
                            page.push(schema, " UNION ");
                        }
                        source.write(page, schema, self.direction);
                    }
                    page.push(schema, ") AS u ORDER BY position ").push(schema, direction);
                    page.push(schema, " LIMIT $3) AS p CROSS JOIN LATERAL ");
                    page.push(
                        schema,
                        "(SELECT x.* FROM {schema}.events AS x WHERE x.position = p.position AND {this}) AS e",
                    );
                    page.push(schema, " ORDER BY ").push(schema, &by);
                }
                Compiled::All | Compiled::Scan | Compiled::Nothing => {
                    page.push(schema, "{schema}.events AS e WHERE {this} AND e.position > $1 AND e.position <= $2");
                    page.push(schema, " ORDER BY ").push(schema, &by).push(schema, " LIMIT $3");
                }
            }
        };
        bounded(database, select, &by, limit, self.size, self.range)
    }
}
