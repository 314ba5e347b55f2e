//! One page of events: a short read, so that no connection is held while the consumer pauses.

use recount_core::{Direction, Position, Query, ReadStream, RecordedEvent, StoreError, StreamVersion};
use sqlx::postgres::PgRow;

use crate::database::{Database, Statement};
use crate::kinds::Kinds;
use crate::query::{Compiled, Range, order};
use crate::row::{COLUMNS, decode, kind};

pub(crate) const OPERATION: &str = "reading events";
/// A page ends once it has this many bytes.
const PAGE_BYTES: usize = 4 * 1024 * 1024;
/// And at most this many events.
const PAGE_EVENTS: usize = 1024;
const FIRST_PAGE_EVENTS: usize = 32;
/// What an event weighs beside its payload.
const EVENT_BYTES: usize = 256;

/// How large pages should be, judged by those before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageSize(usize);

impl Default for PageSize {
    fn default() -> Self {
        Self(FIRST_PAGE_EVENTS)
    }
}

impl PageSize {
    /// As many events as make a page, but no more than are wanted.
    fn limit(self, wanted: Option<u64>) -> usize {
        wanted.map_or(self.0, |wanted| usize::try_from(wanted).unwrap_or(usize::MAX).min(self.0))
    }

    fn grow(&mut self) {
        self.0 = (self.0 * 4).min(PAGE_EVENTS);
    }
}

/// What was read.
pub(crate) struct Page {
    pub(crate) events: Vec<RecordedEvent>,
    /// Whether it ended before the limit because nothing more was there.
    pub(crate) exhausted: bool,
}

/// Wraps a select of `events AS e` in this order such that the page ends once it has enough bytes.
fn bounded(database: &Database, inner: impl FnOnce(&mut Statement), by: &str, limit: usize, range: Range) -> Statement {
    let schema = &database.schema;
    let mut page = Statement::new(schema, "SELECT ");
    page.push(schema, COLUMNS);
    page.push(schema, &format!(" FROM (SELECT e.*, sum(octet_length(e.payload) + {EVENT_BYTES}) OVER (ORDER BY "));
    page.push(schema, by).push(schema, " ROWS UNBOUNDED PRECEDING) - octet_length(e.payload) AS before FROM (");
    let mut page = page.bind(range.after.as_i64()).bind(range.to.as_i64()).bind(rows(limit));
    inner(&mut page);
    page.push(schema, &format!(") AS e) AS e WHERE before <= {PAGE_BYTES} ORDER BY "));
    page.push(schema, by);
    page
}

fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

async fn select(database: &Database, statement: Statement, limit: usize, kinds: &Kinds) -> Result<Page, StoreError> {
    let rows: Vec<PgRow> = database.read(OPERATION, statement).await?;
    for row in &rows {
        if kinds.get(kind(row)?).is_none() {
            // Committed before the event that uses it.
            kinds.reload(database).await?;
            break;
        }
    }
    let events: Vec<RecordedEvent> = rows.iter().map(|row| decode(row, kinds)).collect::<Result<_, _>>()?;
    let bytes: usize = events.iter().map(|event| event.data.payload.len() + EVENT_BYTES).sum();
    Ok(Page { exhausted: events.len() < limit && bytes <= PAGE_BYTES, events })
}

/// The next page of a stream.
pub(crate) async fn stream_page(
    database: &Database,
    read: &mut ReadStream,
    size: &mut PageSize,
    kinds: &Kinds,
) -> Result<Page, StoreError> {
    let schema = &database.schema;
    let limit = size.limit(read.limit);
    let direction = order(read.direction);
    let inner = |page: &mut Statement| {
        page.push(schema, "SELECT e.* FROM {schema}.events AS e WHERE e.stream = ").place(read.stream.to_string());
        page.push(schema, " AND e.version > $1 AND e.version <= $2 ORDER BY e.version ").push(schema, direction);
        page.push(schema, " LIMIT $3");
    };
    let after = Position::new(read.from.get().saturating_sub(1));
    let range = Range { after, to: Position::new(read.to.get()) };
    let statement = bounded(database, inner, &format!("e.version {direction}"), limit, range);
    let page = select(database, statement, limit, kinds).await?;
    size.grow();
    read.limit = read.limit.map(|limit| limit.saturating_sub(page.events.len() as u64));
    if let Some(last) = page.events.last() {
        match read.direction {
            Direction::Forward => read.from = last.version.next(),
            Direction::Backward => read.to = StreamVersion::new(last.version.get().saturating_sub(1)),
        }
    }
    Ok(page)
}

/// What is left to read of the whole store.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    query: Query,
    compiled: Compiled,
    range: Range,
    direction: Direction,
    limit: Option<u64>,
    size: PageSize,
}

impl Cursor {
    /// Starts reading, up to the head at most, whose events are all of known kinds.
    pub(crate) fn new(read: recount_core::ReadAll, head: Position, kinds: &Kinds) -> Self {
        Self {
            compiled: Compiled::new(&read.query, kinds),
            query: read.query,
            range: Range { after: read.after, to: read.to.min(head) },
            direction: read.direction,
            limit: read.limit,
            size: PageSize::default(),
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.range.after >= self.range.to || self.limit == Some(0) || matches!(self.compiled, Compiled::Nothing)
    }

    /// Reads the next page, which may be empty, and moves on.
    pub(crate) async fn next_page(
        &mut self,
        database: &Database,
        kinds: &Kinds,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        // After filtering here, any number of rows can be needed for a wanted event.
        let filtering = matches!(self.compiled, Compiled::Scan);
        let limit = self.size.limit(self.limit.filter(|_| !filtering));
        let page = select(database, self.statement(database, limit), limit, kinds).await?;
        self.size.grow();
        let last = page.events.last().filter(|_| !page.exhausted).map(|event| event.position);
        match self.direction {
            Direction::Forward => self.range.after = last.unwrap_or(self.range.to),
            Direction::Backward => {
                self.range.to = last.map_or(self.range.after, |last| Position::new(last.get().saturating_sub(1)));
            }
        }
        let mut events = page.events;
        if filtering {
            events.retain(|event| self.query.matches(event));
            events.truncate(self.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)));
        }
        self.limit = self.limit.map(|limit| limit.saturating_sub(events.len() as u64));
        Ok(events)
    }

    fn statement(&self, database: &Database, limit: usize) -> Statement {
        let schema = &database.schema;
        let direction = order(self.direction);
        let inner = |page: &mut Statement| match &self.compiled {
            Compiled::Sources(sources) => {
                page.push(schema, "SELECT e.* FROM (SELECT position FROM (");
                for (index, source) in sources.iter().enumerate() {
                    if index > 0 {
                        page.push(schema, " UNION ");
                    }
                    source.write(page, schema, self.direction);
                }
                page.push(schema, ") AS u ORDER BY position ").push(schema, direction);
                page.push(schema, " LIMIT $3) AS p CROSS JOIN LATERAL ");
                page.push(schema, "(SELECT x.* FROM {schema}.events AS x WHERE x.position = p.position) AS e");
            }
            Compiled::All | Compiled::Scan | Compiled::Nothing => {
                page.push(schema, "SELECT e.* FROM {schema}.events AS e WHERE e.position > $1 AND e.position <= $2");
                page.push(schema, " ORDER BY e.position ").push(schema, direction).push(schema, " LIMIT $3");
            }
        };
        bounded(database, inner, &format!("e.position {direction}"), limit, self.range)
    }
}
