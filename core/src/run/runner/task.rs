//! One projection at work: collect, apply in a transaction, move the checkpoint, repeat.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{FutureExt, StreamExt};
use tokio::sync::watch;
use tracing::Instrument;

use super::batch::{Batch, Decoded, Failure, collect, decode, failed_on};
use super::{Progress, Status};
use crate::run::projection::{OneFailed, one_by_one};
use crate::store::chain;
use crate::{
    BoxError, Checkpoint, CheckpointError, Event, NameCollision, Position, Projection, ReadModel, RecordedEvent, Retry,
    Store, StoreError, Subscription,
};

/// How long the stored checkpoint may lag behind while only unselected events pass by.
const IDLE_ADVANCE: Duration = Duration::from_secs(1);
/// While more is at hand, those who wait for the projection are woken no more often than this, or than each so many events.
const TELL: Duration = Duration::from_millis(2);
const TELL_EVENTS: u64 = 256;

pub(super) struct Task<P: Projection> {
    pub(super) projection: P,
    pub(super) read_model: P::ReadModel,
    pub(super) store: Arc<dyn Store>,
    pub(super) retry: Retry,
    pub(super) progress: watch::Sender<Progress>,
    pub(super) shutdown: watch::Receiver<bool>,
    /// The error if another type of the program claims one of the events' stored names.
    pub(super) names: Result<(), NameCollision>,
}

