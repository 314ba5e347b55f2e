//! Random operations, in terms that both stores understand.

#![expect(clippy::expect_used, reason = "the names come from the lists below")]

use std::collections::HashMap;
use std::time::Duration;

use recount_core::{
    Append, Appended, Direction, EventData, EventId, EventType, ExpectedVersion, IdempotencyKey, Metadata, Query,
    QueryItem, StateKey, StreamAppend, StreamId, StreamVersion, Tag,
};
use uuid::Uuid;

/// The event that was recorded as the n-th, from 1; 0 is before all of them, a number beyond the last is behind them.
pub(super) type Place = usize;
/// The n-th write to the state, from 1; other numbers are no write's.
pub(super) type Write = usize;

#[derive(Clone, Debug)]
pub(super) enum Operation {
    Append { append: Append, condition: Option<(Query, Place)> },
    ReadStream { stream: StreamId, from: u64, to: u64, direction: Direction, limit: Option<u64> },
    ReadAll { query: Query, after: Place, to: Place, direction: Direction, limit: Option<u64> },
    FindAppend(IdempotencyKey),
    Head,
    Archive(StreamId),
    Erase(StreamId),
    Get(StateKey),
    Put { key: StateKey, value: Vec<u8>, expected: Revised, time_to_live: Option<Duration> },
    Delete { key: StateKey, expected: Revised },
    List { prefix: String, after: Option<StateKey>, limit: usize },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Revised {
    Any,
    Absent,
    Exact(Write),
}

const VALID: &str = "the names of the model test are valid";
const IDS: [&str; 8] = ["a", "b", "A", "a%", "a_", "ab", "/", "\u{e9}"];
const TYPES: [&str; 4] = ["opened", "closed", "opened_", "Opened"];
const TAGS: [&str; 6] = ["x", "y", "x:1", "x%", "X", "'"];
const KEYS: [&str; 10] = ["a", "a/", "a/1", "a/2", "ab", "a%", "a_", "A/1", "\u{e9}", "z"];

pub(super) struct Generator {
    random: fastrand::Rng,
    steps: usize,
    events: usize,
    writes: usize,
    versions: HashMap<StreamId, StreamVersion>,
    named: Vec<Append>,
    ids: Vec<EventId>,
}

impl Generator {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            steps: 0,
            events: 0,
            writes: 0,
            versions: HashMap::new(),
            named: Vec::new(),
            ids: Vec::new(),
        }
    }

    /// Records the outcome of an append, so that later operations mostly expect the actual versions.
    pub(super) fn learn(&mut self, appended: &Appended, events: usize) {
        self.events = events;
        for stream in &appended.streams {
            self.versions.insert(stream.stream.clone(), stream.version);
        }
    }

    pub(super) fn everything(&self) -> Operation {
        let direction = Direction::Forward;
        Operation::ReadAll { query: Query::all(), after: 0, to: usize::MAX, direction, limit: None }
    }

    pub(super) fn next(&mut self) -> Operation {
        self.steps += 1;
        match self.random.u8(0..100) {
            0..45 => self.append(),
            45..55 => Operation::ReadStream {
                stream: self.stream(),
                from: self.random.u64(0..12),
                to: self.random.choice([3, 8, u64::MAX]).unwrap_or(8),
                direction: self.direction(),
                limit: self.limit(),
            },
            55..70 => Operation::ReadAll {
                query: self.query(),
                after: self.place(),
                to: if self.random.bool() { usize::MAX } else { self.place() },
                direction: self.direction(),
                limit: self.limit(),
            },
            70..73 => Operation::FindAppend(self.idempotency_key()),
            73..75 => Operation::Head,
            75..77 => Operation::Archive(self.stream()),
            77..79 => Operation::Erase(self.stream()),
            79..83 => Operation::Get(self.key()),
            83..91 => self.put(),
            91..95 => Operation::Delete { key: self.key(), expected: self.revised() },
            _ => Operation::List {
                prefix: self.random.choice(["", "a", "a/", "a%", "a_", "A", "b"]).unwrap_or_default().to_owned(),
                after: self.random.bool().then(|| self.key()),
                limit: self.random.usize(0..6),
            },
        }
    }

    fn append(&mut self) -> Operation {
        let condition = (self.random.u8(0..10) < 3).then(|| (self.query(), self.place()));
        if !self.named.is_empty() && self.random.u8(0..12) == 0 {
            let mut append = self.named[self.random.usize(..self.named.len())].clone();
            for event in append.streams.iter_mut().flat_map(|append| &mut append.events) {
                event.id = self.id();
            }
            return Operation::Append { append, condition };
        }
        let mut append = Append::default();
        for _ in 0..self.random.choice([1, 1, 1, 2, 3]).unwrap_or(1) {
            let stream = self.stream();
            if append.streams.iter().any(|append| append.stream == stream) && self.random.u8(0..20) > 0 {
                continue;
            }
            let (expected, count) = (self.expected(&stream), self.random.usize(1..4));
            let events = (0..count).map(|_| self.event()).collect();
            append.streams.push(StreamAppend { stream, expected, events });
        }
        if self.random.u8(0..6) == 0 {
            append = append.idempotency_key(self.idempotency_key());
            self.named.push(append.clone());
        }
        Operation::Append { append, condition }
    }

    fn put(&mut self) -> Operation {
        self.writes += 1;
        let time_to_live = match self.random.u8(0..6) {
            0 => Some(Duration::ZERO),
            1 => Some(Duration::from_secs(3600)),
            _ => None,
        };
        let value = (0..self.random.usize(..20)).map(|_| self.random.u8(..)).collect();
        Operation::Put { key: self.key(), value, expected: self.revised(), time_to_live }
    }

    /// Streams come and go: names move on, because closed ones stay closed.
    fn stream(&mut self) -> StreamId {
        let category = self.some(&["c", "cc", "c_", "C"]);
        let id = self.some(&IDS);
        let id = format!("{id}{}", self.steps / 200);
        StreamId::new(category, id).expect(VALID)
    }

    fn expected(&mut self, stream: &StreamId) -> ExpectedVersion {
        let actual = self.versions.get(stream).copied().unwrap_or_default();
        match self.random.u8(0..10) {
            0..3 => ExpectedVersion::Any,
            3 => ExpectedVersion::NoStream,
            4 => ExpectedVersion::StreamExists,
            5 => ExpectedVersion::Exact(StreamVersion::new(self.random.u64(0..5))),
            6 => ExpectedVersion::Exact(actual.next()),
            _ => ExpectedVersion::Exact(actual),
        }
    }

    fn event(&mut self) -> EventData {
        let tags = (0..self.random.usize(0..4)).map(|_| self.tag()).collect();
        let payload: Vec<u8> = (0..self.random.usize(..30)).map(|_| self.random.u8(..)).collect();
        let metadata = Metadata {
            actor: self.random.bool().then(|| "ada".into()),
            headers: (0..self.random.usize(0..2)).map(|n| (n.to_string(), "\u{1f980}".into())).collect(),
            ..Metadata::default()
        };
        EventData {
            id: self.id(),
            schema_version: self.random.u32(1..3),
            tags,
            metadata,
            ..EventData::new(self.event_type(), payload)
        }
    }

    /// Mostly a new one; of those that were used, only recent ones, which are hardly erased yet.
    fn id(&mut self) -> EventId {
        let known = self.ids.len();
        if known > 10 && self.random.u8(0..100) == 0 {
            return self.ids[self.random.usize(known - 10..known)];
        }
        let id = EventId(Uuid::from_u128(self.random.u128(..)));
        self.ids.push(id);
        id
    }

    fn query(&mut self) -> Query {
        let items = (0..self.random.usize(0..4)).map(|_| QueryItem {
            event_types: (0..self.random.usize(0..3)).map(|_| self.event_type()).collect(),
            tags: (0..self.random.usize(0..3)).map(|_| self.tag()).collect(),
            category: (self.random.u8(0..4) == 0).then(|| self.some(&["c", "cc", "c_", "C", "none"]).into()),
        });
        Query { items: items.collect() }
    }

    /// Mostly a recent one.
    fn place(&mut self) -> Place {
        match self.random.u8(0..10) {
            0 => 0,
            1 => self.events + 1,
            2..5 => self.random.usize(0..=self.events),
            _ => self.events.saturating_sub(self.random.usize(0..4)),
        }
    }

    fn revised(&mut self) -> Revised {
        match self.random.u8(0..4) {
            0 => Revised::Absent,
            1 => Revised::Exact(self.random.usize(0..=self.writes)),
            2 => Revised::Exact(self.writes.saturating_sub(self.random.usize(0..6))),
            _ => Revised::Any,
        }
    }

    fn direction(&mut self) -> Direction {
        if self.random.bool() { Direction::Forward } else { Direction::Backward }
    }

    fn limit(&mut self) -> Option<u64> {
        self.random.bool().then(|| self.random.u64(0..8))
    }

    fn some(&mut self, of: &[&'static str]) -> &'static str {
        of[self.random.usize(..of.len())]
    }

    fn event_type(&mut self) -> EventType {
        EventType::new(self.some(&TYPES)).expect(VALID)
    }

    fn tag(&mut self) -> Tag {
        Tag::new(self.some(&TAGS)).expect(VALID)
    }

    fn key(&mut self) -> StateKey {
        StateKey::new(self.some(&KEYS)).expect(VALID)
    }

    fn idempotency_key(&mut self) -> IdempotencyKey {
        let name = format!("key {}", self.random.usize(0..8 + self.steps / 10));
        IdempotencyKey::new(name).expect(VALID)
    }
}
