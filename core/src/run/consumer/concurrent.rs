//! A consumer whose sink handles items one by one, many at once: source, lanes, policy, sink, watermark.

use std::error::Error;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::time::Instant;
use tracing::Instrument;

use super::failure::{Class, GaveUp, bounded, classify};
use super::filter::Filter;
use super::keeper::Keeper;
use super::lanes::{Lanes, Window};
use super::policy::Attempts;
use super::progress::{STORING, WHOLE};
use super::sink::Sink;
use super::source::{Delivered, Lane, Source};
use super::span::{failed, item_span};
use super::supervise::{Frame, Work};
use crate::store::chain;
use crate::{BoxError, ExpectedRevision};

/// The deliveries that may be open at once, for each item that is handled at once: the source waits while a slow item holds
/// the watermark back by more.
const WINDOW: usize = 4;
/// How often the watermark is stored at most. A crash repeats the items behind it.
const STORE_INTERVAL: Duration = Duration::from_millis(100);
/// How long a shutdown waits for the items that are being handled.
const GRACE: Duration = Duration::from_secs(5);

/// A source, a sink and the place of the marks.
pub(crate) struct Concurrent<S, K> {
    pub(crate) frame: Frame,
    pub(crate) source: S,
    pub(crate) sink: K,
    pub(crate) keeper: Keeper,
}

/// An item in its lane.
struct Open<S: Source> {
    number: u64,
    item: S::Item,
    ticket: S::Ticket,
}

/// An item that was handled, or given up.
struct Ended<S: Source> {
    lane: Lane,
    number: u64,
    ticket: S::Ticket,
    outcome: Result<(), BoxError>,
}

/// The state of one run.
struct Run<S: Source> {
    window: Window<S::Mark>,
    lanes: Lanes<Open<S>>,
    filter: Filter,
    settled: Vec<S::Ticket>,
    /// The watermark, if it is not stored.
    unstored: Option<S::Mark>,
    /// When it is stored next.
    due: Instant,
    /// Failures to store it.
    attempts: Attempts,
    revision: ExpectedRevision,
    live: bool,
    /// All items share one lane.
    in_order: bool,
}

/// The revision of the stored watermark, or the watermark that was not stored.
type Stored<M> = Result<ExpectedRevision, (M, BoxError)>;
type Storing<M> = Pin<Box<dyn Future<Output = Stored<M>> + Send>>;

impl<S: Source, K: Sink<Item = S::Item>> Work for Concurrent<S, K> {
    async fn run(&mut self) -> Result<(), BoxError> {
        let filter = self.source.filter();
        let kept = self.keeper.open::<S>(&filter).await?;
        if kept.reset {
            self.frame.reporter.start_over(crate::Position::START);
        }
        self.frame.reporter.begin_at(kept.mark.as_ref().map_or(crate::Position::START, S::position));
        bounded(self.sink.time_limit(), async { self.sink.setup().await }).await?;
        self.source.open(kept.mark).await?;
        let run = Run {
            window: Window::new(),
            lanes: Lanes::new(K::AT_ONCE.max(1)),
            filter,
            settled: Vec::new(),
            unstored: None,
            due: Instant::now(),
            attempts: Attempts::new(self.frame.budget),
            revision: kept.revision,
            live: false,
            in_order: K::AT_ONCE <= 1,
        };
        self.follow(run).await
    }

    fn classify(&self, error: &(dyn Error + 'static)) -> Class {
        classify(error)
    }
}

impl<S: Source, K: Sink<Item = S::Item>> Concurrent<S, K> {
    async fn follow(&mut self, mut run: Run<S>) -> Result<(), BoxError> {
        let Self { frame, source, sink, keeper } = self;
        let room = K::AT_ONCE.max(1).saturating_mul(WINDOW);
        let mut running = FuturesUnordered::new();
        let mut storing: Option<Storing<S::Mark>> = None;
        let outcome = loop {
            tokio::task::consume_budget().await;
            let mut idle = true;
            // Ready items are taken without a wait for several futures at once, which costs more than most items.
            while run.window.len() < room
                && let Some(delivered) = source.next().now_or_never()
            {
                idle = false;
                run.accept(delivered?, frame);
            }
            while let Some((lane, open)) = run.lanes.start() {
                idle = false;
                running.push(handle::<S, K>(frame, sink, lane, open));
            }
            let mut failed = None;
            while let Some(Some(ended)) = running.next().now_or_never() {
                idle = false;
                failed = failed.or(run.end(ended));
            }
            run.advance(frame);
            if !run.settled.is_empty() {
                let (settled, ended) = beside(&mut running, source.settle(std::mem::take(&mut run.settled))).await;
                for ended in ended {
                    failed = failed.or(run.end(ended));
                }
                settled?;
            }
            if let Some(error) = failed {
                break Err(error);
            }
            if *frame.shutdown.borrow() {
                break Ok(());
            }
            if storing.is_none() && run.unstored.is_some() && run.due <= Instant::now() {
                storing = run.store(source, keeper);
            }
            if !idle {
                continue;
            }
            tokio::select! {
                biased;
                () = frame.stopping() => {}
                Some(ended) = running.next() => {
                    if let Some(error) = run.end(ended) {
                        break Err(error);
                    }
                }
                stored = async { match storing.as_mut() { Some(storing) => storing.await, None => std::future::pending().await } } => {
                    storing = None;
                    run.stored(stored, frame)?;
                }
                delivered = source.next(), if run.window.len() < room => run.accept(delivered?, frame),
                () = tokio::time::sleep_until(run.due), if storing.is_none() && run.unstored.is_some() => {}
            }
        };
        if outcome.is_ok() {
            // Lets the items that are being handled end.
            let rest = async {
                while let Some(ended) = running.next().await {
                    let _ = run.end(ended);
                }
            };
            let _ = tokio::time::timeout(GRACE, rest).await;
            run.advance(frame);
            source.settle(std::mem::take(&mut run.settled)).await?;
        }
        if let Some(storing) = storing {
            run.stored(storing.await, frame)?;
        }
        // A watermark that can't be stored is repeated work, no reason to hide why the consumer ends.
        if let Some(storing) = run.store(source, keeper)
            && let Err((_, error)) = storing.await
        {
            tracing::warn!(kind = %frame.kind, name = %frame.name, %error, "the last checkpoint was not stored");
        }
        outcome
    }
}

impl<S: Source> Run<S> {
    fn accept(&mut self, delivered: Delivered<S>, frame: &Frame) {
        frame.reporter.validate(true);
        if frame.reporter.is_failing(WHOLE) {
            frame.reporter.recovered(WHOLE);
        }
        match delivered {
            Delivered::Item { item, lane, ticket, mark } => {
                let number = self.window.push(mark);
                let lane = if self.in_order { Lane(0) } else { lane };
                self.lanes.push(lane, Open { number, item, ticket });
            }
            Delivered::CaughtUp { mark } => {
                self.window.push_done(mark);
                if !std::mem::replace(&mut self.live, true) {
                    frame.reporter.live(true);
                }
            }
        }
    }

