//! The writer: one task that writes the changes of the broker to the store, in their order, many at a time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use recount_core::{ExpectedRevision, MAX_STATE_BATCH, StateDelete, StateKey, StatePut, StateStore, error_chain};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

use super::load;
use super::owner::{Owner, RENEWAL, WriteError};
use crate::entries::MAX_STORED_MESSAGE;
use crate::in_process::server::Server;
use crate::in_process::stored::Stored;

/// The most entries of one write. The store's limit leaves room for those of the owner.
const MAX_ENTRIES: usize = MAX_STATE_BATCH - 2;
/// The most bytes of one write, in which the greatest message fits.
const MAX_BYTES: usize = MAX_STORED_MESSAGE + super::MAX_HEAD;
/// The pause before a failed write is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// A change of the broker on its way to the store.
#[derive(Default)]
pub(super) struct Job {
    /// The broker's epoch: the changes of an earlier one are gone with the server that was killed.
    pub(super) epoch: u64,
    pub(super) puts: Vec<StatePut>,
    /// Entries that are not needed any more once the others are written.
    pub(super) garbage: Vec<StateKey>,
    /// The messages to deliver when they are stored, by topic.
    pub(super) messages: Vec<(Arc<str>, Arc<Stored>)>,
    /// Takes the outcome: `Err` says why the change is not stored yet.
    pub(super) done: Option<oneshot::Sender<Result<(), String>>>,
}

/// An order to the writer.
pub(super) enum Order {
    Write(Job),
    /// Read everything again, and answer calls.
    Reload,
    /// End, and let the next broker have the store. Answered when that is done.
    End(oneshot::Sender<()>),
}

pub(super) struct Writer {
    pub(super) server: Weak<Server>,
    pub(super) store: Arc<dyn StateStore>,
    pub(super) owner: Owner,
    pub(super) orders: mpsc::UnboundedReceiver<Order>,
    /// Orders that were received.
    pub(super) next: VecDeque<Order>,
    /// Entries that are not needed any more.
    pub(super) garbage: BTreeSet<StateKey>,
}

/// The claim on the store is lost, or the server is gone: the writer ends.
struct Ended;

impl Writer {
    pub(super) async fn run(mut self) {
        let mut sweep = Instant::now();
        loop {
            let order = if Instant::now() >= sweep {
                Err(())
            } else if let Some(order) = self.next.pop_front() {
                Ok(Some(order))
            } else {
                timeout_at(sweep, self.orders.recv()).await.map_err(drop)
            };
            let outcome = match order {
                Ok(Some(Order::Write(job))) => self.write_with_others(job).await,
                Ok(Some(Order::Reload)) => self.reload().await,
                Ok(Some(Order::End(done))) => return self.end(done).await,
                Ok(None) => return,
                Err(()) => {
                    sweep = Instant::now() + RENEWAL;
                    self.sweep().await
                }
            };
            if outcome.is_err() {
                return;
            }
        }
    }

    /// Writes a change, and the next ones as far as they fit into the same request.
    async fn write_with_others(&mut self, first: Job) -> Result<(), Ended> {
        let mut bytes = size(&first);
        let mut entries = first.puts.len();
        let mut jobs = vec![first];
        while let Some(order) = self.next.pop_front().or_else(|| self.orders.try_recv().ok()) {
            match order {
                Order::Write(job)
                    if entries + job.puts.len() <= MAX_ENTRIES && bytes.saturating_add(size(&job)) <= MAX_BYTES =>
                {
                    entries += job.puts.len();
                    bytes += size(&job);
                    jobs.push(job);
                }
                other => {
                    self.next.push_front(other);
                    break;
                }
            }
        }
        let epoch = self.server.upgrade().ok_or(Ended)?.epoch();
        jobs.retain(|job| job.epoch == epoch);
        let garbage = garbage(&jobs);
        let puts = jobs.iter_mut().flat_map(|job| std::mem::take(&mut job.puts)).collect();
        self.write(puts, &mut jobs).await?;
        self.garbage.extend(garbage);
        let server = self.server.upgrade().ok_or(Ended)?;
        server.deliver_stored(jobs.iter_mut().flat_map(|job| job.messages.drain(..)), epoch);
        for job in &mut jobs {
            answer(job, Ok(()));
        }
        Ok(())
    }

