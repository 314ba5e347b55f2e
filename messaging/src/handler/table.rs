//! The handlers of a subscriber, by the type of message.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use recount_core::{
    Append, BoxError, Event, EventData, EventId, EventStore, EventType, ExpectedVersion, Idempotency, MessageMetrics,
    Published, Recount, StreamAppend, StreamId,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::failure::PermanentError;
use super::{Incoming, MessageHandler, commands};
use crate::digest::digest;
use crate::presence::TypeTaken;
use crate::question::{Desk, StoredResponder};
use crate::request::{Answer, REPLY, WITHDRAW, Waiters};

/// A message that is being handled. The answer is for its sender, if that waits for one.
type Handling<'a> = Pin<Box<dyn Future<Output = Result<Option<Answer>, BoxError>> + Send + 'a>>;
pub(super) type Call = dyn for<'a> Fn(&'a Recount, &'a Incoming<'a>) -> Handling<'a> + Send + Sync;

/// The treatment of messages that no handler takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownType {
    /// They are acknowledged: a service reads the messages that it knows.
    #[default]
    Ignore,
    /// They become dead letters.
    DeadLetter,
}

/// How a type of message is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TakenBy {
    /// By a handler.
    Handler,
    /// It is recorded as an event.
    Record,
    /// Another message follows from it, which is published.
    Forward,
    /// It is a question, and is answered.
    Answer,
}

/// Two handlers of one subscriber take the same type of message.
#[derive(Debug, thiserror::Error)]
#[error(
    "two handlers take messages of type {message_type}: a subscriber has one for each type; use another group for the other"
)]
pub struct HandledTwice {
    message_type: String,
}

/// The handlers of a subscriber.
#[derive(Clone, Default)]
pub(crate) struct Handlers {
    by_type: HashMap<String, Arc<Call>>,
    /// The types that are taken, as they are announced.
    taken: Vec<TypeTaken>,
    /// Whether the commands of registered aggregates are taken.
    commands: bool,
    /// The requests of this service that wait for replies.
    replies: Option<(Waiters, Arc<MessageMetrics>)>,
    /// The open questions of this service: all messages are replies to them.
    answers: Option<Desk>,
    /// All messages are questions.
    questions: Option<Arc<StoredResponder>>,
    unknown: UnknownType,
}

impl Handlers {
    pub(crate) fn add<H: MessageHandler>(&mut self, handler: H) -> Result<(), HandledTwice> {
        let handler = Arc::new(handler);
        let call: Arc<Call> = Arc::new(move |recount, incoming| {
            let handler = Arc::clone(&handler);
            Box::pin(async move {
                let message = incoming.message;
                let event = H::Message::decode(&message.message_type, message.schema_version, &message.data)?;
                let metadata = incoming.metadata();
                let commands = metadata.clone().scope(handler.handle(&event, incoming)).await?;
                recount.dispatch_commands(&commands, &metadata, |index| incoming.key(index)).await?;
                Ok(None)
            })
        });
        self.insert::<H::Message>(TakenBy::Handler, &call)
    }

    /// Records messages as events of this store, each once, in streams of this category and the message's key.
    pub(crate) fn record<M: Published>(&mut self, category: &str) -> Result<(), HandledTwice> {
        let category: Arc<str> = category.into();
        let call: Arc<Call> = Arc::new(move |recount, incoming| {
            let category = Arc::clone(&category);
            Box::pin(async move {
                let message = incoming.message;
                // It must be readable for the consumers of the events.
                drop(M::decode(&message.message_type, message.schema_version, &message.data)?);
                record(recount, &category, incoming).await?;
                Ok(None)
            })
        });
        self.insert::<M>(TakenBy::Record, &call)
    }

    pub(super) fn insert<E: Event>(&mut self, by: TakenBy, call: &Arc<Call>) -> Result<(), HandledTwice> {
        for variant in E::variants() {
            for name in [variant.event_type].iter().chain(variant.aliases) {
                if self.by_type.insert((*name).to_owned(), Arc::clone(call)).is_some() {
                    return Err(HandledTwice { message_type: (*name).to_owned() });
                }
            }
        }
        self.taken.extend(TypeTaken::all::<E>(by));
        Ok(())
    }

    pub(crate) fn take_commands(&mut self) {
        self.commands = true;
    }

    pub(crate) fn take_replies(&mut self, waiters: Waiters, metrics: Arc<MessageMetrics>) {
        self.replies = Some((waiters, metrics));
    }

