//! The consumer of one binding: a connection of its own, with a channel for each lane.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{BoxFuture, join_all, try_join_all};
use lapin::message::Delivery as Native;
use recount_messaging::{
    Binding, BrokerConsumer, BrokerError, Delivery, Drained, LaneId, Order, Returns, Room, Seek, Settle, Settled,
    Signal, Ticket, TicketParts, deadline_after,
};
use tokio::time::{Instant, timeout, timeout_at};

use crate::capabilities::CONSUMER_TIMEOUT;
use crate::error::lost;
use crate::lane::{Lane, Opening};
use crate::link::Link;
use crate::{RabbitOptions, envelope, names, settle};

/// After so long without news a call returns.
const IDLE: Duration = Duration::from_secs(1);
const OPERATION: &str = "consuming";
/// How many channels of a lane have generations of their own within one connection.
const CHANNELS: u32 = 1 << 16;

pub(crate) struct RabbitConsumer {
    options: RabbitOptions,
    binding: Binding,
    /// `None` after the connection was lost.
    session: Option<Session>,
    /// The session that is being opened. Dropped calls leave it: others that come soon after it would never let it be ready.
    opening: Option<BoxFuture<'static, Result<Session, BrokerError>>>,
    /// The generation of the lanes of the next connection. A lane raises its own by one with each channel.
    next_generation: u32,
    returns: Returns,
}

/// The life of one connection.
struct Session {
    link: Arc<Link>,
    lanes: Vec<Lane>,
    started: bool,
    /// The lane to look into first, so that each gets its turn.
    turn: usize,
}

impl Drop for Session {
    /// Cuts the connection before the driver's consumers are dropped. These would cancel themselves, and a standby would get
    /// later messages before the ones that are still out.
    fn drop(&mut self) {
        self.link.cut();
    }
}

/// The news that a connection brings.
enum News {
    Gained(LaneId),
    /// Messages, each with the index of its lane.
    Messages(Vec<(usize, Native)>),
}

impl RabbitConsumer {
    pub(crate) async fn subscribe(options: RabbitOptions, binding: Binding) -> Result<Self, BrokerError> {
        let session = Session::open(&options, &binding, 0).await?;
        let next_generation = CHANNELS;
        Ok(Self {
            options,
            binding,
            session: Some(session),
            opening: None,
            next_generation,
            returns: Returns::default(),
        })
    }

    /// Connects if the connection was lost, and lets messages come.
    ///
    /// Cancel-safe: the next call goes on with the connection that is not ready.
    async fn start(&mut self) -> Result<(), BrokerError> {
        if self.session.as_ref().is_some_and(|session| session.started) {
            return Ok(());
        }
        let opening = match &mut self.opening {
            Some(opening) => opening,
            none => {
                let (options, binding, generation) = (self.options.clone(), self.binding.clone(), self.next_generation);
                let session = self.session.take();
                self.next_generation = generation.wrapping_add(CHANNELS);
                none.insert(Box::pin(async move {
                    let mut session = match session {
                        Some(session) => session,
                        None => Session::open(&options, &binding, generation).await?,
                    };
                    try_join_all(session.lanes.iter_mut().map(Lane::start)).await?;
                    session.started = true;
                    Ok(session)
                }))
            }
        };
        let opened = opening.await;
        self.opening = None;
        self.session = Some(opened?);
        Ok(())
    }

    /// The lane of a ticket, unless the ticket is stale.
    fn lane_of(&mut self, parts: &TicketParts) -> Option<(usize, &mut Lane)> {
        let session = self.session.as_mut().filter(|session| session.link.is_up())?;
        let (index, lane) = session.lanes.iter_mut().enumerate().find(|(_, lane)| lane.id == parts.lane)?;
        let current = lane.generation == parts.generation && lane.is_up();
        (current && lane.open.contains(&parts.tag)).then_some((index, lane))
    }

    /// Releases the deliveries of dropped tickets.
    fn release_dropped(&mut self) -> Vec<settle::Frame> {
        let mut sheets = settle::Sheets::default();
        for parts in self.returns.take() {
            if let Some((index, _)) = self.lane_of(&parts) {
                sheets.of(index).returns.insert(parts.tag);
            }
        }
        self.session.as_mut().map_or_else(Vec::new, |session| sheets.frames(&mut session.lanes))
    }

    fn delivery(&self, index: usize, native: Native) -> Option<Delivery> {
        let lane = self.session.as_ref()?.lanes.get(index)?;
        let parts = TicketParts {
            lane: lane.id,
            generation: lane.generation,
            tag: native.delivery_tag,
            handle: bytes::Bytes::new(),
        };
        let read = envelope::read(native, &lane.opening.queue);
        let mut delivery = Delivery::new(Ticket::new(parts, &self.returns), read.message, read.attempts, read.raw);
        delivery.lease_until = Some(Instant::now() + CONSUMER_TIMEOUT);
        Some(delivery)
    }
}

