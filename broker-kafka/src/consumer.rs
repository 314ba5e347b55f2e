//! The consumer of a binding: its calls, and the task that answers the events of its client meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::consumer::{BaseConsumer, Consumer};
use recount_messaging::{
    Binding, BrokerConsumer, BrokerError, Drained, Room, Seek, Settle, Settled, Signal, Ticket, deadline_after,
};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::KafkaOptions;
use crate::client::{Probe, blocking, create};
use crate::ensure::{group_config, group_name, positions, topic_name};
use crate::error::meaning;
use crate::lane::Lane;
use crate::member::{Member, OPERATION};
use crate::rebalance::Events;

/// After so long without a message [`KafkaConsumer::next`] returns.
const IDLE: Duration = Duration::from_secs(1);
/// How often events are looked at, whether the client has told of some or not.
const LOOK: Duration = Duration::from_millis(100);
/// How long the group waits for a member that does not answer events.
const ANSWER: Duration = Duration::from_secs(30);

/// The consumer of a binding.
pub(crate) struct KafkaConsumer {
    pub(crate) member: Arc<Mutex<Member>>,
    pub(crate) options: KafkaOptions,
    closed: Arc<AtomicBool>,
    news: Arc<Notify>,
    /// Tells that the client is gone.
    gone: Option<oneshot::Receiver<()>>,
    answering: JoinHandle<()>,
}

impl KafkaConsumer {
    pub(crate) async fn open(
        options: KafkaOptions,
        closed: Arc<AtomicBool>,
        probe: &Probe,
        binding: &Binding,
    ) -> Result<Self, BrokerError> {
        let (topic, limit) = (binding.topic.name(), options.call_timeout);
        match probe.partitions(OPERATION, topic).await? {
            None => return Err(BrokerError::Missing { object: topic_name(topic) }),
            Some(partitions) => binding.topic.check_partitions(|| topic_name(topic), partitions)?,
        }
        let mut config = group_config(&options, binding)?;
        let mut set = |name: &str, value: &str| {
            config.set(name, value);
        };
        let milliseconds = |time: Duration| time.as_millis().to_string();
        set("group.protocol", "classic");
        set("partition.assignment.strategy", "cooperative-sticky");
        set("session.timeout.ms", &milliseconds(options.session_timeout));
        set("heartbeat.interval.ms", &milliseconds((options.session_timeout / 10).min(Duration::from_secs(1))));
        set("max.poll.interval.ms", &milliseconds(ANSWER.max(options.session_timeout)));
        // For a group that was forgotten, and for messages that were.
        set("auto.offset.reset", "earliest");
        // Little is read ahead. With the usual pause of a second it would be read slowly.
        set("queued.max.messages.kbytes", "8192");
        set("fetch.queue.backoff.ms", "5");
        set("fetch.wait.max.ms", "250");
        let (events, gone) = Events::new();
        let wake = Arc::clone(&events.wake);
        let mut client: BaseConsumer<Events> = create(&config, events)?;
        let on_event = Arc::clone(&wake);
        client.set_nonempty_callback(move || on_event.notify_one());
        let client = Arc::new(client);
        let (asked, of_topic, lanes) = (Arc::clone(&client), topic.to_owned(), binding.topic.lanes().get());
        let member = Member::new(options.clone(), topic, client);
        let missing = blocking(OPERATION, limit, move || {
            let missing = positions(&asked, OPERATION, limit, &of_topic, lanes)?;
            if missing.is_empty() {
                asked.subscribe(&[&of_topic]).map_err(|error| meaning(OPERATION, limit, error))?;
            }
            Ok::<_, BrokerError>(missing)
        });
        if !missing.await??.is_empty() {
            return Err(BrokerError::Missing { object: group_name(binding) });
        }
        let news = Arc::clone(&member.news);
        let member = Arc::new(Mutex::new(member));
        let answering = tokio::spawn(answer(Arc::clone(&member), wake));
        Ok(Self { member, options, closed, news, gone: Some(gone), answering })
    }

