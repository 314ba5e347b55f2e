//! The state of one run of a consumer in lanes: deliveries, watermark, failures.

use std::future::Future;
use std::pin::{Pin, pin};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::failure::{Class, GaveUp, MarkNotStored, bounded_call, classify, describe, discard};
use super::filter::Filter;
use super::item::{Ended, Open};
use super::keeper::Keeper;
use super::lanes::{Lanes, Window};
use super::policy::Attempts;
use super::recovery::Recovery;
use super::reporter::{STORING, WHOLE};
use super::source::{self, Delivered, Lane, Source};
use super::supervise::Frame;
use super::{GRACE, MAINTENANCE, STORE_INTERVAL, TIME_LIMIT};
use crate::{BoxError, ExpectedRevision};

/// The state of one run.
pub(crate) struct Run<'c, S: Source> {
    frame: &'c Frame,
    recovery: &'c mut Recovery,
    /// Failures to store the watermark.
    storing: &'c mut Attempts,
    pub(crate) lanes: Lanes<Open<S>>,
    window: Window<S::Mark>,
    /// The deliveries that may be open.
    room: usize,
    filter: Filter,
    settled: Vec<S::Ticket>,
    /// The watermark, if it is not stored.
    unstored: Option<S::Mark>,
    /// A mark that was not stored, as far as is known. It is stored before a newer one.
    again: Option<S::Mark>,
    /// When the watermark is stored next.
    pub(crate) due: Instant,
    revision: ExpectedRevision,
    /// Whether the source gives marks.
    marked: bool,
    live: bool,
    /// All items share one lane.
    in_order: bool,
    /// The failure of the source. The items that it has delivered are handled before the run ends.
    broken: Option<BoxError>,
    /// Whether the source no longer settles items.
    unsettled: bool,
    /// Until when the items of a broken source are waited for.
    pub(crate) patience: Instant,
    /// When the source last did its maintenance.
    pub(crate) maintained: Instant,
    /// The failure that ends the run at once.
    failed: Option<BoxError>,
}

/// The revision of the stored watermark, or the watermark that was not stored.
type Stored<M> = Result<ExpectedRevision, (M, BoxError)>;
pub(crate) type Storing<M> = Pin<Box<dyn Future<Output = Stored<M>> + Send>>;

impl<'c, S: Source> Run<'c, S> {
    pub(crate) fn new(
        frame: &'c Frame,
        (recovery, storing): (&'c mut Recovery, &'c mut Attempts),
        (filter, revision): (Filter, ExpectedRevision),
        at_once: usize,
    ) -> Self {
        let now = Instant::now();
        Self {
            frame,
            recovery,
            storing,
            lanes: Lanes::new(at_once),
            window: Window::new(),
            room: at_once.saturating_mul(super::WINDOW),
            filter,
            settled: Vec::new(),
            unstored: None,
            again: None,
            due: now,
            revision,
            marked: false,
            live: false,
            in_order: at_once <= 1,
            broken: None,
            unsettled: false,
            patience: now,
            maintained: now,
            failed: None,
        }
    }

    /// Whether the source is asked for another delivery.
    pub(crate) fn has_room(&self) -> bool {
        self.broken.is_none() && self.window.len() < self.room
    }

    /// Whether the source has failed.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// Whether there is a mark to store.
    pub(crate) fn has_mark(&self) -> bool {
        self.unstored.is_some() || self.again.is_some()
    }

    pub(crate) fn accept(&mut self, delivered: Result<Delivered<S>, BoxError>) {
        let reporter = &self.frame.reporter;
        let recovered = match delivered {
            Ok(Delivered::Item { item, lane, ticket, mark }) => {
                self.marked |= mark.is_some();
                let recovered = self.recovery.delivered(mark.is_some());
                let number = self.window.push(mark);
                let lane = if self.in_order { Lane(0) } else { lane };
                self.lanes.push(lane, Open { number, item, ticket });
                recovered
            }
            Ok(Delivered::CaughtUp { mark }) => {
                let recovered = self.recovery.caught_up(mark.is_some());
                self.window.push_done(mark);
                if !std::mem::replace(&mut self.live, true) {
                    reporter.live(true);
                }
                recovered
            }
            Err(error) => return self.source_failed(error),
        };
        reporter.validate(true);
        if recovered {
            reporter.recovered(WHOLE);
        }
    }

    fn source_failed(&mut self, error: BoxError) {
        self.frame.reporter.live(false);
        keep_first(&mut self.broken, error);
        self.patience = Instant::now() + GRACE;
    }

    /// Takes note of an item that was handled, given up or left. The lane of an item that was left stays closed.
    pub(crate) fn end(&mut self, ended: Ended<S>) {
        let Some(outcome) = ended.outcome else { return };
        self.lanes.finished(ended.lane);
        if let Err(error) = outcome {
            return keep_first(&mut self.failed, error);
        }
        self.window.finish(ended.number);
        self.settled.push(ended.ticket);
        if self.is_broken() {
            self.patience = Instant::now() + GRACE;
        }
    }

    /// Moves the watermark.
    pub(crate) fn advance(&mut self) {
        let moved = self.window.advance();
        let position = moved.mark.as_ref().map(S::position);
        if let Some(position) = position.or((moved.items > 0).then(Default::default)) {
            self.frame.metrics.events(moved.items);
            self.frame.reporter.advance(position, moved.items, true);
            if self.recovery.handled(moved.items) {
                self.frame.reporter.recovered(WHOLE);
            }
        }
        self.unstored = moved.mark.or(self.unstored.take());
    }