#[async_trait]
impl BrokerConsumer for RabbitConsumer {
    async fn next(&mut self, room: &Room) -> Result<Signal, BrokerError> {
        if self.session.as_ref().is_some_and(|session| !session.link.is_up()) {
            self.session = None;
            return Err(lost(OPERATION));
        }
        let frames = self.release_dropped();
        settle::write(frames, self.options.call_timeout).await;
        self.start().await?;
        let Some(session) = &mut self.session else { return Err(lost(OPERATION)) };
        let received = poll_fn(|cx| session.poll_receive(cx, room));
        match timeout(IDLE, received).await {
            Err(_) => Ok(Signal::Idle),
            Ok(Ok(News::Gained(lane))) => Ok(Signal::Gained(lane)),
            Ok(Ok(News::Messages(messages))) => {
                let deliveries = messages.into_iter().filter_map(|(index, native)| self.delivery(index, native));
                Ok(Signal::Deliveries(deliveries.collect()))
            }
            Ok(Err(error)) => {
                self.session = None;
                Err(error)
            }
        }
    }

    async fn settle(&mut self, marks: Vec<(Ticket, Settle)>) -> Vec<Settled> {
        let mut sheets = settle::Sheets::default();
        let mut lanes: Vec<Result<usize, Settled>> = Vec::with_capacity(marks.len());
        for (ticket, settle) in marks {
            // A ticket that is not redeemed is released.
            if let Settle::Retry { .. } = settle {
                lanes.push(Err(Settled::Unsupported));
                continue;
            }
            let lane = ticket.redeem(&self.returns).and_then(|parts| Some((self.lane_of(&parts)?.0, parts.tag)));
            lanes.push(
                lane.map(|(index, tag)| {
                    sheets.of(index).note(tag, &settle);
                    index
                })
                .ok_or(Settled::Stale),
            );
        }
        let Some(session) = &mut self.session else {
            return lanes.into_iter().map(|lane| lane.err().unwrap_or(Settled::Stale)).collect();
        };
        let frames = sheets.frames(&mut session.lanes);
        let outcome = settle::write(frames, self.options.call_timeout).await;
        if outcome.timed_out {
            session.link.cut();
        }
        lanes
            .into_iter()
            .map(|lane| lane.map_or_else(|settled| settled, |index| outcome.of(index, &session.lanes)))
            .collect()
    }

    async fn extend(&mut self, held: &[Ticket], _: Duration) -> Vec<Settled> {
        let returns = self.returns.clone();
        let mut of = |ticket: &Ticket| match ticket.parts(&returns).is_some_and(|parts| self.lane_of(parts).is_some()) {
            true => Settled::Unsupported,
            false => Settled::Stale,
        };
        held.iter().map(&mut of).collect()
    }

    async fn seek(&mut self, _: Seek) -> Result<(), BrokerError> {
        Err(BrokerError::Unsupported { system: "rabbitmq", ability: "read messages again" })
    }

    async fn drain(mut self: Box<Self>, within: Duration) -> Drained {
        const OPERATION: &str = "ending a consumer";
        let until = deadline_after(within);
        let Some(session) = self.session.take() else { return Drained::default() };
        let released = session.lanes.iter().map(Lane::count_open).sum();
        // Closing the channels, without cancelling their consumers before, returns all in order. The server answers after
        // it has taken the acknowledgements.
        let closing = join_all(session.lanes.iter().map(|lane| lane.channel.close(200, "drained".into())));
        match timeout_at(until, closing).await {
            Ok(_) => {
                session.link.close(until).await;
                Drained { released, error: None }
            }
            Err(_) => Drained { released, error: Some(BrokerError::TimedOut { operation: OPERATION, limit: within }) },
        }
    }
}

impl Session {
    async fn open(options: &RabbitOptions, binding: &Binding, generation: u32) -> Result<Self, BrokerError> {
        let link = Arc::new(Link::open(options, &format!("consumer of {binding}")).await?);
        let ordered = binding.order == Order::PerKey;
        let queues: Vec<(LaneId, String)> = match ordered {
            true => {
                (0..binding.topic.lanes().get()).map(|lane| (LaneId(lane.into()), names::lane(binding, lane))).collect()
            }
            false => vec![(LaneId(0), names::group(binding))],
        };
        let lanes = queues.into_iter().map(|(id, queue)| {
            let (link, limit, prefetch) = (Arc::clone(&link), options.call_timeout, options.prefetch);
            Lane::open(id, generation, Opening { link, queue: queue.into(), limit, prefetch }, options, ordered)
        });
        let lanes = try_join_all(lanes).await?;
        Ok(Self { link, lanes, started: false, turn: 0 })
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>, room: &Room) -> Poll<Result<News, BrokerError>> {
        let (mut messages, mut bytes) = (Vec::new(), 0);
        let count = self.lanes.len();
        self.turn = (self.turn + 1) % count.max(1);
        for index in (self.turn..count).chain(0..self.turn) {
            let lane = &mut self.lanes[index];
            // A full lane is looked into as well, but gives out nothing: it may have to return released messages.
            while messages.len() < room.messages.max(1) {
                let size = match lane.poll_size(cx) {
                    Poll::Ready(Ok(_)) if room.full.contains(&lane.id) => break,
                    Poll::Ready(Ok(size)) => size,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => break,
                };
                if !std::mem::replace(&mut lane.gained, true) && messages.is_empty() {
                    return Poll::Ready(Ok(News::Gained(lane.id)));
                }
                if !messages.is_empty() && bytes + size > room.bytes {
                    break;
                }
                bytes += size;
                messages.extend(lane.pop().map(|native| (index, native)));
            }
        }
        if messages.is_empty() { Poll::Pending } else { Poll::Ready(Ok(News::Messages(messages))) }
    }
}
