//! The in-process broker in a store: its topics, groups, messages and settlements are entries of a
//! [`StateStore`](recount_core::StateStore).
//!
//! The state in memory is the broker; the store has a copy, from which the broker is read when it is opened. A message is
//! admitted in memory, written, and then given to its groups. A settlement takes effect in memory and is confirmed when it
//! is written. One task writes, in the order in which the changes were made, and concurrent changes share a request.
//! So the store always has the state of some earlier moment.
//!
//! A failed write is tried again until it succeeds; until then calls fail, and the changes that wait for it are of unknown
//! fate.

mod entries;
mod load;
mod names;
mod owner;
mod progress;
mod writer;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use recount_core::{BoxError, StateKey, StatePut, StateStore};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::entries::TopicEntry;
use self::owner::Owner;
pub(super) use self::progress::Progress;
use self::writer::{Job, Order, Writer};
use super::server::{CALL_LIMIT, Server, State, unavailable};
use super::stored::Stored;
use super::topic::TopicState;
use super::{Profile, Settings};
use crate::entries::{MAX_STORED_MESSAGE, put};
use crate::{AckSupport, AttemptCount, Binding, BrokerError, Capabilities, MessageLimit, Topic};

/// The greatest head of a stored message: its headers in Base64, its key and its identity.
const MAX_HEAD: usize = 256 * 1024;

/// The way to the writer.
#[derive(Debug)]
pub(super) struct Log {
    orders: mpsc::UnboundedSender<Order>,
    task: OnceLock<JoinHandle<()>>,
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }
}

/// A change on its way to the store. Without a store it is done.
#[must_use]
pub(super) struct Pending(Option<oneshot::Receiver<Result<(), String>>>);

impl Pending {
    /// Waits until the change is stored, but not longer than a call may take.
    pub(super) async fn stored(self, operation: &'static str) -> Result<(), BrokerError> {
        let Some(done) = self.0 else { return Ok(()) };
        match timeout(CALL_LIMIT, done).await {
            Ok(Ok(outcome)) => outcome.map_err(|reason| unavailable(operation, reason)),
            Ok(Err(_)) => Err(unavailable(operation, "the broker has ended")),
            Err(_) => Err(BrokerError::TimedOut { operation, limit: CALL_LIMIT }),
        }
    }
}

/// The abilities of a broker that keeps its messages in a store.
pub(super) fn declare(declared: Capabilities) -> Capabilities {
    Capabilities {
        durable: true,
        ack: AckSupport::PerMessage { confirmed: true, durable: true },
        attempts: AttemptCount::Volatile,
        max_message: MessageLimit { bytes: MAX_STORED_MESSAGE, ..declared.max_message },
        ..declared
    }
}

/// Opens the broker in a store.
pub(super) async fn open(store: Arc<dyn StateStore>, settings: Settings) -> Result<Arc<Server>, BrokerError> {
    if settings.profile != Profile::Own {
        return Err(BrokerError::Invalid {
            kind: "profile of a durable in-process broker",
            value: format!("{:?}", settings.profile),
            cure: "use Profile::Own, or keep the broker in memory".to_owned(),
        });
    }
    let owner = Owner::acquire(&*store).await?;
    let failed = |source: BoxError| BrokerError::Unavailable { operation: "open", source };
    let start = store.now().await.map_err(|error| failed(error.into()))?;
    let (sender, orders) = mpsc::unbounded_channel();
    let log = Log { orders: sender, task: OnceLock::new() };
    let mut server = Server::new(settings.start(start));
    server.log = Some(log);
    let server = Arc::new(server);
    let loaded = load::read(&*store, &server).await.map_err(failed)?;
    server.start_with(loaded.topics);
    let (server_of_writer, garbage) = (Arc::downgrade(&server), BTreeSet::from_iter(loaded.garbage));
    let writer = Writer { server: server_of_writer, store, owner, orders, next: VecDeque::new(), garbage };
    if let Some(log) = &server.log {
        // It was not set before.
        let _ = log.task.set(tokio::spawn(writer.run()));
    }
    Ok(server)
}

impl Server {
    /// Sends the new messages of a topic to the store. They are delivered when they are stored.
    pub(super) fn store_messages(&self, state: &mut State, topic: &Topic, messages: Vec<Arc<Stored>>) -> Pending {
        self.submit(state, |job, _| {
            let name: Arc<str> = topic.name().into();
            for message in messages {
                job.puts.push(put(names::message(&name, message.sequence)?, entries::encode(&message)?));
                job.messages.push((Arc::clone(&name), message));
            }
            Ok(())
        })
    }

