//! A lane of a consumer: the task that owns the library's consumer of one partition.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use pulsar::consumer::{InitialPosition, Message as Native};
use pulsar::message::Metadata;
use pulsar::proto::MessageIdData;
use pulsar::{Consumer, ConsumerOptions, Pulsar, SubType};
use recount_messaging::{Binding, BrokerError, Order, StartFrom};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::error::{bounded, meaning};
use crate::tasks::Tasks;
use crate::{PulsarOptions, names};

pub(crate) const OPERATION: &str = "consuming";

/// The place of a message in its partition: ledger, entry, and its number in the batch of the entry.
pub(crate) type Place = (u64, u64, i32);

/// A message that came.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) place: Place,
    /// How many messages its entry has.
    pub(crate) batch_size: usize,
    pub(crate) metadata: Metadata,
    pub(crate) body: Bytes,
    /// Room among the messages of the lane. It is free when the message is settled.
    _room: OwnedSemaphorePermit,
}

/// News of a lane.
#[derive(Debug)]
pub(crate) enum News {
    Arrived(Box<Arrival>),
    /// A message could not be read: a codec that the library does not know, or a broken batch.
    Unreadable(BrokerError),
    /// The library has given the consumer up.
    Ended,
}

/// News with the index of the lane.
pub(crate) type LaneNews = (usize, News);

/// An order for the task.
#[derive(Debug)]
pub(crate) enum Task {
    /// Acknowledges an entry.
    Ack(u64, u64),
    /// Gives an entry back to the server.
    Nack(u64, u64),
    /// Lets the group go on from another place in this lane. The server then ends its consumers.
    Seek(SeekTo, oneshot::Sender<Result<(), BrokerError>>),
    /// Writes the acknowledgements and closes the consumer.
    Close(oneshot::Sender<Result<(), BrokerError>>),
}

/// A place in native terms.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SeekTo {
    /// The message of this ledger and entry is the first that comes.
    Entry(u64, u64),
    /// Milliseconds since 1970.
    Time(u64),
}

/// Opens the consumer of a lane, and starts its task.
pub(crate) struct Opening<'o> {
    pub(crate) options: &'o Arc<PulsarOptions>,
    pub(crate) client: &'o Pulsar<Tasks>,
    pub(crate) binding: &'o Binding,
    /// The server spreads partitions over members by their names: a member has the same one in all lanes.
    pub(crate) member: &'o str,
    pub(crate) news: &'o mpsc::UnboundedSender<LaneNews>,
}

impl Opening<'_> {
    pub(crate) async fn open(&self, lane: u16) -> Result<mpsc::UnboundedSender<Task>, BrokerError> {
        let partition = names::partition(self.options, &self.binding.topic, lane);
        let kind = match self.binding.order {
            Order::PerKey => SubType::Failover,
            Order::Unordered => SubType::Shared,
        };
        let start = match self.binding.start {
            StartFrom::Earliest => InitialPosition::Earliest,
            StartFrom::Latest => InitialPosition::Latest,
        };
        // The library's task handles acknowledgements behind the messages that it has asked for. With room for all of
        // these it comes to the order to close, also if nothing is read any more.
        let ahead = (self.options.prefetch / 2).max(1);
        let settings = ConsumerOptions::default().with_initial_position(start).with_receiver_queue_size(ahead);
        let building = self.client.consumer().with_topic(&partition).with_subscription(self.binding.group.name());
        let building = building.with_subscription_type(kind).with_consumer_name(self.member);
        let building = building.with_batch_size(ahead).with_options(settings).build::<Vec<u8>>();
        let consumer = bounded(OPERATION, self.options.call_timeout, building).await?;
        let (tasks, orders) = mpsc::unbounded_channel();
        let reader = Reader {
            options: Arc::clone(self.options),
            client: self.client.clone(),
            partition,
            consumer,
            room: Arc::new(Semaphore::new(self.options.prefetch as usize)),
            index: lane.into(),
            news: self.news.clone(),
        };
        tokio::spawn(reader.run(orders));
        Ok(tasks)
    }
}

