//! Queries as SQL, from bound parameters only.
//!
//! Every item becomes one or more *sources*: selects of positions that an index yields in order. SQLite merges
//! sources that are joined by `UNION` and ordered alike without sorting, and reads no more of each than it needs.

use recount_core::{Direction, Position, Query, StoreError};
use sqlx::{Row, SqliteConnection};

use crate::error::During;
use crate::kinds::Kinds;
use crate::rows::Script;

/// SQLite joins at most 500 selects.
pub(crate) const MAX_SOURCES: usize = 256;

/// The kinds of events that are wanted: all of them, or these.
pub(crate) type Selected = Option<Vec<i64>>;

/// A query, with types and categories resolved to kinds.
#[derive(Clone, Debug)]
pub(crate) enum Compiled {
    /// It selects nothing that is there.
    Nothing,
    /// Filter every event by kind.
    Kinds(Selected),
    /// Find the events through indexes.
    Sources(Vec<Source>),
    /// There are too many items for one statement: read everything and ask the query.
    Scan,
}

/// Positions that one index yields in order.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Kind(i64),
    Tags { tags: Vec<String>, kinds: Selected },
}

impl Compiled {
    /// Resolves a query; right for all events that are committed with kinds known now.
    pub(crate) fn new(query: &Query, kinds: &Kinds) -> Self {
        if query.is_all() {
            return Self::Kinds(None);
        }
        let sources = sources(query, kinds);
        let only_kinds: Option<Vec<i64>> = sources
            .iter()
            .map(|source| match source {
                Source::Kind(kind) => Some(*kind),
                Source::Tags { .. } => None,
            })
            .collect();
        match only_kinds {
            Some(kinds) if kinds.is_empty() => Self::Nothing,
            Some(kinds) if kinds.len() <= 4096 => Self::Kinds(Some(kinds)),
            None if sources.len() <= MAX_SOURCES && sources.iter().all(|s| s.parameters() <= 64) => {
                Self::Sources(sources)
            }
            _ => Self::Scan,
        }
    }
}

fn sources(query: &Query, kinds: &Kinds) -> Vec<Source> {
    let mut plain = Vec::new();
    let mut tagged = Vec::new();
    for item in &query.items {
        let selected = kinds.selected(item);
        if selected.as_ref().is_some_and(Vec::is_empty) {
            continue;
        }
        if item.tags.is_empty() {
            plain.extend(selected.unwrap_or_default());
        } else {
            let mut tags: Vec<_> = item.tags.iter().map(|tag| tag.as_str().to_owned()).collect();
            tags.sort_unstable();
            tags.dedup();
            tagged.push(Source::Tags { tags, kinds: selected });
        }
    }
    plain.sort_unstable();
    plain.dedup();
    plain.into_iter().map(Source::Kind).chain(tagged).collect()
}

/// Positions from, exclusive, and to, inclusive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) after: Position,
    pub(crate) to: Position,
}

impl Source {
    fn parameters(&self) -> usize {
        match self {
            Self::Kind(_) => 1,
            Self::Tags { tags, kinds } => tags.len() + kinds.as_ref().map_or(0, Vec::len),
        }
    }

    /// Writes the select of this source's positions.
    pub(crate) fn write(&self, script: &mut Sql, range: Range) {
        match self {
            Self::Kind(kind) => {
                script.push("SELECT position FROM events INDEXED BY events_by_kind WHERE kind = ").bind(*kind);
                script.push(" AND position").range(range);
            }
            Self::Tags { tags, kinds } => {
                let mut tags = tags.iter();
                script.push("SELECT t.position FROM tags AS t WHERE t.tag = ");
                script.bind(tags.next().cloned().unwrap_or_default());
                script.push(" AND position").range(range);
                if let Some(kinds) = kinds {
                    script.push(" AND t.kind IN (").list(kinds).push(")");
                }
                for tag in tags {
                    script.push(" AND EXISTS (SELECT 1 FROM tags AS o WHERE o.tag = ").bind(tag.clone());
                    script.push(" AND o.position = t.position)");
                }
            }
        }
    }
}

/// A statement under construction.
#[derive(Default)]
pub(crate) struct Sql {
    text: String,
    script: Script,
}

impl Sql {
    pub(crate) fn push(&mut self, sql: &str) -> &mut Self {
        self.text.push_str(sql);
        self
    }

    pub(crate) fn bind<'t, T: sqlx::Encode<'t, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>>(
        &mut self,
        value: T,
    ) -> &mut Self {
        self.text.push('?');
        self.script.bind(value);
        self
    }

    /// A list of numbers, padded so that lists of like length share a prepared statement.
    pub(crate) fn list(&mut self, numbers: &[i64]) -> &mut Self {
        let room = numbers.len().next_power_of_two();
        for index in 0..room {
            if index > 0 {
                self.push(",");
            }
            self.bind(numbers.get(index).copied());
        }
        self
    }

    pub(crate) fn range(&mut self, range: Range) -> &mut Self {
        self.push(" > ").bind(range.after.as_i64());
        self.push(" AND position <= ").bind(range.to.as_i64())
    }

    pub(crate) fn order(&mut self, direction: Direction) -> &mut Self {
        self.push(match direction {
            Direction::Forward => " ASC",
            Direction::Backward => " DESC",
        })
    }

    pub(crate) fn finish(mut self) -> Script {
        self.script.statement(&self.text);
        self.script
    }
}

/// The position of the last event behind `after` that the query selects.
pub(crate) async fn last_match(
    query: &Query,
    after: Position,
    kinds: &Kinds,
    connection: &mut SqliteConnection,
) -> Result<Option<Position>, StoreError> {
    const OPERATION: &str = "checking an append condition";
    let mut last: Option<i64> = None;
    for statement in last_match_statements(query, after, kinds) {
        let rows = statement.run(connection).await.map_err(|failed| failed.error.store_error(OPERATION))?;
        let found = rows.first().map_or(Ok(None), |row| row.try_get(0)).during(OPERATION)?;
        last = last.max(found);
    }
    Ok(last.map(|position| Position::new(position.cast_unsigned())))
}

/// Statements that each find the last match of some items.
pub(crate) fn last_match_statements(query: &Query, after: Position, kinds: &Kinds) -> Vec<Script> {
    let range = Range { after, to: Position::MAX };
    if query.is_all() {
        let mut sql = Sql::default();
        sql.push("SELECT max(position) FROM events WHERE position").range(range);
        return vec![sql.finish()];
    }
    let statement = |sources: &[Source]| {
        let mut sql = Sql::default();
        sql.push("SELECT max(position) FROM (");
        for (index, source) in sources.iter().enumerate() {
            sql.push(if index > 0 { " UNION ALL SELECT * FROM (" } else { "SELECT * FROM (" });
            source.write(&mut sql, range);
            sql.push(" ORDER BY position DESC LIMIT 1)");
        }
        sql.push(")");
        sql.finish()
    };
    sources(query, kinds).chunks(MAX_SOURCES).map(statement).collect()
}
