//! Commands that waited for the same aggregate: decided one after the other, recorded in one append.
//!
//! It must be one append: if the first of two were refused because of an event from elsewhere, the second could still
//! find the version that it expects, though it was decided on a state that never was.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{OwnedMutexGuard, oneshot};
use tracing::Instrument;

use super::cache::Slot;
use super::engine::Engine;
use super::group::Group;
use super::queue::{Finish, Job, Outcome, Waiting};
use super::turn::PendingCommand;
use super::warm::Warm;
use super::{DispatchError, LoadError, snapshot};
use crate::telemetry::AggregateMetrics;
use crate::{AppendError, Apply, Context, StoreError, StreamId};

/// A turn that outlives the call that got it.
type Turn<A> = OwnedMutexGuard<Option<Warm<A>>>;

impl Engine {
    /// Runs a command that has to wait: until it has the turn, or another one took it along.
    pub(super) async fn run_queued<A: Apply, T: Send + 'static>(
        self: &Arc<Self>,
        pending: &PendingCommand<'_, A>,
        finish: Finish<A, T>,
        slot: &Slot<A>,
    ) -> Outcome<A, T> {
        let shares = !pending.command.creates() && Handle::try_current().is_ok();
        if !shares {
            let place = slot.queue.join(None);
            let since = pending.metrics.now();
            let mut turn = slot.turn.lock().await;
            pending.metrics.waited(since);
            drop(place);
            return self.run_alone(pending, finish, &mut turn, None).await;
        }
        let (reply, mut replied) = oneshot::channel();
        let caller = Box::new(Waiting { finish, reply });
        let PendingCommand { command, metadata, idempotency, .. } = pending;
        let (metadata, idempotency) = (metadata.clone(), idempotency.clone());
        let job = Job { command: command.boxed(), metadata, idempotency, caller };
        let place = slot.queue.join(Some(job));
        let since = pending.metrics.now();
        tokio::select! {
            biased;
            reply = &mut replied => {
                pending.metrics.waited(since);
                return self.replied(reply, pending, finish, slot).await;
            }
            mut turn = Arc::clone(&slot.turn).lock_owned() => {
                pending.metrics.waited(since);
                let group = place.gather();
                if group.len() == 1 {
                    return self.run_alone(pending, finish, &mut turn, None).await;
                }
                if !group.is_empty() {
                    let metrics = Arc::clone(slot.entry.metrics());
                    let group = Arc::clone(self).run_group(pending.stream.clone(), group, turn, metrics);
                    self.background.spawn(group.in_current_span());
                }
            }
        }
        let reply = replied.await;
        self.replied(reply, pending, finish, slot).await
    }

    async fn replied<A: Apply, T>(
        &self,
        reply: Result<Option<Outcome<A, T>>, oneshot::error::RecvError>,
        pending: &PendingCommand<'_, A>,
        finish: Finish<A, T>,
        slot: &Slot<A>,
    ) -> Outcome<A, T> {
        match reply {
            Ok(Some(outcome)) => outcome,
            Ok(None) => self.run_alone(pending, finish, &mut *slot.turn.lock().await, None).await,
            Err(gone) => {
                Err(AppendError::from(StoreError::OutcomeUnknown { operation: "append", source: gone.into() }).into())
            }
        }
    }

    /// Runs several commands, in a task of its own: the caller that started it may be cancelled.
    async fn run_group<A: Apply>(
        self: Arc<Self>,
        stream: StreamId,
        mut jobs: Vec<Job<A>>,
        mut turn: Turn<A>,
        metrics: Arc<AggregateMetrics>,
    ) {
        if let Err(error) = self.append_group(&stream, &mut jobs, &mut turn, &metrics).await {
            let each = error.for_each();
            for job in jobs {
                match each() {
                    Some(error) => job.caller.answer(Err(error)),
                    None => job.caller.go_alone(),
                }
            }
        }
    }

    /// Leaves no jobs unless it fails; then none of them had an effect, or that is unknown.
    async fn append_group<A: Apply>(
        &self,
        stream: &StreamId,
        jobs: &mut Vec<Job<A>>,
        turn: &mut Option<Warm<A>>,
        metrics: &AggregateMetrics,
    ) -> Result<(), DispatchError<A::Error>> {
        let mut backoff = None;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (mut warm, cached) = match turn.take() {
                Some(warm) => (warm, attempts == 1),
                None => (self.load(stream).await?, false),
            };
            let Some(mut group) = self.decide_current(stream, jobs, &mut warm, cached).await? else {
                jobs.drain(..).for_each(|job| job.caller.go_alone());
                return Ok(());
            };
            let Some(append) = group.append(stream, warm.version) else {
                *turn = Some(group.answer(jobs, warm, None));
                return Ok(());
            };
            match self.append_shared(append, jobs.iter().map(|job| &job.metadata)).await {
                Ok(appended) => {
                    metrics.attempts(attempts);
                    snapshot::keep(&*self.store, stream, &mut group.after, metrics).await;
                    *turn = Some(group.answer(jobs, warm, Some(appended.position)));
                    return Ok(());
                }
                Err(AppendError::Conflict(conflict)) if conflict.can_retry() => {
                    let pause = backoff.get_or_insert_with(|| self.retry.backoff()).next();
                    *turn = self.after_conflict(stream, warm, conflict, attempts, pause, metrics).await?;
                }
                // Some requests are repetitions. Each of them runs alone and finds its first outcome. The others are
                // decided without them.
                Err(AppendError::KeysKnown { keys }) => {
                    let known =
                        |job: &mut Job<A>| job.idempotency.as_ref().is_some_and(|named| keys.contains(&named.key));
                    jobs.extract_if(.., known).for_each(|job| job.caller.go_alone());
                    *turn = Some(warm);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Decides the commands with callers that still wait. If that leaves nothing to append, the state must be the newest:
    /// only an append would find out otherwise. Returns `None` if a handler panics.
    async fn decide_current<A: Apply>(
        &self,
        stream: &StreamId,
        jobs: &mut Vec<Job<A>>,
        warm: &mut Warm<A>,
        cached: bool,
    ) -> Result<Option<Group<A>>, LoadError> {
        jobs.retain(|job| !job.caller.is_gone());
        let group = self.decide_group(stream, jobs, warm);
        if !cached || !group.as_ref().is_some_and(Group::is_empty) {
            return Ok(group);
        }
        self.catch_up(stream, warm).await?;
        jobs.retain(|job| !job.caller.is_gone());
        Ok(self.decide_group(stream, jobs, warm))
    }

    /// Decides the commands one after the other, each on the state after the one before. Returns `None` if the handler
    /// panics: each command is then decided alone, so that the panic surfaces in its own caller's task.
    fn decide_group<A: Apply>(&self, stream: &StreamId, jobs: &[Job<A>], warm: &Warm<A>) -> Option<Group<A>> {
        let mut group = Group::new(warm.clone(), jobs.len());
        let decide = || {
            for Job { command, metadata, idempotency, .. } in jobs {
                let context =
                    Context { now: (self.clock)(), stream: Some(stream), version: group.after.version, metadata };
                let outcome = command.handle(&group.after.state, &context);
                group.add(outcome, metadata, idempotency.as_ref());
            }
        };
        catch_unwind(AssertUnwindSafe(decide)).ok()?;
        Some(group)
    }
}
