//! Routes: the topics among which a mapping chooses, and the messages that it makes.
//!
//! A [`Publication`](crate::Publication) maps own events, a [`Subscriber`](crate::Subscriber) maps messages of other services.
//! Both make a [`Routed`] message: a published event or a command, for one of the declared topics. The id of a message is a
//! function of its cause, so that a cause that is mapped again makes the same message.

mod choice;
mod draft;
mod forwarder;

pub(crate) use choice::routes;
pub use choice::{Route, Routed};
pub(crate) use draft::Draft;
pub(crate) use forwarder::{Exit, Forwarder, Turns};
