//! The source of a relay: events in the lanes of their keys, and parked messages that are due.

use std::future::Future;
use std::sync::Arc;

use recount_core::{
    BoxError, Checkpoint, Delivered, Filter, Position, RecordedEvent, Recount, Source, StoreSource, TransientError,
    error_chain,
};

use super::PublicationParts;
use super::claim::Claim;
use crate::parking::{Parking, QueueKey};
use crate::{Broker, BrokerError, Message, Plan, Topic};

/// An item of a relay.
pub(crate) enum Item {
    /// An event to publish.
    Event(Box<Relayed>),
    /// The first message of this queue is due.
    Due(QueueKey),
}

/// An event and its message.
pub(crate) struct Relayed {
    pub(crate) recorded: RecordedEvent,
    /// The number of its topic and the message. `None` if the event is not published, or why it can't be mapped.
    pub(crate) message: Result<Option<(usize, Message)>, String>,
    /// The queue in which it waits behind the events before it: that of its topic and its message's key.
    pub(crate) queue: QueueKey,
}

/// The events of a publication.
pub(crate) struct RelaySource {
    events: StoreSource,
    recount: Recount,
    service: Arc<str>,
    publication: Arc<PublicationParts>,
    broker: Arc<dyn Broker>,
    parking: Parking,
    claim: Option<Claim>,
    ensured: bool,
}

impl RelaySource {
    pub(crate) fn new(
        recount: Recount,
        service: Arc<str>,
        publication: Arc<PublicationParts>,
        broker: Arc<dyn Broker>,
        parking: Parking,
    ) -> Self {
        let events = recount.source(&publication.name, publication.query.clone());
        Self { events, recount, service, publication, broker, parking, claim: None, ensured: false }
    }
}

impl Source for RelaySource {
    type Item = Item;
    type Mark = Checkpoint;
    type Ticket = ();

    const FOLLOWS_STORE: bool = true;

    fn filter(&self) -> Filter {
        self.events.filter()
    }

    async fn open(&mut self, after: Option<Checkpoint>) -> Result<(), BoxError> {
        if self.claim.as_ref().is_none_or(Claim::is_lost) {
            let first = self.claim.is_none();
            self.claim = None;
            self.claim = Some(Claim::take(Arc::clone(self.recount.store()), &self.publication.name).await?);
            if !first {
                // Another relay may have moved the checkpoint meanwhile: it is read again.
                return Err(TransientError::new("the claim of the relay was lost and is taken again").into());
            }
        }
        self.parking.open().await?;
        if !self.ensured {
            let plan = Plan { topics: self.publication.topics.clone(), bindings: Vec::new() };
            for change in self.broker.ensure(&plan, false).await.map_err(BrokerError::into_boxed)? {
                tracing::info!(relay = %self.publication.name, %change, "declared at the broker");
            }
            self.ensured = true;
        }
        self.events.open(after).await
    }

    async fn next(&mut self) -> Result<Delivered<Self>, BoxError> {
        let Some(claim) = &mut self.claim else { return Err("the source was not opened".into()) };
        self.parking.look().await?;
        let delivered = tokio::select! {
            biased;
            () = claim.lost() => return Err(TransientError::new("the claim of the relay was lost").into()),
            due = self.parking.next_due() => {
                let queue = due?;
                return Ok(Delivered::Item { lane: queue.lane(), item: Item::Due(queue), ticket: (), mark: None });
            }
            delivered = self.events.next() => delivered?,
        };
        Ok(match delivered {
            Delivered::CaughtUp { mark } => Delivered::CaughtUp { mark },
            Delivered::Item { item: recorded, mark, .. } => {
                let message = self.publication.message(&self.service, &recorded);
                let message = message.map_err(|error| error_chain(&*error));
                let queue = queue(&self.publication, &recorded, &message);
                let lane = queue.lane();
                let item = Item::Event(Box::new(Relayed { recorded, message, queue }));
                Delivered::Item { item, lane, ticket: (), mark }
            }
        })
    }

    fn complete(&self, mark: Checkpoint) -> impl Future<Output = Result<Checkpoint, BoxError>> + Send + 'static {
        self.events.complete(mark)
    }

    async fn close(&mut self) -> Result<(), BoxError> {
        if let Some(claim) = self.claim.take() {
            claim.release().await;
        }
        Ok(())
    }

    fn position(mark: &Checkpoint) -> Position {
        mark.position
    }
}

/// The queue of an event's message. The topics of a publication have queues of their own.
fn queue(
    publication: &PublicationParts,
    recorded: &RecordedEvent,
    message: &Result<Option<(usize, Message)>, String>,
) -> QueueKey {
    let Ok(Some((topic, Message { key: Some(key), .. }))) = message else {
        return QueueKey::of_key(recorded.stream.as_str());
    };
    QueueKey::of_route(publication.topics.get(*topic).map_or("", Topic::name), key)
}
