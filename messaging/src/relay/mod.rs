//! The relay: it publishes a service's events. The store is the outbox, so there is no second table.
//!
//! Events are published in the order of each key, and many keys at once. A message's id is its event's, so an event that is
//! published again is recognised. The checkpoint moves to the last event up to which the fate of all is final.

mod claim;
mod publication;
mod routed;
mod sink;
mod source;

pub use publication::{Publication, PublicationParts};
pub use routed::RoutedPublication;
pub(crate) use sink::RelaySink;
pub(crate) use source::RelaySource;
