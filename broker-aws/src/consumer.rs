//! The consumer of a binding: requests for messages, and the deliveries that answer them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::types::{Message as Native, MessageSystemAttributeName};
use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use recount_messaging::{
    Attempts, Binding, BrokerConsumer, BrokerError, Delivery, Drained, LaneId, Order, Returns, Room, Seek, Settle,
    Settled, Signal, Ticket, TicketParts, deadline_after,
};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::capabilities::{MAX_LEASE, lease};
use crate::connection::Connection;
use crate::envelope::decode;
use crate::expiry::Heartbeat;
use crate::receive::{Answered, MAX_COUNT, Receiving, Request, attempt_id};
use crate::settle::release;
use crate::{ensure, names};

pub(crate) const OPERATION: &str = "consuming";
/// After so long without a message [`AwsConsumer::next`] returns.
const IDLE: Duration = Duration::from_secs(1);
/// How many requests for messages are under way at once, while they come back full.
const PARALLEL: usize = 4;
/// A queue has no lanes.
const LANE: LaneId = LaneId(0);

/// A message that came, and is not handed out yet.
pub(crate) struct Arrival {
    pub(crate) held: Held,
    native: Native,
}

/// A message that the server counts as delivered to this consumer.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    /// The message group, if the queue keeps order.
    pub(crate) group: Option<Arc<str>>,
    /// The receipt handle, by which it is settled.
    pub(crate) handle: String,
    /// When its lease ends: at this moment at the earliest.
    pub(crate) until: Instant,
    /// When its lease began: at this moment at the earliest.
    pub(crate) since: Instant,
}

impl Held {
    /// Whether the message may be hidden for this time from now on: its whole lease stays below the server's limit.
    pub(crate) fn can_hide_for(&self, time: Duration, now: Instant) -> bool {
        time < MAX_LEASE.saturating_sub(now.saturating_duration_since(self.since))
    }
}

/// The consumer of a binding.
pub(crate) struct AwsConsumer {
    pub(crate) connection: Arc<Connection>,
    pub(crate) binding: Binding,
    /// The URL of its queue.
    pub(crate) url: Arc<str>,
    lease: Duration,
    wait: Duration,
    receiving: FuturesUnordered<Receiving>,
    /// The request that lost its answer, to be sent again.
    lost: Option<Request>,
    /// Whether the last request came back full.
    busy: bool,
    /// Messages that came and were not handed out, in the order of the queue. Of a message group one is out at a time:
    /// a request may bring several.
    pub(crate) ready: VecDeque<Arrival>,
    /// Deliveries that were handed out, by the ticket's tag.
    pub(crate) open: HashMap<u64, Held>,
    /// The tag of the delivery of each message group that is out.
    out: HashMap<Arc<str>, u64>,
    pub(crate) returns: Returns,
    /// The deliveries of dropped tickets.
    releasing: Vec<Held>,
    next_tag: u64,
    /// Keeps a group that expires in use.
    _heartbeat: Option<Heartbeat>,
}

impl AwsConsumer {
    pub(crate) async fn open(connection: Arc<Connection>, binding: &Binding) -> Result<Self, BrokerError> {
        let url = ensure::queue_of(&connection, binding).await?;
        let lease = lease(binding);
        let quarter = Duration::from_secs((lease / 4).as_secs().max(1));
        Ok(Self {
            wait: connection.options.wait.clamp(Duration::from_secs(1), quarter),
            _heartbeat: Heartbeat::start(&connection, binding, &url),
            connection,
            binding: binding.clone(),
            url,
            lease,
            receiving: FuturesUnordered::new(),
            lost: None,
            busy: false,
            ready: VecDeque::new(),
            open: HashMap::new(),
            out: HashMap::new(),
            returns: Returns::default(),
            releasing: Vec::new(),
            next_tag: 0,
        })
    }

