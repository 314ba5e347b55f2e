//! The consumer of a binding.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use google_cloud_pubsub::model::Message as Native;
use google_cloud_pubsub::subscriber::handler::Handler;
use recount_core::Timestamp;
use recount_messaging::envelope::{HeaderForm, from_headers};
use recount_messaging::{
    Attempts, Binding, BrokerConsumer, BrokerError, Delivery, Drained, LaneId, RawHeaders, RawMessage, Returns, Room,
    Seek, Settle, Settled, Signal, Ticket, TicketParts,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::capabilities::MAX_LEASE;
use crate::connection::Connection;
use crate::error::about;
use crate::intake::{Arrival, Intake};
use crate::{ensure, names};

const OPERATION: &str = "consuming";
/// After so long without a message [`GoogleConsumer::next`] returns.
const IDLE: Duration = Duration::from_secs(1);
/// After so long without a message the consumer asks whether the service answers: the client library reconnects in silence.
const SILENCE: Duration = Duration::from_secs(10);
/// The only lane: the service keeps the order of keys.
const LANE: LaneId = LaneId(0);

/// A delivery that was handed out and not settled.
struct Open {
    handler: Handler,
    /// When the client library stops to extend its lease.
    until: Instant,
}

/// The consumer of a binding.
pub(crate) struct GoogleConsumer {
    connection: Arc<Connection>,
    subscription: String,
    intake: Option<Intake>,
    /// Messages that came and were not handed out.
    ready: VecDeque<Arrival>,
    /// Deliveries that were handed out, by the ticket's tag.
    open: HashMap<u64, Open>,
    returns: Returns,
    next_tag: u64,
    /// When the service has last shown that it answers.
    heard: Instant,
    /// The question whether it answers. It goes on when calls are dropped.
    asking: JoinSet<Result<(), BrokerError>>,
}

impl GoogleConsumer {
    pub(crate) async fn open(connection: Arc<Connection>, binding: &Binding) -> Result<Self, BrokerError> {
        ensure::check(&connection, binding).await?;
        let subscription = names::subscription_path(&connection.options.project, binding);
        Ok(Self {
            intake: Some(Intake::open(&connection, &subscription)),
            connection,
            subscription,
            ready: VecDeque::new(),
            open: HashMap::new(),
            returns: Returns::default(),
            next_tag: 0,
            heard: Instant::now(),
            asking: JoinSet::new(),
        })
    }

    /// Gives all messages back if the connection is closed: the client library would extend their leases.
    fn check_open(&mut self) -> Result<(), BrokerError> {
        self.connection.check_open().inspect_err(|_| {
            self.intake = None;
            self.ready.clear();
            self.open.clear();
        })
    }

    /// Waits for a message, on a new stream after a failure, or for the answer of a service that was silent.
    async fn wait(&mut self) -> Result<(), BrokerError> {
        if self.heard.elapsed() > SILENCE && self.asking.is_empty() {
            let connection = Arc::clone(&self.connection);
            self.asking.spawn(async move { connection.round_trip(OPERATION).await });
        }
        let intake = self.intake.get_or_insert_with(|| Intake::open(&self.connection, &self.subscription));
        tokio::select! {
            biased;
            arrival = intake.next() => match arrival {
                Some(arrival) => self.receive(arrival),
                None => {
                    self.intake = None;
                    Ok(())
                }
            },
            Some(answered) = self.asking.join_next() => {
                self.heard = Instant::now();
                answered.unwrap_or(Ok(()))
            }
        }
    }

    fn receive(&mut self, arrival: Result<Arrival, google_cloud_pubsub::Error>) -> Result<(), BrokerError> {
        self.heard = Instant::now();
        match arrival {
            Ok(arrival) => {
                self.ready.push_back(arrival);
                Ok(())
            }
            Err(error) => {
                self.intake = None;
                Err(about(OPERATION, error))
            }
        }
    }

    /// Hands out the messages that there is room for, unless their lease has ended meanwhile.
    fn take(&mut self, room: &Room) -> Vec<Delivery> {
        let now = Instant::now();
        self.ready.retain(|arrival| arrival.at + MAX_LEASE > now);
        let (mut taken, mut bytes) = (Vec::new(), 0);
        if room.full.contains(&LANE) {
            return taken;
        }
        while let Some(arrival) = self.ready.front() {
            bytes += arrival.message.data.len();
            if !taken.is_empty() && (taken.len() >= room.messages || bytes > room.bytes) {
                break;
            }
            let Some(arrival) = self.ready.pop_front() else { break };
            taken.push(self.hand_out(arrival));
        }
        taken
    }

    fn hand_out(&mut self, arrival: Arrival) -> Delivery {
        self.next_tag += 1;
        let Arrival { at, message, handler } = arrival;
        let parts = TicketParts { lane: LANE, generation: 0, tag: self.next_tag, handle: Bytes::new() };
        let until = at + MAX_LEASE;
        self.open.insert(self.next_tag, Open { handler, until });
        let published = message.publish_time.and_then(|time| Timestamp::new(time.seconds(), time.nanos()).ok());
        let raw = raw(message, &self.subscription);
        let decoded = from_headers(raw.headers.iter(), None, raw.body.clone(), HeaderForm::PUBSUB);
        let mut delivery = Delivery::new(Ticket::new(parts, &self.returns), decoded, Attempts::Unknown, raw);
        delivery.lease_until = Some(until);
        delivery.published_at = published;
        delivery
    }

    fn settle_one(&mut self, ticket: Ticket, settle: &Settle) -> Settled {
        let open = ticket.redeem(&self.returns).and_then(|parts| self.open.remove(&parts.tag));
        let Some(open) = open.filter(|open| Instant::now() < open.until) else { return Settled::Stale };
        match settle {
            Settle::Ack | Settle::Reject(_) => open.handler.ack(),
            Settle::Release => open.handler.nack(),
            Settle::Retry { after } if after.is_zero() => open.handler.nack(),
            Settle::Retry { .. } => {
                // It is not lost: the service gives it out again.
                open.handler.nack();
                return Settled::Unsupported;
            }
        }
        Settled::Sent
    }
}

#[async_trait]
impl BrokerConsumer for GoogleConsumer {
    async fn next(&mut self, room: &Room) -> Result<Signal, BrokerError> {
        let until = Instant::now() + IDLE;
        loop {
            self.check_open()?;
            for parts in self.returns.take() {
                // A dropped handler releases its message.
                self.open.remove(&parts.tag);
            }
            while let Some(arrival) = self.intake.as_mut().and_then(Intake::try_next) {
                self.receive(arrival)?;
            }
            let deliveries = self.take(room);
            if !deliveries.is_empty() {
                return Ok(Signal::Deliveries(deliveries));
            }
            match timeout_at(until, self.wait()).await {
                Ok(waited) => waited?,
                Err(_) => return Ok(Signal::Idle),
            }
        }
    }

    async fn settle(&mut self, marks: Vec<(Ticket, Settle)>) -> Vec<Settled> {
        if self.check_open().is_err() {
            return marks.iter().map(|_| Settled::Failed(BrokerError::Closed)).collect();
        }
        marks.into_iter().map(|(ticket, settle)| self.settle_one(ticket, &settle)).collect()
    }

    async fn extend(&mut self, held: &[Ticket], by: Duration) -> Vec<Settled> {
        if self.check_open().is_err() {
            return held.iter().map(|_| Settled::Failed(BrokerError::Closed)).collect();
        }
        let until = Instant::now().checked_add(by);
        let extended = held.iter().map(|ticket| {
            let open = ticket.parts(&self.returns).and_then(|parts| self.open.get(&parts.tag));
            match open.filter(|open| Instant::now() < open.until) {
                // The client library extends it.
                Some(open) if until.is_some_and(|until| until <= open.until) => Settled::Sent,
                Some(_) => Settled::Unsupported,
                None => Settled::Stale,
            }
        });
        extended.collect()
    }

    async fn seek(&mut self, _: Seek) -> Result<(), BrokerError> {
        Err(BrokerError::Unsupported { system: crate::SYSTEM, ability: "continue from another place" })
    }

    async fn drain(mut self: Box<Self>, within: Duration) -> Drained {
        let released = self.open.len();
        let open = self.open.drain().map(|(_, open)| open.handler);
        let held = open.chain(self.ready.drain(..).map(|arrival| arrival.handler)).collect();
        let ended = match self.intake.take() {
            Some(intake) => intake.end(held, within).await,
            None => true,
        };
        let error = (!ended).then_some(BrokerError::TimedOut { operation: "draining", limit: within });
        Drained { released, error }
    }
}

/// The message as the service delivered it.
fn raw(message: Native, subscription: &str) -> RawMessage {
    let headers = RawHeaders::by_name(&message.attributes);
    RawMessage { origin: subscription.into(), headers, body: message.data }
}
