//! The queue of commands for one aggregate. The command that gets the turn can run others in the same append.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::{DispatchError, LoadError, Receipt};
use crate::{Aggregate, AnyCommand, Idempotency, Metadata};

/// How many commands share an append at most.
const SHARE: usize = 256;

/// The outcome of a command: its receipt and the value its caller takes from the state, or the error.
pub(super) type Outcome<A, T> = Result<(Receipt<<A as Aggregate>::Event>, T), DispatchError<<A as Aggregate>::Error>>;

/// Takes a value for the caller from the state after its command, or from the reason why it can't be loaded.
pub(super) type Finish<A, T> = fn(Result<&A, LoadError>) -> T;

/// A command that the holder of the turn may decide and record.
pub(super) struct Job<A: Aggregate> {
    pub(super) command: Box<dyn AnyCommand<A>>,
    pub(super) metadata: Metadata,
    pub(super) idempotency: Option<Idempotency>,
    pub(super) caller: Box<dyn Caller<A>>,
}

/// The caller that waits for a job, with the type of its result erased.
pub(super) trait Caller<A: Aggregate>: Send + Sync {
    fn is_gone(&self) -> bool;
    /// Tells the outcome; with the receipt goes the state after the command.
    fn answer(self: Box<Self>, outcome: Outcome<A, &A>);
    /// Tells that nothing was done: the caller is to run its command in a turn of its own.
    fn go_alone(self: Box<Self>);
}

/// A [`Caller`] that waits at the other end of a channel; `None` is to go alone.
pub(super) struct Waiting<A: Aggregate, T> {
    pub(super) finish: Finish<A, T>,
    pub(super) reply: oneshot::Sender<Option<Outcome<A, T>>>,
}

impl<A: Aggregate, T: Send + 'static> Caller<A> for Waiting<A, T> {
    fn is_gone(&self) -> bool {
        self.reply.is_closed()
    }

    // A caller that went away meanwhile doesn't want to know.
    fn answer(self: Box<Self>, outcome: Outcome<A, &A>) {
        drop(self.reply.send(Some(outcome.map(|(receipt, state)| (receipt, (self.finish)(Ok(state)))))));
    }

    fn go_alone(self: Box<Self>) {
        drop(self.reply.send(None));
    }
}

/// The commands that wait, first come first served.
pub(crate) struct Queue<A: Aggregate>(Mutex<Line<A>>);

struct Line<A: Aggregate> {
    next: u64,
    /// By ascending number. Without a job it is a command that wants a turn of its own.
    places: VecDeque<(u64, Option<Job<A>>)>,
}

impl<A: Aggregate> Default for Queue<A> {
    fn default() -> Self {
        Self(Mutex::new(Line { next: 0, places: VecDeque::new() }))
    }
}

impl<A: Aggregate> Queue<A> {
    pub(super) fn join(&self, job: Option<Job<A>>) -> Ticket<'_, A> {
        let mut line = self.line();
        let number = line.next;
        line.next += 1;
        line.places.push_back((number, job));
        Ticket { queue: self, number }
    }

    fn line(&self) -> MutexGuard<'_, Line<A>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the queue, given up when dropped.
pub(super) struct Ticket<'a, A: Aggregate> {
    queue: &'a Queue<A>,
    number: u64,
}

impl<A: Aggregate> Ticket<'_, A> {
    /// Takes the jobs for the holder of the turn: its own, and those that may share its append. They came before any
    /// command that wants a turn of its own. Returns no jobs if the own job is gone.
    pub(super) fn gather(&self) -> Vec<Job<A>> {
        let mut line = self.queue.line();
        let Ok(own) = line.places.binary_search_by_key(&self.number, |(number, _)| *number) else { return Vec::new() };
        let sharing = line.places.iter().take(SHARE).take_while(|(_, job)| job.is_some()).count();
        let group = if own < sharing { 0..sharing } else { own..own + 1 };
        line.places.drain(group).filter_map(|(_, job)| job).collect()
    }
}

impl<A: Aggregate> Drop for Ticket<'_, A> {
    fn drop(&mut self) {
        let mut line = self.queue.line();
        let own = line.places.binary_search_by_key(&self.number, |(number, _)| *number);
        let left = own.ok().and_then(|own| line.places.remove(own));
        drop(line);
        drop(left);
    }
}
