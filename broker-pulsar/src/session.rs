//! The life of a consumer's client: its lanes, and the news of them.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::try_join_all;
use pulsar::Executor;
use recount_core::Timestamp;
use recount_messaging::{
    Attempts, Binding, BrokerError, BrokerPosition, Delivery, LaneId, Returns, Settled, Ticket, TicketParts,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::PulsarOptions;
use crate::envelope::{decode, raw};
use crate::error::lost;
use crate::lane::{self, LaneNews, Task};
use crate::ledger::Ledger;
use crate::sequence::Opened;
use crate::subscription::Subscription;
use crate::tasks::{Client, Tasks};

/// The life of one client.
pub(crate) struct Session {
    pub(crate) client: Client,
    /// How many sessions there were before.
    pub(crate) generation: u32,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) news: mpsc::UnboundedReceiver<LaneNews>,
    /// The lane that is looked into first.
    pub(crate) turn: usize,
}

pub(crate) struct Lane {
    pub(crate) origin: Arc<str>,
    /// Whether a message has come since the lane was opened.
    pub(crate) gained: bool,
    pub(crate) ledger: Ledger,
    pub(crate) tasks: mpsc::UnboundedSender<Task>,
}

impl Session {
    /// Opens all lanes, within the time of a call. They end when the broker is closed. `opened`: as the ends of lanes told it.
    pub(crate) async fn open(
        options: Arc<PulsarOptions>,
        binding: Binding,
        member: Arc<str>,
        generation: u32,
        opened: HashMap<u16, Opened>,
        mut closed: watch::Receiver<bool>,
    ) -> Result<Self, BrokerError> {
        const OPERATION: &str = "subscribing";
        let limit = options.call_timeout;
        let opening = async {
            let client = options.client(OPERATION, Tasks::joined()).await?;
            // The first of the client's tasks that ends, as this one does with the broker, ends all of them.
            let closing = async move { drop(closed.wait_for(|closed| *closed).await) };
            client.tasks.spawn(Box::pin(closing)).map_err(|()| lost(OPERATION))?;
            let (news_sender, news) = mpsc::unbounded_channel();
            let lanes = try_join_all((0..binding.topic.lanes().get()).map(|lane| {
                let (options, client) = (Arc::clone(&options), client.pulsar.clone());
                let (binding, member, news) = (binding.clone(), Arc::clone(&member), &news_sender);
                let subscription = Subscription { options, client, binding, member, lane };
                let opened = opened.get(&lane).copied().unwrap_or_default();
                async move {
                    let origin = subscription.partition().into();
                    let tasks = lane::open(subscription, opened, news).await?;
                    Ok::<_, BrokerError>(Lane { origin, gained: false, ledger: Ledger::default(), tasks })
                }
            }));
            let lanes = lanes.await?;
            Ok(Self { client, generation, lanes, news, turn: 0 })
        };
        let opened = timeout(limit, opening).await;
        opened.unwrap_or(Err(BrokerError::TimedOut { operation: OPERATION, limit }))
    }

    /// Writes the acknowledgements of all lanes, and closes their consumers.
    pub(crate) async fn close(&self) -> Result<(), BrokerError> {
        self.client.tasks.separate();
        let closing = self.lanes.iter().map(|lane| {
            let (done, closed) = oneshot::channel();
            lane.order(Task::Close(done));
            async { closed.await.unwrap_or_else(|_| Err(lost("ending a consumer"))) }
        });
        try_join_all(closing).await.map(drop)
    }
}

impl Lane {
    pub(crate) fn order(&self, task: Task) -> Settled {
        match self.tasks.send(task) {
            Ok(()) => Settled::Sent,
            // The consumer is gone, and the server gives its messages to another one.
            Err(_) => Settled::Stale,
        }
    }

    pub(crate) fn hand_out(&mut self, lane: LaneId, generation: u32, tag: u64, returns: &Returns) -> Option<Delivery> {
        let arrival = self.ledger.hand_out(tag)?;
        let parts = TicketParts { lane, generation, tag, handle: bytes::Bytes::new() };
        let message = decode(&arrival.metadata, &arrival.body);
        let raw = raw(&self.origin, &arrival.metadata, &arrival.body);
        let mut delivery = Delivery::new(Ticket::new(parts, returns), message, Attempts::Unknown, raw);
        delivery.position = Some(BrokerPosition(arrival.place.0, arrival.place.1));
        let published = i64::try_from(arrival.metadata.publish_time).ok();
        delivery.published_at = published.and_then(|time| Timestamp::from_millisecond(time).ok());
        Some(delivery)
    }
}
