//! The loop behind every command: load, decide, append; on a conflict catch up and decide again.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join;

use super::cache::Warm;
use super::kept::{is_closed, nothing};
use super::queue::Outcome;
use super::request::Request;
use super::{DispatchError, LoadError, Receipt, Refusal, snapshot};
use crate::recount::Inner;
use crate::{
    AnyCommand, Append, AppendError, Appended, Apply, Conflict, Context, Event, EventData, ExpectedVersion,
    Idempotency, Metadata, Position, ReadStream, StreamAppended, StreamId, StreamVersion, Violation,
};

/// A command with what belongs to it.
pub(super) struct Wish<'a, A> {
    pub(super) command: &'a dyn AnyCommand<A>,
    pub(super) stream: &'a StreamId,
    pub(super) metadata: Metadata,
    pub(super) idempotency: Option<Idempotency>,
    /// Whether a refusal is kept under the idempotency key.
    pub(super) keeps_refusal: bool,
}

impl Inner {
    /// Runs a command in its aggregate's turn. `finish` sees the state after it, before the turn ends.
    pub(super) async fn run<A: Apply, T: Send + 'static>(
        self: &Arc<Self>,
        command: &dyn AnyCommand<A>,
        request: &Request,
        finish: fn(&A) -> T,
    ) -> Outcome<A, T> {
        let stream = A::stream(command.aggregate_id()).map_err(LoadError::from)?;
        let idempotency = name(command, request.key.as_ref())?;
        let known = self.cache.find::<A>(&stream);
        if known.is_none() {
            self.names.claim_aggregate::<A>().map_err(LoadError::from)?;
        }
        let met = known.is_none() && !command.creates() && !self.cache.expects_new::<A>();
        let prepare = || {
            let slot = known.unwrap_or_else(|| self.cache.slot::<A>(&stream));
            let turn = Arc::clone(&slot.turn).try_lock_owned().ok();
            (slot, turn, request.metadata())
        };
        let (loaded, (slot, turn, metadata)) = if met {
            // The store is asked first, and the rest is done while it answers.
            let (loaded, prepared) = join(Box::pin(self.meet(&stream)), async { prepare() }).await;
            (Some(loaded?), prepared)
        } else {
            (None, prepare())
        };
        let wish = Wish { command, stream: &stream, metadata, idempotency, keeps_refusal: request.keeps_refusal };
        match turn {
            Some(mut turn) => self.run_alone(&wish, finish, &mut turn, loaded).await,
            // In boxes, here and below: most commands carry nothing of what is seldom needed.
            None => Box::pin(self.run_queued(&wish, finish, &slot)).await,
        }
    }

    /// Runs a command with an append of its own. What was loaded just now counts if the turn has no state yet.
    pub(super) async fn run_alone<A: Apply, T>(
        &self,
        wish: &Wish<'_, A>,
        finish: fn(&A) -> T,
        turn: &mut Option<Warm<A>>,
        loaded: Option<Warm<A>>,
    ) -> Outcome<A, T> {
        let (receipt, warm) = match (self.decide_and_append(wish, turn, loaded).await, &wish.idempotency) {
            // The append of the refusal has checked the key: there was no earlier outcome.
            (Err(error @ DispatchError::Rejected(_)), Some(_)) if wish.keeps_refusal => return Err(error),
            // An earlier attempt may have succeeded. No append checks the key here, so look it up.
            (Err(error), Some(named)) if error.is_of_the_state() => {
                let first = self.store.find_append(&named.key).await.map_err(AppendError::from)?;
                let Some(first) = first else { return Err(error) };
                Box::pin(self.repeated::<A>(wish.stream, named, first.repeat(named)?)).await?
            }
            (outcome, _) => outcome?,
        };
        let finished = finish(&warm.state);
        *turn = Some(warm);
        Ok((receipt, finished))
    }

    async fn decide_and_append<A: Apply>(
        &self,
        wish: &Wish<'_, A>,
        turn: &mut Option<Warm<A>>,
        mut loaded: Option<Warm<A>>,
    ) -> Outcome<A, Warm<A>> {
        let Wish { command, stream, metadata, idempotency, keeps_refusal } = wish;
        let mut backoff = None;
        let mut attempts = 0;
        let mut may_guess = true;
        'attempt: loop {
            attempts += 1;
            let mut guessed = false;
            let (mut warm, mut cached) = match (turn.take(), loaded.take()) {
                _ if command.creates() => (Warm::default(), false),
                (Some(warm), _) => (warm, attempts == 1),
                (None, Some(warm)) => (warm, false),
                (None, None) if may_guess && self.cache.expects_new::<A>() => {
                    guessed = true;
                    (Warm::default(), false)
                }
                (None, None) => (Box::pin(self.meet(stream)).await?, false),
            };
            let events = loop {
                let context = Context { now: (self.clock)(), stream: Some(stream), version: warm.version, metadata };
                let outcome = command.handle(&warm.state, &context);
                let writes = matches!(&outcome, Ok(events) if !events.is_empty());
                // Only an append finds out whether a guess was right.
                if guessed && !writes {
                    (may_guess, attempts) = (false, 0);
                    continue 'attempt;
                }
                // An append finds out whether the state was the newest; a "no" must look for itself.
                if cached && !writes {
                    let before = warm.version;
                    Box::pin(self.catch_up(stream, &mut warm)).await?;
                    cached = false;
                    if warm.version > before {
                        continue;
                    }
                }
                match outcome {
                    Ok(events) => break events,
                    Err(error) => {
                        *turn = Some(warm);
                        if let Some(named) = idempotency.as_ref().filter(|_| *keeps_refusal) {
                            let request = format!("{} {}", A::NAME, command.name());
                            let kept = Box::pin(self.keep_refusal(
                                &request,
                                named,
                                Refusal::describe(&error, A::refusal_json(&error)),
                                metadata,
                            ))
                            .await?;
                            if let Some(first) = kept {
                                return Box::pin(self.repeated(stream, named, first)).await;
                            }
                        }
                        return Err(DispatchError::Rejected(error));
                    }
                }
            };
            if events.is_empty() && idempotency.is_none() {
                return Ok((Receipt::nothing(warm.version), warm));
            }
            let data = encode(&events, metadata)?;
            let expected =
                if command.creates() { ExpectedVersion::NoStream } else { ExpectedVersion::Exact(warm.version) };
            let appending = {
                let append = Append::to((*stream).clone(), expected, data);
                self.store.append(Append { idempotency: idempotency.clone(), ..append })
            };
            let mut appended = appending.await;
            if events.is_empty()
                && let (Err(error), Some(named)) = (&appended, idempotency)
                && is_closed(error)
            {
                appended = self.store.append(nothing(named)).await;
            }
            let conflict = match (appended, idempotency) {
                (Ok(first), Some(named)) if first.repeated => {
                    return Box::pin(self.repeated(stream, named, first)).await;
                }
                (Ok(appended), _) => {
                    warm.take(&events);
                    snapshot::keep(&*self.store, stream, &mut warm).await;
                    let position = (!events.is_empty()).then_some(appended.position);
                    return Ok((Receipt { version: warm.version, position, events, repeated: false }, warm));
                }
                (Err(AppendError::Conflict(_)), _) if guessed => {
                    tracing::debug!(%stream, "this aggregate is not new after all, loading it");
                    self.cache.met::<A>(false);
                    (may_guess, attempts) = (false, 0);
                    continue 'attempt;
                }
                (Err(AppendError::Conflict(conflict)), _) if conflict.can_retry() => conflict,
                (Err(error), _) => return Err(error.into()),
            };
            if command.creates() {
                return Err(already_exists(conflict));
            }
            let pause = backoff.get_or_insert_with(|| Box::new(self.retry.backoff())).next();
            *turn = Box::pin(self.after_conflict(stream, warm, conflict, attempts, pause)).await?;
        }
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
    ) -> Result<Option<Warm<A>>, DispatchError<A::Error>> {
        tracing::debug!(%stream, attempts, %conflict, "conflict, deciding again");
        let Some(pause) = pause else { return Err(DispatchError::Contended { attempts, source: conflict }) };
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

    /// The first outcome under the request's key, and the current state.
    async fn repeated<A: Apply>(&self, stream: &StreamId, named: &Idempotency, first: Appended) -> Outcome<A, Warm<A>> {
        // The first outcome names no stream: it has no events, and the stream was closed to appends.
        let closed = first.streams.is_empty();
        let mut receipt = self.first_outcome(named, first).await?;
        let warm = self.load(stream).await?;
        if closed {
            receipt.version = warm.version;
        }
        Ok((receipt, warm))
    }

    /// The first outcome under the request's key. Fails with `RefusedEarlier` if it is a refusal.
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
                let event = event.map_err(LoadError::from)?;
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

/// The events in their stored form, with what travels with them.
pub(super) fn encode<E: Event>(events: &[E], metadata: &Metadata) -> Result<Vec<EventData>, crate::EncodeError> {
    // Most often one: collecting results would make room for more.
    let mut all = Vec::with_capacity(events.len());
    for event in events {
        all.push(EventData { metadata: metadata.clone(), ..event.encode()? });
    }
    Ok(all)
}

/// The content of a keyed command is the command itself: what it decides may differ the second time.
fn name<A: Apply>(
    command: &dyn AnyCommand<A>,
    key: Option<&crate::IdempotencyKey>,
) -> Result<Option<Idempotency>, DispatchError<A::Error>> {
    let Some(key) = key else { return Ok(None) };
    let asked =
        command.content().map_err(|source| DispatchError::Malformed { command: command.name().to_owned(), source })?;
    let mut content = format!("{}\0{}\0", A::NAME, command.name()).into_bytes();
    content.extend_from_slice(&asked);
    Ok(Some(Idempotency::new(key.clone(), &content)))
}

fn already_exists<E: std::error::Error>(conflict: Conflict) -> DispatchError<E> {
    let found = conflict.violations.iter().find_map(|violation| match violation {
        Violation::Version { stream, actual, .. } => Some((stream.clone(), *actual)),
        _ => None,
    });
    match found {
        Some((stream, version)) => DispatchError::AlreadyExists { stream, version },
        None => AppendError::from(conflict).into(),
    }
}
