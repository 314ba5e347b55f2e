//! Routes: from an input to the instances that it is for.

use std::fmt::Display;

use crate::Event;

/// The inputs of a process: a union of events, each with the instances that it is for. Derive it beside [`Event`].
///
/// ```
/// # extern crate recount_core as recount;
/// use recount::{Event, Route, Routed};
///
/// #[derive(Event)]
/// #[event(name = "order")]
/// enum OrderEvent {
///     Placed { order: u64 },
///     Cancelled { order: u64 },
/// }
///
/// #[derive(Event)]
/// #[event(name = "wave")]
/// enum WaveEvent {
///     Released { orders: Vec<u64> },
/// }
///
/// #[derive(Event, Route)]
/// #[event(union)]
/// #[route(to = u64)]
/// enum Input {
///     /// `order` names the instance; `Placed` starts it.
///     #[event(only(Placed, Cancelled))]
///     #[route(start(Placed), by = order)]
///     Order(OrderEvent),
///     /// One event for several instances.
///     #[route(with = orders_of)]
///     Wave(WaveEvent),
/// }
///
/// fn orders_of(wave: &WaveEvent, routed: &mut Routed<u64>) {
///     let WaveEvent::Released { orders } = wave;
///     orders.iter().for_each(|order| routed.to(*order));
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say which instances its events are for",
    label = "no routes",
    note = "add `#[derive(Route)]` and `#[route(to = …)]` to `{Self}`, and `#[route(by = …)]` to its variants"
)]
pub trait Route: Event {
    /// The id of an instance.
    type Id: Display + Clone + Send + Sync + 'static;

    /// The routes of the union's variants, for diagrams.
    const ROUTES: &'static [RouteOf];

    /// Adds the instances that this input is for.
    fn route(&self, routed: &mut Routed<Self::Id>);
}

/// The route of one variant of a [`Route`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteOf {
    /// The name of the variant.
    pub variant: &'static str,
    /// The variants of the event type that are heard; all if empty.
    pub only: &'static [&'static str],
    /// Those of them that start an instance; the name of the type if it is a struct that does. A function decides itself.
    pub starts: &'static [&'static str],
    /// The field that names the instance, or the function that does.
    pub by: &'static str,
}

/// The instances that an input is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routed<Id> {
    targets: Vec<Target<Id>>,
}

/// One of the instances that an input is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target<Id> {
    pub(crate) id: Id,
    /// Whether the input starts the instance if there is none.
    pub(crate) starts: bool,
}

impl<Id> Default for Routed<Id> {
    fn default() -> Self {
        Self::new()
    }
}

impl<Id> Routed<Id> {
    /// No instances.
    #[must_use]
    pub const fn new() -> Self {
        Self { targets: Vec::new() }
    }

    /// The input is for this instance, if it was started.
    pub fn to(&mut self, id: Id) {
        self.targets.push(Target { id, starts: false });
    }

    /// The input is for this instance, and starts it if there is none.
    pub fn start(&mut self, id: Id) {
        self.targets.push(Target { id, starts: true });
    }

    pub(crate) fn into_targets(self) -> Vec<Target<Id>> {
        self.targets
    }
}
