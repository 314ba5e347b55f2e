//! The transactions of a projection: handlers and checkpoint commit together, or not at all.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::Instrument;

use super::batch::{Decoded, Failure, decode, failed_on};
use super::{OneFailed, Projection, RETURNED, one_by_one};
use crate::run::consumer::{Class, Frame, batch_span, bounded, classify, failed, took_too_long, unwound};
use crate::run::rebuild::RebuildOrdered;
use crate::{BoxError, Checkpoint, CheckpointError, FilterId, Metadata, Position, ReadModel, RecordedEvent};

/// A projection with its read model.
pub(super) struct Model<P: Projection> {
    pub(super) frame: Frame,
    pub(super) projection: P,
    pub(super) read_model: P::ReadModel,
}

impl<P: Projection> Model<P> {
    /// The checkpoint of an event in the store of another checkpoint.
    pub(super) fn at(&self, event: &RecordedEvent, like: Checkpoint) -> Checkpoint {
        Checkpoint { position: event.position, event: Some(event.data.id), ..like }
    }

    /// Events were taken before the one that failed.
    pub(super) fn kept(&self, position: Position, events: usize) {
        self.frame.reporter.recovered(crate::run::consumer::WHOLE);
        self.frame.metrics.events(events as u64);
        self.frame.reporter.advance(position, events as u64, true);
    }