    /// Sends requests for the messages that there is room for and that have not come yet.
    fn request(&mut self, room: &Room) {
        let most = if self.busy { PARALLEL } else { 1 };
        while self.receiving.len() < most {
            // A message that waits for another of its group takes no room: it would keep all other groups back.
            let count = room.messages.saturating_sub(self.receiving.len() * MAX_COUNT).min(MAX_COUNT);
            if count == 0 {
                break;
            }
            let request = self.lost.take().and_then(Request::again).unwrap_or_else(|| Request {
                url: Arc::clone(&self.url),
                count,
                lease: self.lease,
                wait: self.wait,
                sent: Instant::now(),
                attempt: (self.binding.order == Order::PerKey).then(attempt_id),
            });
            self.receiving.push(request.send(&self.connection));
        }
    }

    /// Takes in the answer of a request.
    fn receive(&mut self, answered: Answered) -> Result<(), BrokerError> {
        let Answered { request, outcome } = answered;
        let natives = match outcome {
            Ok(natives) => natives,
            Err(error) => {
                self.busy = false;
                let told = error.about(OPERATION, &format!("queue {}", names::queue(&self.binding)));
                if error.is_uncertain() {
                    self.lost = Some(request);
                }
                return Err(told);
            }
        };
        self.busy = natives.len() >= MAX_COUNT;
        for native in natives {
            let Some(handle) = native.receipt_handle.clone() else { continue };
            let attributes = native.attributes.as_ref();
            let group = attributes.and_then(|all| all.get(&MessageSystemAttributeName::MessageGroupId));
            let group = group.filter(|_| self.binding.order == Order::PerKey).map(|group| Arc::from(group.as_str()));
            let held = Held { group, handle, until: request.sent + self.lease, since: request.sent };
            self.ready.push_back(Arrival { held, native });
        }
        Ok(())
    }

    /// Hands out the messages that there is room for, unless their lease has ended meanwhile.
    fn take(&mut self, room: &Room) -> Vec<Delivery> {
        let now = Instant::now();
        self.ready.retain(|arrival| arrival.held.until > now);
        if room.full.contains(&LANE) {
            return Vec::new();
        }
        let (mut taken, mut kept, mut passed) = (Vec::new(), VecDeque::new(), HashSet::new());
        let (mut bytes, mut has_room) = (0, true);
        for arrival in std::mem::take(&mut self.ready) {
            let size = arrival.native.body.as_ref().map_or(0, String::len);
            has_room &= taken.is_empty() || (taken.len() < room.messages && bytes + size <= room.bytes);
            let group = arrival.held.group.clone();
            let waits = group.as_ref().is_some_and(|group| passed.contains(group) || self.is_out(group, now));
            if waits || !has_room {
                passed.extend(group);
                kept.push_back(arrival);
                continue;
            }
            bytes += size;
            taken.push(self.hand_out(arrival));
        }
        self.ready = kept;
        taken
    }

    /// Whether a message of the group is handed out, and its lease has not ended.
    fn is_out(&self, group: &Arc<str>, now: Instant) -> bool {
        self.out.get(group).and_then(|tag| self.open.get(tag)).is_some_and(|held| held.until > now)
    }

    fn hand_out(&mut self, arrival: Arrival) -> Delivery {
        let Arrival { held, native } = arrival;
        self.next_tag += 1;
        let tag = self.next_tag;
        let parts = TicketParts { lane: LANE, generation: 0, tag, handle: Bytes::new() };
        let decoded = decode(native, &self.url);
        let earlier = decoded.deliveries.saturating_sub(1);
        // A standard queue may deliver a message twice without counting. Of a key the server counts also messages that came
        // along with an earlier one, and were not handed out.
        let is_first = held.group.is_some() && earlier == 0;
        let attempts = if is_first { Attempts::Exact(0) } else { Attempts::AtLeast(earlier) };
        let ticket = Ticket::new(parts, &self.returns);
        let mut delivery = Delivery::new(ticket, decoded.message, attempts, decoded.raw);
        delivery.lease_until = Some(held.until);
        delivery.position = decoded.position;
        delivery.published_at = decoded.published_at;
        if let Some(group) = &held.group {
            self.out.insert(Arc::clone(group), tag);
        }
        self.open.insert(tag, held);
        delivery
    }

