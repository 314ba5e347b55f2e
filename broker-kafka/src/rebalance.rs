//! Partitions that come to a consumer, and go to others.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};
use recount_messaging::{LaneId, Signal};
use tokio::sync::Notify;
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::time::Instant;

use crate::client;
use crate::lane::Lane;
use crate::member::Member;

/// How long handlers may take to end before their partition goes to another member.
const HANDOVER: Duration = Duration::from_secs(2);
/// How long the last commit of a partition may take. It takes some milliseconds.
const LAST_COMMIT: Duration = Duration::from_secs(3);
/// How often it is looked whether it is done.
const LOOK: Duration = Duration::from_millis(10);

/// The events of a consumer's client. They are answered by the consumer, not by the call that reports them.
pub(crate) struct Events {
    changes: Mutex<VecDeque<Change>>,
    /// Whether the client ends, and changes are answered at once.
    ending: AtomicBool,
    /// Whether the group has this member.
    joined: AtomicBool,
    /// Wakes the task that answers events.
    pub(crate) wake: Arc<Notify>,
    /// Is dropped with the client.
    _alive: oneshot::Sender<()>,
}

/// Partitions that are assigned, or revoked.
pub(crate) struct Change {
    gained: bool,
    partitions: TopicPartitionList,
}

/// Partitions that go to other members.
pub(crate) struct Leaving {
    partitions: TopicPartitionList,
    /// Handlers may settle until then.
    until: Instant,
    /// The last commit.
    commit: Option<(oneshot::Receiver<KafkaResult<()>>, Instant)>,
}

impl Events {
    /// Events, and a receiver that tells of the end of their client.
    pub(crate) fn new() -> (Self, oneshot::Receiver<()>) {
        let (alive, gone) = oneshot::channel();
        (
            Self {
                changes: Mutex::default(),
                ending: AtomicBool::new(false),
                joined: AtomicBool::new(false),
                wake: Arc::default(),
                _alive: alive,
            },
            gone,
        )
    }

    fn take(&self) -> Option<Change> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

impl ClientContext for Events {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "the Kafka consumer reports");
    }
}

impl ConsumerContext for Events {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        let gained = kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let change = Change { gained, partitions: partitions.clone() };
        self.joined.store(true, Ordering::Release);
        if self.ending.load(Ordering::Acquire) {
            return change.answer(consumer);
        }
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).push_back(change);
        self.wake.notify_one();
    }
}

impl Change {
    fn answer(&self, consumer: &BaseConsumer<Events>) {
        let answered = match self.gained {
            true => consumer.incremental_assign(&self.partitions),
            false => consumer.incremental_unassign(&self.partitions),
        };
        if let Err(error) = answered {
            tracing::debug!(%error, gained = self.gained, "a change of partitions has failed");
        }
    }
}

/// Prepares the end of a client: answers waiting and new changes at once, until this commit is done.
///
/// A client that ends while it joins the group would leave a name there that the group waits for, until its session ends.
pub(crate) fn end(
    client: &BaseConsumer<Events>,
    leaving: Option<Leaving>,
    mut commit: Option<oneshot::Receiver<KafkaResult<()>>>,
) {
    let events = client.context();
    events.ending.store(true, Ordering::Release);
    if let Some(Leaving { partitions, .. }) = leaving {
        Change { gained: false, partitions }.answer(client);
    }
    while let Some(change) = events.take() {
        change.answer(client);
    }
    let until = Instant::now() + LAST_COMMIT;
    let mut is_open = || matches!(commit.as_mut().map(oneshot::Receiver::try_recv), Some(Err(TryRecvError::Empty)));
    while (!events.joined.load(Ordering::Acquire) || is_open()) && Instant::now() < until {
        let _ = client.poll(LOOK);
    }
}

fn lanes_of(partitions: &TopicPartitionList) -> Vec<LaneId> {
    let numbers = partitions.elements().into_iter().map(|element| element.partition());
    numbers.filter_map(|number| u32::try_from(number).ok()).map(LaneId).collect()
}

impl Member {
    /// Answers changes, as far as nothing is to be waited for.
    pub(crate) fn rebalance(&mut self) {
        self.go_on_leaving();
        while self.leaving.is_none()
            && let Some(change) = self.client.context().take()
        {
            if change.gained { self.gain(&change) } else { self.lose(change) }
        }
    }

    fn gain(&mut self, change: &Change) {
        for id in lanes_of(&change.partitions) {
            let number = i32::try_from(id.0).unwrap_or_default();
            // Before the assignment, so that no record comes by the common queue.
            let Some(mut queue) = self.client.split_partition_queue(&self.topic, number) else { continue };
            let news = Arc::clone(&self.news);
            queue.set_nonempty_callback(move || news.notify_one());
            self.generation = self.generation.wrapping_add(1);
            self.lanes.insert(id, Lane::new(id, self.generation, queue, self.options.max_gap));
            self.signals.push_back(Signal::Gained(id));
        }
        change.answer(&self.client);
    }

    fn lose(&mut self, change: Change) {
        let mut leaving = Leaving { partitions: change.partitions, until: Instant::now(), commit: None };
        // After a session that has ended they are another member's already.
        if !self.client.assignment_lost() {
            leaving.until += HANDOVER;
            for id in lanes_of(&leaving.partitions) {
                if let Some(lane) = self.lanes.get_mut(&id) {
                    lane.leaves = true;
                    self.signals.push_back(Signal::Losing(id, leaving.until));
                }
            }
        }
        self.leaving = Some(leaving);
        self.go_on_leaving();
    }

    /// Lets partitions go when their handlers have ended and their positions are committed, or the time is over.
    fn go_on_leaving(&mut self) {
        let Some(mut leaving) = self.leaving.take() else { return };
        let (ids, now) = (lanes_of(&leaving.partitions), Instant::now());
        let mut gone = self.client.assignment_lost();
        if !gone && leaving.commit.is_none() {
            let open = ids.iter().filter_map(|id| self.lanes.get(id)).any(Lane::is_any_out);
            if open && now < leaving.until {
                self.leaving = Some(leaving);
                return;
            }
            // A later settlement would not be committed.
            for id in &ids {
                if let Some(lane) = self.lanes.get_mut(id) {
                    self.generation = self.generation.wrapping_add(1);
                    lane.generation = self.generation;
                }
            }
            leaving.commit = self.start_commit(&ids).map(|(committed, _)| (committed, now + LAST_COMMIT));
            gone = leaving.commit.is_none();
        }
        if let Some((commit, until)) = &mut leaving.commit {
            gone |= now >= *until || !matches!(commit.try_recv(), Err(TryRecvError::Empty));
        }
        if !gone {
            self.leaving = Some(leaving);
            return;
        }
        for id in ids {
            if self.lanes.remove(&id).is_some() {
                self.signals.push_back(Signal::Lost(id));
            }
        }
        Change { gained: false, partitions: leaving.partitions }.answer(&self.client);
    }
}
