//! The consumer of a binding.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use super::connection::Connection;
use super::group::Taken;
use super::members::{MemberId, News};
use super::publish::again;
use super::server::unavailable;
use crate::{
    BrokerConsumer, BrokerError, BrokerPosition, Capabilities, Delivery, Drained, LaneId, Replay, Returns, Room, Seek,
    Settle, Settled, Signal, Ticket, TicketParts,
};

/// After so long without news `next` returns.
const IDLE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Consumer {
    connection: Arc<Connection>,
    binding: crate::Binding,
    declared: Capabilities,
    origin: Arc<str>,
    returns: Returns,
    changes: watch::Receiver<()>,
    member: Option<MemberId>,
    /// The lanes that the caller knows to be its own.
    held: Vec<LaneId>,
    /// News that were not told yet.
    news: VecDeque<News>,
    /// A settlement was not answered: the connection is given up at the next call.
    broken: bool,
}

/// The result of a look at the group.
enum Step {
    Signal(Signal),
    /// Nothing: something is due at this time.
    Wait(Option<Instant>),
}

impl Consumer {
    pub(super) fn new(connection: Arc<Connection>, binding: crate::Binding, declared: Capabilities) -> Self {
        let origin = binding.topic.name().into();
        let changes = connection.server.changes();
        let mut consumer = Self {
            connection,
            binding,
            declared,
            origin,
            returns: Returns::default(),
            changes,
            member: None,
            held: Vec::new(),
            news: VecDeque::new(),
            broken: false,
        };
        consumer.join();
        consumer
    }

    fn join(&mut self) {
        let (connection, now) = (self.connection.id, Instant::now());
        let joined = self.connection.server.change(|state| {
            let group = state.group(&self.binding).ok()?;
            group.advance(now);
            Some(group.join(connection, now))
        });
        self.member = joined;
    }

    /// Releases the dropped deliveries. Returns whether there were any.
    fn release_dropped(&self) -> bool {
        let dropped = self.returns.take();
        if dropped.is_empty() {
            return false;
        }
        let now = Instant::now();
        let mut state = self.connection.server.lock();
        if let Ok(group) = state.group(&self.binding) {
            for parts in &dropped {
                group.settle(parts.tag, Settle::Release, now);
            }
        }
        true
    }

    /// Whether the connection was lost since the last call. If so, the lanes are gone.
    fn lost(&mut self) -> bool {
        let Some(member) = self.member else { return false };
        let (now, broken) = (Instant::now(), std::mem::take(&mut self.broken));
        let mut state = self.connection.server.lock();
        let Ok(group) = state.group(&self.binding) else { return false };
        if broken {
            group.disconnect(member, now);
        }
        let moved = group.advance(now);
        let lost = !group.members.is_member(member);
        drop(state);
        if moved || lost {
            self.connection.server.wake();
        }
        if !lost {
            return false;
        }
        self.member = None;
        self.news.clear();
        self.news.extend(self.held.drain(..).map(News::Lost));
        true
    }

    fn step(&mut self, room: &Room) -> Result<Step, BrokerError> {
        let mut moved = self.release_dropped();
        if let Some(news) = self.news.pop_front() {
            return Ok(Step::Signal(self.tell(news)));
        }
        if self.lost() {
            return Err(unavailable("next", "the connection was lost"));
        }
        if self.member.is_none() {
            self.join();
        }
        let now = Instant::now();
        let mut state = self.connection.server.lock();
        let group = state.group(&self.binding)?;
        if let Some(member) = self.member.and_then(|member| group.members.get(member)) {
            member.polled = now;
        }
        moved |= group.advance(now);
        let Some(member) = self.member else { return Ok(Step::Wait(None)) };
        let news = group.members.get(member).and_then(|member| member.news.pop_front());
        let taken = if news.is_none() { group.take(member, room, now) } else { Vec::new() };
        let due = group.next_due();
        drop(state);
        if moved {
            self.connection.server.wake();
            self.changes.borrow_and_update();
        }
        Ok(match news {
            Some(news) => Step::Signal(self.tell(news)),
            None if taken.is_empty() => Step::Wait(due),
            None => Step::Signal(Signal::Deliveries(taken.into_iter().map(|taken| self.delivery(taken)).collect())),
        })
    }

    fn tell(&mut self, news: News) -> Signal {
        match news {
            News::Gained(lane) => {
                self.held.push(lane);
                Signal::Gained(lane)
            }
            News::Losing(lane, at) => Signal::Losing(lane, at),
            News::Lost(lane) => {
                self.held.retain(|held| *held != lane);
                Signal::Lost(lane)
            }
        }
    }

    fn delivery(&self, taken: Taken) -> Delivery {
        let Taken { message, lane, generation, tag, attempts, lease_until } = taken;
        let handle = bytes::Bytes::new();
        let ticket = Ticket::new(TicketParts { lane, generation, tag, handle }, &self.returns);
        let form = super::policy::Policy::of(self.connection.server.settings.profile, &self.declared).form;
        let written = &message.written;
        let mut delivery = Delivery::new(ticket, written.read(form), attempts, written.raw(Arc::clone(&self.origin)));
        delivery.lease_until = lease_until;
        delivery.position = Some(BrokerPosition(message.sequence, 0));
        delivery.published_at = Some(message.published_at);
        delivery
    }

