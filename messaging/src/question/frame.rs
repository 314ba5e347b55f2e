//! The wire form of replies and of the messages that control them.
//!
//! A reply is a message with the type, version and data of its event, the key of its question, and its number in the header
//! `replynumber`. The end of the replies is a message of type `recount.reply.end`. The asker sends `recount.reply.taken`, the
//! count of the replies that it has taken, which lets more come, and `recount.reply.stop`.

use std::sync::Arc;

use bytes::Bytes;
use recount_core::{Event, EventData, EventId};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::{Message, MessageId};

const END: &str = "recount.reply.end";
const TAKEN: &str = "recount.reply.taken";
const STOP: &str = "recount.reply.stop";
/// The header with the number of a reply, from 0.
const NUMBER: &str = "replynumber";

/// The data of a reply.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ReplyData {
    #[serde(rename = "type")]
    pub(crate) message_type: String,
    pub(crate) version: u32,
    #[serde(with = "base64_bytes")]
    pub(crate) data: Bytes,
}

mod base64_bytes {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map(Bytes::from).map_err(de::Error::custom)
    }
}

impl ReplyData {
    pub(crate) fn encode<R: Event>(reply: &R) -> Result<Self, recount_core::EncodeError> {
        let EventData { event_type, schema_version, payload, .. } = reply.encode()?;
        Ok(Self { message_type: event_type.as_str().to_owned(), version: schema_version, data: payload })
    }
}

/// The end of replies.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct End {
    /// How many replies were sent.
    pub(crate) replies: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<Failure>,
}

/// Why a question was not answered to its end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// Whether time heals it.
    pub(crate) transient: bool,
    pub(crate) reason: String,
}

/// A message for an asker.
#[derive(Clone, Debug)]
pub(crate) enum Frame {
    /// A reply, and the address at which its responder takes control messages.
    Reply {
        number: u64,
        data: ReplyData,
        responder: Option<SmolStr>,
    },
    End(End),
    /// No service takes the question.
    NoResponders,
    /// The message can't be read.
    Unreadable(String),
}

/// A message of an asker to its responder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// So many replies were taken since the first: as many more may come.
    Taken(u64),
    Stop,
}

/// The messages of one responder about one question.
#[derive(Clone, Debug)]
pub(crate) struct Framing {
    pub(crate) service: Arc<str>,
    /// The question's key.
    pub(crate) key: SmolStr,
    /// The address of the responder for control messages.
    pub(crate) responder: Option<SmolStr>,
    cause: Arc<str>,
    correlation: Option<Arc<str>>,
    traceparent: Option<Arc<str>>,
}

impl Framing {
    pub(crate) fn new(question: &Message, service: &Arc<str>, responder: Option<SmolStr>) -> Self {
        Self {
            service: Arc::clone(service),
            key: key(question).into(),
            responder,
            cause: question.id.as_str().into(),
            correlation: question.metadata.correlation_id.clone(),
            traceparent: question.metadata.traceparent.clone(),
        }
    }

    pub(crate) fn reply(&self, number: u64, reply: ReplyData) -> Message {
        let mut message = self.message(&reply.message_type, reply.data);
        message.schema_version = reply.version;
        message.reply_to.clone_from(&self.responder);
        message.metadata.headers.insert(NUMBER.to_owned(), number.to_string());
        message
    }

    /// The end. An end that has no JSON form does not exist.
    pub(crate) fn end(&self, end: &End) -> Message {
        self.message(END, serde_json::to_vec(end).unwrap_or_default())
    }

    /// Each message has an id of its own, also when the replies are sent a second time: a broker that recognises messages
    /// would drop the second ones.
    fn message(&self, message_type: &str, data: impl Into<Bytes>) -> Message {
        let mut message = Message::new(MessageId::from(EventId::new()), &self.service, message_type, data);
        message.key = Some(self.key.clone());
        message.idempotency_key = Some(self.key.clone());
        message.metadata.causation_id = Some(Arc::clone(&self.cause));
        message.metadata.correlation_id.clone_from(&self.correlation);
        message.metadata.traceparent.clone_from(&self.traceparent);
        message
    }
}

/// The key of a question: its idempotency key, or its id.
pub(crate) fn key(question: &Message) -> &str {
    question.idempotency_key.as_deref().unwrap_or(question.id.as_str())
}

/// A control message.
pub(crate) fn order(service: &str, key: &str, order: Order) -> Message {
    let (message_type, data) = match order {
        Order::Taken(replies) => (TAKEN, replies.to_string()),
        Order::Stop => (STOP, "{}".to_owned()),
    };
    let mut message = Message::new(MessageId::from(EventId::new()), service, message_type, data);
    message.idempotency_key = Some(key.into());
    message
}

/// A message that came to the inbox of a service.
pub(crate) enum Read {
    Frame(Frame),
    Order(Order),
}

/// Reads a message that came to an inbox.
pub(crate) fn read(message: &Message) -> Read {
    let unreadable = |reason: String| Read::Frame(Frame::Unreadable(reason));
    match &*message.message_type {
        STOP => Read::Order(Order::Stop),
        TAKEN => match std::str::from_utf8(&message.data).ok().and_then(|text| text.parse().ok()) {
            Some(replies) => Read::Order(Order::Taken(replies)),
            None => unreadable("its number of replies is no number".to_owned()),
        },
        END => match serde_json::from_slice(&message.data) {
            Ok(end) => Read::Frame(Frame::End(end)),
            Err(error) => unreadable(format!("its end has no JSON of an end: {error}")),
        },
        _ => {
            let number = message.metadata.headers.get(NUMBER).map_or(Ok(0), |number| number.parse());
            let Ok(number) = number else { return unreadable("its header replynumber is no number".to_owned()) };
            let data = ReplyData {
                message_type: message.message_type.to_string(),
                version: message.schema_version,
                data: message.data.clone(),
            };
            Read::Frame(Frame::Reply { number, data, responder: message.reply_to.clone() })
        }
    }
}
