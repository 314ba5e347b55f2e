//! Which events a query may mean, without looking at all of them.

use std::hash::Hash;
use std::sync::Arc;

use foldhash::HashMap;
use recount_core::{Direction, EventType, Query, QueryItem, RecordedEvent, Tag};

/// Indexes into the log's events, in increasing order.
pub(crate) type Places = Vec<usize>;

/// Where the events of each category, of each type and with each tag are. Erased events stay listed.
#[derive(Clone, Default)]
pub(crate) struct Indexes {
    /// How many of the log's events were indexed. The next query that needs an index adds the others.
    seen: usize,
    categories: HashMap<Box<str>, Places>,
    types: HashMap<EventType, Places>,
    tags: HashMap<Tag, Places>,
}

impl Indexes {
    /// Whether all of so many events were looked at, as far as the query needs it.
    pub(crate) fn suffice(&self, query: &Query, events: usize) -> bool {
        self.seen == events || query.is_all()
    }

    /// Lists the events that are not yet.
    pub(crate) fn catch_up(&mut self, events: &[Option<Arc<RecordedEvent>>]) {
        for (place, event) in events.iter().enumerate().skip(self.seen) {
            if let Some(event) = event {
                self.add(place, event);
            }
        }
        self.seen = events.len();
    }

    fn add(&mut self, place: usize, event: &RecordedEvent) {
        let category = event.stream.category();
        match self.categories.get_mut(category) {
            Some(places) => places.push(place),
            None => drop(self.categories.insert(category.into(), vec![place])),
        }
        add(&mut self.types, &event.data.event_type, place);
        for tag in &event.data.tags {
            add(&mut self.tags, tag, place);
        }
    }

    /// Places between two bounds (`start` inclusive, `end` exclusive), once each and in order, among which are all
    /// that the query selects.
    pub(crate) fn candidates(
        &self,
        query: &Query,
        start: usize,
        end: usize,
        direction: Direction,
    ) -> impl Iterator<Item = usize> {
        let mut sources = if query.is_all() {
            vec![Source::Every { start, end }]
        } else {
            let lists = query.items.iter().flat_map(|item| self.narrowest(item));
            lists.map(|places| Source::listed(places, start, end)).collect()
        };
        std::iter::from_fn(move || {
            let places = sources.iter().filter_map(|source| source.peek(direction));
            let next = match direction {
                Direction::Forward => places.min(),
                Direction::Backward => places.max(),
            }?;
            // Several lists may hold the same event.
            for source in &mut sources {
                if source.peek(direction) == Some(next) {
                    source.skip(direction);
                }
            }
            Some(next)
        })
    }

    /// The shortest lists that hold every event of an item that asks for something.
    fn narrowest(&self, item: &QueryItem) -> Vec<&Places> {
        let tags = item.tags.iter().map(|tag| self.tags.get(tag).into_iter().collect());
        let category = item.category.iter().map(|name| self.categories.get(name).into_iter().collect());
        let types = item.event_types.iter().filter_map(|event_type| self.types.get(event_type)).collect();
        let types = (!item.event_types.is_empty()).then_some(types);
        let choices = tags.chain(category).chain(types);
        choices
            .min_by_key(|lists: &Vec<&Places>| lists.iter().map(|places| places.len()).sum::<usize>())
            .unwrap_or_default()
    }
}

fn add<K: Clone + Eq + Hash>(index: &mut HashMap<K, Places>, key: &K, place: usize) {
    match index.get_mut(key) {
        // An event may carry a tag twice.
        Some(places) if places.last() == Some(&place) => {}
        Some(places) => places.push(place),
        None => drop(index.insert(key.clone(), vec![place])),
    }
}

/// Places still to visit, from either end.
enum Source<'a> {
    Every { start: usize, end: usize },
    Listed(&'a [usize]),
}

impl<'a> Source<'a> {
    fn listed(places: &'a [usize], start: usize, end: usize) -> Self {
        let first = places.partition_point(|place| *place < start);
        let last = places.partition_point(|place| *place < end);
        Self::Listed(&places[first..last])
    }

    fn peek(&self, direction: Direction) -> Option<usize> {
        match (self, direction) {
            (Self::Every { start, end }, _) if start >= end => None,
            (Self::Every { start, .. }, Direction::Forward) => Some(*start),
            (Self::Every { end, .. }, Direction::Backward) => Some(end - 1),
            (Self::Listed(places), Direction::Forward) => places.first().copied(),
            (Self::Listed(places), Direction::Backward) => places.last().copied(),
        }
    }

    fn skip(&mut self, direction: Direction) {
        match (self, direction) {
            (Self::Every { start, .. }, Direction::Forward) => *start += 1,
            (Self::Every { end, .. }, Direction::Backward) => *end -= 1,
            (Self::Listed(places), Direction::Forward) => *places = places.get(1..).unwrap_or_default(),
            (Self::Listed(places), Direction::Backward) => *places = places.split_last().map_or(&[], |(_, rest)| rest),
        }
    }
}
