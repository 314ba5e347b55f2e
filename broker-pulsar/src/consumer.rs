//! The consumer of one binding: a client of its own, with a task for each lane.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, try_join_all};
use recount_core::EventId;
use recount_messaging::{
    Binding, BrokerConsumer, BrokerError, BrokerPosition, Drained, LaneId, Order, Returns, Room, Seek, Settle, Settled,
    Signal, Ticket, TicketParts, deadline_after,
};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::broker::PulsarBroker;
use crate::error::{lost, missing};
use crate::expiry::{self, Heartbeat};
use crate::lane::{LaneNews, News, OPERATION, SeekTo, Task};
use crate::sequence::Opened;
use crate::session::{Lane, Session};
use crate::{PulsarOptions, ensure};

/// After so long without news a call returns.
const IDLE: Duration = Duration::from_secs(1);
/// The greatest ledger and entry: the server's numbers are signed, and greater ones stand for the start.
const BEHIND_ALL: u64 = i64::MAX.unsigned_abs();

/// The consumer of a binding.
pub(crate) struct PulsarConsumer {
    broker: PulsarBroker,
    options: Arc<PulsarOptions>,
    binding: Binding,
    /// `None` after the connection was lost.
    session: Option<Session>,
    /// The session that replaces the lost one. Kept, so that calls that are dropped don't begin anew.
    opening: Option<BoxFuture<'static, Result<Session, BrokerError>>>,
    /// The name of this member at the server, the same in all lanes and sessions.
    member: Arc<str>,
    /// The lanes that were opened anew because messages were missing.
    opened: HashMap<u16, Opened>,
    generation: u32,
    returns: Returns,
    next_tag: u64,
    heartbeat: Option<Heartbeat>,
}

impl PulsarConsumer {
    pub(crate) async fn open(broker: PulsarBroker, binding: &Binding) -> Result<Self, BrokerError> {
        let options = broker.options_of();
        ensure::check(&options, binding).await?;
        let member: Arc<str> = format!("recount-{}", EventId::new().0.simple()).into();
        let (opened, closed) = (HashMap::new(), broker.closed());
        let opening = Session::open(Arc::clone(&options), binding.clone(), Arc::clone(&member), 0, opened, closed);
        let session = opening.await?;
        Ok(Self {
            member,
            opened: HashMap::new(),
            heartbeat: Heartbeat::start(&options, binding, broker.closed()),
            broker,
            options,
            binding: binding.clone(),
            session: Some(session),
            opening: None,
            generation: 0,
            returns: Returns::default(),
            next_tag: 0,
        })
    }

    /// Opens a session if the last one was lost.
    ///
    /// Cancel-safe.
    async fn start(&mut self) -> Result<(), BrokerError> {
        if self.session.is_some() {
            return Ok(());
        }
        let opening = self.opening.get_or_insert_with(|| {
            self.generation = self.generation.wrapping_add(1);
            let (options, member) = (Arc::clone(&self.options), Arc::clone(&self.member));
            let (binding, opened) = (self.binding.clone(), self.opened.clone());
            Session::open(options, binding, member, self.generation, opened, self.broker.closed()).boxed()
        });
        let opened = opening.await;
        self.opening = None;
        self.session = Some(opened?);
        Ok(())
    }

    /// The lane of a ticket with its index, unless the ticket is stale.
    fn lane_of(&mut self, parts: &TicketParts) -> Option<&mut Lane> {
        let session = self.session.as_mut().filter(|session| session.generation == parts.generation)?;
        let lane = session.lanes.get_mut(usize::try_from(parts.lane.0).ok()?)?;
        lane.ledger.is_open(parts.tag).then_some(lane)
    }

    fn release(&mut self, parts: &TicketParts) -> Settled {
        let ordered = self.binding.order == Order::PerKey;
        let Some(lane) = self.lane_of(parts) else { return Settled::Stale };
        // The server would send the whole lane again.
        if ordered {
            lane.ledger.release(parts.tag);
            return Settled::Sent;
        }
        match lane.ledger.give_back(parts.tag) {
            Some((ledger, entry)) => lane.order(Task::Nack(ledger, entry)),
            None => Settled::Sent,
        }
    }

    fn settle_one(&mut self, ticket: Ticket, settle: &Settle) -> Settled {
        if let Settle::Retry { .. } = settle {
            // The ticket is not used up, so the delivery is released.
            return Settled::Unsupported;
        }
        let Some(parts) = ticket.redeem(&self.returns) else { return Settled::Stale };
        match settle {
            Settle::Release | Settle::Retry { .. } => self.release(&parts),
            Settle::Ack | Settle::Reject(_) => {
                let Some(lane) = self.lane_of(&parts) else { return Settled::Stale };
                match lane.ledger.settle(parts.tag) {
                    Some((ledger, entry)) => lane.order(Task::Ack(ledger, entry)),
                    None => Settled::Sent,
                }
            }
        }
    }

