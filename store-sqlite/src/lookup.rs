//! Looking up the names that a batch mentions: streams, idempotency keys, state entries.

use std::collections::HashSet;

use recount_core::{IdempotencyKey, Revision, StateKey, StoreError, StreamId, StreamVersion};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::error::{During, damaged};
use crate::ledger::{Head, StreamState};
use crate::outcome;
use crate::plan::Known;
use crate::request::Work;
use crate::rows::{RowWriter, Template};
use crate::state::Held;

const OPERATION: &str = "looking up names";
// Each statement marks its rows with a number of its own in the first column.
const STREAMS: Template = Template { sql: include_str!("sql/lookup_streams.sql"), columns: 3 };
const APPENDS: Template = Template { sql: include_str!("sql/lookup_appends.sql"), columns: 1 };
const STATE: Template = Template { sql: include_str!("sql/lookup_state.sql"), columns: 1 };

/// The names that some work mentions, each once.
#[derive(Default)]
pub(crate) struct Names<'a> {
    pub(crate) streams: Vec<&'a StreamId>,
    appends: Vec<&'a IdempotencyKey>,
    state: Vec<&'a StateKey>,
}

impl<'a> Names<'a> {
    pub(crate) fn of(work: &'a [Work]) -> Self {
        let mut names = Self::default();
        let (mut streams, mut appends, mut state) = (HashSet::new(), HashSet::new(), HashSet::new());
        for work in work {
            match work {
                Work::Append(append, _) => {
                    let mentioned = append.streams.iter().map(|append| &append.stream);
                    names.streams.extend(mentioned.filter(|stream| streams.insert(*stream)));
                    names.appends.extend(append.keys().filter(|key| appends.insert(*key)));
                }
                Work::State(changes, _) => {
                    let mentioned = changes.iter().map(|change| &change.key);
                    names.state.extend(mentioned.filter(|key| state.insert(*key)));
                }
            }
        }
        names
    }

    /// Asks for these streams, and for all keys.
    pub(crate) fn look_up(&self, writer: &mut RowWriter<'_>, streams: &[&StreamId]) {
        let numbered: Vec<_> = streams.iter().enumerate().collect();
        writer.rows(STREAMS, &numbered, |script, (number, stream)| {
            let number = i64::try_from(*number).unwrap_or(i64::MAX);
            script.bind(number).bind(stream.category()).bind(stream.id());
        });
        writer.rows(APPENDS, &self.appends, |script, key| {
            script.bind(key.as_str());
        });
        writer.rows(STATE, &self.state, |script, key| {
            script.bind(key.as_stored());
        });
    }

    /// Takes the answers in.
    pub(crate) fn found(
        &self,
        known: &mut Known,
        streams: &[&StreamId],
        rows: impl Iterator<Item = SqliteRow>,
    ) -> Result<(), StoreError> {
        for row in rows {
            match row.try_get::<i64, _>(0).during(OPERATION)? {
                0 => {
                    let number: i64 = row.try_get(1).during(OPERATION)?;
                    let stream = usize::try_from(number).ok().and_then(|number| streams.get(number));
                    let stream = stream.ok_or_else(|| damaged("a stream that was not asked for"))?;
                    known.heads.insert((*stream).clone(), head(&row).during(OPERATION)?);
                }
                1 => {
                    let (key, digest, outcome): (String, &[u8], &str) =
                        (|| Ok((row.try_get(1)?, row.try_get(2)?, row.try_get(3)?)))().during(OPERATION)?;
                    let key = IdempotencyKey::from_stored(key).map_err(|error| damaged(error.to_string()))?;
                    known.appends.insert(key, outcome::decode(digest, outcome)?);
                }
                _ => {
                    let key: String = row.try_get(1).during(OPERATION)?;
                    let key = StateKey::from_stored(key).map_err(|error| damaged(error.to_string()))?;
                    let revision: i64 = row.try_get(2).during(OPERATION)?;
                    let expires_at = row.try_get(3).during(OPERATION)?;
                    known.state.insert(key, Held { revision: Revision(revision.cast_unsigned()), expires_at });
                }
            }
        }
        Ok(())
    }
}

fn head(row: &SqliteRow) -> Result<Head, sqlx::Error> {
    let version: Option<i64> = row.try_get(4)?;
    Ok(Head {
        id: row.try_get(2)?,
        version: StreamVersion::new(version.unwrap_or(0).cast_unsigned()),
        state: StreamState::from_sql(row.try_get(3)?),
    })
}
