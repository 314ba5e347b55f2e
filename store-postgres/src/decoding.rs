//! Rows of a page become events while the server makes more.

use recount_core::{RecordedEvent, StoreError};
use sqlx::postgres::PgRow;

use crate::database::Database;
use crate::error::damaged;
use crate::kinds::{Kind, Kinds};
use crate::page::{EVENT_BYTES, OPERATION, PAGE_BYTES, Page, PageSize};
use crate::row::{Decoder, get};
use crate::statement::{Statement, Taker};

/// Decodes the rows of a page as they come.
pub(crate) struct Decoding<'k> {
    kinds: &'k Kinds,
    decoder: Decoder,
    events: Vec<RecordedEvent>,
    bytes: usize,
    cut: bool,
    /// The rows from the first one with an unknown kind on.
    later: Vec<(PgRow, i64)>,
    failed: Option<StoreError>,
}

impl<'k> Decoding<'k> {
    pub(crate) fn new(kinds: &'k Kinds) -> Self {
        let decoder = Decoder::new(kinds.of_rows());
        Self { kinds, decoder, events: vec![], bytes: 0, cut: false, later: vec![], failed: None }
    }

    fn take(&mut self, row: &PgRow, position: i64, kind: &Kind) -> Result<(), StoreError> {
        match self.decoder.event(row, position, kind)? {
            Some(event) => {
                self.bytes += event.data.payload.len() + EVENT_BYTES;
                self.events.push(event);
            }
            None => self.cut = true,
        }
        Ok(())
    }

    fn try_row(&mut self, row: PgRow) -> Result<(), StoreError> {
        if self.cut {
            return Ok(());
        }
        let position = get(&row, 0)?;
        match self.decoder.kind(&row)? {
            Some(kind) if self.later.is_empty() => self.take(&row, position, &kind)?,
            _ => self.later.push((row, position)),
        }
        Ok(())
    }

    /// Reads the page.
    pub(crate) async fn read(
        mut self,
        database: &Database,
        statement: Statement,
        limit: usize,
        size: PageSize,
    ) -> Result<Page, StoreError> {
        database.read_into(OPERATION, || statement.clone(), &mut self).await?;
        self.finish(database, limit, size).await
    }

    /// The page of the rows that were given.
    pub(crate) async fn finish(
        mut self,
        database: &Database,
        limit: usize,
        size: PageSize,
    ) -> Result<Page, StoreError> {
        if !self.later.is_empty() {
            // Committed before the event that uses it.
            self.kinds.reload(database).await?;
            self.decoder = Decoder::new(self.kinds.of_rows());
            for (row, position) in std::mem::take(&mut self.later) {
                if self.cut {
                    break;
                }
                let unknown = || damaged(format!("the event at position {position}: its kind is unknown"));
                let kind = self.decoder.kind(&row)?.ok_or_else(unknown)?;
                self.take(&row, position, &kind)?;
            }
        }
        let Self { events, bytes, cut, failed, .. } = self;
        if let Some(failed) = failed {
            return Err(failed);
        }
        let exhausted = events.len() < limit && (bytes <= PAGE_BYTES || !size.weighed) && !cut;
        Ok(Page { events, exhausted, cut })
    }
}

impl Taker for Decoding<'_> {
    fn begin(&mut self) {
        *self = Self::new(self.kinds);
    }

    fn row(&mut self, row: PgRow) {
        if self.failed.is_none() {
            self.failed = self.try_row(row).err();
        }
    }
}