impl<P: Projection> Task<P> {
    /// Runs until it is shut down or gives up, and says so loudly.
    pub(super) async fn run(mut self) {
        if let Err(collision) = &self.names {
            let error: Arc<str> = collision.to_string().into();
            tracing::error!(projection = P::NAME, %error, "projection refused");
            return self.status(Status::Stopped { error });
        }
        let mut backoff = self.retry.backoff();
        let mut failures = 0;
        loop {
            let before = self.progress.borrow().position;
            let Err(error) = self.follow().await else { return self.status(Status::ShutDown) };
            if self.progress.borrow().position > before {
                (backoff, failures) = (self.retry.backoff(), 0);
            }
            failures += 1;
            let text: Arc<str> = chain(&*error).into();
            let lost_history = is_lost_history(&*error);
            if lost_history {
                // The read model has handled events that the store lacks, so its position satisfies no waiting caller.
                self.progress.send_modify(|progress| progress.valid = false);
            }
            let Some(pause) = backoff.next().filter(|_| !lost_history) else {
                tracing::error!(projection = P::NAME, error = %text, failures, "projection stopped");
                return self.status(Status::Stopped { error: text });
            };
            tracing::warn!(projection = P::NAME, error = %text, failures, ?pause, "projection failed, trying again");
            self.status(Status::Retrying { failures, error: text });
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stopped(&mut self.shutdown) => return self.status(Status::ShutDown),
            }
        }
    }

    /// Goes on from the checkpoint until it is shut down.
    async fn follow(&mut self) -> Result<(), BoxError> {
        let mut checkpoint = self.set_up().await?;
        self.advance(checkpoint.position, 0, true);
        let mut shutdown = self.shutdown.clone();
        let (mut stored, mut told, mut untold) = (Instant::now(), Instant::now(), 0);
        let reader = format!("projection {}", P::NAME);
        let mut deliveries = Subscription::new(Arc::clone(&self.store), reader, P::Event::query(), checkpoint);
        loop {
            tokio::task::consume_budget().await;
            // Waiting for two things costs more than most handlers: only where there is something to wait for.
            let at_hand = if *shutdown.borrow() { None } else { deliveries.next().now_or_never() };
            let first = match at_hand {
                Some(delivery) => delivery.ok_or("the store was closed")??,
                None => {
                    self.advance(checkpoint.position, 0, untold > 0);
                    untold = 0;
                    tokio::select! {
                        biased;
                        () = stopped(&mut shutdown) => return self.leave(checkpoint, &mut deliveries).await,
                        delivery = deliveries.next() => delivery.ok_or("the store was closed")??,
                    }
                }
            };
            // The first delivery comes after the subscription has compared the checkpoint with the store.
            self.validate();
            let batch = collect::<P::ReadModel>(first, &mut deliveries)?;
            if !batch.events.is_empty() || stored.elapsed() >= IDLE_ADVANCE && batch.to > checkpoint.position {
                let to = self.target(checkpoint, &batch, &mut deliveries).await?;
                checkpoint = self.take(checkpoint, &batch.events, to).await?;
                stored = Instant::now();
            }
            untold += batch.events.len() as u64;
            let tell = batch.caught_up || untold >= TELL_EVENTS || told.elapsed() >= TELL;
            self.advance(batch.to, batch.events.len() as u64, tell);
            if tell {
                (told, untold) = (Instant::now(), 0);
            }
            if batch.caught_up {
                self.status(Status::Live);
            }
        }
    }

    /// Marks the progress as valid, so that callers that wait for a position may rely on it.
    fn validate(&self) {
        self.progress.send_if_modified(|progress| !std::mem::replace(&mut progress.valid, true));
    }

    /// The checkpoint at the end of a batch. If the store is unavailable, the checkpoint of the batch's last event.
    async fn target(
        &self,
        from: Checkpoint,
        batch: &Batch,
        deliveries: &mut Subscription,
    ) -> Result<Checkpoint, StoreError> {
        match deliveries.checkpoint().await {
            Err(error) if error.is_transient() => Ok(batch.events.last().map_or(from, |last| self.at(last))),
            target => target,
        }
    }

    /// Stores how far it is, unless the checkpoint says so already.
    async fn leave(&self, checkpoint: Checkpoint, deliveries: &mut Subscription) -> Result<(), BoxError> {
        if self.progress.borrow().position > checkpoint.position {
            let to = deliveries.checkpoint().await?;
            self.take(checkpoint, &[], to).await?;
        }
        Ok(())
    }

    async fn set_up(&self) -> Result<Checkpoint, BoxError> {
        let (mut transaction, checkpoint) = self.read_model.begin(P::NAME).await?;
        let setup = self.projection.setup(P::ReadModel::connection(&mut transaction));
        self.read_model.handling(P::NAME, setup).await?;
        self.read_model.commit(transaction, P::NAME, checkpoint, checkpoint).await?;
        Ok(checkpoint)
    }

    /// Takes the events into the read model. If one fails, those before it are kept and the failure is returned.
    async fn take(&self, from: Checkpoint, events: &[RecordedEvent], to: Checkpoint) -> Result<Checkpoint, BoxError> {
        let (events, broken) = decode(events);
        let Some(broken) = broken else {
            self.take_decoded(from, &events, to).await?;
            return Ok(to);
        };
        if let Some((_, last)) = events.last() {
            self.take_decoded(from, &events, self.at(last)).await?;
            self.advance(last.position, events.len() as u64, true);
        }
        Err(broken)
    }

    fn at(&self, event: &RecordedEvent) -> Checkpoint {
        Checkpoint::at(event, self.store.identity())
    }

    async fn take_decoded(&self, from: Checkpoint, events: &[Decoded<'_, P>], to: Checkpoint) -> Result<(), BoxError> {
        let span = tracing::debug_span!("project", projection = P::NAME, events = events.len(), to = %to.position);
        let failure = match self.transact(from, events, to, false).instrument(span).await {
            Ok(()) => return Ok(()),
            Err(Failure::Many(error)) => {
                tracing::debug!(projection = P::NAME, %error, "taking many events at once failed, now one by one");
                match self.transact(from, events, to, true).await {
                    Ok(()) => return Ok(()),
                    Err(failure) => failure,
                }
            }
            Err(failure) => failure,
        };
        let (at, error) = match failure {
            Failure::Whole(error) | Failure::Many(error) | Failure::One { at: 0, error } => return Err(error),
            Failure::One { at, error } => (at, error),
        };
        let to = self.at(events[at - 1].1);
        let undone = if P::ReadModel::UNDOES { &events[..at] } else { &[] };
        self.transact(from, undone, to, true).await.map_err(Failure::into_error)?;
        self.advance(to.position, at as u64, true);
        Err(error)
    }

    async fn transact(
        &self,
        from: Checkpoint,
        events: &[Decoded<'_, P>],
        to: Checkpoint,
        singly: bool,
    ) -> Result<(), Failure> {
        let whole = |error: BoxError| Failure::Whole(error);
        let (mut transaction, checkpoint) = self.read_model.begin(P::NAME).await.map_err(|e| whole(e.into()))?;
        if checkpoint != from {
            let (projection, expected, actual) = (P::NAME.to_owned(), from.position, checkpoint.position);
            return Err(whole(CheckpointError::Moved { projection, expected, actual }.into()));
        }
        let connection = P::ReadModel::connection(&mut transaction);
        let handlers = async {
            match events {
                [] => Ok(()),
                [_] => one_by_one(&self.projection, events, connection).await,
                _ if singly => one_by_one(&self.projection, events, connection).await,
                _ => self.projection.on_many(events, connection).await,
            }
        };
        self.read_model.handling(P::NAME, handlers).await.map_err(|error| match error.downcast::<OneFailed>() {
            Ok(failed) => {
                let OneFailed { at, source } = *failed;
                Failure::One { at, error: failed_on(events[at].1, source) }
            }
            Err(error) => Failure::Many(error),
        })?;
        self.read_model.commit(transaction, P::NAME, from, to).await.map_err(|e| whole(e.into()))
    }

    /// Notes how far it is, and wakes those who wait for that.
    fn advance(&self, to: Position, events: u64, tell: bool) {
        self.progress.send_if_modified(|progress| {
            progress.position = progress.position.max(to);
            progress.events += events;
            tell
        });
    }

    fn status(&self, status: Status) {
        self.progress.send_if_modified(|progress| {
            let changed = progress.status != status;
            progress.status = status;
            changed
        });
    }
}

/// Whether a projection failed because the store lacks events that its read model has handled.
fn is_lost_history(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    error.downcast_ref::<StoreError>().is_some_and(StoreError::is_lost_history)
}

/// Waits for the signal to stop, or for the owner to be gone.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}
