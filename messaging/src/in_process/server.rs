//! The server that all connections share: topics, faults, and the clock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use recount_core::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use super::Settings;
use super::durable::{self, Log};
use super::faults::PublishFault;
use super::group::Group;
use super::policy::Policy;
use super::requests::Inboxes;
use super::topic::{Retention, TopicState};
use crate::{Binding, BrokerError, Order, Outgoing, Topic};

/// The longest time of a call to a server that does not answer.
pub(super) const CALL_LIMIT: Duration = Duration::from_secs(10);

/// Longer than any program runs.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The moment after this time. Times that a clock can't hold are cut.
pub(super) fn moment(now: Instant, after: Duration) -> Instant {
    now + after.min(FAR)
}

#[derive(Debug)]
pub(super) struct Server {
    pub(super) settings: Settings,
    state: Mutex<State>,
    changed: Changed,
    /// The same moment by both clocks.
    start: (Instant, Timestamp),
    /// The way to its store, if it has one.
    pub(super) log: Option<Log>,
}

/// The waiters for a change, each with a channel of its own: they wake in the order in which they began. One channel for
/// all wakes them in a random order.
#[derive(Debug, Default)]
struct Changed(Mutex<Vec<watch::Sender<()>>>);

impl Changed {
    fn subscribe(&self) -> watch::Receiver<()> {
        let (sender, receiver) = watch::channel(());
        self.senders().push(sender);
        receiver
    }

    fn wake(&self) {
        self.senders().retain(|sender| sender.send(()).is_ok());
    }

    fn senders(&self) -> MutexGuard<'_, Vec<watch::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) topics: BTreeMap<Arc<str>, TopicState>,
    pub(super) down: bool,
    pub(super) frozen: bool,
    /// The faults that answer the next publishes.
    pub(super) publish_faults: std::collections::VecDeque<(usize, PublishFault)>,
    /// The messages sent to the frozen server. It works them off when it goes on.
    pub(super) sent_while_frozen: Vec<(Topic, Vec<Outgoing>)>,
    pub(super) random: fastrand::Rng,
    pub(super) connections: u64,
    pub(super) inboxes: Inboxes,
    latency: Duration,
    /// How many connections are open.
    pub(super) open: usize,
    /// How often the server was killed.
    pub(super) epoch: u64,
    /// Why its store does not take changes at present.
    pub(super) trouble: Option<String>,
    /// Why it answers no calls any more.
    pub(super) ended: Option<String>,
}

impl Server {
    pub(super) fn new(settings: Settings) -> Self {
        let state = State {
            topics: BTreeMap::new(),
            down: false,
            frozen: false,
            publish_faults: std::collections::VecDeque::new(),
            sent_while_frozen: Vec::new(),
            random: fastrand::Rng::with_seed(settings.seed),
            connections: 0,
            inboxes: Inboxes::default(),
            latency: Duration::ZERO,
            open: 0,
            epoch: 0,
            trouble: None,
            ended: None,
        };
        let start = (Instant::now(), settings.start);
        Self { settings, state: Mutex::new(state), changed: Changed::default(), start, log: None }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and wakes the tasks that wait for a change.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let answer = change(&mut self.lock());
        self.wake();
        answer
    }

    pub(super) fn wake(&self) {
        self.changed.wake();
    }

    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// The time of the wall clock at a moment.
    pub(super) fn timestamp(&self, at: Instant) -> Timestamp {
        let (instant, timestamp) = self.start;
        timestamp.checked_add(at.saturating_duration_since(instant)).unwrap_or(timestamp)
    }

    /// A call's way to the server: returns once it answers, or when the time is up.
    pub(super) async fn reach(&self, operation: &'static str) -> Result<(), BrokerError> {
        self.reach_within(operation, CALL_LIMIT).await
    }

    pub(super) async fn reach_within(&self, operation: &'static str, limit: Duration) -> Result<(), BrokerError> {
        let deadline = crate::deadline_after(limit);
        let latency = self.lock().latency;
        if !latency.is_zero() {
            sleep(latency.min(limit)).await;
        }
        let mut changes = None;
        loop {
            let (down, frozen, trouble) = {
                let state = self.lock();
                (state.down, state.frozen, state.ended.as_ref().or(state.trouble.as_ref()).cloned())
            };
            if down {
                return Err(unavailable(operation, "the server is down"));
            }
            if let Some(trouble) = trouble {
                return Err(unavailable(operation, trouble));
            }
            if !frozen {
                return Ok(());
            }
            let Some(changes) = &mut changes else {
                changes = Some(self.changes());
                continue;
            };
            if timeout_at(deadline, changes.changed()).await.is_err() {
                return Err(BrokerError::TimedOut { operation, limit });
            }
        }
    }

    /// Delays every call by this time.
    pub(super) fn set_latency(&self, latency: Duration) {
        self.change(|state| state.latency = latency);
    }

    pub(super) fn policy(&self, binding: &Binding) -> (crate::Capabilities, Policy) {
        let (mut declared, policy) = self.policy_of(binding.order, &binding.topic, binding.lease);
        declared.idle_expiry = binding.expires_after;
        (declared, policy)
    }

    /// The capabilities and policy that all bindings of a topic have in common.
    pub(super) fn topic_policy(&self, topic: &Topic) -> (crate::Capabilities, Policy) {
        self.policy_of(Order::PerKey, topic, Duration::ZERO)
    }

    fn policy_of(&self, order: Order, topic: &Topic, lease: Duration) -> (crate::Capabilities, Policy) {
        let mut declared = self.settings.profile.declared(order, topic, lease);
        if self.log.is_some() {
            declared = durable::declare(declared);
        }
        let policy = Policy::of(self.settings.profile, &declared);
        (declared, policy)
    }

    pub(super) fn new_topic(&self, topic: &Topic) -> TopicState {
        let (declared, policy) = self.topic_policy(topic);
        TopicState::new(topic.clone(), self.retention(topic, &policy), declared.dedupe, self.log.is_some())
    }

    pub(super) fn new_group(&self, state: &mut State, binding: &Binding) -> Group {
        let (declared, policy) = self.policy(binding);
        Group::new(binding.clone(), declared, policy, state.random.fork(), state.epoch)
    }

    fn retention(&self, topic: &Topic, policy: &Policy) -> Retention {
        let Settings { retained_messages: messages, retained_bytes: bytes, .. } = self.settings;
        let history = policy.history.map(|history| topic.kept_for().map_or(history, |kept| kept.min(history)));
        Retention { messages, bytes, history }
    }
}

impl State {
    pub(super) fn topic(&mut self, topic: &Topic) -> Result<&mut TopicState, BrokerError> {
        let missing = || BrokerError::Missing { object: format!("topic {topic}") };
        let topic = self.topics.get_mut(topic.name()).ok_or_else(missing)?;
        topic.remove_expired(Instant::now());
        Ok(topic)
    }

    pub(super) fn group(&mut self, binding: &Binding) -> Result<&mut Group, BrokerError> {
        let missing = || BrokerError::Missing { object: binding.to_string() };
        self.topic(&binding.topic)?.group(&binding.group).ok_or_else(missing)
    }

    pub(super) fn groups(&mut self) -> impl Iterator<Item = &mut Group> {
        self.topics.values_mut().flat_map(|topic| topic.groups.values_mut())
    }
}

pub(super) fn unavailable(operation: &'static str, reason: impl Into<String>) -> BrokerError {
    BrokerError::Unavailable { operation, source: reason.into().into() }
}
