//! The span in which events are handled: of a projection's transaction, or of one item.

use tracing::Span;

use super::ConsumerKind;

/// The span around the handling of so many events.
pub(crate) fn span(kind: ConsumerKind, name: &str, events: usize) -> Span {
    match kind {
        ConsumerKind::Projection => tracing::debug_span!("project", projection = name, events),
        ConsumerKind::Reaction => tracing::debug_span!("react", reaction = name, events),
        ConsumerKind::Sink => tracing::debug_span!("consume", consumer = name, events),
    }
}