    /// Applies a change to each of some tickets, or fails them all if the server does not answer.
    async fn each(
        &mut self,
        operation: &'static str,
        count: usize,
        mut apply: impl FnMut(&mut super::group::Group, usize, Instant) -> Settled + Send,
    ) -> Vec<Settled> {
        if let Err(error) = self.connection.reach(operation).await {
            self.broken = matches!(error, BrokerError::TimedOut { .. });
            return (0..count).map(|_| Settled::Failed(again(&error))).collect();
        }
        self.release_dropped();
        let now = Instant::now();
        let server = &self.connection.server;
        let (settled, pending) = server.change(|state| {
            let settled: Vec<_> = match state.group(&self.binding) {
                Ok(group) => {
                    group.advance(now);
                    (0..count).map(|index| apply(group, index, now)).collect()
                }
                Err(_) => (0..count).map(|_| Settled::Stale).collect(),
            };
            (settled, server.store_progress(state, &self.binding))
        });
        let Err(error) = pending.stored(operation).await else { return settled };
        // They take effect here, and are written as soon as that is possible.
        settled.into_iter().map(|one| if one.is_done() { Settled::Failed(again(&error)) } else { one }).collect()
    }

    fn leave(&mut self) -> usize {
        let Some(member) = self.member.take() else { return 0 };
        let now = Instant::now();
        let binding = &self.binding;
        self.connection.server.change(|state| state.group(binding).map_or(0, |group| group.leave(member, now)))
    }
}

#[async_trait]
impl BrokerConsumer for Consumer {
    async fn next(&mut self, room: &Room) -> Result<Signal, BrokerError> {
        let idle = Instant::now() + IDLE;
        loop {
            self.changes.borrow_and_update();
            if let Err(error) = self.connection.reach("next").await {
                // A caller that tries again at once does not spin.
                if matches!(error, BrokerError::Unavailable { .. }) {
                    sleep(IDLE / 2).await;
                }
                return Err(error);
            }
            let due = match self.step(room)? {
                Step::Signal(signal) => return Ok(signal),
                Step::Wait(due) => due,
            };
            if Instant::now() >= idle {
                return Ok(Signal::Idle);
            }
            let until = due.map_or(idle, |due| due.min(idle));
            // Woken by a change, or by the time.
            let _ = timeout_at(until, self.changes.changed()).await;
        }
    }

    async fn settle(&mut self, marks: Vec<(Ticket, Settle)>) -> Vec<Settled> {
        let count = marks.len();
        let mut marks: Vec<Option<(u64, Settle)>> =
            marks.into_iter().map(|(ticket, settle)| Some((ticket.redeem(&self.returns)?.tag, settle))).collect();
        self.each("settle", count, |group, index, now| match marks[index].take() {
            Some((tag, settle)) => group.settle(tag, settle, now),
            None => Settled::Stale,
        })
        .await
    }

    async fn extend(&mut self, held: &[Ticket], by: Duration) -> Vec<Settled> {
        let tags: Vec<_> = held.iter().map(|ticket| ticket.parts(&self.returns).map(|parts| parts.tag)).collect();
        let extended = |group: &mut super::group::Group, index: usize, now| match tags[index] {
            Some(tag) => group.extend(tag, by, now),
            None => Settled::Stale,
        };
        self.each("extend", held.len(), extended).await
    }

    async fn seek(&mut self, to: Seek) -> Result<(), BrokerError> {
        let possible = match (self.declared.replay, to) {
            (Replay::Both, _) | (Replay::Position | Replay::Time, Seek::Start | Seek::End) => true,
            (Replay::Position, Seek::After(..)) | (Replay::Time, Seek::Time(_)) => true,
            (Replay::None | Replay::Position | Replay::Time, _) => false,
        };
        if !possible {
            return Err(BrokerError::Unsupported { system: super::SYSTEM, ability: "read messages again from there" });
        }
        self.connection.reach("seek").await?;
        self.release_dropped();
        let (now, member) = (Instant::now(), self.member);
        let server = &self.connection.server;
        let pending = server.change(|state| {
            let messages = state.topic(&self.binding.topic)?.from(to, now);
            let only = if let Seek::After(lane, _) = to { Some(lane.0) } else { None };
            let group = state.group(&self.binding)?;
            if let Some(member) = member {
                group.reset(member, &messages, only, now);
            }
            Ok::<_, BrokerError>(server.store_progress(state, &self.binding))
        })?;
        pending.stored("seek").await
    }

    async fn drain(mut self: Box<Self>, within: Duration) -> Drained {
        let reached = self.connection.reach_within("drain", within).await;
        self.release_dropped();
        let released = self.leave();
        Drained { released, error: reached.err() }
    }
}

impl Drop for Consumer {
    /// Without a drain the connection of the consumer is lost.
    fn drop(&mut self) {
        let Some(member) = self.member.take() else { return };
        let now = Instant::now();
        self.release_dropped();
        self.connection.server.change(|state| {
            if let Ok(group) = state.group(&self.binding) {
                group.disconnect(member, now);
            }
        });
    }
}
