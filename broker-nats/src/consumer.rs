//! The consumer of a binding: pull requests for each lane, and the deliveries that answer them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_nats::Message as Native;
use async_trait::async_trait;
use bytes::Bytes;
use recount_core::Timestamp;
use recount_messaging::{
    Binding, BrokerConsumer, BrokerError, Delivery, Drained, Returns, Room, Seek, Settle, Settled, Signal, Ticket,
    TicketParts, deadline_after,
};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::ack::AckSubject;
use crate::connection::Connection;
use crate::delivery::Arrival;
use crate::error::unavailable;
use crate::intake::Intake;
use crate::lane::{self, Lane};
use crate::remake::{after, at_time};
use crate::{ensure, names};

pub(crate) const OPERATION: &str = "consuming";
/// After so long without a message [`NatsConsumer::next`] returns.
const IDLE: Duration = Duration::from_secs(1);
/// A delivery that was handed out and not settled.
#[derive(Debug)]
pub(crate) struct Open {
    /// The place of its lane.
    pub(crate) lane: usize,
    pub(crate) generation: u32,
    pub(crate) sequence: u64,
    /// When its lease ends.
    pub(crate) until: Instant,
    /// The subject by which it is settled.
    pub(crate) handle: Bytes,
}

/// The consumer of a binding.
pub(crate) struct NatsConsumer {
    pub(crate) connection: Arc<Connection>,
    pub(crate) binding: Binding,
    pub(crate) lanes: Vec<Lane>,
    /// The place of each lane, by the name of its consumer.
    places: HashMap<String, usize>,
    intake: Intake,
    /// Messages that came and were not handed out.
    pub(crate) ready: VecDeque<Arrival>,
    /// Deliveries that were handed out, by the ticket's tag.
    pub(crate) open: HashMap<u64, Open>,
    pub(crate) returns: Returns,
    /// The subjects of deliveries that are to be released.
    releases: VecDeque<Bytes>,
    next_tag: u64,
    losses: watch::Receiver<u32>,
    /// When the connection was lost the last time, and the time before.
    last_losses: [Option<Instant>; 2],
    /// Until then one lane is read at a time: a message that the client library can't read ends the connection, and would
    /// take the messages of other lanes along, again and again.
    careful_until: Option<Instant>,
    /// The lane that is read next.
    turn: usize,
    /// When it was opened.
    pub(crate) subscribed: Timestamp,
}

impl NatsConsumer {
    pub(crate) async fn open(connection: Arc<Connection>, binding: &Binding) -> Result<Self, BrokerError> {
        ensure::check(&connection, binding).await?;
        let intake = Intake::open(&connection).await?;
        let lanes: Vec<Lane> = names::durables(binding).into_iter().map(Lane::new).collect();
        let places = lanes.iter().enumerate().map(|(place, lane)| (lane.durable.name.clone(), place)).collect();
        Ok(Self {
            losses: connection.losses(),
            connection,
            binding: binding.clone(),
            lanes,
            places,
            intake,
            ready: VecDeque::new(),
            open: HashMap::new(),
            returns: Returns::default(),
            releases: VecDeque::new(),
            next_tag: 0,
            last_losses: [None; 2],
            careful_until: None,
            turn: 0,
            subscribed: Timestamp::now(),
        })
    }

    /// Releases the deliveries of dropped tickets.
    async fn release_returned(&mut self) {
        for parts in self.returns.take() {
            self.releases.extend(self.open.remove(&parts.tag).map(|open| open.handle));
        }
        while let Some(handle) = self.releases.front().filter(|_| self.connection.is_connected()) {
            let subject = String::from_utf8_lossy(handle).into_owned();
            if self.connection.send(OPERATION, subject, None, Bytes::from_static(b"-NAK")).await.is_err() {
                break;
            }
            self.releases.pop_front();
        }
        // Without a connection they come again when their leases have ended.
        self.releases.clear();
    }

    /// Takes in everything that has come.
    pub(crate) fn receive_all(&mut self) {
        while let Some((at, native)) = self.intake.try_next() {
            self.receive(at, native);
        }
    }

