//! Questions and replies that the broker carries itself: consumers of its inboxes.

use std::sync::Arc;

use futures_util::future::join_all;
use recount_core::{BoxError, Delivered, Lane, MessageMetrics, Recount, Sink, Source};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Duration, Instant, timeout};

use super::clock::Clock;
use super::desk::{Answered, Desk, Letter};
use super::frame::{End, key};
use super::replies::{Outlet, send_native};
use super::responder::{Ended, Responder};
use super::tasks::Tasks;
use crate::{Broker, BrokerError, InboxSignal, Message, RequestInbox, Topic};

/// How long a shutdown waits for the handlers of open questions.
const GRACE: Duration = Duration::from_secs(5);
/// How long a shutdown may take to tell the askers of open questions.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long an order to a responder waits for a broker that can't be reached.
const ORDER_LIMIT: Duration = Duration::from_secs(10);
/// How long the end of the replies waits for a broker that can't be reached, if the question's deadline is not earlier.
const END_LIMIT: Duration = Duration::from_secs(30);

/// An item of a consumer of an inbox.
pub(crate) enum Item {
    Came(InboxSignal),
    /// A control message to send.
    Send(Box<Letter>),
}

/// The purpose of an inbox.
enum Purpose {
    /// Replies and control messages of a service.
    Mailbox(Desk, mpsc::UnboundedReceiver<Letter>),
    /// The questions of a topic, which are registered at the desk while they are answered, by these tasks.
    Questions(Topic, Desk, Arc<Tasks>),
}

/// The messages of an inbox.
pub(crate) struct InboxMessages {
    broker: Arc<dyn Broker>,
    purpose: Purpose,
    inbox: Option<Box<dyn RequestInbox>>,
    caught_up: bool,
}

impl InboxMessages {
    pub(crate) fn mailbox(broker: Arc<dyn Broker>, desk: Desk, letters: mpsc::UnboundedReceiver<Letter>) -> Self {
        Self { broker, purpose: Purpose::Mailbox(desk, letters), inbox: None, caught_up: false }
    }

    /// The questions for these answers.
    pub(crate) fn questions(answers: &Answers) -> Self {
        let Answering { responder, broker, desk, .. } = &*answers.answering;
        let purpose = Purpose::Questions(responder.topic.clone(), desk.clone(), Arc::clone(&answers.tasks));
        Self { broker: Arc::clone(broker), purpose, inbox: None, caught_up: false }
    }

    fn set_address(&self, address: Option<&str>) {
        if let Purpose::Mailbox(desk, _) = &self.purpose {
            desk.set_address(address.map(Into::into));
        }
    }
}

impl Source for InboxMessages {
    type Item = Item;
    type Mark = ();
    type Ticket = ();

    async fn open(&mut self, _: Option<()>) -> Result<(), BoxError> {
        if self.inbox.is_none() {
            let (system, ability) = (self.broker.system(), "carry requests itself");
            let native = self.broker.native_requests().ok_or(BrokerError::Unsupported { system, ability })?;
            let inbox = match &self.purpose {
                Purpose::Mailbox(..) => native.inbox().await,
                Purpose::Questions(topic, ..) => native.serve(topic).await,
            };
            let inbox = inbox.map_err(BrokerError::into_boxed)?;
            self.set_address(Some(inbox.address()));
            self.inbox = Some(inbox);
        }
        self.caught_up = false;
        Ok(())
    }

    async fn next(&mut self) -> Result<Delivered<Self>, BoxError> {
        if !std::mem::replace(&mut self.caught_up, true) {
            return Ok(Delivered::CaughtUp { mark: None });
        }
        let Some(inbox) = &mut self.inbox else { return Err("the inbox was not opened".into()) };
        let came = match &mut self.purpose {
            Purpose::Mailbox(_, letters) => tokio::select! {
                Some(letter) = letters.recv() => Ok(Item::Send(Box::new(letter))),
                came = inbox.next() => came.map(Item::Came),
            },
            Purpose::Questions(..) => inbox.next().await.map(Item::Came),
        };
        match came {
            Ok(item) => Ok(Delivered::Item { lane: lane(&item), item, ticket: (), mark: None }),
            Err(error) => {
                if !error.is_transient() {
                    // It is made anew.
                    self.inbox = None;
                    self.set_address(None);
                }
                Err(error.into_boxed())
            }
        }
    }

    async fn close(&mut self) -> Result<(), BoxError> {
        self.set_address(None);
        if let Some(inbox) = self.inbox.take() {
            inbox.close().await;
        }
        if let Purpose::Questions(topic, desk, tasks) = &self.purpose {
            let left = tasks.ended(GRACE).await;
            // Their askers would wait until the deadline.
            let letters = desk.interrupted(topic);
            drop(left);
            let sending = letters.iter().map(|Letter { address, message }| {
                let (broker, message) = (&*self.broker, message.clone());
                async move {
                    if let Err(error) = send_native(broker, address, message).await {
                        tracing::debug!(topic = topic.name(), %error, "an asker was not told of the shutdown");
                    }
                }
            });
            let _ = timeout(FAREWELL, join_all(sending)).await;
        }
        Ok(())
    }
}

