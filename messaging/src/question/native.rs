//! Questions and replies that the broker carries itself: consumers of its inboxes.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use recount_core::{BoxError, Delivered, Lane, Sink, Source};
use tokio::sync::mpsc;
use tokio::time::{timeout, timeout_at};

use super::answers::{Answering, Answers};
use super::desk::{Desk, Letter};
use super::frame::key;
use super::probe::Probe;
use super::replies::send_native;
use super::tasks::Tasks;
use crate::broker::round_trip;
use crate::{Broker, BrokerError, InboxSignal, RequestInbox};

/// How long a shutdown waits for the handlers of open questions.
const GRACE: Duration = Duration::from_secs(5);
/// How long a shutdown may take to tell the askers of open questions.
const FAREWELL: Duration = Duration::from_secs(1);

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
    /// The questions of a topic, which are registered at the desk until they are answered.
    Questions(Arc<Answering>, Arc<Tasks>),
}

/// The messages of an inbox.
pub(crate) struct InboxMessages {
    broker: Arc<dyn Broker>,
    purpose: Purpose,
    inbox: Option<Box<dyn RequestInbox>>,
    caught_up: bool,
    probe: Probe,
    /// Whether the broker has to answer before the inbox counts as open.
    failed: bool,
}

impl InboxMessages {
    pub(crate) fn mailbox(broker: Arc<dyn Broker>, desk: Desk, letters: mpsc::UnboundedReceiver<Letter>) -> Self {
        Self::new(broker, Purpose::Mailbox(desk, letters))
    }

    /// The questions for these answers.
    pub(crate) fn questions(answers: &Answers) -> Self {
        let Answers { answering, tasks } = answers;
        Self::new(Arc::clone(&answering.broker), Purpose::Questions(Arc::clone(answering), Arc::clone(tasks)))
    }

    fn new(broker: Arc<dyn Broker>, purpose: Purpose) -> Self {
        Self { broker, purpose, inbox: None, caught_up: false, probe: Probe::new(), failed: false }
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
                Purpose::Questions(answering, _) => native.serve(&answering.responder.topic).await,
            };
            let inbox = inbox.map_err(BrokerError::into_boxed)?;
            self.set_address(Some(inbox.address()));
            self.inbox = Some(inbox);
        } else if self.failed {
            round_trip(Arc::clone(&self.broker)).await.map_err(BrokerError::into_boxed)?;
        }
        if let Purpose::Questions(answering, _) = &self.purpose {
            answering.start_over();
        }
        self.probe.answered();
        (self.caught_up, self.failed) = (false, false);
        Ok(())
    }

    async fn next(&mut self) -> Result<Delivered<Self>, BoxError> {
        if !std::mem::replace(&mut self.caught_up, true) {
            return Ok(Delivered::CaughtUp { mark: None });
        }
        let Some(inbox) = &mut self.inbox else { return Err("the inbox was not opened".into()) };
        let letter = async {
            match &mut self.purpose {
                Purpose::Mailbox(_, letters) => letters.recv().await,
                Purpose::Questions(..) => None,
            }
        };
        let came = tokio::select! {
            biased;
            Some(letter) = letter => Ok(Item::Send(Box::new(letter))),
            came = inbox.next() => came.map(Item::Came),
            error = self.probe.failure(&self.broker) => Err(error),
        };
        if let Ok(Item::Came(signal)) = &came {
            self.probe.answered();
            if let (Purpose::Questions(answering, _), InboxSignal::Message(question)) = (&self.purpose, signal) {
                answering.accept(question);
            }
        }
        match came {
            Ok(item) => Ok(Delivered::Item { lane: lane(&item), item, ticket: (), mark: None }),
            Err(error) => {
                self.failed = true;
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
        let Some(inbox) = self.inbox.take() else { return Ok(()) };
        // Dropped, it is closed by the broker.
        let closing = async { timeout(GRACE, inbox.close()).await.unwrap_or_default() };
        let Purpose::Questions(answering, tasks) = &self.purpose else {
            closing.await;
            return Ok(());
        };
        let (not_taken, running) = tokio::join!(closing, tasks.ended(GRACE));
        not_taken.iter().for_each(|question| answering.accept(question));
        // Their askers would wait until the deadline.
        let ends = answering.desk.interrupted(&answering.responder.topic);
        drop(running);
        let broker = &*self.broker;
        let sending = ends.into_iter().map(|(address, message)| async move {
            if let Err(error) = send_native(broker, &address, message).await {
                tracing::debug!(%error, "an asker was not told of the shutdown");
            }
        });
        let _ = timeout(FAREWELL, join_all(sending)).await;
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
async fn send_order(broker: &dyn Broker, Letter { address, message, until }: Letter) {
    let question = key(&message).to_owned();
    match timeout_at(until, send_native(broker, &address, message)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(question, %error, "an order was not delivered"),
        Err(_) => tracing::debug!(question, "an order was not delivered: the broker can't be reached"),
    }
}