    fn receive(&mut self, at: Instant, message: Native) {
        if let Some(status) = message.status {
            if let Some(lane) = self.intake.lane_of(&message.subject).and_then(|lane| self.lanes.get_mut(lane)) {
                lane.told(status, &message, at);
            }
            return;
        }
        let Some(ack) = message.reply.as_deref().and_then(AckSubject::read) else { return };
        let Some(&lane) = self.places.get(ack.consumer) else { return };
        let sequence = ack.sequence;
        self.lanes[lane].delivered(at);
        if ack.delivered > 1 {
            // The server's lease of an earlier delivery has ended, also if it came late and ours has not.
            self.open.retain(|_, open| (open.lane, open.sequence) != (lane, sequence));
            self.ready.retain(|arrival| (arrival.lane, arrival.sequence) != (lane, sequence));
        }
        self.ready.push_back(Arrival { lane, sequence, at, message });
    }

    /// Hands out the messages that there is room for, unless their lease has ended meanwhile.
    fn take(&mut self, room: &Room) -> Vec<Delivery> {
        let now = Instant::now();
        let lease = self.binding.lease;
        self.ready.retain(|arrival| arrival.at + lease > now);
        let (mut taken, mut kept) = (Vec::new(), VecDeque::new());
        let (mut bytes, mut has_room) = (0, true);
        for arrival in std::mem::take(&mut self.ready) {
            let is_full = room.full.contains(&self.lanes[arrival.lane].durable.lane);
            let size = arrival.message.payload.len();
            // Behind one that does not fit none is handed out, so that lanes keep their order.
            has_room &= taken.is_empty() || (taken.len() < room.messages && bytes + size <= room.bytes);
            if is_full || !has_room {
                kept.push_back(arrival);
                continue;
            }
            bytes += size;
            taken.push(self.hand_out(arrival));
        }
        self.ready = kept;
        taken
    }

    fn hand_out(&mut self, arrival: Arrival) -> Delivery {
        let lane = &self.lanes[arrival.lane];
        self.next_tag += 1;
        let handle = arrival.handle();
        let parts = TicketParts {
            lane: lane.durable.lane,
            generation: lane.generation,
            tag: self.next_tag,
            handle: handle.clone(),
        };
        let lease = self.binding.lease;
        let open = Open {
            lane: arrival.lane,
            generation: lane.generation,
            sequence: arrival.sequence,
            until: arrival.at + lease,
            handle,
        };
        self.open.insert(self.next_tag, open);
        arrival.into_delivery(parts, &self.returns, lease)
    }

    /// Notes that the connection was lost, and the pull requests with it. Three losses within two leases look like a
    /// message that comes again after its lease and ends the connection each time.
    fn lose_connection(&mut self) {
        let (now, lease) = (Instant::now(), self.binding.lease);
        let window = lease * 2 + IDLE;
        let (careful, mut lanes) = (self.is_careful(now), self.lanes.iter_mut());
        if let Some(lane) = lanes.find(|lane| careful && lane.is_pulled(now)) {
            let consumer = &lane.durable.name;
            tracing::warn!(consumer, topic = %self.binding.topic, "the connection was lost while only this consumer was read: if it is always the same one, its next message has headers that are not UTF-8");
            // If so, the message is out for its lease.
            lane.rest_until(now + lease);
        }
        let [last, before] = self.last_losses;
        if before.is_some_and(|before| now < before + window) {
            self.careful_until = Some(now + window);
        }
        self.last_losses = [Some(now), last];
        self.lanes.iter_mut().for_each(Lane::forget_pulls);
    }

    fn is_careful(&self, now: Instant) -> bool {
        self.careful_until.is_some_and(|until| now < until)
    }

