//! Commands, decisions and loads with their spans and metrics.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::cache::Slot;
use super::engine::Engine;
use super::queue::{Finish, Outcome};
use super::request::Request;
use super::warm::Warm;
use super::{DispatchError, LoadError, Receipt};
use crate::telemetry::{AggregateMetrics, CommandOutcome, LoadSource};
use crate::{Aggregate, AnyCommand, AppendError, Apply, Metadata, StreamId, StreamVersion, TRACE_TARGET};

/// The metrics, cache slot and trace context of a command before its turn.
pub(super) struct Observed<A: Aggregate> {
    pub(super) metrics: Arc<AggregateMetrics>,
    /// The aggregate's place in the cache, if it has one.
    pub(super) known: Option<Arc<Slot<A>>>,
    /// The trace context of the command's span.
    pub(super) traceparent: Option<Arc<str>>,
}

impl Engine {
    /// Runs a command, and records its span and metrics.
    pub(crate) async fn run<A: Apply, T: Send + 'static>(
        self: &Arc<Self>,
        command: &dyn AnyCommand<A>,
        request: &Request,
        finish: Finish<A, T>,
    ) -> Outcome<A, T> {
        let started = self.metrics.commands.start();
        let stream = A::stream(command.aggregate_id()).map_err(LoadError::from)?;
        let known = self.cache.find::<A>(&stream);
        let metrics = match &known {
            Some(slot) => Arc::clone(slot.entry.metrics()),
            None => self.metrics.aggregate::<A>(A::NAME),
        };
        let span = tracing::info_span!(
            target: TRACE_TARGET,
            "dispatch",
            otel.name = format_args!("dispatch {}", command.name()),
            otel.status_code = Empty,
            recount.aggregate = A::NAME,
            recount.command = command.name(),
            recount.stream = %stream,
            recount.outcome = Empty,
            recount.attempts = Empty,
            error.type = Empty,
        );
        let traceparent = self.enter_trace(&span, &request.metadata);
        let recorded = (!span.is_disabled()).then(|| span.clone());
        let observed = Observed { metrics, known, traceparent };
        let outcome = if span.is_disabled() {
            self.take_turn(stream, command, request, finish, &observed).await
        } else {
            // Boxed: an unboxed future would be moved into the instrumented one.
            Box::pin(self.take_turn(stream, command, request, finish, &observed)).instrument(span).await
        };
        let result = outcome.as_ref().map(|(receipt, _)| receipt);
        self.record_end(&observed.metrics, command.name(), started, recorded, result);
        outcome
    }

    /// Connects a new span with the trace that the metadata comes with. Returns the context to store with the events.
    pub(super) fn enter_trace(&self, span: &Span, metadata: &Metadata) -> Option<Arc<str>> {
        let context = self.trace_context.as_ref().filter(|_| !span.is_disabled())?;
        if let Some(traceparent) = &metadata.traceparent {
            context.adopt(span, traceparent);
        }
        context.capture(span)
    }

    /// Records the end of a command or decision.
    pub(super) fn record_end<E, R: Error + 'static>(
        &self,
        metrics: &AggregateMetrics,
        name: &'static str,
        started: Option<Instant>,
        span: Option<Span>,
        result: Result<&Receipt<E>, &DispatchError<R>>,
    ) {
        let outcome = match result {
            Ok(receipt) if receipt.repeated => CommandOutcome::Repeated,
            Ok(receipt) if receipt.events.is_empty() => CommandOutcome::Unchanged,
            Ok(_) => CommandOutcome::Accepted,
            Err(error) => error.outcome(),
        };
        metrics.command(name, outcome, self.metrics.commands.stop(started));
        let Some(span) = span else { return };
        span.record("recount.outcome", outcome.name());
        // A refusal is an answer. A failure is one of the program or its surroundings.
        if let Err(error) = result
            && (outcome == CommandOutcome::Failed || matches!(error, DispatchError::Contended { .. }))
        {
            span.record("otel.status_code", "ERROR");
            span.record("error.type", error.kind());
        }
    }

    /// Records the span and metrics of a load that is not served by the cache. `load` returns the version of the snapshot
    /// that it began with, and the state.
    pub(super) async fn observe_load<A: Apply>(
        &self,
        stream: &StreamId,
        load: impl Future<Output = Result<(StreamVersion, Warm<A>), LoadError>>,
    ) -> Result<Warm<A>, LoadError> {
        let metrics = self.metrics.aggregate::<A>(A::NAME);
        let span = load_span(A::NAME, Some(stream));
        let recorded = (!span.is_disabled()).then(|| span.clone());
        let started = metrics.now();
        let loaded = load.instrument(span).await;
        match &loaded {
            Ok((snapshot, warm)) => {
                let source = if *snapshot == StreamVersion::EMPTY { LoadSource::Stream } else { LoadSource::Snapshot };
                let replayed = warm.version.get().saturating_sub(snapshot.get());
                metrics.loaded(source, replayed, started);
                if let Some(span) = recorded {
                    span.record("recount.source", source.name());
                    span.record("recount.replayed", replayed);
                }
            }
            Err(error) => record_failed_load(recorded, error),
        }
        loaded.map(|(_, warm)| warm)
    }
}

/// The span of a load.
pub(super) fn load_span(name: &'static str, stream: Option<&StreamId>) -> Span {
    tracing::info_span!(
        target: TRACE_TARGET,
        "load",
        otel.name = format_args!("load {name}"),
        otel.status_code = Empty,
        recount.stream = stream.map(tracing::field::display),
        recount.source = Empty,
        recount.replayed = Empty,
        error.type = Empty,
    )
}

pub(super) fn record_failed_load(span: Option<Span>, error: &LoadError) {
    if let Some(span) = span {
        span.record("otel.status_code", "ERROR");
        span.record("error.type", error.kind());
    }
}

impl<E: Error + 'static> DispatchError<E> {
    fn outcome(&self) -> CommandOutcome {
        match self {
            Self::Rejected(_) | Self::RefusedEarlier { .. } | Self::Withdrawn { .. } => CommandOutcome::Rejected,
            Self::AlreadyExists { .. } | Self::Contended { .. } | Self::Append(AppendError::Conflict(_)) => {
                CommandOutcome::Conflict
            }
            _ => CommandOutcome::Failed,
        }
    }

    /// The kind of failure, as an attribute of spans.
    fn kind(&self) -> &'static str {
        match self {
            Self::Rejected(_) | Self::RefusedEarlier { .. } => "rejected",
            Self::Withdrawn { .. } => "withdrawn",
            Self::AlreadyExists { .. } => "already_exists",
            Self::Contended { .. } => "contended",
            Self::Load(error) => error.kind(),
            Self::Encode(_) => "encode",
            Self::Malformed { .. } => "malformed",
            Self::UnknownCommand { .. } => "unknown_command",
            Self::Append(error) => error.kind(),
        }
    }
}

impl LoadError {
    fn kind(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not_found",
            Self::Decode { .. } => "decode",
            Self::NameCollision(_) => "name_collision",
            Self::Name(_) => "name",
            Self::Store(error) => error.kind(),
        }
    }
}
