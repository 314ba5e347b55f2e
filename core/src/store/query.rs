//! Queries: which events of the whole store a reader or an append condition means.

use crate::{EventData, EventType, RecordedEvent, StreamId, Tag};

/// Selects events: those that match at least one of its items, as [dcb.events] defines it.
///
/// A query without items selects nothing; [`Query::all`] selects everything.
///
/// ```
/// # use recount_core::{EventType, Query, QueryItem, Tag};
/// let seats = Query::item(QueryItem::default().tag(Tag::new("course:c1")?))
///     .or(QueryItem::default().event_type(EventType::new("student.enrolled")?).tag(Tag::new("student:s1")?));
/// assert_eq!(seats.items.len(), 2);
/// # Ok::<(), recount_core::NameError>(())
/// ```
///
/// [dcb.events]: https://dcb.events/specification/
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// The alternatives.
    pub items: Vec<QueryItem>,
}

/// One alternative of a [`Query`]: every part that is given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryItem {
    /// The event has one of these types; any type if empty.
    pub event_types: Vec<EventType>,
    /// The event carries all of these tags.
    pub tags: Vec<Tag>,
    /// The event's stream is of this category, compared exactly; any category if not given.
    pub category: Option<Box<str>>,
}

impl Query {
    /// Selects every event.
    #[must_use]
    pub fn all() -> Self {
        Self::item(QueryItem::default())
    }

    /// Selects the events that one item selects.
    #[must_use]
    pub fn item(item: QueryItem) -> Self {
        Self { items: vec![item] }
    }

    /// Selects the events of these types.
    #[must_use]
    pub fn types(event_types: impl IntoIterator<Item = EventType>) -> Self {
        Self::item(QueryItem { event_types: event_types.into_iter().collect(), ..QueryItem::default() })
    }

    /// Selects the events that carry all of these tags.
    #[must_use]
    pub fn tags(tags: impl IntoIterator<Item = Tag>) -> Self {
        Self::item(QueryItem { tags: tags.into_iter().collect(), ..QueryItem::default() })
    }

    /// Selects the events of all streams of this category.
    #[must_use]
    pub fn category(category: &str) -> Self {
        Self::item(QueryItem { category: Some(category.into()), ..QueryItem::default() })
    }

    /// Selects the events that this query or the item selects.
    #[must_use]
    pub fn or(mut self, item: QueryItem) -> Self {
        self.items.push(item);
        self
    }

    /// This query, where items that name no types mean those that `types` names.
    #[must_use]
    pub fn within(mut self, types: &Query) -> Self {
        let types: Vec<&EventType> = types.items.iter().flat_map(|item| &item.event_types).collect();
        for item in self.items.iter_mut().filter(|item| item.event_types.is_empty()) {
            item.event_types = types.iter().copied().cloned().collect();
        }
        self
    }

    /// Whether this query selects every event, so that a store need not filter.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.items.iter().any(|item| *item == QueryItem::default())
    }

    /// Whether this query selects the event.
    #[must_use]
    pub fn matches(&self, event: &RecordedEvent) -> bool {
        self.matches_data(&event.stream, &event.data)
    }

    /// Whether this query selects the event once it is appended to the stream.
    #[must_use]
    pub fn matches_data(&self, stream: &StreamId, event: &EventData) -> bool {
        self.items.iter().any(|item| item.matches(stream, event))
    }
}

impl QueryItem {
    /// Also asks for this type, or one of those already asked for.
    #[must_use]
    pub fn event_type(mut self, event_type: EventType) -> Self {
        self.event_types.push(event_type);
        self
    }

    /// Also asks for this tag.
    #[must_use]
    pub fn tag(mut self, tag: Tag) -> Self {
        self.tags.push(tag);
        self
    }

    fn matches(&self, stream: &StreamId, event: &EventData) -> bool {
        (self.event_types.is_empty() || self.event_types.contains(&event.event_type))
            && self.tags.iter().all(|tag| event.tags.contains(tag))
            && self.category.as_ref().is_none_or(|category| **category == *stream.category())
    }
}