    /// Asks the server for messages of the lanes that have room.
    async fn pull(&mut self, room: &Room) -> Result<(), BrokerError> {
        if !self.connection.is_connected() {
            return Ok(());
        }
        let mut waiting = vec![0; self.lanes.len()];
        self.ready.iter().for_each(|arrival| waiting[arrival.lane] += 1);
        let (careful, first) = (self.is_careful(Instant::now()), self.turn);
        for nth in 0..self.lanes.len() {
            let (place, now) = ((first + nth) % self.lanes.len(), Instant::now());
            if careful && self.lanes.iter().any(|lane| lane.is_pulled(now)) {
                break;
            }
            let lane = &self.lanes[place];
            let Some(count) = lane.missing(room.messages, waiting[place], now) else { continue };
            if room.full.contains(&lane.durable.lane) {
                continue;
            }
            let stream = names::stream(&self.binding.topic);
            let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{}", lane.durable.name);
            let address = self.intake.address(place);
            let (count, time) = if careful { (1, lane::BRIEFLY) } else { (count, lane::EXPIRES) };
            self.connection.send(OPERATION, subject, Some(address), Lane::pull(count, time).into()).await?;
            self.lanes[place].pulled(count, now, time);
            self.turn = place + 1;
        }
        Ok(())
    }

    /// The answer of `next` if nothing came.
    fn idle(&mut self) -> Result<Signal, BrokerError> {
        if !self.connection.is_connected() {
            return Err(unavailable(OPERATION, "the connection is lost, and the client reconnects"));
        }
        let now = Instant::now();
        if self.lanes.iter().any(|lane| lane.is_silent(now)) {
            self.lanes.iter_mut().for_each(Lane::forget_pulls);
            return Err(unavailable(OPERATION, "the server gives no sign of life"));
        }
        Ok(Signal::Idle)
    }
}

#[async_trait]
impl BrokerConsumer for NatsConsumer {
    async fn next(&mut self, room: &Room) -> Result<Signal, BrokerError> {
        let until = Instant::now() + IDLE;
        loop {
            self.connection.check_open()?;
            self.release_returned().await;
            if self.losses.has_changed().unwrap_or(false) {
                self.losses.mark_unchanged();
                self.lose_connection();
            }
            self.receive_all();
            let deliveries = self.take(room);
            if !deliveries.is_empty() {
                return Ok(Signal::Deliveries(deliveries));
            }
            self.remake_lost().await?;
            self.pull(room).await?;
            let pause = self.lanes.iter().filter_map(|lane| lane.pause(Instant::now())).min();
            tokio::select! {
                arrival = timeout_at(pause.map_or(until, |pause| pause.min(until)), self.intake.next()) => match arrival {
                    Ok(Some((at, native))) => self.receive(at, native),
                    Ok(None) => return Err(BrokerError::Closed),
                    Err(_) if Instant::now() < until => {}
                    Err(_) => return self.idle(),
                },
                _ = self.losses.changed() => self.lose_connection(),
            }
        }
    }

    async fn settle(&mut self, marks: Vec<(Ticket, Settle)>) -> Vec<Settled> {
        self.settle_all(marks).await
    }

    async fn extend(&mut self, held: &[Ticket], by: Duration) -> Vec<Settled> {
        self.extend_all(held, by).await
    }

    async fn seek(&mut self, to: Seek) -> Result<(), BrokerError> {
        let (only, start) = match to {
            Seek::Start => (None, json!({ "deliver_policy": "all" })),
            Seek::End => (None, json!({ "deliver_policy": "new" })),
            Seek::Time(time) => (None, at_time(time)),
            Seek::After(lane, position) => (Some(lane), after(position.0)),
        };
        for place in 0..self.lanes.len() {
            if only.is_none_or(|lane| lane == self.lanes[place].durable.lane) {
                self.seek_lane(place, &start).await?;
            }
        }
        Ok(())
    }

    async fn drain(mut self: Box<Self>, within: Duration) -> Drained {
        let until = deadline_after(within);
        for (at, native) in self.intake.stop(within / 2).await {
            self.receive(at, native);
        }
        let mut handles: Vec<(u64, Bytes)> = self.open.drain().map(|(_, open)| (open.sequence, open.handle)).collect();
        handles.extend(self.ready.drain(..).map(|arrival| (arrival.sequence, arrival.handle())));
        handles.sort_unstable();
        self.release_all(handles.into_iter().map(|(_, handle)| handle).collect(), until).await
    }
}