    /// Sends the declarations of these topics to the store.
    pub(super) fn store_declarations<'t>(
        &self,
        state: &mut State,
        topics: impl Iterator<Item = &'t Topic>,
        bindings: &[Binding],
    ) -> Pending {
        self.submit(state, |job, state| {
            for topic in topics {
                if let Ok(topic) = state.topic(topic) {
                    job.puts.push(topic_entry(topic)?);
                }
            }
            let now = self.timestamp(tokio::time::Instant::now());
            for binding in bindings {
                if let Some(progress) = state.group(binding).ok().and_then(|group| group.progress.as_deref_mut()) {
                    job.puts.extend(progress.take_changes(now)?);
                }
            }
            Ok(())
        })
    }

    /// Sends the changes of a group to the store.
    pub(super) fn store_progress(&self, state: &mut State, binding: &Binding) -> Pending {
        self.submit(state, |job, state| {
            let now = self.timestamp(tokio::time::Instant::now());
            if let Some(progress) = state.group(binding).ok().and_then(|group| group.progress.as_deref_mut()) {
                job.puts = progress.take_changes(now)?;
                job.garbage = progress.take_garbage();
            }
            Ok(())
        })
    }

    /// Waits in line with the changes: done when the earlier ones are stored.
    pub(super) fn reach_store(&self, state: &mut State) -> Pending {
        self.submit(state, |_, _| Ok(()))
    }

    fn submit(&self, state: &mut State, fill: impl FnOnce(&mut Job, &mut State) -> Result<(), BoxError>) -> Pending {
        let Some(log) = &self.log else { return Pending(None) };
        let (done, outcome) = oneshot::channel();
        let mut job = Job { epoch: state.epoch, ..Job::default() };
        let epoch = state.epoch;
        for progress in state.topics.values_mut().flat_map(TopicState::take_expired) {
            let (puts, garbage) = progress.into_removal();
            let _ = log.orders.send(Order::Write(Job { epoch, puts, ..Job::default() }));
            let _ = log.orders.send(Order::Write(Job { epoch, garbage, ..Job::default() }));
        }
        match fill(&mut job, state) {
            Ok(()) => job.done = Some(done),
            // The state in memory can't be written: the broker must not go on with it.
            Err(error) => state.ended = Some(format!("the in-process broker has ended: {error}")),
        }
        // If the writer has ended, so does the wait for the outcome.
        let _ = log.orders.send(Order::Write(job));
        Pending(Some(outcome))
    }

    fn epoch(&self) -> u64 {
        self.lock().epoch
    }

    fn set_trouble(&self, trouble: Option<String>) {
        self.lock().trouble = trouble;
    }

    fn end(&self, reason: String) {
        self.change(|state| state.ended = Some(reason));
    }

    /// Gives stored messages to their groups.
    fn deliver_stored(&self, messages: impl Iterator<Item = (Arc<str>, Arc<Stored>)>, epoch: u64) {
        let mut messages = messages.peekable();
        if messages.peek().is_none() {
            return;
        }
        let now = tokio::time::Instant::now();
        self.change(|state| {
            for (topic, message) in messages {
                if state.epoch == epoch
                    && let Some(topic) = state.topics.get_mut(&topic)
                {
                    topic.deliver(message, now);
                }
            }
        });
    }

    /// Sends the removal of expired groups to the store.
    fn store_expiry(&self) {
        let now = tokio::time::Instant::now();
        let mut state = self.lock();
        state.topics.values_mut().for_each(|topic| topic.remove_expired(now));
        if state.topics.values().any(TopicState::has_expired) {
            drop(self.submit(&mut state, |_, _| Ok(())));
        }
    }

    /// The messages that no group needs any more, and the entries to write before these are deleted.
    fn take_garbage(&self) -> (Vec<StatePut>, Vec<StateKey>) {
        let now = tokio::time::Instant::now();
        let (mut puts, mut garbage) = (Vec::new(), Vec::new());
        let mut state = self.lock();
        for topic in state.topics.values_mut() {
            let unneeded = topic.take_unneeded(now);
            if unneeded.is_empty() {
                continue;
            }
            // Without this entry the numbers of deleted messages would be given again.
            if let Ok(entry) = topic_entry(topic) {
                puts.push(entry);
                let name = topic.topic.name();
                garbage.extend(unneeded.into_iter().filter_map(|sequence| names::message(name, sequence).ok()));
            }
        }
        (puts, garbage)
    }

    /// Begins with the stored state.
    fn start_with(&self, topics: BTreeMap<Arc<str>, TopicState>) {
        self.change(|state| {
            state.topics = topics;
            state.down = false;
        });
    }

    /// Starts a server that was killed: it reads everything again. Without a store it starts at once.
    pub(super) fn start(&self) {
        match &self.log {
            Some(log) => drop(log.orders.send(Order::Reload)),
            None => self.change(|state| state.down = false),
        }
    }

    /// Lets the next broker have the store, after the last connection was closed.
    pub(super) async fn release_store(&self, within: Duration) {
        let Some(log) = &self.log else { return };
        let (done, ended) = oneshot::channel();
        self.change(|state| state.ended = Some("the in-process broker was closed: open it again".to_owned()));
        let _ = log.orders.send(Order::End(done));
        // Without an end in time the claim expires.
        let _ = timeout(within, ended).await;
    }
}

fn topic_entry(topic: &TopicState) -> Result<StatePut, BoxError> {
    let entry = TopicEntry::new(&topic.topic, topic.last);
    Ok(put(names::topic(topic.topic.name())?, serde_json::to_vec(&entry)?.into()))
}
