//! A batch of appends as the arguments of one call. Its answer is read in `answer`.

use std::collections::HashMap;

use recount_core::{
    Append, AppendCondition, EventData, ExpectedVersion, Idempotency, KeyedSlice, StoreError, StreamId,
};
use uuid::Uuid;

use crate::error::damaged;
use crate::kinds::Kinds;
use crate::locks::Locks;
use crate::request::guard;
use crate::schema::Schema;
use crate::statement::Statement;
use crate::{query, row};

mod answer;

pub(crate) use answer::{appended, conflict, outcomes};

/// The columns of a batch.
#[derive(Default)]
struct Columns<'a> {
    streams: Vec<&'a str>,
    part_append: Vec<i32>,
    part_stream: Vec<i32>,
    part_expected: Vec<i64>,
    part_count: Vec<i32>,
    event_part: Vec<i32>,
    event_index: Vec<i32>,
    event_stream: Vec<&'a str>,
    events: row::Columns<'a>,
    tag_part: Vec<i32>,
    tag_index: Vec<i32>,
    tag_kind: Vec<i32>,
    tag_name: Vec<&'a str>,
    alone: bool,
    key_append: Vec<i32>,
    key_name: Vec<&'a str>,
    key_digest: Vec<Uuid>,
    key_part: Vec<i32>,
    key_end: Vec<i32>,
    key_count: Vec<i32>,
    condition_append: Vec<i32>,
    condition_after: Vec<i64>,
    condition_items: Vec<String>,
    condition_simple: Vec<bool>,
    simple_append: Vec<i32>,
    simple_after: Vec<i64>,
    simple_tag: Vec<&'a str>,
    simple_other: Vec<Option<&'a str>>,
    simple_kinds: Vec<Option<String>>,
}

/// Numbers as SQL counts them: from 1. A batch has far fewer parts and events than fit.
pub(crate) fn number(index: usize) -> i32 {
    i32::try_from(index + 1).unwrap_or(i32::MAX)
}