    /// Takes back a delivery that was handed out.
    pub(crate) fn take_back(&mut self, tag: u64) -> Option<Held> {
        let held = self.open.remove(&tag)?;
        if let Some(group) = &held.group
            && self.out.get(group) == Some(&tag)
        {
            self.out.remove(group);
        }
        Some(held)
    }

    /// Releases the deliveries of dropped tickets.
    async fn release_returned(&mut self) {
        for parts in self.returns.take() {
            if let Some(held) = self.take_back(parts.tag) {
                let later = self.take_later(&held);
                self.releasing.push(held);
                self.releasing.extend(later);
            }
        }
        if !self.releasing.is_empty() {
            // One that can't be released comes again when its lease has ended. The call may be dropped here.
            release(&self.connection, &self.url, self.releasing.clone()).await;
            self.releasing.clear();
        }
    }
}

#[async_trait]
impl BrokerConsumer for AwsConsumer {
    async fn next(&mut self, room: &Room) -> Result<Signal, BrokerError> {
        let until = Instant::now() + IDLE;
        loop {
            self.connection.check_open().map_err(|error| error.about(OPERATION, ""))?;
            self.release_returned().await;
            let deliveries = self.take(room);
            if !deliveries.is_empty() {
                return Ok(Signal::Deliveries(deliveries));
            }
            if room.full.contains(&LANE) {
                sleep_until(until).await;
                return Ok(Signal::Idle);
            }
            self.request(room);
            match timeout_at(until, self.receiving.next()).await {
                Ok(Some(answered)) => {
                    self.receive(answered)?;
                    // Receipts that have arrived meanwhile are settled in the same request.
                    while let Some(Some(answered)) = self.receiving.next().now_or_never() {
                        self.receive(answered)?;
                    }
                }
                Ok(None) => sleep_until(until).await,
                Err(_) => return Ok(Signal::Idle),
            }
            if Instant::now() >= until && self.ready.is_empty() {
                return Ok(Signal::Idle);
            }
        }
    }

    async fn settle(&mut self, marks: Vec<(Ticket, Settle)>) -> Vec<Settled> {
        self.settle_all(marks).await
    }

    async fn extend(&mut self, held: &[Ticket], by: Duration) -> Vec<Settled> {
        self.extend_all(held, by).await
    }

    async fn seek(&mut self, _to: Seek) -> Result<(), BrokerError> {
        Err(BrokerError::Unsupported { system: crate::broker::SYSTEM, ability: "read messages again" })
    }

    async fn drain(mut self: Box<Self>, within: Duration) -> Drained {
        let until = deadline_after(within);
        let timed_out = || BrokerError::TimedOut { operation: OPERATION, limit: within };
        let mut failed = None;
        // A receive request in flight would take the messages that are released here.
        while !self.receiving.is_empty() {
            match timeout_at(until, self.receiving.next()).await {
                Ok(Some(answered)) => failed = self.receive(answered).err().or(failed),
                Ok(None) => break,
                Err(_) => {
                    // The messages that answer the request are hidden until their lease ends.
                    failed = Some(timed_out());
                    break;
                }
            }
        }
        let mut held = std::mem::take(&mut self.releasing);
        held.extend(self.open.drain().map(|(_, held)| held));
        held.extend(self.ready.drain(..).map(|arrival| arrival.held));
        match timeout_at(until, release(&self.connection, &self.url, held)).await {
            Ok(drained) => Drained { error: drained.error.or(failed), ..drained },
            Err(_) => Drained { released: 0, error: Some(timed_out()) },
        }
    }
}