    /// Whether time heals the error.
    pub(super) fn is_transient(&self, error: &(dyn Error + 'static)) -> bool {
        // The errors of handlers, and the read model, are the application's code.
        took_too_long(error) || unwound(|| self.read_model.is_transient(&self.frame.name, error)).unwrap_or_default()
    }

    /// The class of a failure.
    pub(super) fn class(&self, error: &(dyn Error + 'static)) -> Class {
        match classify(error) {
            Class::Bad | Class::Transient if self.is_transient(error) => Class::Transient,
            Class::Transient => Class::Bad,
            class => class,
        }
    }

    /// Runs handlers within the read model's time limit; a panic is an error.
    pub(super) async fn bounded(
        &self,
        handlers: impl Future<Output = Result<(), BoxError>> + Send,
    ) -> Result<(), BoxError> {
        let handling = self.read_model.handling(&self.frame.name, handlers);
        bounded(self.read_model.time_limit(), handling).await
    }

    /// Takes the events into the read model. If one fails, those before it are kept and the failure is returned.
    pub(super) async fn take(
        &self,
        from: Checkpoint,
        events: &[RecordedEvent],
        to: Checkpoint,
    ) -> Result<Checkpoint, BoxError> {
        let (events, broken): (Vec<Decoded<'_, P::Event>>, _) = decode(events);
        let Some(broken) = broken else {
            self.transact(from, &events, to).await?;
            return Ok(to);
        };
        if let Some((_, last)) = events.last() {
            self.transact(from, &events, self.at(last, to)).await?;
            self.kept(last.position, events.len());
        }
        Err(broken)
    }

    /// Takes the events into the read model in one transaction. If one fails, those before it are kept, and the failure is
    /// returned.
    pub(super) async fn transact(
        &self,
        from: Checkpoint,
        events: &[Decoded<'_, P::Event>],
        to: Checkpoint,
    ) -> Result<(), BoxError> {
        let span = batch_span(&self.frame, events.iter().map(|(_, recorded)| *recorded), to.position);
        let started = self.frame.metrics.start();
        let taken = self.transact_or_blame(from, events, to).instrument(span.clone()).await;
        match &taken {
            Ok(()) if !events.is_empty() => self.frame.metrics.batch(events.len() as u64, started),
            Ok(()) => {}
            Err(error) => failed(Some(span), self.class(&**error)),
        }
        taken
    }

    async fn transact_or_blame(
        &self,
        from: Checkpoint,
        events: &[Decoded<'_, P::Event>],
        to: Checkpoint,
    ) -> Result<(), BoxError> {
        let failure = match self.attempt(from, events, to, false).await {
            Ok(()) => return Ok(()),
            Err(Failure::Many(error)) => {
                let name = &*self.frame.name;
                tracing::debug!(projection = name, %error, "taking many events at once failed, now one by one");
                match self.attempt(from, events, to, true).await {
                    Ok(()) => return Ok(()),
                    Err(failure) => failure,
                }
            }
            Err(failure) => failure,
        };
        let (at, error) = match failure {
            Failure::Whole(error) => return Err(error),
            Failure::Many(error) | Failure::One { at: 0, error } => {
                return Err(self.moved(from).await.unwrap_or(error));
            }
            Failure::One { at, error } => (at, error),
        };
        let last = self.at(events[at - 1].1, to);
        let undone = if P::ReadModel::UNDOES { &events[..at] } else { &[] };
        self.attempt(from, undone, last, true).await.map_err(Failure::into_error)?;
        self.kept(last.position, at);
        Err(error)
    }

    /// Returns an error if another runner has moved the checkpoint, else `None`. The handlers have then met the other
    /// runner's rows.
    async fn moved(&self, from: Checkpoint) -> Option<BoxError> {
        let (_, checkpoint) = self.read_model.begin(&self.frame.name).await.ok()?;
        (checkpoint != from).then(|| self.moved_to(from, checkpoint))
    }

    /// Fails if another runner has moved the checkpoint, or the projection was ordered to start over.
    pub(super) async fn look(&self, from: Checkpoint) -> Result<(), BoxError> {
        self.moved(from).await.map_or(Ok(()), Err)
    }

    fn moved_to(&self, from: Checkpoint, to: Checkpoint) -> BoxError {
        if to.filter == Some(FilterId::REBUILD) {
            return RebuildOrdered(self.frame.name.to_string()).into();
        }
        let (expected, actual) = (from.position, to.position);
        CheckpointError::Moved { projection: self.frame.name.to_string(), expected, actual }.into()
    }

    async fn attempt(
        &self,
        from: Checkpoint,
        events: &[Decoded<'_, P::Event>],
        to: Checkpoint,
        singly: bool,
    ) -> Result<(), Failure> {
        let whole = |error: BoxError| Failure::Whole(error);
        let name = &*self.frame.name;
        let (mut transaction, checkpoint) = self.read_model.begin(name).await.map_err(|e| whole(e.into()))?;
        if checkpoint != from {
            return Err(whole(self.moved_to(from, checkpoint)));
        }
        let connection = P::ReadModel::connection(&mut transaction);
        let handlers = async {
            match events {
                [] => Ok(()),
                [_] => one_by_one(&self.projection, events, connection).await,
                _ if singly => one_by_one(&self.projection, events, connection).await,
                _ => common(events).scope(self.projection.on_many(events, connection)).await,
            }
        };
        let outcome = if P::ReadModel::UNDOES || events.len() < 2 {
            self.bounded(handlers).await.map_err(|error| self.blame(error, events, 0))
        } else {
            let returned = Arc::<AtomicUsize>::default();
            let outcome = self.bounded(RETURNED.scope(Arc::clone(&returned), handlers)).await;
            outcome.map_err(|error| self.blame(error, events, returned.load(Ordering::Relaxed)))
        };
        outcome?;
        self.read_model.commit(transaction, name, from, to).await.map_err(|e| whole(e.into()))
    }

    /// Which event an error of handlers is about. `returned`: how many events were handled, if that can't be undone.
    fn blame(&self, error: BoxError, events: &[Decoded<'_, P::Event>], returned: usize) -> Failure {
        match error.downcast::<OneFailed>() {
            // Without a transaction the events before the failed one stay handled, even if the failure is transient.
            Ok(failed) if !P::ReadModel::UNDOES || !self.is_transient(&*failed.source) => {
                let OneFailed { at, source } = *failed;
                Failure::One { at, error: failed_on(events[at].1, source) }
            }
            Ok(failed) => Failure::Whole(failed_on(events[failed.at].1, failed.source)),
            Err(error) if returned > 0 && took_too_long(&*error) => {
                let at = returned.min(events.len() - 1);
                Failure::One { at, error: failed_on(events[at].1, error) }
            }
            Err(error) if self.is_transient(&*error) => Failure::Whole(error),
            Err(error) => Failure::Many(error),
        }
    }
}

/// The metadata that all events have in common: none of them alone is the cause, unless it is the only one.
fn common<E>(events: &[Decoded<'_, E>]) -> Metadata {
    let Some(((_, first), rest)) = events.split_first() else { return Metadata::default() };
    let of = &first.data.metadata;
    let mut common = Metadata {
        correlation_id: of.correlation_id.clone(),
        actor: of.actor.clone(),
        traceparent: of.traceparent.clone(),
        ..Metadata::default()
    };
    for (_, recorded) in rest {
        let of = &recorded.data.metadata;
        let keep = |common: &mut Option<Arc<str>>, own: &Option<Arc<str>>| {
            if common != own {
                *common = None;
            }
            common.is_some()
        };
        let left = [
            keep(&mut common.correlation_id, &of.correlation_id),
            keep(&mut common.actor, &of.actor),
            keep(&mut common.traceparent, &of.traceparent),
        ];
        if left == [false; 3] {
            break;
        }
    }
    common
}