    /// Writes entries in requests of the store's size. Tries again until they are stored.
    async fn write(&mut self, puts: Vec<StatePut>, jobs: &mut [Job]) -> Result<(), Ended> {
        let mut puts = puts.into_iter().peekable();
        while puts.peek().is_some() {
            // Of two changes of an entry the later one counts.
            let (mut request, mut bytes) = (BTreeMap::new(), 0);
            while let Some(put) = puts.next_if(|put| request.is_empty() || bytes + put.value.len() <= MAX_BYTES) {
                bytes += put.value.len();
                self.garbage.remove(&put.key);
                request.insert(put.key.clone(), put);
                if request.len() >= MAX_ENTRIES {
                    break;
                }
            }
            self.request(request.into_values().collect(), jobs).await?;
        }
        Ok(())
    }

    /// Writes one request. While the store fails, callers are told so, and the request is tried again.
    async fn request(&mut self, puts: Vec<StatePut>, jobs: &mut [Job]) -> Result<(), Ended> {
        self.owner.next_turn();
        loop {
            let outcome = self.owner.write(&*self.store, puts.clone()).await;
            let server = self.server.upgrade().ok_or(Ended)?;
            let error = match outcome {
                Ok(()) => {
                    server.set_trouble(None);
                    return Ok(());
                }
                Err(WriteError::Lost(reason)) => {
                    tracing::error!(reason, "the in-process broker has ended");
                    server.end(reason);
                    return Err(Ended);
                }
                Err(WriteError::Store(error)) => error,
            };
            let trouble = format!("the store of the in-process broker fails: {}", error_chain(&*error));
            tracing::warn!(trouble, "trying again");
            server.set_trouble(Some(trouble.clone()));
            drop(server);
            self.tell_waiting(&trouble, jobs);
            sleep(PAUSE).await;
        }
    }

    /// Tells all callers that wait that the store fails. Their changes stay in line.
    fn tell_waiting(&mut self, trouble: &str, jobs: &mut [Job]) {
        while let Ok(order) = self.orders.try_recv() {
            self.next.push_back(order);
        }
        let later = self.next.iter_mut().filter_map(|order| match order {
            Order::Write(job) => Some(job),
            Order::Reload | Order::End(_) => None,
        });
        for job in jobs.iter_mut().chain(later) {
            answer(job, Err(trouble.to_owned()));
        }
    }

    /// Renews the claim, and deletes the entries that are not needed any more.
    async fn sweep(&mut self) -> Result<(), Ended> {
        let server = self.server.upgrade().ok_or(Ended)?;
        server.store_expiry();
        let (puts, garbage) = server.take_garbage();
        drop(server);
        self.garbage.extend(garbage);
        if puts.is_empty() {
            self.request(Vec::new(), &mut []).await?;
        } else {
            self.write(puts, &mut []).await?;
        }
        while !self.garbage.is_empty() {
            let keys: Vec<_> = self.garbage.iter().take(MAX_STATE_BATCH).cloned().collect();
            let delete = |key: &StateKey| StateDelete { key: key.clone(), expected: ExpectedRevision::Any };
            if let Err(error) = self.store.delete_many(keys.iter().map(delete).collect()).await {
                tracing::debug!(%error, "entries of the in-process broker were not deleted; trying again");
                break;
            }
            for key in &keys {
                self.garbage.remove(key);
            }
        }
        Ok(())
    }

    /// Replaces the broker's state by the stored one, as a new process would have it.
    async fn reload(&mut self) -> Result<(), Ended> {
        loop {
            let server = self.server.upgrade().ok_or(Ended)?;
            let error = match load::read(&*self.store, &server).await {
                Ok(loaded) => {
                    self.garbage.extend(loaded.garbage);
                    server.start_with(loaded.topics);
                    return Ok(());
                }
                Err(error) => error,
            };
            drop(server);
            tracing::warn!(%error, "the in-process broker can't read its store");
            sleep(PAUSE).await;
        }
    }

    async fn end(self, done: oneshot::Sender<()>) {
        if let Err(WriteError::Store(error)) = self.owner.release(&*self.store).await {
            tracing::debug!(%error, "the claim of an in-process broker was not released");
        }
        let _ = done.send(());
    }
}

/// The entries that are not needed after these jobs. An entry that is written again stays: a group may be removed and declared
/// again.
fn garbage(jobs: &[Job]) -> Vec<StateKey> {
    let (mut garbage, mut written) = (Vec::new(), BTreeSet::new());
    for job in jobs.iter().rev() {
        written.extend(job.puts.iter().map(|put| &put.key));
        garbage.extend(job.garbage.iter().filter(|key| !written.contains(key)).cloned());
    }
    garbage
}

fn size(job: &Job) -> usize {
    job.puts.iter().map(|put| put.value.len()).sum()
}

fn answer(job: &mut Job, outcome: Result<(), String>) {
    if let Some(done) = job.done.take() {
        // A caller that is gone needs no answer.
        let _ = done.send(outcome);
    }
}
