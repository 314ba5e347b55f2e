//! The spans in which events are handled: of a projection's transaction, or of one item.

use tracing::Span;
use tracing::field::Empty;

use super::{Class, ConsumerKind, Frame};
use crate::{Position, RecordedEvent, TRACE_TARGET};

/// The traces that the span of a transaction is linked to at most.
const LINKS: usize = 32;

/// The span of a transaction of a projection. It is linked to the traces of its events.
pub(crate) fn batch_span<'e>(
    frame: &Frame,
    events: impl ExactSizeIterator<Item = &'e RecordedEvent>,
    to: Position,
) -> Span {
    if events.len() == 0 {
        return Span::none();
    }
    let span = tracing::info_span!(
        target: TRACE_TARGET,
        parent: None,
        "project",
        otel.name = format_args!("project {}", frame.name),
        otel.status_code = Empty,
        recount.projection = &*frame.name,
        recount.position = to.get(),
        recount.events = events.len(),
        recount.retries = frame.reporter.failures(),
        error.type = Empty,
    );
    let Some(context) = frame.trace_context.as_ref().filter(|_| !span.is_disabled()) else { return span };
    let mut linked: Vec<&str> = Vec::new();
    for event in events {
        let Some(traceparent) = event.data.metadata.traceparent.as_deref() else { continue };
        if linked.contains(&traceparent) {
            continue;
        }
        context.link(&span, traceparent);
        linked.push(traceparent);
        if linked.len() == LINKS {
            break;
        }
    }
    span
}

/// The span of one item. If that is an event of a store, the span belongs to the event's trace.
pub(crate) fn item_span(frame: &Frame, event: Option<&RecordedEvent>, retries: usize) -> Span {
    let (position, event_type) =
        (event.map(|event| event.position.get()), event.map(|event| tracing::field::display(&event.data.event_type)));
    let span = match frame.kind {
        ConsumerKind::Reaction => tracing::info_span!(
            target: TRACE_TARGET,
            parent: None,
            "react",
            otel.name = format_args!("react {}", frame.name),
            otel.status_code = Empty,
            recount.reaction = &*frame.name,
            recount.position = position,
            recount.event_type = event_type,
            recount.retries = retries,
            error.type = Empty,
        ),
        _ => tracing::info_span!(
            target: TRACE_TARGET,
            parent: None,
            "consume",
            otel.name = format_args!("consume {}", frame.name),
            otel.status_code = Empty,
            recount.consumer = &*frame.name,
            recount.position = position,
            recount.event_type = event_type,
            recount.retries = retries,
            error.type = Empty,
        ),
    };
    if let (Some(context), Some(event)) = (frame.trace_context.as_ref().filter(|_| !span.is_disabled()), event)
        && let Some(traceparent) = &event.data.metadata.traceparent
    {
        context.adopt(&span, traceparent);
    }
    span
}

/// Records a failure, and its class, on the span.
pub(crate) fn failed(span: Option<Span>, class: Class) {
    if let Some(span) = span {
        span.record("otel.status_code", "ERROR");
        span.record("error.type", class.name());
    }
}
