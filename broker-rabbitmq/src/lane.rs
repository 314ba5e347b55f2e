//! One queue of a consumer, on a channel of its own.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery as Native;
use lapin::options::{BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Consumer};
use recount_messaging::{BrokerError, LaneId};
use tokio::time::Instant;

use crate::RabbitOptions;
use crate::error::{bounded, lost, meaning};
use crate::link::Link;

const OPERATION: &str = "consuming";

/// How a lane is opened, for the first time and again.
#[derive(Clone)]
pub(crate) struct Opening {
    pub(crate) link: Arc<Link>,
    pub(crate) queue: Arc<str>,
    pub(crate) limit: Duration,
    pub(crate) prefetch: u16,
}

pub(crate) struct Lane {
    pub(crate) id: LaneId,
    /// Of its tickets. Each channel counts its deliveries anew.
    pub(crate) generation: u32,
    pub(crate) opening: Opening,
    pub(crate) channel: Channel,
    /// `None` until the consumer is called for the first time.
    stream: Option<Consumer>,
    /// Fetched and not given out.
    buffer: VecDeque<Native>,
    /// Given out and not settled.
    pub(crate) open: BTreeSet<u64>,
    pub(crate) ordered: bool,
    /// Released, in a lane with order: they go back with the channel.
    released: BTreeSet<u64>,
    /// Since when the first of them waits.
    released_since: Instant,
    /// The channel that replaces the one that was closed.
    reopening: Option<BoxFuture<'static, Result<(Channel, Consumer), BrokerError>>>,
    /// Whether anything was given out since the channel was opened.
    pub(crate) gained: bool,
}

impl Lane {
    /// Opens the channel. The queue must exist.
    pub(crate) async fn open(
        id: LaneId,
        generation: u32,
        opening: Opening,
        options: &RabbitOptions,
        ordered: bool,
    ) -> Result<Self, BrokerError> {
        let channel = opening.link.channel().await?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declared = channel.queue_declare((*opening.queue).into(), passive, FieldTable::default());
        bounded("subscribing", options.call_timeout, declared).await?;
        Ok(Self {
            id,
            generation,
            opening,
            channel,
            stream: None,
            buffer: VecDeque::new(),
            open: BTreeSet::new(),
            ordered,
            released: BTreeSet::new(),
            released_since: Instant::now(),
            reopening: None,
            gained: false,
        })
    }

    /// Lets messages come.
    pub(crate) async fn start(&mut self) -> Result<(), BrokerError> {
        self.stream = Some(self.opening.consume(&self.channel).await?);
        Ok(())
    }

    pub(crate) fn is_up(&self) -> bool {
        self.channel.status().connected()
    }

    /// How many deliveries are out.
    pub(crate) fn count_open(&self) -> usize {
        self.open.len() + self.released.len()
    }

    /// The size of the next message, which stays.
    pub(crate) fn poll_size(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, BrokerError>> {
        loop {
            if let Some(reopening) = &mut self.reopening {
                match reopening.poll_unpin(cx) {
                    Poll::Ready(opened) => self.opened(opened?),
                    Poll::Pending => return Poll::Pending,
                }
            }
            if !self.is_up() {
                return Poll::Ready(Err(lost(OPERATION)));
            }
            if !self.released.is_empty() {
                if !self.open.is_empty() && self.released_since.elapsed() < self.opening.limit {
                    return Poll::Pending;
                }
                self.reopening = Some(self.opening.clone().reopen(self.channel.clone()).boxed());
                continue;
            }
            if let Some(next) = self.buffer.front() {
                return Poll::Ready(Ok(next.data.len()));
            }
            let Some(stream) = &mut self.stream else { return Poll::Ready(Err(lost(OPERATION))) };
            match stream.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(native))) => self.buffer.push_back(native),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(meaning(OPERATION, error))),
                Poll::Ready(None) => return Poll::Ready(Err(lost(OPERATION))),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn opened(&mut self, (channel, stream): (Channel, Consumer)) {
        (self.channel, self.stream, self.reopening) = (channel, Some(stream), None);
        self.generation = self.generation.wrapping_add(1);
        self.gained = false;
        self.buffer.clear();
        self.open.clear();
        self.released.clear();
    }

    /// Gives out the next message.
    pub(crate) fn pop(&mut self) -> Option<Native> {
        let native = self.buffer.pop_front()?;
        self.open.insert(native.delivery_tag);
        Some(native)
    }

    /// Releases a delivery of a lane with order.
    ///
    /// The server returns a single message behind the messages that it has sent ahead. It returns all of a closed channel to
    /// their places. So nothing more is given out, and when the other deliveries are settled, or the time of a call is
    /// over, the channel is closed.
    pub(crate) fn release(&mut self, tag: u64) {
        if self.released.is_empty() {
            self.released_since = Instant::now();
        }
        self.open.remove(&tag);
        self.released.insert(tag);
    }

    /// The highest of these tags up to which the server waits for no other one: one acknowledgement does for all of these.
    pub(crate) fn acknowledged_up_to(&self, tags: &BTreeSet<u64>) -> Option<u64> {
        let released = self.released.first().copied().unwrap_or(u64::MAX);
        self.open.iter().copied().take_while(|tag| *tag < released && tags.contains(tag)).last()
    }
}

impl Opening {
    async fn consume(&self, channel: &Channel) -> Result<Consumer, BrokerError> {
        bounded(OPERATION, self.limit, channel.basic_qos(self.prefetch, BasicQosOptions::default())).await?;
        let (queue, tag) = (ShortString::from(&*self.queue), ShortString::default());
        let consumed = channel.basic_consume(queue, tag, BasicConsumeOptions::default(), FieldTable::default());
        bounded(OPERATION, self.limit, consumed).await
    }

    async fn reopen(self, old: Channel) -> Result<(Channel, Consumer), BrokerError> {
        bounded(OPERATION, self.limit, old.close(200, "released".into())).await?;
        let channel = self.link.channel().await?;
        let consumer = self.consume(&channel).await?;
        Ok((channel, consumer))
    }
}
