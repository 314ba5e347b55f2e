//! The plain kind of append, events for one stream, by shorter calls than those of any [`batch`](crate::batch).

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
use crate::schema::Schema;
use crate::{lifecycle, row};

const OPERATION: &str = "appending";

/// The stream and its events, if there is nothing else to the append.
fn only(append: &Append) -> Option<&StreamAppend> {
    let ([part], None, None) = (&*append.streams, &append.condition, &append.idempotency) else { return None };
    Some(part)
}

/// The call that appends these, if each is plain and has a stream of its own; several have one event each.
pub(crate) fn statement(schema: &Schema, appends: &[&Append], kinds: &Kinds) -> Option<Statement> {
    let mut locks = Locks::new(schema);
    let mut streams = HashSet::with_capacity(appends.len());
    let mut columns = Columns::default();
    for append in appends {
        let part = only(append)?;
        if appends.len() > 1 && part.events.len() > 1 || !streams.insert(&part.stream) {
            return None;
        }
        locks.stream(&part.stream);
        columns.stream.push(part.stream.to_string());
        columns.expected.push(expected(part.expected));
        for event in &part.events {
            columns.add(event, kinds.find(part.stream.category(), &event.event_type)?, &mut locks);
        }
    }
    if locks.too_many() {
        return None;
    }
    let (locks, exclusive) = locks.columns();
    if appends.len() == 1 {
        columns.of_stream(schema, locks, exclusive)
    } else {
        Some(columns.each(schema, locks, exclusive))
    }
}

#[derive(Default)]
struct Columns<'a> {
    stream: Vec<String>,
    expected: Vec<i64>,
    events: row::Columns<'a>,
    tag_event: Vec<i32>,
    tag_name: Vec<&'a str>,
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

    fn each(self, schema: &Schema, locks: Vec<i64>, exclusive: Vec<bool>) -> Statement {
        let call = Statement::new(schema, include_str!("sql/append_each.sql")).bind(locks).bind(exclusive);
        let call = self.events.bind(call.bind(self.expected).bind(self.stream));
        call.bind(self.tag_event).bind(self.tag_name)
    }

    fn of_stream(mut self, schema: &Schema, locks: Vec<i64>, exclusive: Vec<bool>) -> Option<Statement> {
        let call = Statement::new(schema, include_str!("sql/append_stream.sql")).bind(locks).bind(exclusive);
        let call = self.events.bind(call.bind(self.expected.pop()?).bind(self.stream.pop()?));
        Some(call.bind(self.tag_event).bind(self.tag_name))
    }
}

/// How each of them ended: the answer has all positions, then where all streams were, then whether they are closed.
pub(crate) fn outcomes(appends: &[&Append], rows: &[PgRow]) -> Result<Vec<Result<Appended, AppendError>>, StoreError> {
    let short = || damaged("an append answers too little");
    let answer: Vec<Option<i64>> = rows.first().ok_or_else(short)?.try_get(0).during(OPERATION)?;
    let all = appends.len();
    let mut outcomes = Vec::with_capacity(all);
    for (index, append) in appends.iter().enumerate() {
        let [Some(position), Some(Some(head)), Some(Some(closed))] =
            [0, 1, 2].map(|part| answer.get(part * all + index))
        else {
            return Err(short());
        };
        outcomes.push(match position {
            Some(position) => Ok(appended(append, *position, *head)),
            None => Err(conflict(append, &[*head], &[lifecycle::closed(*closed)?], None).into()),
        });
    }
    Ok(outcomes)
}

fn appended(append: &Append, position: i64, head: i64) -> Appended {
    let appended = |part: &StreamAppend| {
        let count = part.events.len() as u64;
        let version = StreamVersion::new(head.cast_unsigned() + count);
        StreamAppended { stream: part.stream.clone(), version, count }
    };
    let streams = append.streams.iter().map(appended).collect();
    Appended { position: Position::new(position.cast_unsigned()), streams, repeated: false }
}
