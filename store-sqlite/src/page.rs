//! One page of events: a short read, so that no reader keeps the log from being emptied while its consumer pauses.

use futures_util::TryStreamExt;
use recount_core::{Direction, Position, Query, ReadStream, RecordedEvent, StoreError, StreamVersion};
use sqlx::sqlite::SqliteRow;
use sqlx::{Either, Executor, Row, SqliteConnection};

use crate::error::During;
use crate::kinds::Kinds;
use crate::query::{Compiled, Range, Selected, Source, Sql};
use crate::row::{COLUMNS, decode};
use crate::rows::Script;

pub(crate) const OPERATION: &str = "reading events";
/// A page ends once it has this many bytes.
const PAGE_BYTES: usize = 4 * 1024 * 1024;
/// And at most this many events.
const PAGE_EVENTS: usize = 1024;
const FIRST_PAGE_EVENTS: usize = 32;

/// How large pages should be, judged by those before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageSize {
    events: usize,
}

impl Default for PageSize {
    fn default() -> Self {
        Self { events: FIRST_PAGE_EVENTS }
    }
}

impl PageSize {
    /// As many events as make a page, but no more than are wanted.
    pub(crate) fn limit(self, wanted: Option<u64>) -> usize {
        wanted.map_or(self.events, |wanted| usize::try_from(wanted).unwrap_or(usize::MAX).min(self.events))
    }

    fn learn(&mut self, page: &Page) {
        let fit = PAGE_BYTES / page.largest.max(1);
        self.events = fit.min(self.events * 4).clamp(1, PAGE_EVENTS);
    }
}

/// The events of one read.
pub(crate) struct Page {
    pub(crate) events: Vec<RecordedEvent>,
    /// Whether it ended before the limit because nothing more was there.
    pub(crate) exhausted: bool,
    largest: usize,
}

/// Runs a select of [`COLUMNS`] with this limit.
async fn select(
    connection: &mut SqliteConnection,
    script: Script,
    limit: usize,
    kinds: &Kinds,
) -> Result<Page, StoreError> {
    let mut rows: Vec<SqliteRow> = Vec::with_capacity(limit.min(PAGE_EVENTS));
    let (mut bytes, mut largest, mut newest_kind) = (0, 0, 0);
    {
        let mut results = connection.fetch_many(script.into_query());
        while bytes < PAGE_BYTES
            && rows.len() < limit
            && let Some(result) = results.try_next().await.during(OPERATION)?
        {
            if let Either::Right(row) = result {
                let size = row.try_get::<&[u8], _>(7).during(OPERATION)?.len() + 256;
                bytes += size;
                largest = largest.max(size);
                newest_kind = newest_kind.max(row.try_get::<i64, _>(2).during(OPERATION)?);
                rows.push(row);
            }
        }
    }
    if newest_kind > kinds.last() {
        kinds.refresh(connection).await?;
    }
    let exhausted = rows.len() < limit && bytes < PAGE_BYTES;
    let events = rows.iter().map(|row| decode(row, kinds)).collect::<Result<_, _>>()?;
    Ok(Page { events, exhausted, largest })
}

/// The next page of a stream.
pub(crate) async fn stream_page(
    connection: &mut SqliteConnection,
    read: &mut ReadStream,
    size: &mut PageSize,
    kinds: &Kinds,
) -> Result<Page, StoreError> {
    let limit = size.limit(read.limit);
    let mut script = Script::default();
    script.statement(match read.direction {
        Direction::Forward => include_str!("sql/select_stream_forward.sql"),
        Direction::Backward => include_str!("sql/select_stream_backward.sql"),
    });
    script.bind(read.stream.category()).bind(read.stream.id());
    script.bind(read.from.as_i64()).bind(read.to.as_i64()).bind(i64::try_from(limit).unwrap_or(i64::MAX));
    let page = select(connection, script, limit, kinds).await?;
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
    pub(crate) query: Query,
    pub(crate) compiled: Compiled,
    pub(crate) range: Range,
    pub(crate) direction: Direction,
    pub(crate) limit: Option<u64>,
    pub(crate) size: PageSize,
    /// Whether the last page showed that reading everything and filtering beats the indexes.
    pub(crate) dense: bool,
}

/// Positions that a filtering scan looks at for each event of a page. With fewer hits than one in so many, indexes are faster.
const SPARSE: u64 = 8;

