//! The attempts of one command: choose a state, decide on it, append, and resolve the outcome.

use std::time::Duration;

use super::engine::Engine;
use super::kept::{is_closed, is_erased, nothing};
use super::queue::Outcome;
use super::turn::{PendingCommand, encode};
use super::warm::Warm;
use super::{DispatchError, LoadError, Receipt, Refusal, snapshot};
use crate::{
    Aggregate, Append, AppendError, Appended, Apply, Conflict, Context, ExpectedVersion, Idempotency, StoreError,
    StreamId, StreamVersion, Violation,
};

/// The state that an attempt decides on.
struct Basis<A> {
    warm: Warm<A>,
    origin: Origin,
}

/// The origin of a state. It tells whether the state may be older than the stream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The command creates the aggregate, so the stream must not exist.
    Created,
    /// The stream is expected not to exist. Only the append finds out.
    Guessed,
    /// The cache: another process may have appended since.
    Cached,
    /// The store, in this attempt.
    Read,
}

/// The result of an attempt's decision.
enum Decided<A: Aggregate> {
    Events(Vec<A::Event>),
    Refused(A::Error),
    /// The decision on a guessed state has nothing to append, so nothing would find out whether the guess was right.
    Unverified,
}

impl<A: Aggregate> Decided<A> {
    /// Whether there are events to append.
    fn writes(&self) -> bool {
        matches!(self, Self::Events(events) if !events.is_empty())
    }
}

/// The next step after a failed append.
enum Next<A> {
    /// The stream was expected not to exist, and it does: load it.
    LoadIt,
    /// The state to decide on; `None` if it must be loaded.
    DecideOn(Option<Warm<A>>),
}

/// The attempts of one command so far.
struct Attempts {
    /// The number of the current attempt, from 1.
    number: usize,
    may_guess: bool,
    backoff: Option<Box<dyn Iterator<Item = Duration> + Send>>,
}

impl Attempts {
    /// Starts over without a guess. A wrong guess doesn't count as an attempt.
    fn forbid_guesses(&mut self) {
        (self.may_guess, self.number) = (false, 0);
    }
}

impl Engine {
    /// Decides a command and appends its events. Repeats both on a newer state after each conflict.
    pub(super) async fn decide_and_append<A: Apply>(
        &self,
        pending: &PendingCommand<'_, A>,
        turn: &mut Option<Warm<A>>,
        mut loaded: Option<Warm<A>>,
    ) -> Outcome<A, Result<Warm<A>, LoadError>> {
        let mut attempts = Attempts { number: 0, may_guess: true, backoff: None };
        loop {
            attempts.number += 1;
            let mut basis = match self.choose_state(pending, turn, &mut loaded, &attempts) {
                Some(basis) => basis,
                None => Basis { warm: Box::pin(self.load_uncached(pending.stream)).await?, origin: Origin::Read },
            };
            let mut decided = self.decide(pending, &basis);
            // An append finds out whether a cached state was the newest. Without an append, read the stream.
            if basis.origin == Origin::Cached && !decided.writes() {
                let before = basis.warm.version;
                Box::pin(self.catch_up(pending.stream, &mut basis.warm)).await?;
                basis.origin = Origin::Read;
                if basis.warm.version > before {
                    decided = self.decide(pending, &basis);
                }
            }
            let events = match decided {
                Decided::Events(events) => events,
                Decided::Refused(error) => {
                    *turn = Some(basis.warm);
                    return Box::pin(self.refuse(pending, error)).await;
                }
                Decided::Unverified => {
                    attempts.forbid_guesses();
                    continue;
                }
            };
            if events.is_empty() && pending.idempotency.is_none() {
                return Ok((Receipt::nothing(basis.warm.version), Ok(basis.warm)));
            }
            let appended = self.append_events(pending, basis.warm.version, &events)?.await;
            match (appended, &pending.idempotency) {
                (Err(closed), Some(named)) if events.is_empty() && is_closed(&closed) => {
                    pending.metrics.attempts(attempts.number);
                    return Box::pin(self.append_nothing(pending.stream, named, basis.warm, &closed)).await;
                }
                (Ok(first), Some(named)) if first.repeated => {
                    return Box::pin(self.repeated(pending.stream, named, first)).await;
                }
                (Ok(appended), _) => {
                    let mut warm = basis.warm;
                    warm.take(&events);
                    pending.metrics.attempts(attempts.number);
                    snapshot::keep(&*self.store, pending.stream, &mut warm, pending.metrics).await;
                    let position = (!events.is_empty()).then_some(appended.position);
                    return Ok((Receipt { version: warm.version, position, events, repeated: false }, Ok(warm)));
                }
                (Err(error), _) => match Box::pin(self.resolve(pending, basis, error, &mut attempts)).await? {
                    Next::LoadIt => attempts.forbid_guesses(),
                    Next::DecideOn(warm) => *turn = warm,
                },
            }
        }
    }

