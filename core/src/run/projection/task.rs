//! One projection at work: collect, handle in a transaction, move the checkpoint, repeat.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;

use super::batch::{Batch, collect};
use super::transaction::Model;
use crate::run::consumer::{Class, FilterChange, Frame, WHOLE, Work, classify, source, took_too_long};
use crate::run::rebuild::RebuildOrdered;
use crate::{BoxError, Checkpoint, Filter, Position, Projection, ReadModel, RecordedEvent, Source};

/// How long the stored checkpoint may lag behind while only unselected events pass by.
const IDLE_ADVANCE: Duration = Duration::from_secs(1);
/// How often an idle projection looks whether it was ordered to start over.
const IDLE_LOOK: Duration = Duration::from_secs(2);
/// While more is at hand, callers that wait for the projection are woken no more often than this, or than each so many
/// events.
const NOTIFY_INTERVAL: Duration = Duration::from_millis(2);
const NOTIFY_EVENTS: u64 = 256;

/// A projection, its source and its read model.
pub(crate) struct Projecting<S, P: Projection> {
    frame: Frame,
    source: S,
    model: Model<P>,
    /// `None` once the read model was set up: the choice is made once.
    on_change: Option<FilterChange>,
    /// How many events are taken into one transaction at most: fewer after handlers have exceeded their time limit.
    batch: usize,
}

impl<S, P> Projecting<S, P>
where
    S: Source<Item = RecordedEvent, Mark = Checkpoint>,
    P: Projection,
{
    pub(crate) fn new(
        frame: Frame,
        source: S,
        projection: P,
        read_model: P::ReadModel,
        on_change: FilterChange,
    ) -> Self {
        let model = Model { frame: frame.clone(), projection, read_model };
        Self { frame, source, model, on_change: Some(on_change), batch: P::ReadModel::BATCH }
    }

    async fn follow(&mut self, filter: Filter) -> Result<(), BoxError> {
        let mut checkpoint = self.model.set_up(&filter, self.on_change).await?;
        self.on_change = None;
        let reporter = Arc::clone(&self.frame.reporter);
        reporter.begin_at(checkpoint.position);
        // Everything up to here is handled, also if the checkpoint is behind.
        let mut passed = checkpoint.position;
        let frame = self.frame.clone();
        source::open(&mut self.source, Some(checkpoint)).await?;
        let (mut stored, mut notified, mut silent) = (Instant::now(), Instant::now(), 0);
        let mut look = tokio::time::Instant::now() + IDLE_LOOK;
        loop {
            tokio::task::consume_budget().await;
            // Waiting for two things costs more than most handlers: only where there is something to wait for.
            let at_hand = if *frame.shutdown.borrow() { None } else { self.source.next().now_or_never() };
            let first = match at_hand {
                Some(delivery) => delivery?,
                None => {
                    reporter.advance(checkpoint.position, 0, silent > 0);
                    silent = 0;
                    tokio::select! {
                        biased;
                        () = frame.stopping() => return self.leave(checkpoint, passed).await,
                        delivery = self.source.next() => delivery?,
                        () = tokio::time::sleep_until(look) => {
                            self.model.look(checkpoint).await?;
                            look = tokio::time::Instant::now() + IDLE_LOOK;
                            continue;
                        }
                    }
                }
            };
            // The first delivery comes after the source has compared the checkpoint with the store.
            reporter.validate(true);
            let batch = collect(first, &mut self.source, self.batch);
            let count = batch.events.len() as u64;
            if count > 0 || stored.elapsed() >= IDLE_ADVANCE && batch.to.position > checkpoint.position {
                let to = self.target(checkpoint, &batch).await?;
                let taken = self.model.take(checkpoint, &batch.events, to).await;
                self.resize(batch.events.len(), taken.as_ref().err());
                (checkpoint, stored) = (taken?, Instant::now());
            }
            if count > 0 || batch.caught_up {
                reporter.recovered(WHOLE);
            }
            silent += count;
            let notify = batch.caught_up || silent >= NOTIFY_EVENTS || notified.elapsed() >= NOTIFY_INTERVAL;
            frame.metrics.events(count);
            reporter.advance(batch.to.position, count, notify);
            passed = batch.to.position;
            if notify {
                (notified, silent) = (Instant::now(), 0);
            }
            if let Some(error) = batch.broken {
                return Err(error);
            }
            if batch.caught_up {
                reporter.live(true);
            }
        }
    }

    /// Takes fewer events at once after handlers that took too long, and more again after others.
    fn resize(&mut self, events: usize, error: Option<&BoxError>) {
        let slow = error.is_some_and(|error| took_too_long(&**error));
        self.batch = if slow { (events / 2).max(1) } else { self.batch.saturating_mul(2).min(P::ReadModel::BATCH) };
    }

    /// The checkpoint at the end of a batch. If the store is unavailable, the checkpoint of the batch's last event.
    async fn target(&mut self, from: Checkpoint, batch: &Batch) -> Result<Checkpoint, BoxError> {
        let to = match source::complete(&self.source, batch.to).await {
            Err(error) if classify(&*error) == Class::Transient => match batch.events.last() {
                Some(last) => self.model.at(last, batch.to),
                None => from,
            },
            to => to?,
        };
        Ok(Checkpoint { filter: from.filter, ..to })
    }

    /// Stores how far it is, unless the checkpoint says so already.
    async fn leave(&mut self, checkpoint: Checkpoint, position: Position) -> Result<(), BoxError> {
        if position > checkpoint.position {
            let to = Checkpoint { position, event: None, ..checkpoint };
            let to = source::complete(&self.source, to).await?;
            self.model.transact(checkpoint, &[], to).await?;
        }
        Ok(())
    }
}

impl<S, P> Work for Projecting<S, P>
where
    S: Source<Item = RecordedEvent, Mark = Checkpoint>,
    P: Projection,
{
    async fn run(&mut self) -> Result<(), BoxError> {
        let filter = self.source.filter();
        loop {
            match self.follow(filter.clone()).await {
                Err(error) if error.is::<RebuildOrdered>() => {
                    if *self.frame.shutdown.borrow() {
                        // It starts over when it is started again.
                        return Ok(());
                    }
                }
                outcome => return outcome,
            }
        }
    }

    fn is_recovered(&self) -> bool {
        self.frame.reporter.trouble(WHOLE).is_none()
    }

    fn classify(&self, error: &(dyn Error + 'static)) -> Class {
        self.model.class(error)
    }
}