    /// Tells the source of the items that were handled, while others are being handled. Returns whether one of these ended
    /// meanwhile.
    pub(crate) async fn settle(
        &mut self,
        source: &mut S,
        running: &mut FuturesUnordered<impl Future<Output = Ended<S>>>,
    ) -> bool {
        if self.settled.is_empty() || self.unsettled {
            return false;
        }
        let settled = std::mem::take(&mut self.settled);
        let items = settled.len() as u64;
        let (outcome, ended) = beside(running, source::settle(source, settled)).await;
        match outcome {
            // A source without marks and tickets can't know that an item was handled.
            Ok(()) if !self.marked && size_of::<S::Ticket>() > 0 => self.recovery.settled(items),
            Ok(()) => {}
            Err(error) => {
                self.unsettled = true;
                self.source_failed(error);
            }
        }
        let any = !ended.is_empty();
        ended.into_iter().for_each(|ended| self.end(ended));
        any
    }

    /// Lets the source do its maintenance, if it is due, while items are being handled. Returns whether one of these
    /// ended meanwhile.
    pub(crate) async fn maintain(
        &mut self,
        source: &mut S,
        running: &mut FuturesUnordered<impl Future<Output = Ended<S>>>,
    ) -> bool {
        if running.is_empty() || self.is_broken() || self.maintained.elapsed() < MAINTENANCE {
            return false;
        }
        let (outcome, ended) = beside(running, source::maintain(source)).await;
        self.maintained = Instant::now();
        if let Err(error) = outcome {
            self.source_failed(error);
        }
        let any = !ended.is_empty();
        ended.into_iter().for_each(|ended| self.end(ended));
        any
    }

    /// The outcome, if the run is over. `drained`: no item is being handled.
    pub(crate) fn outcome(&mut self, drained: bool) -> Option<Result<(), BoxError>> {
        if let Some(error) = self.failed.take() {
            return Some(Err(error));
        }
        if *self.frame.shutdown.borrow() {
            return Some(Ok(()));
        }
        self.broken.take_if(|_| drained || self.patience <= Instant::now()).map(Err)
    }

    /// Begins to store the watermark.
    pub(crate) fn store(&mut self, source: &S, keeper: &Keeper) -> Option<Storing<S::Mark>> {
        let again = self.again.take();
        let repeated = again.is_some();
        let mark = again.or_else(|| self.unstored.take())?;
        if !repeated {
            self.recovery.storing();
        }
        let completing = source::complete(source, mark.clone());
        let (keeper, filter, revision) = (keeper.clone(), self.filter.clone(), self.revision);
        Some(Box::pin(async move {
            let put = async { keeper.put::<S>(filter, Some(completing.await?), revision, repeated).await };
            bounded_call("`StateStore::put`", TIME_LIMIT, put).await.map_err(|error| (mark, error))
        }))
    }

    /// Takes note of the watermark that was stored. While it can't be stored, the items go on, until its budget is used up.
    pub(crate) fn stored(&mut self, outcome: Stored<S::Mark>) {
        let frame = self.frame;
        self.due = Instant::now() + STORE_INTERVAL;
        let (mark, error) = match outcome {
            Ok(revision) => {
                self.revision = revision;
                self.storing.reset();
                frame.reporter.recovered(STORING);
                if self.recovery.stored() {
                    frame.reporter.recovered(WHOLE);
                }
                return;
            }
            Err(failed) => failed,
        };
        let class = classify(&*error);
        if !matches!(class, Class::Transient | Class::Bad) {
            return keep_first(&mut self.failed, error);
        }
        frame.metrics.failure(class.name());
        let Some(pause) = self.storing.failed(class) else {
            return keep_first(&mut self.failed, GaveUp(MarkNotStored::new(frame.title(), error).into()).into());
        };
        self.due = Instant::now() + pause;
        self.again = Some(mark);
        let (text, failures) = (describe(&*error), self.storing.failures);
        tracing::warn!(kind = %frame.kind, name = %frame.name, error = %text, failures, ?pause, "the checkpoint was not stored");
        frame.reporter.failing(STORING, class, failures, text);
        discard(error);
    }

    /// The end: stores the last watermark, once.
    pub(crate) async fn finish(mut self, source: &mut S, keeper: &Keeper) -> Result<(), BoxError> {
        while self.failed.is_none()
            && let Some(storing) = self.store(source, keeper)
        {
            // A watermark that can't be stored is repeated work, no reason to hide why the consumer ends.
            match source::beside(source, storing).await {
                Err((_, error)) if classify(&*error) != Class::Elsewhere => {
                    let (frame, text) = (self.frame, describe(&*error));
                    tracing::warn!(kind = %frame.kind, name = %frame.name, error = %text, "the last checkpoint was not stored");
                    discard(error);
                    break;
                }
                outcome => self.stored(outcome),
            }
        }
        if let Some(error) = self.broken.take() {
            discard(error);
        }
        self.failed.map_or(Ok(()), Err)
    }
}

/// Keeps an error unless there is one.
fn keep_first(kept: &mut Option<BoxError>, error: BoxError) {
    match kept {
        Some(_) => discard(error),
        None => *kept = Some(error),
    }
}

/// Does this while items are being handled. Each wait of the loop goes on with them: an item that is not polled may hold a
/// connection for which the loop itself waits in line.
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
