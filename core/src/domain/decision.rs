//! Decisions over a dynamic consistency boundary: rules that span streams.

use std::error::Error;

use crate::{Context, Event, EventData, NameError, Query, StreamId};

/// A decision that depends on the events that a query selects, in any stream. It is recorded only if no such event
/// was added meanwhile. "A user name is unique" and "a course has thirty seats" need no stream of their own.
///
/// It can only record events of the types that it watches, so two decisions of one kind never overlook each other.
///
/// ```
/// # extern crate recount_core as recount;
/// use recount::{Context, Decision, Event, NameError, Query, Recount, Tag};
///
/// #[derive(Event)]
/// #[event(name = "user")]
/// enum UserEvent {
///     Registered { #[event(tag)] name: String },
/// }
///
/// /// A user name is taken once.
/// struct Register { name: String }
///
/// # #[derive(Debug)]
/// # struct Taken;
/// # impl std::fmt::Display for Taken { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("taken") } }
/// # impl std::error::Error for Taken {}
/// impl Decision for Register {
///     type Event = UserEvent;
///     type State = bool;
///     type Error = Taken;
///
///     fn boundary(&self) -> Result<Query, NameError> {
///         Ok(Query::tags([Tag::pair("name", &self.name)?]))
///     }
///     fn apply(&self, taken: &mut bool, _: &UserEvent) {
///         *taken = true;
///     }
///     fn decide(&self, taken: &bool, _: &Context<'_>) -> Result<Vec<UserEvent>, Taken> {
///         if *taken { Err(Taken) } else { Ok(vec![UserEvent::Registered { name: self.name.clone() }]) }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let recount = Recount::new(recount_store_memory::MemoryStore::new());
/// let first = recount.decide(Register { name: "ada".into() }).await?;
/// assert_eq!(first.events.len(), 1);
/// assert!(recount.decide(Register { name: "ada".into() }).await.is_err());
/// # Ok(())
/// # }
/// ```
pub trait Decision: Send + Sync + 'static {
    /// The events that it watches and records.
    type Event: Event;
    /// The state on which it is decided, folded from the events.
    type State: Default + Send;
    /// Why it can be refused.
    type Error: Error + Send + Sync + 'static;

    /// Which events matter, by tags: each item is an alternative. Items that name no types mean all types of
    /// [`Event`](Self::Event); events of other types are never read.
    ///
    /// # Errors
    /// [`NameError`] if a tag can't be made from the decision's values.
    fn boundary(&self) -> Result<Query, NameError>;

    /// Takes an event into the state. Pure.
    fn apply(&self, state: &mut Self::State, event: &Self::Event);

    /// Decides. Pure. No events means that nothing needs to happen.
    ///
    /// # Errors
    /// The domain's own error if the decision is refused.
    fn decide(&self, state: &Self::State, context: &Context<'_>) -> Result<Vec<Self::Event>, Self::Error>;

    /// A refusal as JSON, which is [kept](crate::Decide::keep_refusal) with it: `serde_json::to_value(error).ok()` if the error
    /// implements `Serialize`.
    fn refusal_json(_: &Self::Error) -> Option<serde_json::Value> {
        None
    }

    /// The stream that an event is recorded in. By default the category is the event type up to its first dot,
    /// the id is the value of the first tag, or `-` if there is none.
    ///
    /// # Errors
    /// [`NameError`] if that is no stream name.
    fn stream(&self, event: &EventData) -> Result<StreamId, NameError> {
        let category = event.event_type.as_str().split('.').next().unwrap_or_default();
        let id = event.tags.first().map_or("-", |tag| tag.as_str());
        StreamId::new(category, id.split_once(':').map_or(id, |(_, value)| value))
    }
}