/// The task.
struct Reader {
    options: Arc<PulsarOptions>,
    client: Pulsar<Tasks>,
    partition: String,
    consumer: Consumer<Vec<u8>, Tasks>,
    /// How many messages may be given out or wait to be.
    room: Arc<Semaphore>,
    index: usize,
    news: mpsc::UnboundedSender<LaneNews>,
}

impl Reader {
    /// Runs until the consumer of the binding is dropped, or the lane is closed.
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Task>) {
        loop {
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(Task::Close(done)) => {
                        let _ = done.send(self.close().await);
                        return;
                    }
                    Some(order) => {
                        if !self.obey(order).await {
                            break;
                        }
                    }
                    None => return,
                },
                arrived = receive(&mut self.consumer, &self.room) => {
                    let Some((native, room)) = arrived else { break };
                    self.tell(match native {
                        Ok(native) => News::Arrived(Box::new(arrival(native, room))),
                        Err(error) => News::Unreadable(meaning(OPERATION, error)),
                    });
                }
            }
        }
        self.tell(News::Ended);
        // The answers to later orders are errors.
        while let Some(order) = orders.recv().await {
            drop(order);
        }
    }

    fn tell(&self, news: News) {
        // The news of a consumer that was dropped are not read: the task ends by its orders.
        let _ = self.news.send((self.index, news));
    }

    /// False if the library has given the consumer up.
    async fn obey(&mut self, order: Task) -> bool {
        let id = |ledger_id, entry_id| MessageIdData { ledger_id, entry_id, ..MessageIdData::default() };
        match order {
            Task::Ack(ledger, entry) => self.consumer.ack_with_id(&self.partition, id(ledger, entry)).await.is_ok(),
            Task::Nack(ledger, entry) => self.consumer.nack_with_id(&self.partition, id(ledger, entry)).await.is_ok(),
            Task::Seek(to, done) => done.send(self.seek(to).await).is_ok(),
            Task::Close(_) => true,
        }
    }

    async fn seek(&mut self, to: SeekTo) -> Result<(), BrokerError> {
        let (id, time) = match to {
            SeekTo::Entry(ledger_id, entry_id) => {
                (Some(MessageIdData { ledger_id, entry_id, ..MessageIdData::default() }), None)
            }
            SeekTo::Time(time) => (None, Some(time)),
        };
        let seeking = self.consumer.seek(None, id, time, self.client.clone());
        in_time("seeking", self.options.call_timeout, seeking).await
    }

    /// Closes the consumer behind its acknowledgements, so that the server has them.
    async fn close(&mut self) -> Result<(), BrokerError> {
        // Messages in the channel would keep the library's task from its orders.
        while let Some(Some(_)) = self.consumer.next().now_or_never() {}
        in_time("ending a consumer", self.options.call_timeout, self.consumer.close()).await
    }
}

/// A call of the library in the task of a lane, within this time.
async fn in_time(
    operation: &'static str,
    limit: Duration,
    call: impl Future<Output = Result<(), pulsar::Error>>,
) -> Result<(), BrokerError> {
    match tokio::time::timeout(limit, call).await {
        Ok(result) => result.map_err(|error| meaning(operation, error)),
        Err(_) => Err(BrokerError::TimedOut { operation, limit }),
    }
}

/// The next message, when there is room for it. Cancel-safe: the room is taken first, and taking a message does not wait.
async fn receive(
    consumer: &mut Consumer<Vec<u8>, Tasks>,
    room: &Arc<Semaphore>,
) -> Option<(Result<Native<Vec<u8>>, pulsar::Error>, OwnedSemaphorePermit)> {
    let permit = Arc::clone(room).acquire_owned().await.ok()?;
    Some((consumer.next().await?, permit))
}

fn arrival(native: Native<Vec<u8>>, room: OwnedSemaphorePermit) -> Arrival {
    let id = &native.message_id.id;
    Arrival {
        place: (id.ledger_id, id.entry_id, id.batch_index.unwrap_or(-1)),
        batch_size: native.message_id.batch_size.and_then(|size| usize::try_from(size).ok()).unwrap_or(1),
        metadata: native.payload.metadata,
        body: native.payload.data.into(),
        _room: room,
    }
}