    /// Takes note of an item that was handled; the error if it was given up.
    fn end(&mut self, ended: Ended<S>) -> Option<BoxError> {
        self.lanes.finished(ended.lane);
        if let Err(error) = ended.outcome {
            return Some(error);
        }
        self.window.finish(ended.number);
        self.settled.push(ended.ticket);
        None
    }

    fn advance(&mut self, frame: &Frame) {
        let moved = self.window.advance();
        let position = moved.mark.as_ref().map(S::position);
        if let Some(position) = position.or((moved.items > 0).then(Default::default)) {
            frame.metrics.events(moved.items);
            frame.reporter.advance(position, moved.items, true);
        }
        self.unstored = moved.mark.or(self.unstored.take());
    }

    /// Begins to store the watermark.
    fn store(&mut self, source: &S, keeper: &Keeper) -> Option<Storing<S::Mark>> {
        let mark = self.unstored.take()?;
        let completing = source.complete(mark.clone());
        let (keeper, filter, revision) = (keeper.clone(), self.filter.clone(), self.revision);
        Some(Box::pin(async move {
            let put = async { keeper.put(filter, Some(completing.await?), revision).await };
            put.await.map_err(|error| (mark, error))
        }))
    }

    /// Takes note of the watermark that was stored. While the store can't be reached, the items go on.
    fn stored(&mut self, outcome: Stored<S::Mark>, frame: &Frame) -> Result<(), BoxError> {
        self.due = Instant::now() + STORE_INTERVAL;
        let (mark, error) = match outcome {
            Ok(revision) => {
                self.revision = revision;
                self.attempts.reset();
                frame.reporter.recovered(STORING);
                return Ok(());
            }
            Err(failed) => failed,
        };
        let class = classify(&*error);
        let pause = self.attempts.failed(class).filter(|_| class == Class::Transient);
        let Some(pause) = pause else { return Err(error) };
        self.due = Instant::now() + pause;
        self.unstored.get_or_insert(mark);
        frame.metrics.failure(class.name());
        frame.reporter.failing(STORING, class, self.attempts.failures, chain(&*error).into());
        Ok(())
    }
}

/// Does this while items are being handled. Each wait of the loop goes on with them: an item that is not polled may hold a
/// connection which others wait for.
async fn beside<T, I>(
    running: &mut FuturesUnordered<impl Future<Output = I>>,
    work: impl Future<Output = T>,
) -> (T, Vec<I>) {
    let mut work = pin!(work);
    let mut ended = Vec::new();
    loop {
        tokio::select! {
            biased;
            done = &mut work => return (done, ended),
            Some(item) = running.next() => ended.push(item),
        }
    }
}

/// Handles an item until it succeeds or its budget is used up.
async fn handle<S: Source, K: Sink<Item = S::Item>>(frame: &Frame, sink: &K, lane: Lane, open: Open<S>) -> Ended<S> {
    let Open { number, item, ticket } = open;
    let mut attempts: Option<Attempts> = None;
    let outcome = loop {
        let span = item_span(frame, sink.event(&item), attempts.as_ref().map_or(0, |attempts| attempts.failures));
        let recorded = (!span.is_disabled()).then(|| span.clone());
        let started = frame.metrics.start();
        let taking = bounded(sink.time_limit(), async { sink.take(&item).await });
        let Err(error) = taking.instrument(span).await else {
            frame.metrics.batch(1, started);
            break Ok(());
        };
        let class = classify(&*error);
        frame.metrics.failure(class.name());
        failed(recorded, class);
        let attempts = attempts.get_or_insert_with(|| Attempts::new(frame.budget));
        let Some(pause) = attempts.failed(class) else { break Err(GaveUp(error).into()) };
        let text: Arc<str> = chain(&*error).into();
        let failures = attempts.failures;
        tracing::warn!(kind = %frame.kind, name = %frame.name, error = %text, failures, ?pause, "item failed, trying again");
        frame.reporter.failing(number, class, failures, text);
        tokio::time::sleep(pause).await;
    };
    if attempts.is_some() {
        frame.reporter.recovered(number);
    }
    Ended { lane, number, ticket, outcome }
}