    pub(crate) fn take_answers(&mut self, desk: Desk) {
        self.answers = Some(desk);
    }

    pub(crate) fn take_questions(&mut self, responder: StoredResponder) {
        self.questions = Some(Arc::new(responder));
    }

    pub(crate) fn on_unknown(&mut self, policy: UnknownType) {
        self.unknown = policy;
    }

    /// The types that are taken, as they are announced.
    pub(crate) fn taken(&self) -> Vec<TypeTaken> {
        let mut taken = self.taken.clone();
        taken.extend(self.questions.iter().flat_map(|questions| questions.responder.taken.clone()));
        taken.sort_by(|a, b| a.name.cmp(&b.name));
        taken
    }

    /// Whether commands of registered aggregates are taken.
    pub(crate) fn takes_commands(&self) -> bool {
        self.commands
    }

    /// Whether replies are taken.
    pub(crate) fn takes_replies(&self) -> bool {
        self.replies.is_some() || self.answers.is_some()
    }

    /// The treatment of all other types.
    pub(crate) fn unknown(&self) -> UnknownType {
        self.unknown
    }

    /// The types that are taken.
    pub(crate) fn types(&self) -> Vec<String> {
        let mut types: Vec<String> = self.by_type.keys().cloned().collect();
        types.sort_unstable();
        types
    }

    /// Handles a message.
    pub(crate) async fn handle(&self, recount: &Recount, incoming: &Incoming<'_>) -> Result<Option<Answer>, BoxError> {
        if let Some(responder) = &self.questions {
            return responder.answer(incoming.message).await.map(|()| None);
        }
        if let Some(desk) = &self.answers {
            desk.take(incoming.message);
            return Ok(None);
        }
        let message_type = &*incoming.message.message_type;
        if let Some(call) = self.by_type.get(message_type) {
            return call(recount, incoming).await;
        }
        match (message_type, &self.replies) {
            (REPLY, Some((waiters, metrics))) => reply(waiters, metrics, incoming).map(|()| None),
            (WITHDRAW, _) if self.commands => commands::withdraw(recount, incoming).await.map(Some),
            _ if self.commands && is_command(recount, message_type) => {
                commands::dispatch(recount, incoming).await.map(Some)
            }
            _ if self.unknown == UnknownType::Ignore => Ok(None),
            _ => {
                let types = self.types().join(", ");
                let error = format!("no handler takes messages of type {message_type}; known are: {types}");
                Err(PermanentError::new(error).into())
            }
        }
    }
}

fn is_command(recount: &Recount, message_type: &str) -> bool {
    recount.commands().any(|(aggregate, command, _)| {
        message_type.strip_prefix(aggregate).and_then(|rest| rest.strip_prefix('.')) == Some(command)
    })
}

/// Hands a reply to the request that waits for it.
fn reply(waiters: &Waiters, metrics: &MessageMetrics, incoming: &Incoming<'_>) -> Result<(), BoxError> {
    let message = incoming.message;
    let key = message.idempotency_key.as_deref().unwrap_or_default();
    let answer = serde_json::from_slice(&message.data).map_err(PermanentError::new)?;
    if !waiters.answer(key, answer) {
        metrics.late_reply();
        tracing::debug!(key, "a reply came late: no request waits for it");
    }
    Ok(())
}

/// Records a message as an event. Its id is the message's if that is a UUID, else made from source and id.
async fn record(recount: &Recount, category: &str, incoming: &Incoming<'_>) -> Result<(), BoxError> {
    let message = incoming.message;
    let key = message.key.as_deref().unwrap_or(message.id.as_str());
    let event = EventData {
        id: event_id(incoming),
        event_type: EventType::new(&*message.message_type)?,
        schema_version: message.schema_version,
        payload: Bytes::clone(&message.data),
        tags: Vec::new(),
        metadata: incoming.metadata(),
    };
    let stream =
        StreamAppend { stream: StreamId::new(category, key)?, expected: ExpectedVersion::Any, events: vec![event] };
    // The key has the outcome of this message, whichever attributes it comes with the next time.
    let idempotency = Idempotency::new(incoming.key(0)?, b"recorded");
    let append = Append { streams: vec![stream], idempotency: Some(idempotency), ..Append::default() };
    recount.store().append(append).await?;
    Ok(())
}

fn event_id(incoming: &Incoming<'_>) -> EventId {
    let message = incoming.message;
    let made = || Uuid::new_v8(digest(&[&message.source, message.id.as_str()]));
    EventId(message.id.as_str().parse().unwrap_or_else(|_| made()))
}