pub(crate) fn count(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

/// As the database takes it: a version, or -1 for any, -2 for an existing stream.
pub(crate) fn expected(expected: ExpectedVersion) -> i64 {
    match expected {
        ExpectedVersion::Any => -1,
        ExpectedVersion::StreamExists => -2,
        ExpectedVersion::NoStream => 0,
        ExpectedVersion::Exact(version) => version.as_i64(),
    }
}

/// The tags of an event, each once.
pub(crate) fn tag_names(event: &EventData) -> Vec<&str> {
    let mut tags: Vec<&str> = event.tags.iter().map(recount_core::Tag::as_str).collect();
    tags.sort_unstable();
    tags.dedup();
    tags
}

/// The call that appends these. The kinds of all their events are known.
pub(crate) fn statement(schema: &Schema, appends: &[&Append], kinds: &Kinds) -> Result<Statement, StoreError> {
    let kinds_known = kinds.len();
    let mut columns = Columns::default();
    let mut locks = Locks::new(schema);
    let mut numbers: HashMap<&StreamId, i32> = HashMap::new();
    for (index, append) in appends.iter().enumerate() {
        columns.add(number(index), append, kinds, &mut numbers, &mut locks)?;
    }
    // All that the kinds of conditions were taken from, or fewer: then the database looks for itself.
    let kinds_known = i64::try_from(kinds_known).unwrap_or(i64::MAX);
    columns.alone |= locks.too_many();
    let c = columns;
    let (locks, exclusive) = if c.alone { (Vec::new(), None) } else { locks.columns() };
    let call = Statement::new(schema, include_str!("sql/append_batch.sql"))
        .bind(count(appends.len()))
        .bind(c.streams)
        .bind(c.part_append)
        .bind(c.part_stream)
        .bind(c.part_expected)
        .bind(c.part_count)
        .bind(c.event_part)
        .bind(c.event_index)
        .bind(c.event_stream);
    Ok(c.events
        .bind(call)
        .bind(c.tag_part)
        .bind(c.tag_index)
        .bind(c.tag_kind)
        .bind(c.tag_name)
        .bind(locks)
        .bind(exclusive)
        .bind(c.alone)
        .bind(c.key_append)
        .bind(c.key_name)
        .bind(c.key_digest)
        .bind(c.key_part)
        .bind(c.key_end)
        .bind(c.key_count)
        .bind(c.condition_append)
        .bind(c.condition_after)
        .bind(c.condition_items)
        .bind(c.condition_simple)
        .bind(c.simple_append)
        .bind(c.simple_after)
        .bind(c.simple_tag)
        .bind(c.simple_other)
        .bind(c.simple_kinds)
        .bind(kinds_known))
}

impl<'a> Columns<'a> {
    fn add(
        &mut self,
        this: i32,
        append: &'a Append,
        kinds: &Kinds,
        numbers: &mut HashMap<&'a StreamId, i32>,
        locks: &mut Locks<'_>,
    ) -> Result<(), StoreError> {
        let before = self.part_append.len();
        for part in &append.streams {
            let stream = *numbers.entry(&part.stream).or_insert_with(|| {
                self.streams.push(part.stream.as_str());
                count(self.streams.len())
            });
            locks.stream(&part.stream);
            let number_of_part = number(self.part_append.len());
            self.part_append.push(this);
            self.part_stream.push(stream);
            self.part_expected.push(expected(part.expected));
            self.part_count.push(count(part.events.len()));
            for (index, event) in part.events.iter().enumerate() {
                let kind = kinds.find(part.stream.category(), event);
                let kind = kind.ok_or_else(|| damaged("a kind of events vanished"))?;
                self.event_part.push(number_of_part);
                self.event_index.push(number(index));
                self.event_stream.push(part.stream.as_str());
                self.events.add(event, kind);
                for tag in tag_names(event) {
                    locks.tag(tag);
                    self.tag_part.push(number_of_part);
                    self.tag_index.push(number(index));
                    self.tag_kind.push(kind);
                    self.tag_name.push(tag);
                }
            }
        }
        if let Some(named) = &append.idempotency {
            self.add_key(this, named, (0, 0, 0), locks);
        }
        for KeyedSlice { idempotency, stream, events } in &append.slices {
            let slice = (number(before + stream), count(events.end), count(events.len()));
            self.add_key(this, idempotency, slice, locks);
        }
        if let Some(condition) = &append.condition {
            for item in &condition.fail_if.items {
                match guard(item) {
                    Some(tag) => locks.guarded(tag),
                    None => self.alone = true,
                }
            }
            self.condition_append.push(this);
            self.condition_after.push(condition.after.as_i64());
            self.condition_items.push(query::condition(&condition.fail_if));
            let simple = self.add_simple(this, condition, kinds);
            self.condition_simple.push(simple);
        }
        Ok(())
    }
}

impl<'a> Columns<'a> {
    /// Adds a key of a whole append or of a slice. A slice is a part, the end of its events, and their number.
    fn add_key(&mut self, this: i32, named: &'a Idempotency, slice: (i32, i32, i32), locks: &mut Locks<'_>) {
        locks.key(&named.key);
        self.key_append.push(this);
        self.key_name.push(named.key.as_str());
        self.key_digest.push(named.digest);
        self.key_part.push(slice.0);
        self.key_end.push(slice.1);
        self.key_count.push(slice.2);
    }

    /// Adds the alternatives of a condition in the simple form, if they all have it.
    fn add_simple(&mut self, this: i32, condition: &'a AppendCondition, kinds: &Kinds) -> bool {
        if !condition.fail_if.items.iter().all(|item| matches!(item.tags.len(), 1 | 2)) {
            return false;
        }
        for item in &condition.fail_if.items {
            let Some(tag) = guard(item) else { continue };
            self.simple_append.push(this);
            self.simple_after.push(condition.after.as_i64());
            self.simple_tag.push(tag.as_str());
            self.simple_other.push(item.tags.iter().find(|other| *other != tag).map(recount_core::Tag::as_str));
            self.simple_kinds.push(kinds.selected(item).map(|kinds| {
                let kinds: Vec<String> = kinds.iter().map(i32::to_string).collect();
                format!("{{{}}}", kinds.join(","))
            }));
        }
        true
    }
}
