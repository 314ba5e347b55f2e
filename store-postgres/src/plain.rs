//! The plain kind of append, events for one stream, by shorter calls than those of any [`batch`](crate::batch).

use std::collections::HashSet;

use recount_core::{Append, AppendError, Appended, EventData, StoreError, StreamAppend};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgRow, PgTypeInfo};
use sqlx::{Encode, Postgres, Row, Type};

use crate::batch::{appended, conflict, expected, number, tag_names};
use crate::error::{During, damaged};
use crate::keys::Keys;
use crate::kinds::Kinds;
use crate::lifecycle::ARCHIVED;
use crate::locks::Locks;
use crate::row;
use crate::schema::Schema;
use crate::statement::Statement;

const OPERATION: &str = "appending";

/// The stream and its events, if the append has one stream and no condition.
fn only(append: &Append) -> Option<&StreamAppend> {
    let ([part], None) = (&*append.streams, &append.condition) else { return None };
    (!part.events.is_empty()).then_some(part)
}

/// The call that appends these, if each is plain and has a stream of its own; several have one event each.
pub(crate) fn statement(schema: &Schema, appends: &[&Append], kinds: &Kinds) -> Option<Statement> {
    let mut locks = Locks::new(schema);
    let mut streams = HashSet::with_capacity(appends.len());
    let mut columns = Columns::default();
    for (index, append) in appends.iter().enumerate() {
        let part = only(append)?;
        // With several appends a key without events would lose its append.
        let single = appends.len() == 1;
        let empty = append.slices.iter().any(|slice| slice.events.is_empty());
        if !single && (part.events.len() > 1 || empty) || !streams.insert(&part.stream) {
            return None;
        }
        locks.stream(&part.stream);
        append.keys().for_each(|key| locks.key(key));
        columns.keys.add(append, part, number(index))?;
        columns.stream.push(part.stream.as_str());
        columns.expected.push(expected(part.expected));
        for event in &part.events {
            columns.add(event, kinds.find(part.stream.category(), event)?, &mut locks);
        }
    }
    if locks.too_many() {
        return None;
    }
    columns.call(schema, locks.columns(), appends.len() == 1)
}

/// The statement that appends this, if it is one event without tags and keys and the version is known where it comes. It writes nothing and answers
/// nothing if the stream is elsewhere: then [the call](statement) tells where.
///
/// It is a plain `INSERT`. Starting a function, and a statement within it, takes the server longer than running them.
pub(crate) fn event(schema: &Schema, append: &Append, kinds: &Kinds) -> Option<Statement> {
    let part = only(append)?;
    let [event] = &*part.events else { return None };
    let expected = expected(part.expected);
    if !event.tags.is_empty() || append.keys().next().is_some() || !(0..ARCHIVED).contains(&expected) {
        return None;
    }
    let kind = kinds.find(part.stream.category(), event)?;
    let sql =
        if expected == 0 { include_str!("sql/append_first_event.sql") } else { include_str!("sql/append_event.sql") };
    let insert = Statement::new(schema, sql)
        .bind(Locked(schema.stream_lock(&part.stream)))
        .bind(expected)
        .bind(part.stream.as_str())
        .bind(kind)
        .bind(event.id.0)
        .bind(row::encode_metadata(&event.metadata))
        .bind(&event.payload[..]);
    Some(insert)
}

/// The outcome of [the statement for one event](event).
pub(crate) fn recorded(append: &Append, rows: &[PgRow]) -> Result<Appended, StoreError> {
    let ([part], [row]) = (&*append.streams, rows) else { return Err(damaged("an append answers too much")) };
    Ok(appended(append, row.try_get(0).during(OPERATION)?, &[expected(part.expected)]))
}

/// A value of the type `locked_stream`.
struct Locked(i64);

impl Type<Postgres> for Locked {
    fn type_info() -> PgTypeInfo {
        <i64 as Type<Postgres>>::type_info()
    }
}

impl Encode<'_, Postgres> for Locked {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <i64 as Encode<Postgres>>::encode_by_ref(&self.0, buffer)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        // Only the server knows the number of that type. It takes the type from the statement.
        Some(PgTypeInfo::with_oid(Oid(0)))
    }
}

#[derive(Default)]
struct Columns<'a> {
    stream: Vec<&'a str>,
    expected: Vec<i64>,
    events: row::Columns<'a>,
    tag_event: Vec<i32>,
    tag_name: Vec<&'a str>,
    keys: Keys<'a>,
}

impl<'a> Columns<'a> {
    fn add(&mut self, event: &'a EventData, kind: i32, locks: &mut Locks<'_>) {
        for tag in tag_names(event) {
            locks.tag(tag);
            self.tag_event.push(number(self.events.len()));
            self.tag_name.push(tag);
        }
        self.events.add(event, kind);
    }

    /// One append names its stream by a value, several theirs by arrays.
    fn call(
        mut self,
        schema: &Schema,
        (locks, exclusive): (Vec<i64>, Option<Vec<bool>>),
        single: bool,
    ) -> Option<Statement> {
        let sql = if single { include_str!("sql/append_stream.sql") } else { include_str!("sql/append_each.sql") };
        let call = Statement::new(schema, sql).bind(locks).bind(exclusive);
        let call = if single {
            call.bind(self.expected.pop()?).bind(self.stream.pop()?)
        } else {
            call.bind(self.expected).bind(self.stream)
        };
        let tagged = !self.tag_event.is_empty();
        let call = self.events.bind(call);
        let call = call.bind(tagged.then_some(self.tag_event)).bind(tagged.then_some(self.tag_name));
        Some(self.keys.bind(call))
    }
}

/// The outcome of each append. The answer has all positions, then the versions of all streams before. `None` if a key is
/// known: then nothing was written, and [`batch`](crate::batch) finds out which.
pub(crate) fn outcomes(
    appends: &[&Append],
    rows: &[PgRow],
) -> Result<Option<Vec<Result<Appended, AppendError>>>, StoreError> {
    let short = || damaged("an append answers too little");
    let answer: Option<Vec<Option<i64>>> = rows.first().ok_or_else(short)?.try_get(0).during(OPERATION)?;
    let Some(answer) = answer else { return Ok(None) };
    let all = appends.len();
    let mut outcomes = Vec::with_capacity(all);
    for (index, append) in appends.iter().enumerate() {
        let (Some(position), Some(Some(head))) = (answer.get(index), answer.get(all + index)) else {
            return Err(short());
        };
        outcomes.push(match position {
            Some(position) => Ok(appended(append, *position, &[*head])),
            None => Err(conflict(append, &[*head], None).into()),
        });
    }
    Ok(Some(outcomes))
}
