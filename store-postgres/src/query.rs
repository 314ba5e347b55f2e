//! From queries to SQL: which index gives the positions.

use recount_core::{Direction, EventType, Position, Query, Tag};
use serde::Serialize;

use crate::kinds::Kinds;
use crate::request::guard;
use crate::schema::Schema;
use crate::statement::Statement;

/// More alternatives than this in one statement are filtered here instead.
const MAX_SOURCES: usize = 128;

/// A query with its names resolved.
#[derive(Clone, Debug)]
pub(crate) enum Compiled {
    Nothing,
    /// Everything, or all kinds there are.
    All,
    /// One kind of event.
    Kind(i32),
    /// The union of some indexed positions.
    Sources(Vec<Source>),
    /// Everything, to be filtered here.
    Scan,
}

/// Where positions come from, in order, by index.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Kinds(Vec<i32>),
    Tags { first: String, others: Vec<String>, kinds: Option<Vec<i32>> },
}

impl Compiled {
    /// Resolves a query; right for all events that are committed with kinds known now.
    pub(crate) fn new(query: &Query, kinds: &Kinds) -> Self {
        if query.is_all() {
            return Self::All;
        }
        let mut plain = Vec::new();
        let mut sources = Vec::new();
        for item in &query.items {
            let selected = kinds.selected(item);
            if selected.as_ref().is_some_and(Vec::is_empty) {
                continue;
            }
            let mut tags: Vec<String> = item.tags.iter().map(|tag| tag.as_str().to_owned()).collect();
            tags.sort_unstable();
            tags.dedup();
            match tags.split_first() {
                None => plain.extend(selected.unwrap_or_default()),
                Some((first, others)) => {
                    sources.push(Source::Tags { first: first.clone(), others: others.to_vec(), kinds: selected });
                }
            }
        }
        plain.sort_unstable();
        plain.dedup();
        if !plain.is_empty() && plain.len() == kinds.len() {
            return Self::All;
        }
        if !plain.is_empty() {
            sources.push(Source::Kinds(plain));
        }
        match &*sources {
            [] => Self::Nothing,
            [Source::Kinds(kinds)] if let [kind] = **kinds => Self::Kind(kind),
            _ if sources.len() <= MAX_SOURCES => Self::Sources(sources),
            _ => Self::Scan,
        }
    }
}

/// The condition and order of events of one kind in the range `$1`, `$2`. Compared as rows, because only one index gives that: asked for by
/// kind and position, the database may well read through the positions, where it happens to expect little.
pub(crate) fn of_kind(events: &str, kind: &str, direction: Direction) -> String {
    let (row, order) = (format!("({events}.kind, {events}.position)"), order(direction));
    format!("{row} > ({kind}, $1) AND {row} <= ({kind}, $2) ORDER BY {events}.kind {order}, {events}.position {order}")
}

/// Positions from, exclusive, and to, inclusive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) after: Position,
    pub(crate) to: Position,
}

/// How SQL says which end comes first.
pub(crate) fn order(direction: Direction) -> &'static str {
    match direction {
        Direction::Forward => "ASC",
        Direction::Backward => "DESC",
    }
}

impl Source {
    /// Writes the select of this source's first positions. `$1` and `$2` are the range, `$3` is how many.
    pub(crate) fn write(&self, statement: &mut Statement, schema: &Schema, direction: Direction) {
        match self {
            Self::Kinds(kinds) => {
                statement.push(schema, "(SELECT f.position FROM unnest(").place(kinds.clone());
                statement.push(schema, "::integer[]) AS k(kind) CROSS JOIN LATERAL (");
                statement.push(schema, "SELECT x.position FROM {schema}.events AS x WHERE ");
                statement.push(schema, &of_kind("x", "k.kind", direction));
                statement.push(schema, " LIMIT $3) AS f ORDER BY f.position ");
                statement.push(schema, order(direction)).push(schema, " LIMIT $3)");
            }
            Self::Tags { first, others, kinds } => {
                statement.push(schema, "(SELECT t.position FROM {schema}.tags AS t WHERE t.tag = ");
                statement.place(first.clone());
                statement.push(schema, " AND t.position > $1 AND t.position <= $2");
                if let Some(kinds) = kinds {
                    statement.push(schema, " AND t.kind = ANY (").place(kinds.clone()).push(schema, ")");
                }
                if !others.is_empty() {
                    // No join: with many tags of many alternatives, planning would take longer than looking.
                    statement.push(schema, " AND (SELECT count(*) FROM {schema}.tags AS o WHERE o.tag = ANY (");
                    statement.place(others.clone()).push(schema, ") AND o.position = t.position) = ");
                    statement.place(i64::try_from(others.len()).unwrap_or(i64::MAX));
                }
                statement.push(schema, " ORDER BY t.position ").push(schema, order(direction));
                statement.push(schema, " LIMIT $3)");
            }
        }
    }
}

/// The query of an append condition, in the form that the database's `last_match` takes. The tag that is locked comes
/// first.
pub(crate) fn condition(query: &Query) -> String {
    let items: Vec<Item<'_>> = query
        .items
        .iter()
        .map(|item| {
            let guard = guard(item).map(Tag::as_str);
            let mut others: Vec<&str> = item.tags.iter().map(Tag::as_str).filter(|tag| Some(*tag) != guard).collect();
            others.sort_unstable();
            others.dedup();
            Item {
                types: item.event_types.iter().map(EventType::as_str).collect(),
                tags: guard.into_iter().chain(others).collect(),
                category: item.category.as_deref(),
            }
        })
        .collect();
    // Text always has a JSON form.
    serde_json::to_string(&items).unwrap_or_default()
}

#[derive(Serialize)]
struct Item<'a> {
    types: Vec<&'a str>,
    tags: Vec<&'a str>,
    category: Option<&'a str>,
}
