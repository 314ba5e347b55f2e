//! W3C trace context of OpenTelemetry spans.

use std::sync::Arc;

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use recount_core::TraceContext;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Connects recount's spans with OpenTelemetry: the `traceparent` of a command's span is stored with its events, and spans
/// follow the `traceparent` that a command's metadata comes with. For
/// [`RecountBuilder::trace_context`](recount_core::RecountBuilder::trace_context).
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenTelemetryContext;

impl TraceContext for OpenTelemetryContext {
    fn capture(&self, span: &Span) -> Option<Arc<str>> {
        let context = span.context();
        let context = context.span().span_context().clone();
        context.is_valid().then(|| write(&context).into())
    }

    fn adopt(&self, span: &Span, traceparent: &str) {
        let Some(remote) = read(traceparent) else { return };
        let current = Span::current().context();
        let parent = current.span().span_context().clone();
        if !parent.is_valid() {
            // Fails only if the span is not exported.
            let _ = span.set_parent(Context::new().with_remote_span_context(remote));
        } else if parent.trace_id() != remote.trace_id() {
            span.add_link(remote);
        }
    }

    fn link(&self, span: &Span, traceparent: &str) {
        if let Some(remote) = read(traceparent) {
            span.add_link(remote);
        }
    }
}

fn write(context: &SpanContext) -> String {
    format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), context.trace_flags() & TraceFlags::SAMPLED)
}

/// The span that a `traceparent` of version 00, or the beginning of a later version, names.
fn read(traceparent: &str) -> Option<SpanContext> {
    let mut parts = traceparent.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let lengths = [version, trace, span, flags].map(str::len);
    let more = parts.next().is_some();
    if lengths != [2, 32, 16, 2] || version == "ff" || (version == "00" && more) {
        return None;
    }
    let hexadecimal = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if ![version, trace, span, flags].into_iter().all(hexadecimal) {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    Some(SpanContext::new(trace, span, flags, true, TraceState::default())).filter(SpanContext::is_valid)
}

#[cfg(test)]
mod tests {
    use super::{read, write};

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_and_written() {
        assert_eq!(write(&read(GOOD).unwrap()), GOOD);
        let unsampled = GOOD.replace("-01", "-00");
        assert_eq!(write(&read(&unsampled).unwrap()), unsampled);
        // A later version may have more parts and flags.
        let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-what-comes";
        assert_eq!(write(&read(later).unwrap()), GOOD);
    }

    #[test]
    fn other_texts_are_no_traceparent() {
        for wrong in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
        ] {
            assert!(read(wrong).is_none(), "{wrong}");
        }
    }
}
