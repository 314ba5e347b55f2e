//! Runs a command in its turn at its aggregate, and handles conflicts and repetitions.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join;

use super::engine::Engine;
use super::observe::Observed;
use super::queue::{Finish, Outcome};
use super::request::Request;
use super::warm::Warm;
use super::{DispatchError, LoadError, Receipt, snapshot};
use crate::telemetry::AggregateMetrics;
use crate::{
    AnyCommand, AppendError, Appended, Apply, Conflict, Event, EventData, Idempotency, Metadata, Position, ReadStream,
    StoreError, StreamAppended, StreamId, StreamVersion, Violation,
};

/// A command with its stream, metadata and idempotency key.
pub(super) struct PendingCommand<'a, A> {
    pub(super) command: &'a dyn AnyCommand<A>,
    pub(super) stream: &'a StreamId,
    pub(super) metadata: Metadata,
    pub(super) idempotency: Option<Idempotency>,
    /// Whether a refusal is kept under the idempotency key.
    pub(super) keeps_refusal: bool,
    pub(super) metrics: &'a AggregateMetrics,
}

impl Engine {
    /// Runs a command in its aggregate's turn. `finish` sees the state after it, before the turn ends, or why it can't be
    /// loaded after a repetition.
    pub(super) async fn take_turn<A: Apply, T: Send + 'static>(
        self: &Arc<Self>,
        stream: StreamId,
        command: &dyn AnyCommand<A>,
        request: &Request,
        finish: Finish<A, T>,
        observed: &Observed<A>,
    ) -> Outcome<A, T> {
        let Observed { metrics, known, traceparent } = observed;
        let idempotency = name(command, request.key.as_ref())?;
        if known.is_none() {
            self.names.claim_aggregate::<A>().map_err(LoadError::from)?;
        }
        let met = known.is_none() && !command.creates() && !self.cache.expects_new::<A>();
        let prepare = || {
            let slot = known.clone().unwrap_or_else(|| self.cache.slot::<A>(&stream));
            let turn = Arc::clone(&slot.turn).try_lock_owned().ok();
            (slot, turn, request.metadata(traceparent.as_ref()))
        };
        let (loaded, (slot, turn, metadata)) = if met {
            // The store is asked first, and the rest is done while it answers.
            let (loaded, prepared) = join(Box::pin(self.load_uncached(&stream)), async { prepare() }).await;
            (Some(loaded), prepared)
        } else {
            (None, prepare())
        };
        let pending = PendingCommand {
            command,
            stream: &stream,
            metadata,
            idempotency,
            keeps_refusal: request.keeps_refusal,
            metrics,
        };
        let outcome = match turn {
            Some(mut turn) => self.run_alone(&pending, finish, &mut turn, loaded).await,
            // Boxed, here and below: this future is seldom needed and would grow that of every command.
            None => Box::pin(self.run_queued(&pending, finish, &slot)).await,
        };
        match outcome {
            Err(DispatchError::Append(AppendError::KeyReused { key })) => Err(Box::pin(self.key_taken(key)).await),
            outcome => outcome,
        }
    }

    /// Runs a command with an append of its own. If the turn has no state yet, the state just loaded is used.
    pub(super) async fn run_alone<A: Apply, T>(
        &self,
        pending: &PendingCommand<'_, A>,
        finish: Finish<A, T>,
        turn: &mut Option<Warm<A>>,
        loaded: Option<Result<Warm<A>, LoadError>>,
    ) -> Outcome<A, T> {
        let decided = match loaded.transpose() {
            Ok(loaded) => self.decide_and_append(pending, turn, loaded).await,
            Err(error) => Err(error.into()),
        };
        let (receipt, loaded) = match (decided, &pending.idempotency) {
            // The append of the refusal has checked the key: there was no earlier outcome.
            (Err(error @ DispatchError::Rejected(_)), Some(_)) if pending.keeps_refusal => return Err(error),
            // An earlier attempt may have succeeded. No append checks the key here, so look it up.
            (Err(error), Some(named)) if error.is_of_the_state() => {
                let first = self.store.find_append(&named.key).await.map_err(AppendError::from)?;
                let Some(first) = first else { return Err(error) };
                Box::pin(self.repeated::<A>(pending.stream, named, first.repeat(named)?)).await?
            }
            (outcome, _) => outcome?,
        };
        let (finished, warm) = match loaded {
            Ok(warm) => (finish(Ok(&warm.state)), Some(warm)),
            Err(error) => (finish(Err(error)), None),
        };
        *turn = warm;
        Ok((receipt, finished))
    }

    /// The state that the next attempt decides on, after a pause; nothing if it must be loaded anew. Without a pause there
    /// is no next attempt.
    pub(super) async fn after_conflict<A: Apply>(
        &self,
        stream: &StreamId,
        warm: Warm<A>,
        conflict: Conflict,
        attempts: usize,
        pause: Option<Duration>,
        metrics: &AggregateMetrics,
    ) -> Result<Option<Warm<A>>, DispatchError<A::Error>> {
        tracing::debug!(%stream, attempts, %conflict, "conflict, deciding again");
        metrics.conflicts.add(1);
        let Some(pause) = pause else {
            metrics.attempts(attempts);
            return Err(DispatchError::Contended { attempts, source: conflict });
        };
        tracing::Span::current().record("recount.attempts", attempts + 1);
        // The first retry is at once: its state came with the conflict.
        if attempts > 1 {
            tokio::time::sleep(pause).await;
        }
        Ok(self.newer(stream, warm, conflict).await?)
    }

    async fn newer<A: Apply>(
        &self,
        stream: &StreamId,
        mut warm: Warm<A>,
        conflict: Conflict,
    ) -> Result<Option<Warm<A>>, LoadError> {
        for violation in conflict.violations {
            if let Violation::Version { actual, newer, .. } = violation {
                if actual < warm.version {
                    // The state is ahead of the stream: it comes from a snapshot of data that is no longer there.
                    tracing::error!(%stream, state = %warm.version, %actual, "snapshot is ahead of its stream, dropping it");
                    if let Err(error) = snapshot::forget(&*self.store, stream).await {
                        tracing::warn!(%stream, %error, "snapshot can't be dropped");
                    }
                    return Ok(None);
                }
                for event in &newer {
                    warm.apply(stream, event.into())?;
                }
            }
        }
        self.catch_up(stream, &mut warm).await?;
        Ok(Some(warm))
    }

    /// The first outcome under the request's key, and the current state, or why there is none.
    pub(super) async fn repeated<A: Apply>(
        &self,
        stream: &StreamId,
        named: &Idempotency,
        first: Appended,
    ) -> Outcome<A, Result<Warm<A>, LoadError>> {
        // The first outcome names no stream: it has no events, and the stream was closed to appends.
        let closed = first.streams.is_empty();
        let mut receipt = self.first_outcome(named, first).await?;
        let loaded = match self.load(stream).await {
            Err(LoadError::Store(error)) if error.is_transient() => return Err(LoadError::from(error).into()),
            loaded => loaded,
        };
        if let (true, Ok(Warm { version, .. })) = (closed, &loaded) {
            receipt.version = *version;
        }
        Ok((receipt, loaded))
    }

    /// The first outcome under the request's key, without events that were erased. Fails with `RefusedEarlier` if it is a
    /// refusal.
    pub(super) async fn first_outcome<E: Event, R: Error + 'static>(
        &self,
        named: &Idempotency,
        first: Appended,
    ) -> Result<Receipt<E>, DispatchError<R>> {
        if let Some(refusal) = self.kept_refusal(&first).await? {
            return Err(DispatchError::RefusedEarlier { key: named.key.clone(), refusal: Box::new(refusal) });
        }
        let mut events = Vec::new();
        for StreamAppended { stream, version, count } in first.streams.iter().filter(|part| part.count > 0) {
            let before = StreamVersion::new(version.get().saturating_sub(*count));
            let read = ReadStream { to: *version, ..ReadStream::new(stream.clone()).after(before) };
            let mut recorded = self.store.read_stream(read);
            while let Some(event) = recorded.next().await {
                let event = match event {
                    Err(StoreError::StreamErased { .. }) => break,
                    event => event.map_err(LoadError::from)?,
                };
                events.push(E::from_recorded(&event).map_err(|source| LoadError::Decode {
                    stream: stream.clone(),
                    version: event.version,
                    source,
                })?);
            }
        }
        let version = first.streams.last().map_or(StreamVersion::EMPTY, |stream| stream.version);
        let position = Some(first.position).filter(|position| *position > Position::START);
        Ok(Receipt { version, position, events, repeated: true })
    }
}

/// Encodes the events in their stored form, each with the metadata.
pub(super) fn encode<E: Event>(events: &[E], metadata: &Metadata) -> Result<Vec<EventData>, crate::EncodeError> {
    // Most often one: collecting results would make room for more.
    let mut all = Vec::with_capacity(events.len());
    for event in events {
        all.push(EventData { metadata: metadata.clone(), ..event.encode()? });
    }
    Ok(all)
}

/// The content of a keyed command is the command itself: its events may differ the second time.
fn name<A: Apply>(
    command: &dyn AnyCommand<A>,
    key: Option<&crate::IdempotencyKey>,
) -> Result<Option<Idempotency>, DispatchError<A::Error>> {
    let Some(key) = key else { return Ok(None) };
    let asked =
        command.content().map_err(|source| DispatchError::Malformed { command: command.name().to_owned(), source })?;
    let content = [A::NAME.as_bytes(), command.name().as_bytes(), &asked].join(&0);
    Ok(Some(Idempotency::new(key.clone(), &content)))
}