impl Cursor {
    pub(crate) fn is_done(&self) -> bool {
        self.range.after >= self.range.to || self.limit == Some(0) || matches!(self.compiled, Compiled::Nothing)
    }

    /// Reads the next page, which may be empty, and moves on.
    pub(crate) async fn next_page(
        &mut self,
        connection: &mut SqliteConnection,
        kinds: &Kinds,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        // After filtering here, any number of rows can be needed for a wanted event.
        let filtering = matches!(self.compiled, Compiled::Scan);
        let limit = self.size.limit(self.limit.filter(|_| !filtering));
        let (script, range) = self.script(limit);
        let mut page = select(connection, script, limit, kinds).await?;
        page.events.sort_unstable_by_key(|event| event.position);
        if self.direction == Direction::Backward {
            page.events.reverse();
        }
        self.size.learn(&page);
        let read = self.advance(&page, range);
        self.dense = page.events.len() as u64 * SPARSE >= read;
        let mut events = page.events;
        if filtering {
            events.retain(|event| self.query.matches(event));
            events.truncate(self.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)));
        }
        self.limit = self.limit.map(|limit| limit.saturating_sub(events.len() as u64));
        Ok(events)
    }

    /// Moves past the part that was read of this range; returns the number of positions.
    fn advance(&mut self, page: &Page, range: Range) -> u64 {
        let before = self.range;
        let last = page.events.last().filter(|_| !page.exhausted).map(|event| event.position);
        match self.direction {
            Direction::Forward => self.range.after = last.unwrap_or(range.to),
            Direction::Backward => {
                let end = last.map_or(range.after, |last| Position::new(last.get().saturating_sub(1)));
                self.range.to = end;
            }
        }
        (self.range.after.get() - before.after.get()) + (before.to.get() - self.range.to.get())
    }

    /// The statement for the next page, and the part of the range that it covers.
    pub(crate) fn script(&self, limit: usize) -> (Script, Range) {
        match &self.compiled {
            Compiled::Kinds(Some(kinds)) if !self.dense && kinds.len() <= crate::query::MAX_SOURCES => {
                let sources: Vec<_> = kinds.iter().map(|kind| Source::Kind(*kind)).collect();
                (self.merge(&sources, limit), self.range)
            }
            Compiled::Sources(sources) => (self.merge(sources, limit), self.range),
            Compiled::Kinds(kinds @ Some(_)) => {
                let window = self.window(limit as u64 * SPARSE);
                (self.scan(kinds, window, limit), window)
            }
            Compiled::Kinds(None) | Compiled::Scan | Compiled::Nothing => {
                (self.scan(&None, self.range, limit), self.range)
            }
        }
    }

    /// The next positions, so many that a scan of them stays short.
    fn window(&self, positions: u64) -> Range {
        let Range { after, to } = self.range;
        match self.direction {
            Direction::Forward => Range { after, to: after.checked_add(positions).map_or(to, |end| end.min(to)) },
            Direction::Backward => Range { after: after.max(Position::new(to.get().saturating_sub(positions))), to },
        }
    }

    fn scan(&self, kinds: &Selected, range: Range, limit: usize) -> Script {
        let mut sql = Sql::default();
        sql.push("SELECT ").push(COLUMNS).push(" FROM events AS e CROSS JOIN streams AS s ON s.id = e.stream");
        sql.push(" WHERE e.position > ").bind(range.after.as_i64());
        sql.push(" AND e.position <= ").bind(range.to.as_i64());
        if let Some(kinds) = kinds {
            // The plus keeps the index by kind out of it, which would have to be sorted.
            sql.push(" AND +e.kind IN (").list(kinds).push(")");
        }
        sql.push(" ORDER BY e.position").order(self.direction).push(" LIMIT ").bind(rows(limit));
        sql.finish()
    }

    fn merge(&self, sources: &[Source], limit: usize) -> Script {
        let mut sql = Sql::default();
        sql.push("SELECT ").push(COLUMNS).push(" FROM (");
        for (index, source) in sources.iter().enumerate() {
            if index > 0 {
                sql.push(" UNION ");
            }
            source.write(&mut sql, self.range);
        }
        sql.push(" ORDER BY 1").order(self.direction).push(" LIMIT ").bind(rows(limit));
        sql.push(") AS p CROSS JOIN events AS e ON e.position = p.position");
        sql.push(" CROSS JOIN streams AS s ON s.id = e.stream");
        sql.finish()
    }
}

fn rows(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
