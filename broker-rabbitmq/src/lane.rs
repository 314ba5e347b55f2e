//! One queue of a consumer, on a channel of its own.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use lapin::message::Delivery as Native;
use lapin::options::{BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Consumer};
use recount_messaging::{BrokerError, LaneId};
use tokio::time::Instant;

use crate::error::{bounded, lost, meaning};
use crate::link::Link;
use crate::{RabbitOptions, envelope};

const OPERATION: &str = "consuming";

/// How long a returned message is waited for, at the longest: it may have become a dead letter by a limit of an operator.
const RETURN: Duration = Duration::from_secs(30);

pub(crate) struct Lane {
    pub(crate) id: LaneId,
    pub(crate) queue: Arc<str>,
    pub(crate) channel: Channel,
    /// `None` until the consumer is called for the first time.
    stream: Option<Consumer>,
    /// Fetched and not given out. Those that came again after a return are at the front.
    buffer: VecDeque<Native>,
    /// How many at the front of the buffer have come again.
    returned: usize,
    /// What was returned and has not come again. Until then nothing else of the lane is given out, to keep its order: the
    /// server sends it again behind what it had sent ahead.
    awaited: Vec<Identity>,
    awaited_since: Instant,
    /// Given out and not settled.
    pub(crate) open: BTreeMap<u64, Identity>,
    ordered: bool,
    delivery_limit: i64,
    /// Whether anything was given out since the connection was made.
    pub(crate) gained: bool,
}

/// How a delivery is recognised when it comes again.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    id: Option<ShortString>,
    returns: i64,
}

impl Identity {
    fn of(native: &Native) -> Self {
        Self { id: native.properties.message_id().clone(), returns: envelope::returns(native).unwrap_or(0) }
    }
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
        Ok(Self {
            id,
            queue: queue.into(),
            channel,
            stream: None,
            buffer: VecDeque::new(),
            returned: 0,
            awaited: Vec::new(),
            awaited_since: Instant::now(),
            open: BTreeMap::new(),
            ordered,
            delivery_limit: options.delivery_limit.into(),
            gained: false,
        })
    }

    /// Lets messages come.
    pub(crate) async fn start(&mut self, options: &RabbitOptions) -> Result<(), BrokerError> {
        let limit = options.call_timeout;
        bounded(OPERATION, limit, self.channel.basic_qos(options.prefetch, BasicQosOptions::default())).await?;
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
        if self.awaited_since.elapsed() > RETURN {
            self.awaited.clear();
        }
        loop {
            if let Some(next) = self.buffer.front()
                && (self.awaited.is_empty() || self.returned > 0)
            {
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
        let identity = Identity::of(&native);
        match self.awaited.iter().position(|awaited| *awaited == identity) {
            Some(place) => {
                self.awaited.remove(place);
                self.buffer.insert(self.returned, native);
                self.returned += 1;
            }
            None => self.buffer.push_back(native),
        }
    }

    /// Gives out the next message.
    pub(crate) fn pop(&mut self) -> Option<Native> {
        let native = self.buffer.pop_front()?;
        self.returned = self.returned.saturating_sub(1);
        self.open.insert(native.delivery_tag, Identity::of(&native));
        Some(native)
    }

    /// Takes messages for returned ones, in the order in which they must be returned: the server puts each behind those
    /// returned before it, and all of them before the others.
    pub(crate) fn return_all(&mut self, mut tags: Vec<u64>) -> Vec<u64> {
        tags.sort_unstable();
        for identity in tags.iter().filter_map(|tag| self.open.remove(tag)) {
            let again = Identity { returns: identity.returns + 1, ..identity };
            if self.ordered && again.returns <= self.delivery_limit {
                self.awaited.push(again);
                self.awaited_since = Instant::now();
            }
        }
        tags
    }

    /// The highest of these tags up to which the server has sent no others that are not settled: one acknowledgement does
    /// for all of these. What has come again is given out before what was fetched earlier, with lower tags.
    pub(crate) fn acknowledged_up_to(&self, tags: &BTreeSet<u64>) -> Option<u64> {
        let fetched = self.buffer.iter().map(|native| native.delivery_tag).min().unwrap_or(u64::MAX);
        self.open.keys().copied().take_while(|tag| *tag < fetched && tags.contains(tag)).last()
    }
}
