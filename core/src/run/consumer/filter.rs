//! The filter of a consumer, stored beside its checkpoint.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::store::digest;
use crate::{FilterId, Position, Query};

/// The selection of a consumer in a canonical form: a set of event types and of other query items.
///
/// The text is stored beside the checkpoint, and its [id](Self::id) in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Filter(BTreeSet<String>);

impl Filter {
    /// The filter of a source that selects everything that it has.
    #[must_use]
    pub fn everything() -> Self {
        Self(BTreeSet::from(["*".to_owned()]))
    }

    /// The filter with these entries, which can have any form of their own.
    pub fn entries(entries: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(entries.into_iter().map(Into::into).collect())
    }

    /// The filter of a query: an entry for each event type, and one for each item that also names tags or a category.
    #[must_use]
    pub fn of(query: &Query) -> Self {
        if query.is_all() {
            return Self::everything();
        }
        let mut entries = BTreeSet::new();
        for item in &query.items {
            let types = item.event_types.iter().map(|name| name.as_str());
            if item.tags.is_empty() && item.category.is_none() {
                entries.extend(types.map(str::to_owned));
                continue;
            }
            let types: BTreeSet<&str> = types.collect();
            let tags: BTreeSet<&str> = item.tags.iter().map(|tag| tag.as_str()).collect();
            entries.insert(serde_json::json!({"types": types, "tags": tags, "category": item.category}).to_string());
        }
        Self(entries)
    }

    /// The id of this filter.
    #[must_use]
    pub fn id(&self) -> FilterId {
        FilterId(digest(self.to_string().as_bytes()))
    }

    /// Reads the stored text of a filter; text of another form is an entry of its own.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|_| Self(BTreeSet::from([text.to_owned()])))
    }

    fn without(&self, other: &Self) -> Vec<String> {
        self.0.difference(&other.0).cloned().collect()
    }
}

/// The stored text: a JSON array of the entries in byte order.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(&self.0).map_err(|_| fmt::Error)?)
    }
}

/// How a consumer goes on when it selects other events than those that its checkpoint was made of.
///
/// The choice is made once, when the consumer is started. If another program changes the checkpoint's filter after that, as
/// the newer program does in a rolling deploy, the consumer stops: only the program that was started last goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FilterChange {
    /// It doesn't start: its status is `Stopped`, with an error that names the difference.
    #[default]
    Refuse,
    /// It starts over from the first event. A projection's [`reset`](crate::Projection::reset) deletes the projection's
    /// data, in the transaction that resets the checkpoint.
    StartOver,
    /// It goes on from its checkpoint. Earlier events of added types are never handled.
    GoOn,
}

/// A consumer selects other events than its checkpoint was made of.
#[derive(Debug, thiserror::Error)]
#[error(
    "{consumer} is at position {position}, but selects other events than it did up to there: {}{}{}; \
     choose `on_filter_change(FilterChange::StartOver)` to handle all events anew, or \
     `on_filter_change(FilterChange::GoOn)` to go on from here without the earlier ones",
    listed("added", added), if added.is_empty() || removed.is_empty() { "" } else { ", " }, listed("removed", removed)
)]
pub(crate) struct FilterChanged {
    consumer: String,
    position: Position,
    added: Vec<String>,
    removed: Vec<String>,
}

impl FilterChanged {
    pub(crate) fn new(consumer: String, position: Position, before: &Filter, now: &Filter) -> Self {
        Self { consumer, position, added: now.without(before), removed: before.without(now) }
    }
}

fn listed(what: &str, entries: &[String]) -> String {
    if entries.is_empty() { String::new() } else { format!("{what} {}", entries.join(", ")) }
}

/// The decision about a consumer's checkpoint when the consumer starts.
pub(crate) enum Verdict {
    /// The filter is the same.
    Same,
    /// The new filter is stored, and the position stays.
    Adopt,
    /// The new filter is stored, and the position is reset.
    StartOver,
    /// The consumer must not start.
    Refuse,
}

/// Decides by the stored filter. A checkpoint at the start, or without a filter, adopts any.
///
/// `choice` is `None` once the consumer has been set up: from then on another filter is that of another program, which
/// was started later and has made its own choice. To adopt the checkpoint back would pass that program's events.
pub(crate) fn verdict(stored: Option<FilterId>, at: Position, now: FilterId, choice: Option<FilterChange>) -> Verdict {
    match (stored, choice) {
        (Some(stored), _) if stored == now => Verdict::Same,
        (None, _) => Verdict::Adopt,
        (Some(_), None) => Verdict::Refuse,
        (Some(_), Some(_)) if at == Position::START => Verdict::Adopt,
        (Some(_), Some(FilterChange::GoOn)) => Verdict::Adopt,
        (Some(_), Some(FilterChange::StartOver)) => Verdict::StartOver,
        (Some(_), Some(FilterChange::Refuse)) => Verdict::Refuse,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EventType, QueryItem, Tag};

    fn types(names: &[&str]) -> Query {
        Query::types(names.iter().map(|name| EventType::new(name).unwrap()))
    }

    #[test]
    fn the_order_of_a_query_does_not_matter_and_its_content_does() {
        let filter = Filter::of(&types(&["b", "a", "b"]));
        assert_eq!(filter.to_string(), r#"["a","b"]"#);
        assert_eq!(
            filter,
            Filter::of(&types(&["a"]).or(QueryItem::default().event_type(EventType::new("b").unwrap())))
        );
        assert_eq!(filter.id(), Filter::parse(&filter.to_string()).id());
        let tagged = |tag: &str| Filter::of(&Query::tags([Tag::new(tag).unwrap()]));
        let distinct = [filter.id(), Filter::of(&types(&["a,b"])).id(), tagged("a").id(), tagged("b").id()];
        for (index, id) in distinct.iter().enumerate() {
            assert!(!distinct[..index].contains(id));
        }
        // Persisted knowledge: a changed id would refuse every checkpoint.
        assert_eq!(Filter::of(&types(&["a", "b"])).id().0.to_string(), GOLDEN);
    }

    const GOLDEN: &str = "0473ef2d-c0d3-84ab-a59d-3580c1134e9d";
}
