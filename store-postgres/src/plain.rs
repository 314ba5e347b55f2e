//! The plain kind of append, one event for one stream, by shorter calls than those of any [`batch`](crate::batch).

use std::collections::HashSet;

use recount_core::{
    Append, AppendError, Appended, EventData, Position, StoreError, StreamAppend, StreamAppended, StreamVersion,
};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::batch::{conflict, expected, number, tag_names};
use crate::database::Statement;
use crate::error::{During, damaged};
use crate::kinds::Kinds;
use crate::locks::Locks;
use crate::row;
use crate::schema::Schema;

const OPERATION: &str = "appending";

/// The event and its kind, if there is nothing else to the append.
fn only<'a>(append: &'a Append, kinds: &Kinds) -> Option<(&'a StreamAppend, &'a EventData, i32)> {
    let ([part], None, None) = (&*append.streams, &append.condition, &append.idempotency) else { return None };
    let [event] = &*part.events else { return None };
    Some((part, event, kinds.find(part.stream.category(), &event.event_type)?))
}

/// The call that appends these, if each is plain and has a stream of its own.
pub(crate) fn statement(schema: &Schema, appends: &[&Append], kinds: &Kinds) -> Option<Statement> {
    let mut locks = Locks::new(schema);
    let mut streams = HashSet::with_capacity(appends.len());
    let mut columns = Columns::default();
    for append in appends {
        let (part, event, kind) = only(append, kinds)?;
        if !streams.insert(&part.stream) {
            return None;
        }
        locks.stream(&part.stream);
        event.tags.iter().for_each(|tag| locks.tag(tag.as_str()));
        columns.add(part, event, kind);
    }
    if locks.too_many() {
        return None;
    }
    let (locks, exclusive) = locks.columns();
    Some(if appends.len() == 1 {
        columns.one(schema, locks, exclusive)?
    } else {
        columns.each(schema, locks, exclusive)
    })
}

#[derive(Default)]
struct Columns<'a> {
    expected: Vec<i64>,
    events: row::Columns<'a>,
    tag_event: Vec<i32>,
    tag_name: Vec<&'a str>,
}

impl<'a> Columns<'a> {
    fn add(&mut self, part: &StreamAppend, event: &'a EventData, kind: i32) {
        for tag in tag_names(event) {
            self.tag_event.push(number(self.expected.len()));
            self.tag_name.push(tag);
        }
        self.expected.push(expected(part.expected));
        self.events.add(&part.stream, event, kind);
    }

    fn each(self, schema: &Schema, locks: Vec<i64>, exclusive: Vec<bool>) -> Statement {
        let call = Statement::new(schema, include_str!("sql/append_each.sql")).bind(locks).bind(exclusive);
        self.events.bind(call.bind(self.expected)).bind(self.tag_event).bind(self.tag_name)
    }

    /// What a caller who is alone waits for.
    fn one(mut self, schema: &Schema, locks: Vec<i64>, exclusive: Vec<bool>) -> Option<Statement> {
        let call = Statement::new(schema, include_str!("sql/append_one.sql"))
            .bind(self.events.stream.pop()?)
            .bind(locks)
            .bind(exclusive)
            .bind(self.expected.pop()?)
            .bind(self.events.kind.pop()?)
            .bind(self.events.id.pop()?)
            .bind(self.events.schema.pop()?)
            .bind(self.events.tags.pop()?)
            .bind(self.tag_name)
            .bind(self.events.metadata.pop()?)
            .bind(self.events.payload.pop()?);
        Some(call)
    }
}

/// How each of them ended.
pub(crate) fn outcomes(appends: &[&Append], rows: &[PgRow]) -> Result<Vec<Result<Appended, AppendError>>, StoreError> {
    let row = rows.first().ok_or_else(|| damaged("an append answers nothing"))?;
    let (positions, heads, closed): (Vec<Option<i64>>, Vec<i64>, Vec<i16>) = if appends.len() == 1 {
        let one: Vec<Option<i64>> = row.try_get(0).during(OPERATION)?;
        let [position, Some(head), Some(closed)] = *one else { return Err(damaged("an append answers too little")) };
        let closed = i16::try_from(closed).map_err(|_| damaged(format!("a stream is closed as {closed}")))?;
        (vec![position], vec![head], vec![closed])
    } else {
        (row.try_get(0).during(OPERATION)?, row.try_get(1).during(OPERATION)?, row.try_get(2).during(OPERATION)?)
    };
    let all = appends.len();
    if positions.len() != all || heads.len() != all || closed.len() != all {
        return Err(damaged("an append answers too little"));
    }
    let outcome = |((append, position), (head, closed)): ((&&Append, Option<i64>), (i64, i16))| {
        let Some(position) = position else { return Err(conflict(append, &[head], &[closed], None).into()) };
        let version = StreamVersion::new(head.cast_unsigned() + 1);
        let appended = |part: &StreamAppend| StreamAppended { stream: part.stream.clone(), version, count: 1 };
        let streams = append.streams.iter().map(appended).collect();
        Ok(Appended { position: Position::new(position.cast_unsigned()), streams, repeated: false })
    };
    Ok(appends.iter().zip(positions).zip(heads.into_iter().zip(closed)).map(outcome).collect())
}