    pub(crate) fn check_open(&self) -> Result<(), BrokerError> {
        if self.closed.load(Ordering::Acquire) { Err(BrokerError::Closed) } else { Ok(()) }
    }

    pub(crate) fn member(&self) -> MutexGuard<'_, Member> {
        self.member.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The member, for a call that shows that its caller is alive.
    fn called(&self) -> MutexGuard<'_, Member> {
        let mut member = self.member();
        member.called = Instant::now();
        member
    }
}

/// Answers events, so that the group waits for no caller. Unless the caller is gone: then the group goes on without this member.
async fn answer(member: Arc<Mutex<Member>>, wake: Arc<Notify>) {
    loop {
        let _ = timeout(LOOK, wake.notified()).await;
        let mut member = member.lock().unwrap_or_else(PoisonError::into_inner);
        if member.called.elapsed() < member.options.max_poll {
            member.serve();
        }
        if !member.signals.is_empty() || member.trouble.is_some() {
            member.news.notify_one();
        }
    }
}

#[async_trait]
impl BrokerConsumer for KafkaConsumer {
    async fn next(&mut self, room: &Room) -> Result<Signal, BrokerError> {
        let idle = Instant::now() + IDLE;
        loop {
            self.check_open()?;
            {
                let mut member = self.called();
                member.serve();
                if let Some(signal) = member.signals.pop_front() {
                    return Ok(signal);
                }
                if let Some(error) = member.trouble.take() {
                    return Err(error);
                }
                let deliveries = member.take(room);
                if !deliveries.is_empty() {
                    return Ok(Signal::Deliveries(deliveries));
                }
            }
            if Instant::now() >= idle {
                return Ok(Signal::Idle);
            }
            let look = (Instant::now() + LOOK).min(idle);
            let _ = timeout_at(look, self.news.notified()).await;
        }
    }

    async fn settle(&mut self, marks: Vec<(Ticket, Settle)>) -> Vec<Settled> {
        if self.check_open().is_err() {
            return marks.iter().map(|_| Settled::Failed(BrokerError::Closed)).collect();
        }
        let mut member = self.called();
        // The lanes may have been lost since the last call.
        member.serve();
        let settled = marks.into_iter().map(|(ticket, settle)| match ticket.redeem(&member.returns) {
            Some(parts) => member.take_back(&parts, settle),
            None => Settled::Stale,
        });
        let settled = settled.collect();
        member.rebalance();
        member.commit_settled();
        settled
    }

    async fn extend(&mut self, held: &[Ticket], _by: Duration) -> Vec<Settled> {
        if self.check_open().is_err() {
            return held.iter().map(|_| Settled::Failed(BrokerError::Closed)).collect();
        }
        let mut member = self.called();
        member.serve();
        let outcome = |ticket: &Ticket| {
            let parts = ticket.parts(&member.returns)?;
            let lane = member.lanes.get(&parts.lane).filter(|lane| lane.generation == parts.generation)?;
            lane.is_out(i64::try_from(parts.tag).ok()?).then_some(Settled::Sent)
        };
        held.iter().map(|ticket| outcome(ticket).unwrap_or(Settled::Stale)).collect()
    }

    async fn seek(&mut self, to: Seek) -> Result<(), BrokerError> {
        self.seek_to(to).await
    }

    async fn drain(mut self: Box<Self>, within: Duration) -> Drained {
        let until = deadline_after(within);
        let released = {
            let mut member = self.called();
            // No ticket is settled any more.
            member.lanes.values_mut().for_each(Lane::take_all_back);
            member.lanes.values().map(Lane::count_open).sum()
        };
        let committed = self.commit_last(until).await;
        let gone = self.gone.take();
        drop(self);
        // Until then the group waits for this member. It is left in the background if that takes longer.
        if let Some(gone) = gone {
            let _ = timeout_at(until, gone).await;
        }
        Drained { released, error: committed.err() }
    }
}

impl Drop for KafkaConsumer {
    fn drop(&mut self) {
        self.answering.abort();
    }
}
