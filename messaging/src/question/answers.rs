//! The answers to the questions that the broker carries itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use recount_core::{BoxError, MessageMetrics, Recount, Sink};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::clock::Clock;
use super::desk::{Answered, Desk};
use super::frame::End;
use super::native::Item;
use super::replies::Outlet;
use super::responder::{Ended, Responder};
use super::tasks::Tasks;
use crate::deadline::deadline_after;
use crate::{Broker, InboxSignal, Message, MessageId};

/// Answers the questions of a topic. The handlers run in tasks.
pub(crate) struct Answers {
    pub(super) answering: Arc<Answering>,
    /// Not a part of the other one, which they hold: they end when the answers are dropped.
    pub(super) tasks: Arc<Tasks>,
}

pub(super) struct Answering {
    pub(super) responder: Responder,
    recount: Recount,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) desk: Desk,
    clock: Clock,
    metrics: Arc<MessageMetrics>,
    /// The questions that came and were not begun to be answered, by the id of the message.
    accepted: Mutex<HashMap<MessageId, Answered>>,
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
        let (accepted, places) = (Mutex::default(), Semaphore::new(responder.at_once));
        let answering = Answering { responder, recount, broker, desk, clock, metrics, accepted, places };
        Self { answering: Arc::new(answering), tasks: Arc::new(Tasks::new()) }
    }
}

impl Answering {
    /// The accepted questions of an earlier connection are gone.
    pub(super) fn start_over(&self) {
        self.accepted().clear();
    }

    fn accepted(&self) -> MutexGuard<'_, HashMap<MessageId, Answered>> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a question before it waits, so that an order to stop and a shutdown find it.
    pub(super) fn accept(&self, question: &Message) {
        let answered = self.desk.answering(&self.responder.topic, question);
        self.accepted().insert(question.id.clone(), answered);
    }

    async fn answer(&self, question: &Message) {
        let accepted = self.accepted().remove(&question.id);
        let answered = accepted.unwrap_or_else(|| self.desk.answering(&self.responder.topic, question));
        // The semaphore is never closed.
        let Ok(place) = self.places.acquire().await else { return };
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
        drop(place);
        let replies = outlet.sent();
        let until = deadline.unwrap_or_else(|| deadline_after(self.responder.time_limit));
        outlet.finish(&End { replies, failure }, until).await;
        self.metrics.consumed(started.map(|started| started.elapsed()));
    }
}

impl Sink for Answers {
    type Item = Item;

    async fn take(&self, item: &Item) -> Result<(), BoxError> {
        match item {
            Item::Came(InboxSignal::Message(question)) => {
                let (answering, question) = (Arc::clone(&self.answering), question.clone());
                self.tasks.spawn(async move { answering.answer(&question).await }).await;
            }
            Item::Came(InboxSignal::Malformed(malformed)) => {
                let topic = self.answering.responder.topic.name();
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
