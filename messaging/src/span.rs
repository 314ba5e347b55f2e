//! The span in which a message is handled.

use recount_core::Recount;

use crate::{Message, Topic};

/// The span of handling a message, in the trace of its sender. `kind` is that of OpenTelemetry. A question has no group.
pub(crate) fn process(
    recount: &Recount,
    kind: &'static str,
    topic: &Topic,
    group: Option<&str>,
    message: &Message,
) -> tracing::Span {
    let topic = topic.name();
    let span = tracing::info_span!(
        "process",
        otel.name = format!("process {topic}"),
        otel.kind = kind,
        messaging.operation.type = "process",
        messaging.destination.name = topic,
        messaging.consumer.group.name = group,
        messaging.message.id = message.id.as_str(),
    );
    if let (Some(context), Some(traceparent)) = (recount.trace_context(), &message.metadata.traceparent) {
        context.adopt(&span, traceparent);
    }
    span
}
