//! Presence: services announce themselves at the broker, and an observer tells
//! their presence, their health, and the ways of their messages.
//!
//! An announcement is a message of the topic `recount-presence`: a service's manifest and its health, each ten seconds
//! unless set. Brokers with history keep announcements for ten minutes; the others drop them unless an observer listens.
//! Without three of them an instance has expired; the last one of a shutdown says that it is gone.

mod announcement;
mod announcer;
mod directory;
mod explain;
mod found;
mod index;
mod manifest;
mod observer;
mod warning;

pub use announcement::Announcement;
pub(crate) use announcement::{check_instance, clamped};
pub(crate) use announcer::announcer;
pub use directory::{Directory, Instance, Presence, TopicUse};
pub use explain::{Explanation, PublishedBy, SentBy, TakenIn, Treatment};
pub(crate) use found::Found;
pub(crate) use manifest::written;
pub use manifest::{GatewayEntry, Manifest, MessageType, PublicationEntry, SubscriptionEntry, TypeTaken};
pub use observer::Observer;
pub use warning::Warning;
