//! One item in its lane: tried until it succeeds or its retry budget is used up.

use tracing::Instrument;

use super::failure::{GaveUp, bounded, classify, describe, discard};
use super::policy::Attempts;
use super::sink::Sink;
use super::source::{Lane, Source};
use super::span::{failed, item_span};
use super::supervise::Frame;
use crate::BoxError;

/// An item in its lane.
pub(crate) struct Open<S: Source> {
    pub(crate) number: u64,
    pub(crate) item: S::Item,
    pub(crate) ticket: S::Ticket,
}

/// An item that was handled, given up, or left at a shutdown.
pub(crate) struct Ended<S: Source> {
    pub(crate) lane: Lane,
    pub(crate) number: u64,
    pub(crate) ticket: S::Ticket,
    /// `None`: it failed, and is not tried again before the next start.
    pub(crate) outcome: Option<Result<(), BoxError>>,
}

/// Handles an item until it succeeds, its budget is used up, or the consumer is shut down.
pub(crate) async fn handle<S: Source, K: Sink<Item = S::Item>>(
    frame: &Frame,
    sink: &K,
    lane: Lane,
    open: Open<S>,
) -> Ended<S> {
    let Open { number, item, ticket } = open;
    let mut attempts: Option<Attempts> = None;
    let outcome = loop {
        let span = item_span(frame, sink.event(&item), attempts.as_ref().map_or(0, |attempts| attempts.failures));
        let recorded = (!span.is_disabled()).then(|| span.clone());
        let started = frame.metrics.start();
        let taking = bounded(sink.time_limit(), async { sink.take(&item).await });
        let Err(error) = taking.instrument(span).await else {
            frame.metrics.batch(1, started);
            break Some(Ok(()));
        };
        let class = classify(&*error);
        frame.metrics.failure(class.name());
        failed(recorded, class);
        let attempts = attempts.get_or_insert_with(|| Attempts::new(frame.budget));
        let Some(pause) = attempts.failed(class) else { break Some(Err(GaveUp(error).into())) };
        let text = describe(&*error);
        let failures = attempts.failures;
        tracing::warn!(kind = %frame.kind, name = %frame.name, error = %text, failures, ?pause, "item failed, trying again");
        frame.reporter.failing(number, class, failures, text);
        discard(error);
        tokio::select! {
            biased;
            () = frame.stopping() => break None,
            () = tokio::time::sleep(pause) => {}
        }
    };
    if attempts.is_some() && outcome.is_some() {
        frame.reporter.recovered(number);
    }
    Ended { lane, number, ticket, outcome }
}
