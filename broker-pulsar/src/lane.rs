//! A lane of a consumer: the task that owns the library's consumer of one partition.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use pulsar::Consumer;
use pulsar::consumer::Message as Native;
use pulsar::message::Metadata;
use pulsar::proto::MessageIdData;
use recount_messaging::{BrokerError, Order};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::error::meaning;
use crate::sequence::{Answer, OpenAnew, Opened, Sequence};
use crate::subscription::Subscription;
use crate::tasks::Tasks;

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
    /// The library has given the consumer up, or the lane has to be opened anew.
    Ended(Option<Opened>),
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

/// Opens the consumer of a lane, and starts its task. `opened`: as the end of the last one told it.
pub(crate) async fn open(
    subscription: Subscription,
    opened: Opened,
    news: &mpsc::UnboundedSender<LaneNews>,
) -> Result<mpsc::UnboundedSender<Task>, BrokerError> {
    let is_ordered = subscription.binding.order == Order::PerKey;
    let reader = Reader {
        consumer: subscription.consumer().await?,
        partition: subscription.partition(),
        room: Arc::new(Semaphore::new(subscription.options.prefetch as usize)),
        subscription: Arc::new(subscription),
        news: news.clone(),
        sequence: is_ordered.then(|| Sequence::new(opened, Instant::now())),
        question: None,
    };
    let (tasks, orders) = mpsc::unbounded_channel();
    tokio::spawn(reader.run(orders));
    Ok(tasks)
}

/// The task.
struct Reader {
    subscription: Arc<Subscription>,
    partition: String,
    consumer: Consumer<Vec<u8>, Tasks>,
    /// How many messages may be given out or wait to be.
    room: Arc<Semaphore>,
    news: mpsc::UnboundedSender<LaneNews>,
    /// Of a lane with order.
    sequence: Option<Sequence<Box<Arrival>>>,
    /// The question at the server for the messages that are acknowledged.
    question: Option<BoxFuture<'static, Result<Answer, BrokerError>>>,
}

impl Reader {
    /// Runs until the consumer of the binding is dropped, or the lane is closed.
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Task>) {
        let mut anew = None;
        loop {
            let waits = |sequence: &Sequence<_>| !sequence.is_quiet() && sequence.ask_at() <= Instant::now();
            // Before the messages that have come, which may have no end.
            if self.question.is_none() && self.sequence.as_ref().is_some_and(waits) {
                self.ask();
            }
            let ask_at = self.sequence.as_ref().map(Sequence::ask_at).filter(|_| self.question.is_none());
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
                answer = answer(&mut self.question) => {
                    self.question = None;
                    if let Err(OpenAnew(opened)) = self.learn(answer) {
                        tracing::debug!(partition = &*self.partition, ?opened, "messages are missing");
                        anew = Some(opened);
                        break;
                    }
                }
                arrived = receive(&mut self.consumer, &self.room) => {
                    let Some((native, room)) = arrived else { break };
                    self.take(native.map(|native| Box::new(arrival(native, room))));
                }
                () = pause(ask_at) => self.ask(),
            }
        }
        self.tell(News::Ended(anew));
        // The answers to later orders are errors.
        while let Some(order) = orders.recv().await {
            drop(order);
        }
    }

    fn tell(&self, news: News) {
        tell(&self.news, self.subscription.lane, news);
    }

    /// Hands a message on, unless others may be missing before it.
    fn take(&mut self, arrived: Result<Box<Arrival>, pulsar::Error>) {
        match (arrived, &mut self.sequence) {
            (Ok(arrival), Some(sequence)) => {
                let hand_on = &mut |arrival| tell(&self.news, self.subscription.lane, News::Arrived(arrival));
                sequence.arrive(arrival.place, arrival, Instant::now(), hand_on);
            }
            (Ok(arrival), None) => self.tell(News::Arrived(arrival)),
            (Err(error), sequence) => {
                sequence.iter_mut().for_each(Sequence::miss);
                self.tell(News::Unreadable(meaning(OPERATION, error)));
            }
        }
    }

    /// Asks the server which messages are acknowledged.
    fn ask(&mut self) {
        let is_quiet = self.sequence.as_ref().is_some_and(Sequence::is_quiet);
        let subscription = Arc::clone(&self.subscription);
        self.question = Some(async move { subscription.ask(is_quiet).await }.boxed());
    }

    fn learn(&mut self, answer: Result<Answer, BrokerError>) -> Result<(), OpenAnew> {
        let Some(sequence) = &mut self.sequence else { return Ok(()) };
        let answer = answer.map_err(|error| {
            let (partition, error) = (&*self.partition, &error as &dyn std::error::Error);
            tracing::debug!(partition, error, "the server does not tell what is acknowledged");
        });
        let (has_room, now) = (self.room.available_permits() > 0, Instant::now());
        let hand_on = &mut |arrival| tell(&self.news, self.subscription.lane, News::Arrived(arrival));
        sequence.learn(answer.ok(), has_room, now, hand_on)?;
        if !has_room {
            sequence.lacks_room(self.subscription.options.prefetch as usize, now);
        }
        Ok(())
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
        self.drain();
        let seeking = self.consumer.seek(None, id, time, self.subscription.client.clone());
        in_time("seeking", self.subscription.options.call_timeout, seeking).await
    }

    /// Messages in the channel would keep the library's task from its orders.
    fn drain(&mut self) {
        while let Some(Some(_)) = self.consumer.next().now_or_never() {}
    }

    /// Closes the consumer behind its acknowledgements, so that the server has them.
    async fn close(&mut self) -> Result<(), BrokerError> {
        self.drain();
        in_time("ending a consumer", self.subscription.options.call_timeout, self.consumer.close()).await
    }
}

fn tell(to: &mpsc::UnboundedSender<LaneNews>, lane: u16, news: News) {
    // The news of a consumer that was dropped are not read: the task ends by its orders.
    let _ = to.send((lane.into(), news));
}

/// The answer to a question, if there is one.
async fn answer<T>(question: &mut Option<BoxFuture<'static, T>>) -> T {
    match question {
        Some(question) => question.await,
        None => std::future::pending().await,
    }
}

/// Waits until this time, or for ever.
async fn pause(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
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