/// The messages about one question are handled one after the other.
fn lane(item: &Item) -> Lane {
    match item {
        Item::Came(InboxSignal::Message(message)) => Lane::of(key(message)),
        Item::Send(letter) => Lane::of(key(&letter.message)),
        Item::Came(InboxSignal::NoResponders { request }) => Lane::of(request.as_str()),
        Item::Came(InboxSignal::Malformed(_)) => Lane(0),
    }
}

/// Hands the messages of a service's inbox to the open questions.
pub(crate) struct Mailbox {
    broker: Arc<dyn Broker>,
    desk: Desk,
    orders: Tasks,
}

impl Mailbox {
    pub(crate) fn new(broker: Arc<dyn Broker>, desk: Desk) -> Self {
        Self { broker, desk, orders: Tasks::new() }
    }
}

impl Sink for Mailbox {
    type Item = Item;

    async fn take(&self, item: &Item) -> Result<(), BoxError> {
        match item {
            Item::Came(signal) => self.desk.take_signal(signal),
            Item::Send(letter) => {
                let (broker, letter) = (Arc::clone(&self.broker), letter.clone());
                self.orders.spawn(async move { send_order(&*broker, *letter).await }).await;
            }
        }
        Ok(())
    }
}

/// Sends an order to a responder. A responder without it goes on until the question's deadline.
async fn send_order(broker: &dyn Broker, Letter { address, message }: Letter) {
    let question = key(&message).to_owned();
    match timeout(ORDER_LIMIT, send_native(broker, &address, message)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(question, %error, "an order was not delivered"),
        Err(_) => tracing::debug!(question, "an order was not delivered: the broker can't be reached"),
    }
}

/// Answers the questions of a topic. The handlers run in tasks.
pub(crate) struct Answers {
    answering: Arc<Answering>,
    tasks: Arc<Tasks>,
}

struct Answering {
    responder: Responder,
    recount: Recount,
    broker: Arc<dyn Broker>,
    desk: Desk,
    clock: Clock,
    metrics: Arc<MessageMetrics>,
    places: Semaphore,
}

impl Answers {
    pub(crate) fn new(
        responder: Responder,
        recount: Recount,
        broker: Arc<dyn Broker>,
        desk: Desk,
        clock: Clock,
        metrics: Arc<MessageMetrics>,
    ) -> Self {
        let places = Semaphore::new(responder.at_once);
        let answering = Answering { responder, recount, broker, desk, clock, metrics, places };
        Self { answering: Arc::new(answering), tasks: Arc::new(Tasks::new()) }
    }
}

impl Answering {
    async fn answer(&self, question: &Message, answered: Answered) {
        // The semaphore is never closed.
        let Ok(_place) = self.places.acquire().await else { return };
        let Ok(left) = self.clock.left(question).await else {
            tracing::debug!(question = %question.id, "its deadline has passed: dropped");
            self.metrics.expired();
            return;
        };
        let deadline = left.map(|left| Instant::now() + left);
        let started = self.metrics.start();
        let (framing, broker, room) = (answered.framing.clone(), Arc::clone(&self.broker), Arc::clone(&answered.room));
        let mut outlet = Outlet::native(framing, question.reply_to.clone(), broker, room);
        let ended = self.responder.call(&self.recount, question, deadline, &answered.stop, &mut outlet).await;
        let failure = match ended {
            Ended::Answered => None,
            Ended::Failed(failure) => {
                let (topic, reason) = (self.responder.topic.name(), &failure.reason);
                tracing::warn!(topic, question = %question.id, reason, "question failed");
                Some(failure)
            }
            Ended::Abandoned => {
                tracing::debug!(question = %question.id, "its asker has gone: its handler was stopped");
                return;
            }
        };
        let replies = outlet.sent();
        let limit = Instant::now() + END_LIMIT;
        let until = deadline.map_or(limit, |deadline| deadline.min(limit));
        outlet.finish(&End { replies, failure }, until).await;
        self.metrics.consumed(started.map(|started| started.elapsed()));
    }
}

impl Sink for Answers {
    type Item = Item;

    async fn take(&self, item: &Item) -> Result<(), BoxError> {
        let Answering { responder, desk, .. } = &*self.answering;
        match item {
            Item::Came(InboxSignal::Message(question)) => {
                // Registered before it waits, so that an order to stop and a shutdown find it.
                let answered = desk.answering(&responder.topic, question);
                let (answering, question) = (Arc::clone(&self.answering), question.clone());
                self.tasks.spawn(async move { answering.answer(&question, answered).await }).await;
            }
            Item::Came(InboxSignal::Malformed(malformed)) => {
                let topic = responder.topic.name();
                tracing::warn!(topic, %malformed, "a question has an envelope that can't be read: dropped");
            }
            Item::Came(InboxSignal::NoResponders { .. }) | Item::Send(_) => {}
        }
        Ok(())
    }

    /// A question waits for room until its asker's deadline.
    fn time_limit(&self) -> Duration {
        Duration::from_secs(24 * 60 * 60)
    }
}
