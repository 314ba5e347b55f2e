//! One queue of a consumer, on a channel of its own.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery as Native;
use lapin::options::{BasicConsumeOptions, BasicQosOptions, BasicRejectOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Consumer};
use recount_messaging::{BrokerError, LaneId};

use crate::RabbitOptions;
use crate::error::{bounded, lost, meaning};
use crate::link::Link;

const OPERATION: &str = "consuming";

pub(crate) struct Lane {
    pub(crate) id: LaneId,
    pub(crate) queue: Arc<str>,
    pub(crate) channel: Channel,
    /// `None` until the consumer is called for the first time.
    stream: Option<Consumer>,
    /// Fetched and not given out.
    buffer: VecDeque<Native>,
    /// Given out and not settled.
    pub(crate) open: BTreeSet<u64>,
    /// Whether its messages have an order, in which what is returned must come again.
    ordered: bool,
    /// Set between a return and its redelivery: what comes between them was sent before the server knew of the return,
    /// and belongs behind it.
    returning: bool,
    /// Whether anything was given out since the connection was made.
    pub(crate) gained: bool,
}

impl Lane {
    /// Opens the channel. The queue must exist.
    pub(crate) async fn open(
        link: &Link,
        options: &RabbitOptions,
        (id, queue): (LaneId, String),
        ordered: bool,
    ) -> Result<Self, BrokerError> {
        let channel = link.channel().await?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declared = channel.queue_declare(queue.as_str().into(), passive, FieldTable::default());
        bounded("subscribing", options.call_timeout, declared).await?;
        let (stream, buffer, open) = (None, VecDeque::new(), BTreeSet::new());
        Ok(Self { id, queue: queue.into(), channel, stream, buffer, open, ordered, returning: false, gained: false })
    }

    /// Lets messages come, at most so many ahead.
    pub(crate) async fn start(&mut self, options: &RabbitOptions, prefetch: u16) -> Result<(), BrokerError> {
        let limit = options.call_timeout;
        bounded(OPERATION, limit, self.channel.basic_qos(prefetch, BasicQosOptions::default())).await?;
        let (queue, tag) = (ShortString::from(&*self.queue), ShortString::default());
        let consumed = self.channel.basic_consume(queue, tag, BasicConsumeOptions::default(), FieldTable::default());
        self.stream = Some(bounded(OPERATION, limit, consumed).await?);
        Ok(())
    }

    pub(crate) fn is_up(&self) -> bool {
        self.channel.status().connected()
    }

    /// The size of the next message, which stays.
    pub(crate) fn poll_size(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, BrokerError>> {
        loop {
            if let Some(next) = self.buffer.front() {
                return Poll::Ready(Ok(next.data.len()));
            }
            let Some(stream) = &mut self.stream else { return Poll::Ready(Err(lost(OPERATION))) };
            match stream.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(native))) => self.arrived(native),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(meaning(OPERATION, error))),
                Poll::Ready(None) => return Poll::Ready(Err(lost(OPERATION))),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn arrived(&mut self, native: Native) {
        self.returning &= !native.redelivered;
        if self.returning {
            reject(&self.channel, native.delivery_tag);
        } else {
            self.buffer.push_back(native);
        }
    }

    /// Gives out the next message.
    pub(crate) fn pop(&mut self) -> Option<Native> {
        let native = self.buffer.pop_front()?;
        self.open.insert(native.delivery_tag);
        Some(native)
    }

    /// What must be returned with these messages, in the order of returning.
    ///
    /// The server puts each returned message behind those returned before it, and all of them before the others. So in a
    /// lane with order, what was fetched behind them is returned as well.
    pub(crate) fn returns(&mut self, mut tags: Vec<u64>) -> Vec<u64> {
        if self.ordered {
            while let Some(stream) = &mut self.stream
                && let Some(Some(Ok(native))) = stream.next().now_or_never()
            {
                self.buffer.push_back(native);
            }
            tags.extend(self.buffer.drain(..).map(|native| native.delivery_tag));
            self.returning = true;
        }
        tags.sort_unstable();
        tags
    }

    /// The highest of these tags up to which all open ones are among them: one acknowledgement does for all of these.
    pub(crate) fn acknowledged_up_to(&self, tags: &BTreeSet<u64>) -> Option<u64> {
        self.open.iter().copied().take_while(|tag| tags.contains(tag)).last()
    }
}

/// Returns a message to its queue. The frame is queued at once; a lost connection returns the message as well.
fn reject(channel: &Channel, tag: u64) {
    let _ = channel.basic_reject(tag, BasicRejectOptions { requeue: true }).now_or_never();
}
