//! A message before it has an envelope.

use recount_core::{BoxError, EventData, EventId, RecordedEvent};
use uuid::Uuid;

use crate::digest::digest;
use crate::envelope::key_of;
use crate::{Incoming, Message, MessageId};

/// A message that a mapping has made.
#[derive(Debug)]
pub(crate) struct Draft {
    /// The number of its topic among the declared ones.
    pub(crate) topic: usize,
    /// The content, or why it can't be written.
    pub(crate) content: Result<Content, BoxError>,
    /// The key, if the mapping has set one.
    pub(crate) key: Option<String>,
}

/// The content of a draft.
#[derive(Debug)]
pub(crate) enum Content {
    Event(EventData),
    Command { message_type: String, json: Vec<u8>, key: String },
}

impl Draft {
    /// The message of an own event. The id of a published event is the event's. The id of a command is made from the event's,
    /// the command's type and its aggregate, and is its idempotency key.
    pub(crate) fn of_event(self, source: &str, recorded: &RecordedEvent) -> Result<Message, BoxError> {
        let event_id = MessageId::from(recorded.data.id);
        let mut message = match self.content? {
            Content::Event(data) => {
                let mut message = event(event_id.clone(), source, data);
                message.subject = Some(recorded.stream.to_string().into());
                message.key = key_of(self.key.unwrap_or_else(|| recorded.stream.to_string()));
                message.metadata = recorded.data.metadata.clone();
                message
            }
            Content::Command { message_type, json, key } => {
                let id = derived(&["command", event_id.as_str(), &message_type, &key]);
                let mut message = command(id, source, (&message_type, json));
                message.key = key_of(self.key.unwrap_or(key));
                message.metadata = recorded.data.metadata.clone();
                message.metadata.causation_id = Some(event_id.as_str().into());
                message
            }
        };
        message.time = Some(recorded.recorded_at);
        message.metadata.correlation_id.get_or_insert(event_id.as_str().into());
        Ok(message)
    }

    /// The message that follows from another one. Its id is made from the group and that message.
    pub(crate) fn of_message(self, source: &str, incoming: &Incoming<'_>) -> Result<Message, BoxError> {
        let id = derived(&["forward", incoming.key(0)?.as_str()]);
        let mut message = match self.content? {
            Content::Event(data) => {
                let mut message = event(id, source, data);
                message.key = self.key.map_or_else(|| incoming.message.key.clone(), key_of);
                message.time = incoming.message.time;
                message
            }
            Content::Command { message_type, json, key } => {
                let mut message = command(id, source, (&message_type, json));
                message.key = key_of(self.key.unwrap_or(key));
                message
            }
        };
        message.metadata = incoming.metadata();
        Ok(message)
    }
}

fn event(id: MessageId, source: &str, data: EventData) -> Message {
    let mut message = Message::new(id, source, data.event_type.as_str(), data.payload);
    message.schema_version = data.schema_version;
    message
}

fn command(id: MessageId, source: &str, (message_type, json): (&str, Vec<u8>)) -> Message {
    let idempotency_key = Some(id.as_str().into());
    Message { idempotency_key, ..Message::new(id, source, message_type, json) }
}

/// An id that is a function of these texts.
fn derived(texts: &[&str]) -> MessageId {
    MessageId::from(EventId(Uuid::new_v8(digest(texts))))
}