    /// The state to decide on, if it needs no read.
    fn choose_state<A: Apply>(
        &self,
        pending: &PendingCommand<'_, A>,
        turn: &mut Option<Warm<A>>,
        loaded: &mut Option<Warm<A>>,
        attempts: &Attempts,
    ) -> Option<Basis<A>> {
        let (warm, origin) = match (turn.take(), loaded.take()) {
            _ if pending.command.creates() => (Warm::default(), Origin::Created),
            (Some(warm), _) if attempts.number == 1 => {
                pending.metrics.hits.add(1);
                (warm, Origin::Cached)
            }
            (Some(warm), _) | (None, Some(warm)) => (warm, Origin::Read),
            (None, None) if attempts.may_guess && self.cache.expects_new::<A>() => (Warm::default(), Origin::Guessed),
            (None, None) => return None,
        };
        Some(Basis { warm, origin })
    }

    fn decide<A: Apply>(&self, pending: &PendingCommand<'_, A>, basis: &Basis<A>) -> Decided<A> {
        let PendingCommand { command, stream, metadata, .. } = pending;
        let context = Context { now: (self.clock)(), stream: Some(stream), version: basis.warm.version, metadata };
        match command.handle(&basis.warm.state, &context) {
            Ok(events) if !events.is_empty() => Decided::Events(events),
            _ if basis.origin == Origin::Guessed => Decided::Unverified,
            Ok(nothing) => Decided::Events(nothing),
            Err(error) => Decided::Refused(error),
        }
    }

    /// Appends the events that were decided on a state of this version.
    fn append_events<A: Apply>(
        &self,
        pending: &PendingCommand<'_, A>,
        version: StreamVersion,
        events: &[A::Event],
    ) -> Result<impl Future<Output = Result<Appended, AppendError>> + use<'_, A>, DispatchError<A::Error>> {
        let data = encode(events, &pending.metadata)?;
        let expected =
            if pending.command.creates() { ExpectedVersion::NoStream } else { ExpectedVersion::Exact(version) };
        let append = Append::to(pending.stream.clone(), expected, data);
        Ok(self.append(Append { idempotency: pending.idempotency.clone(), ..append }))
    }

    /// Records an outcome without events for a stream that is closed to appends.
    async fn append_nothing<A: Apply>(
        &self,
        stream: &StreamId,
        named: &Idempotency,
        warm: Warm<A>,
        closed: &AppendError,
    ) -> Outcome<A, Result<Warm<A>, LoadError>> {
        let first = self.append(nothing(named)).await?;
        if first.repeated {
            return self.repeated(stream, named, first).await;
        }
        if is_erased(closed) {
            let erased = StoreError::StreamErased { stream: stream.clone() };
            return Ok((Receipt::nothing(StreamVersion::EMPTY), Err(erased.into())));
        }
        Ok((Receipt::nothing(warm.version), Ok(warm)))
    }

    /// The outcome of a refused command. A refusal that is kept may find an earlier outcome under its key.
    async fn refuse<A: Apply>(
        &self,
        pending: &PendingCommand<'_, A>,
        error: A::Error,
    ) -> Outcome<A, Result<Warm<A>, LoadError>> {
        if let Some(named) = pending.idempotency.as_ref().filter(|_| pending.keeps_refusal) {
            let request = format!("{} {}", A::NAME, pending.command.name());
            if let Some(first) = self
                .keep_refusal(&request, named, Refusal::describe(&error, A::refusal_json(&error)), &pending.metadata)
                .await?
            {
                return self.repeated(pending.stream, named, first).await;
            }
        }
        Err(DispatchError::Rejected(error))
    }

    /// Chooses the next step after a failed append: another attempt, or the command's failure.
    async fn resolve<A: Apply>(
        &self,
        pending: &PendingCommand<'_, A>,
        basis: Basis<A>,
        error: AppendError,
        attempts: &mut Attempts,
    ) -> Result<Next<A>, DispatchError<A::Error>> {
        let stream = pending.stream;
        let conflict = match error {
            AppendError::Conflict(_) if basis.origin == Origin::Guessed => {
                tracing::debug!(%stream, "this aggregate is not new after all, loading it");
                self.cache.record_first_load::<A>(false);
                return Ok(Next::LoadIt);
            }
            AppendError::Conflict(conflict) if conflict.can_retry() => conflict,
            error => return Err(error.into()),
        };
        if pending.command.creates() {
            return Err(already_exists(conflict));
        }
        let pause = attempts.backoff.get_or_insert_with(|| Box::new(self.retry.backoff())).next();
        let warm = self.after_conflict(stream, basis.warm, conflict, attempts.number, pause, pending.metrics).await?;
        Ok(Next::DecideOn(warm))
    }
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
