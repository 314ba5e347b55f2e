//! The seam to distributed tracing: W3C trace context in and out of spans.

use std::sync::Arc;

use tracing::Span;

/// Connects recount's spans with a distributed trace. Set it once by
/// [`RecountBuilder::trace_context`](crate::RecountBuilder::trace_context); `recount-telemetry` has one for OpenTelemetry.
///
/// Without one, the `traceparent` of a command's metadata is stored unchanged.
pub trait TraceContext: Send + Sync + 'static {
    /// The W3C `traceparent` of the span, which its events are recorded with. `None` if the span is in no trace.
    fn capture(&self, span: &Span) -> Option<Arc<str>>;

    /// Makes the span that `traceparent` names the parent of a new span. If the new span already has a parent in this
    /// process, that one stays, and the other is [linked](Self::link) unless both are of one trace.
    fn adopt(&self, span: &Span, traceparent: &str);

    /// Links a span to the span that `traceparent` names.
    fn link(&self, span: &Span, traceparent: &str);
}