    /// Hands out the messages that there is room for, or tells of a lane that gives its first one.
    fn take(&mut self, room: &Room) -> Option<Signal> {
        let session = self.session.as_mut()?;
        let (count, generation) = (session.lanes.len(), session.generation);
        session.turn = (session.turn + 1) % count.max(1);
        let (mut taken, mut bytes) = (Vec::new(), 0);
        'lanes: for index in (session.turn..count).chain(0..session.turn) {
            let lane = &mut session.lanes[index];
            let id = LaneId(u32::try_from(index).unwrap_or(u32::MAX));
            if room.full.contains(&id) {
                continue;
            }
            while let Some(size) = lane.ledger.next_size() {
                let fits = taken.len() < room.messages.max(1) && bytes + size <= room.bytes;
                if !fits && !taken.is_empty() {
                    break 'lanes;
                }
                if !lane.gained {
                    if !taken.is_empty() {
                        break 'lanes;
                    }
                    lane.gained = true;
                    return Some(Signal::Gained(id));
                }
                self.next_tag += 1;
                bytes += size;
                taken.extend(lane.hand_out(id, generation, self.next_tag, &self.returns));
            }
        }
        (!taken.is_empty()).then_some(Signal::Deliveries(taken))
    }

    /// Takes in news. A lane that has ended ends the session.
    fn learn(&mut self, (index, news): LaneNews) -> Result<(), BrokerError> {
        let Some(lane) = self.session.as_mut().and_then(|session| session.lanes.get_mut(index)) else { return Ok(()) };
        match news {
            News::Arrived(arrival) => lane.ledger.arrive(arrival),
            News::Unreadable(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(partition = &*lane.origin, error, "a message can't be read, and stays at the server");
            }
            News::Ended(opened) => {
                self.session = None;
                let Some((lane, opened)) = u16::try_from(index).ok().zip(opened) else { return Err(lost(OPERATION)) };
                self.opened.insert(lane, opened);
                return Err(missing(OPERATION));
            }
        }
        Ok(())
    }

    /// Goes on from a place in one lane, or in all. The server ends all consumers of the group, so the session ends too.
    async fn seek_lanes(&mut self, only: Option<LaneId>, to: SeekTo) -> Result<(), BrokerError> {
        self.start().await?;
        let Some(session) = self.session.take() else { return Err(lost(OPERATION)) };
        session.client.tasks.separate();
        let lanes = session.lanes.iter().enumerate();
        let lanes = lanes.filter(|(index, _)| only.is_none_or(|only| usize::try_from(only.0) == Ok(*index)));
        let sought = lanes.map(|(_, lane)| {
            let (done, ended) = oneshot::channel();
            lane.order(Task::Seek(to, done));
            async { ended.await.unwrap_or_else(|_| Err(lost("seeking"))) }
        });
        try_join_all(sought).await?;
        // The other lanes write their acknowledgements.
        session.close().await
    }
}

#[async_trait]
impl BrokerConsumer for PulsarConsumer {
    async fn next(&mut self, room: &Room) -> Result<Signal, BrokerError> {
        let until = Instant::now() + IDLE;
        loop {
            self.broker.check_open()?;
            for parts in self.returns.take() {
                self.release(&parts);
            }
            self.start().await?;
            while let Some(news) = self.session.as_mut().and_then(|session| session.news.try_recv().ok()) {
                self.learn(news)?;
            }
            if let Some(signal) = self.take(room) {
                return Ok(signal);
            }
            let Some(session) = &mut self.session else { return Err(lost(OPERATION)) };
            match timeout_at(until, session.news.recv()).await {
                Ok(Some(news)) => self.learn(news)?,
                Ok(None) => {
                    self.session = None;
                    return Err(lost(OPERATION));
                }
                Err(_) => return Ok(Signal::Idle),
            }
        }
    }

    async fn settle(&mut self, marks: Vec<(Ticket, Settle)>) -> Vec<Settled> {
        if self.broker.check_open().is_err() {
            return marks.iter().map(|_| Settled::Failed(BrokerError::Closed)).collect();
        }
        marks.into_iter().map(|(ticket, settle)| self.settle_one(ticket, &settle)).collect()
    }

    async fn extend(&mut self, held: &[Ticket], _: Duration) -> Vec<Settled> {
        if self.broker.check_open().is_err() {
            return held.iter().map(|_| Settled::Failed(BrokerError::Closed)).collect();
        }
        let returns = self.returns.clone();
        let mut of = |ticket: &Ticket| match ticket.parts(&returns).is_some_and(|parts| self.lane_of(parts).is_some()) {
            true => Settled::Unsupported,
            false => Settled::Stale,
        };
        held.iter().map(&mut of).collect()
    }

    async fn seek(&mut self, to: Seek) -> Result<(), BrokerError> {
        self.broker.check_open()?;
        match to {
            // The place before all.
            Seek::Start => self.seek_lanes(None, SeekTo::Entry(u64::MAX, u64::MAX)).await,
            Seek::End => self.seek_lanes(None, SeekTo::Entry(BEHIND_ALL, BEHIND_ALL)).await,
            Seek::Time(time) => {
                let time = u64::try_from(time.as_millisecond()).unwrap_or_default();
                self.seek_lanes(None, SeekTo::Time(time)).await
            }
            Seek::After(lane, _) if lane.0 >= u32::from(self.binding.topic.lanes().get()) => {
                Err(BrokerError::Missing { object: format!("lane {} of topic {}", lane.0, self.binding.topic) })
            }
            Seek::After(lane, BrokerPosition(ledger, entry)) => {
                let next = entry.saturating_add(1).min(BEHIND_ALL);
                self.seek_lanes(Some(lane), SeekTo::Entry(ledger.min(BEHIND_ALL), next)).await
            }
        }
    }

    async fn drain(mut self: Box<Self>, within: Duration) -> Drained {
        const OPERATION: &str = "ending a consumer";
        let until = deadline_after(within);
        self.heartbeat = None;
        let Some(mut session) = self.session.take() else { return Drained::default() };
        let released = session.lanes.iter_mut().map(|lane| lane.ledger.clear()).sum();
        let error = match timeout_at(until, session.close()).await {
            Ok(closed) => closed.err(),
            Err(_) => Some(BrokerError::TimedOut { operation: OPERATION, limit: within }),
        };
        drop(session);
        if self.binding.expires_after.is_some() {
            let _ = timeout_at(until, expiry::note_seen(&self.options, &self.binding)).await;
        }
        Drained { released, error }
    }
}
