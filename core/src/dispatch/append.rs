//! The appends of commands and decisions, with their spans and metrics.

use std::future::Future;
use std::pin::Pin;

use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::engine::Engine;
use crate::telemetry::PendingAppend;
use crate::{Append, AppendError, Appended, Metadata, TRACE_TARGET};

/// How many dispatches the span of a shared append is linked to at most.
const MAX_LINKS: usize = 32;

/// An append under way.
type Appending<'a> = Pin<Box<dyn Future<Output = Result<Appended, AppendError>> + Send + 'a>>;

impl Engine {
    /// Appends for one command or decision. Without a span no future is boxed but the store's own.
    pub(crate) fn append(&self, append: Append) -> impl Future<Output = Result<Appended, AppendError>> + Send + '_ {
        let span = self.append_span(&append);
        let (pending, appending): (_, Appending<'_>) = if span.is_disabled() {
            (self.measured(&append), self.store.append(append))
        } else {
            (None, Box::pin(self.append_in(span, append)))
        };
        async move {
            let outcome = appending.await;
            self.record(pending, &outcome);
            outcome
        }
    }

    /// Appends for several commands. A span has one parent, which is one of their dispatches: it is linked to the others.
    pub(super) async fn append_shared<'a>(
        &self,
        append: Append,
        dispatches: impl ExactSizeIterator<Item = &'a Metadata>,
    ) -> Result<Appended, AppendError> {
        let span = self.append_span(&append);
        self.metrics.shared.record(dispatches.len() as f64);
        if !span.is_disabled() {
            span.record("recount.shared", dispatches.len());
            for traceparent in dispatches.take(MAX_LINKS).filter_map(|metadata| metadata.traceparent.as_ref()) {
                self.link(&span, traceparent);
            }
        }
        self.append_in(span, append).await
    }

    fn append_span(&self, append: &Append) -> Span {
        let kind = self.store.kind();
        tracing::info_span!(
            target: TRACE_TARGET,
            "append",
            otel.name = format_args!("append {kind}"),
            otel.kind = "client",
            otel.status_code = Empty,
            db.system.name = kind,
            db.operation.batch.size = events(append).count(),
            recount.shared = Empty,
            error.type = Empty,
        )
    }

    async fn append_in(&self, span: Span, append: Append) -> Result<Appended, AppendError> {
        let observed = (!span.is_disabled()).then(|| span.clone());
        let pending = self.measured(&append);
        let outcome = self.store.append(append).instrument(span).await;
        self.record(pending, &outcome);
        if let (Some(span), Err(error)) = (observed, &outcome) {
            span.record("error.type", error.kind());
            // A conflict is an ordinary outcome, and so is a known key.
            if !matches!(error, AppendError::Conflict(_) | AppendError::KeysKnown { .. }) {
                span.record("otel.status_code", "ERROR");
            }
        }
        outcome
    }

    /// The start of an append, if there is a recorder.
    fn measured(&self, append: &Append) -> Option<PendingAppend<'_>> {
        self.metrics.store.append(events(append).map(|event| event.event_type.as_str()))
    }

    /// Records the end of an append.
    fn record(&self, pending: Option<PendingAppend<'_>>, outcome: &Result<Appended, AppendError>) {
        if let Some(pending) = pending {
            let outcome = outcome.as_ref().map(|appended| appended.repeated).map_err(AppendError::kind);
            self.metrics.store.end(pending, outcome);
        }
    }

    fn link(&self, span: &Span, traceparent: &str) {
        if let Some(context) = &self.trace_context {
            context.link(span, traceparent);
        }
    }
}

fn events(append: &Append) -> impl Iterator<Item = &crate::EventData> {
    append.streams.iter().flat_map(|stream| &stream.events)
}
