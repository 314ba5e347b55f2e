//! Folding a stream: one statement. Its rows are shown as they come, and none of them is kept.

use recount_core::{Direction, EachEvent, EventRef, ReadStream, StoreError, StreamVersion};
use sqlx::postgres::PgRow;

use crate::error::damaged;
use crate::kinds::{Kind, KindsOfRows};
use crate::lifecycle::{self, ARCHIVED, ERASED};
use crate::page::{OPERATION, last, rows};
use crate::read::Reader;
use crate::row::get;
use crate::statement::{Statement, Taker};

impl Reader {
    /// Shows the events of a stream.
    pub(crate) async fn fold_stream(&self, read: &ReadStream, each: &mut EachEvent<'_>) -> Result<(), StoreError> {
        let mut folding = Folding::new(each, self);
        self.database.read_into(OPERATION, || self.folding(read), &mut folding).await?;
        if folding.unknown.is_some() {
            // Committed before the event that uses it.
            Box::pin(self.kinds.reload(&self.database)).await?;
            Box::pin(self.database.read_into(OPERATION, || self.folding(read), &mut folding)).await?;
        }
        let Folding { shown, unknown, mark, failed, .. } = folding;
        if let Some(failed) = failed {
            return Err(failed);
        }
        if let Some(kind) = unknown {
            return Err(damaged(format!("the kind {kind} of an event of {} is unknown", read.stream)));
        }
        match mark {
            // Erased, maybe since the first rows were shown: they are nothing to go by.
            Some(_) => lifecycle::present(&read.stream, mark),
            None if shown > 0 => Ok(()),
            None if is_whole(read) => lifecycle::present(&read.stream, None),
            None => Box::pin(lifecycle::find(&self.database, &read.stream, OPERATION)).await,
        }
    }

    fn folding(&self, read: &ReadStream) -> Statement {
        // Most often, and plainer for the database. It takes the index in order, since its sessions know no bitmaps.
        const WHOLE: &str = concat!(include_str!("sql/fold_events.sql"), " ORDER BY e.version");
        const FORWARD: &str =
            concat!(include_str!("sql/fold_events.sql"), include_str!("sql/fold_range.sql"), " ASC LIMIT $4");
        const BACKWARD: &str =
            concat!(include_str!("sql/fold_events.sql"), include_str!("sql/fold_range.sql"), " DESC LIMIT $4");
        let schema = &self.database.schema;
        if is_whole(read) {
            return Statement::new(schema, WHOLE).bind(read.stream.as_str());
        }
        let template = match read.direction {
            Direction::Forward => FORWARD,
            Direction::Backward => BACKWARD,
        };
        let after = StreamVersion::new(read.from.get().saturating_sub(1));
        let to = if is_rest(read) { ERASED } else { last(read) };
        let select = Statement::new(schema, template);
        select.bind(read.stream.as_str()).bind(after.as_i64()).bind(to).bind(rows(read.limit))
    }
}

/// Whether it goes to the end, where the mark of a closed stream is.
fn is_rest(read: &ReadStream) -> bool {
    read.direction == Direction::Forward && read.to == StreamVersion::MAX && read.limit.is_none()
}

/// Whether it is all of the stream.
fn is_whole(read: &ReadStream) -> bool {
    is_rest(read) && read.from.get() <= 1
}

struct Folding<'a> {
    each: &'a mut EachEvent<'a>,
    /// How many events were shown, and how many rows of this attempt have come: a broken read begins anew.
    shown: u64,
    rows: u64,
    known: &'a Reader,
    kinds: KindsOfRows,
    /// The server that answered first.
    server: Option<i64>,
    /// A kind that must be learned first.
    unknown: Option<i32>,
    /// The mark at the end of the stream, if it is closed.
    mark: Option<i64>,
    failed: Option<StoreError>,
}

impl<'a> Folding<'a> {
    fn new(each: &'a mut EachEvent<'a>, known: &'a Reader) -> Self {
        let kinds = KindsOfRows::default();
        Self { each, shown: 0, rows: 0, known, kinds, server: None, unknown: None, mark: None, failed: None }
    }

    fn try_row(&mut self, row: &PgRow) -> Result<(), StoreError> {
        let version: i64 = get(row, 0)?;
        if version >= ARCHIVED {
            self.mark = Some(version);
            return Ok(());
        }
        self.rows += 1;
        if self.rows <= self.shown {
            return Ok(());
        }
        let number = get(row, 1)?;
        let Some(kind) = self.kinds.find(number) else {
            self.unknown = Some(number);
            return Ok(());
        };
        let version = StreamVersion::new(version.cast_unsigned());
        let Kind { event_type, schema_version, .. } = &**kind;
        let payload = get(row, 2)?;
        (self.each)(EventRef { version, event_type: event_type.as_str(), schema_version: *schema_version, payload });
        self.shown += 1;
        Ok(())
    }
}

impl Taker for Folding<'_> {
    fn begin(&mut self) {
        (self.rows, self.unknown, self.mark) = (0, None, None);
        self.kinds = self.known.kinds.of_rows();
        let server = self.known.database.incarnation.server();
        if self.shown > 0 && self.server != Some(server) {
            // The new server may lack the events that were shown, or have others at their positions.
            let source = "another server took over while the events were read";
            self.failed = Some(StoreError::Unavailable { operation: OPERATION, source: source.into() });
        }
        self.server = Some(server);
    }

    fn row(&mut self, row: PgRow) {
        if self.failed.is_none() && self.unknown.is_none() {
            self.failed = self.try_row(&row).err();
        }
    }
}
