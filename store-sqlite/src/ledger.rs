//! The writer's cache of the file's contents: valid as long as no other connection writes to the file.

use std::sync::Arc;

use quick_cache::unsync::Cache;
use recount_core::{Position, StoreError, StreamId, StreamVersion};
use sqlx::{Row, SqliteConnection};

use crate::error::During;
use crate::kinds::Kinds;

/// How many streams' heads are kept.
const HEADS: usize = 64 * 1024;

/// Whether a stream takes events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamState {
    Open,
    Archived,
    Erased,
}

impl StreamState {
    pub(crate) const fn from_sql(state: i64) -> Self {
        match state {
            0 => Self::Open,
            1 => Self::Archived,
            _ => Self::Erased,
        }
    }
}

/// Where a stream ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) id: i64,
    pub(crate) version: StreamVersion,
    pub(crate) state: StreamState,
}

/// The counters, as they are committed or will be with the transaction under way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) position: Position,
    pub(crate) stream: i64,
    pub(crate) kind: i64,
    pub(crate) revision: i64,
}

pub(crate) struct Ledger {
    /// The connection and its `PRAGMA data_version` for which the rest holds.
    seen: Option<(u64, i64)>,
    pub(crate) counters: Counters,
    pub(crate) heads: Cache<StreamId, Head>,
    pub(crate) kinds: Arc<Kinds>,
}

impl Ledger {
    pub(crate) fn new(kinds: Arc<Kinds>) -> Self {
        Self { seen: None, counters: Counters::default(), heads: Cache::new(HEADS), kinds }
    }

    /// Forgets everything, after a failure or when the connection was replaced.
    pub(crate) fn forget(&mut self) {
        self.seen = None;
        self.heads.clear();
    }

    /// Whether the ledger is valid for this connection at this data version.
    pub(crate) fn holds(&self, seen: (u64, i64)) -> bool {
        self.seen == Some(seen)
    }

    /// Reads anew, inside a write transaction, the entries that are no longer known for certain.
    pub(crate) async fn refresh(
        &mut self,
        connection: &mut SqliteConnection,
        seen: (u64, i64),
    ) -> Result<(), StoreError> {
        const OPERATION: &str = "reading the counters";
        self.forget();
        let row = sqlx::query(include_str!("sql/select_counters.sql")).fetch_one(&mut *connection).await;
        let row = row.during(OPERATION)?;
        let position: i64 = row.try_get(0).during(OPERATION)?;
        self.counters = Counters {
            position: Position::new(position.cast_unsigned()),
            stream: row.try_get(1).during(OPERATION)?,
            kind: row.try_get(2).during(OPERATION)?,
            revision: row.try_get(3).during(OPERATION)?,
        };
        if self.counters.kind > self.kinds.last() {
            self.kinds.refresh(connection).await?;
        }
        self.seen = Some(seen);
        Ok(())
    }
}
