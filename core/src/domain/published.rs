//! Published events: events that other services may read.

use crate::Event;

/// An event that leaves its service: a contract with other teams, with a version line of its own.
///
/// Private events change with the code of their service. So a message broker takes published events only. Derive it by
/// `#[event(published)]`, and map private events to published ones:
///
/// ```
/// # extern crate recount_core as recount;
/// use recount::{Event, Published};
///
/// #[derive(Event, Clone, Debug, PartialEq)]
/// #[event(name = "orders", published)]
/// pub enum OrderMessage {
///     Placed { order: String, total: u64 },
///     Cancelled { order: String },
/// }
///
/// fn to_publish<E: Published>(event: E) -> E { event }
/// # to_publish(OrderMessage::Cancelled { order: "17".into() });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a published event",
    label = "private to its service",
    note = "declare it published: `#[event(published)]`; or map it to an event that is"
)]
pub trait Published: Event {}
