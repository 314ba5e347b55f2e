//! A consumer with a sink that handles items one by one, many at once: source, lanes, policy, sink, watermark.

use std::error::Error;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::time::Instant;

use super::failure::{Class, bounded, bounded_call, classify, describe, discard, guarded};
use super::item::handle;
use super::keeper::Keeper;
use super::policy::Attempts;
use super::recovery::Recovery;
use super::reporter::WHOLE;
use super::sink::Sink;
use super::source::{self, Source};
use super::state::{Run, Storing};
use super::supervise::{Frame, Work};
use super::{GRACE, MAINTENANCE, TIME_LIMIT};
use crate::{BoxError, Position};

/// A source, a sink and the place of the marks.
pub(crate) struct Concurrent<S, K> {
    frame: Frame,
    source: S,
    sink: K,
    keeper: Keeper,
    recovery: Recovery,
    /// Failures to store the watermark.
    storing: Attempts,
}

impl<S: Source, K: Sink<Item = S::Item>> Work for Concurrent<S, K> {
    async fn run(&mut self) -> Result<(), BoxError> {
        let Self { frame, source, sink, keeper, recovery, storing } = self;
        recovery.begin(frame.reporter.trouble(WHOLE));
        let filter = source.filter();
        let kept = bounded_call("`StateStore::get`", TIME_LIMIT, keeper.open::<S>(&filter)).await?;
        if kept.reset {
            frame.reporter.start_over(Position::START);
        }
        frame.reporter.begin_at(kept.mark.as_ref().map_or(Position::START, S::position));
        bounded(sink.time_limit(), async { sink.setup().await }).await?;
        source::open(source, kept.mark).await?;
        let run = Run::new(frame, (recovery, storing), (filter, kept.revision), K::AT_ONCE.max(1));
        follow(run, frame, source, sink, keeper).await
    }

    fn classify(&self, error: &(dyn Error + 'static)) -> Class {
        classify(error)
    }

    fn is_recovered(&self) -> bool {
        self.recovery.is_overcome(self.frame.budget.time)
    }
}

impl<S: Source, K: Sink<Item = S::Item>> Concurrent<S, K> {
    pub(crate) fn new(frame: Frame, source: S, sink: K, keeper: Keeper) -> Self {
        let storing = Attempts::new(frame.budget);
        Self { frame, source, sink, keeper, recovery: Recovery::new(), storing }
    }
}

/// Handles items until the consumer is shut down, or the source, an item or the store of the marks has failed. After a
/// failure of the source the items that it has delivered are handled and their mark is stored.
async fn follow<S: Source, K: Sink<Item = S::Item>>(
    mut run: Run<'_, S>,
    frame: &Frame,
    source: &mut S,
    sink: &K,
    keeper: &Keeper,
) -> Result<(), BoxError> {
    let mut running = FuturesUnordered::new();
    let mut storing: Option<Storing<S::Mark>> = None;
    let outcome = loop {
        tokio::task::consume_budget().await;
        let mut idle = true;
        // Ready items are taken without a wait for several futures at once, which costs more than most items.
        while run.has_room()
            && let Some(delivered) = guarded(source.next()).now_or_never()
        {
            idle = false;
            run.accept(delivered);
        }
        while let Some((lane, open)) = run.lanes.start() {
            idle = false;
            running.push(handle::<S, K>(frame, sink, lane, open));
        }
        while let Some(Some(ended)) = running.next().now_or_never() {
            idle = false;
            run.end(ended);
        }
        run.advance();
        if run.settle(source, &mut running).await {
            idle = false;
        }
        if let Some(outcome) = run.outcome(running.is_empty()) {
            break outcome;
        }
        if storing.is_none() && run.has_mark() && run.due <= Instant::now() {
            storing = run.store(source, keeper);
        }
        if run.maintain(source, &mut running).await {
            idle = false;
        }
        if !idle {
            continue;
        }
        tokio::select! {
            biased;
            () = frame.stopping() => {}
            Some(ended) = running.next() => run.end(ended),
            stored = async { match storing.as_mut() { Some(storing) => storing.await, None => std::future::pending().await } } => {
                storing = None;
                run.stored(stored);
            }
            delivered = guarded(source.next()), if run.has_room() => run.accept(delivered),
            () = tokio::time::sleep_until(run.due), if storing.is_none() && run.has_mark() => {}
            () = tokio::time::sleep_until(run.patience), if run.is_broken() => {}
            () = tokio::time::sleep_until(run.maintained + MAINTENANCE), if !running.is_empty() && !run.is_broken() => {}
        }
    };
    if outcome.is_ok() {
        // Lets the items that are being handled end.
        let rest = async {
            while let Some(ended) = running.next().await {
                run.end(ended);
            }
        };
        let _ = tokio::time::timeout(GRACE, rest).await;
        run.advance();
        run.settle(source, &mut running).await;
    }
    // After a failure the items that are left would hold connections, since they are not polled. At a shutdown the source still
    // tells of them.
    let _left = Some(running).filter(|_| outcome.is_ok());
    if let Some(storing) = storing {
        run.stored(source::beside(source, storing).await);
    }
    let finished = run.finish(source, keeper).await;
    if outcome.is_ok()
        && let Err(error) = source::close(source).await
    {
        let text = describe(&*error);
        tracing::warn!(kind = %frame.kind, name = %frame.name, error = %text, "the source was not closed");
        discard(error);
    }
    match (outcome, finished) {
        (Err(error), Err(another)) => {
            discard(another);
            Err(error)
        }
        (outcome, finished) => outcome.and(finished),
    }
}
