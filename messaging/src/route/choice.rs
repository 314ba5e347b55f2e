//! The choice of a topic, by type: a mapping gets the declared topics, and returns one of them with a message.

use std::fmt;
use std::marker::PhantomData;

use recount_core::{Aggregate, Command, Published};

use super::draft::{Content, Draft};

/// Ties a route to the call of the mapping that it was given to.
type OfCall<'r> = PhantomData<fn(&'r ()) -> &'r ()>;

/// One of the declared topics, within a call of a mapping.
///
/// A route is valid for that call alone. So a mapping can only choose a topic that its publication or subscriber has declared:
/// anything else does not compile.
#[derive(Clone, Copy)]
pub struct Route<'r> {
    topic: usize,
    of_call: OfCall<'r>,
}

/// A message for one of the declared topics.
#[must_use = "a message is sent if the mapping returns it"]
pub struct Routed<'r> {
    draft: Draft,
    of_call: OfCall<'r>,
}

impl<'r> Route<'r> {
    /// A published event for this topic. Its key is the stream of the event that is published, or the key of the message
    /// that is forwarded.
    pub fn event<M: Published>(self, event: &M) -> Routed<'r> {
        self.routed(event.encode().map(Content::Event).map_err(Into::into))
    }

    /// A command for the service that [takes](crate::Subscriber::commands) the commands of this topic. The type of the message
    /// is `AGGREGATE.COMMAND`, its data the command as JSON, its key `AGGREGATE/ID`: the commands of an aggregate keep their
    /// order.
    ///
    /// No reply is asked for. A refusal is an outcome at the service that takes the command.
    pub fn command<C: Command>(self, command: &C) -> Routed<'r> {
        let aggregate = <C::Aggregate as Aggregate>::NAME;
        let content = command.to_json().map(|json| Content::Command {
            message_type: format!("{aggregate}.{}", C::NAME),
            json,
            key: format!("{aggregate}/{}", command.aggregate_id()),
        });
        self.routed(content.map_err(Into::into))
    }

    fn routed(self, content: Result<Content, recount_core::BoxError>) -> Routed<'r> {
        Routed { draft: Draft { topic: self.topic, content, key: None }, of_call: PhantomData }
    }
}

impl Routed<'_> {
    /// Sets the key: messages of a topic with the same key keep their order. With an empty key a message has no order.
    pub fn keyed(mut self, key: impl Into<String>) -> Self {
        self.draft.key = Some(key.into());
        self
    }

    pub(crate) fn into_draft(self) -> Draft {
        self.draft
    }
}

impl fmt::Debug for Route<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Route").field(&self.topic).finish()
    }
}

impl fmt::Debug for Routed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Routed").field(&self.draft).finish()
    }
}

/// The routes to so many declared topics, for one call.
pub(crate) fn routes<'r, const N: usize>() -> [Route<'r>; N] {
    std::array::from_fn(|topic| Route { topic, of_call: PhantomData })
}
