//! Messages in the terms of CloudEvents.

use std::fmt;

use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use recount_core::{EventId, Metadata, NameError, Timestamp};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::fields::without_control;

/// The escaped characters of an id behind its source.
const JOINED: &AsciiSet = &CONTROLS.add(b'%').add(b'/');
/// The greatest length of an id, in bytes.
const MAX_ID: usize = 512;

/// Identifies a message for ever, together with its source. A message that is published again keeps it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(SmolStr);

impl MessageId {
    /// An id: any text of 1 to 512 bytes without control characters.
    ///
    /// # Errors
    /// [`NameError`] if the text is none.
    pub fn new(id: impl AsRef<str>) -> Result<Self, NameError> {
        let (id, kind) = (id.as_ref(), "message id");
        if id.is_empty() {
            return Err(NameError::Empty { kind });
        }
        if id.len() > MAX_ID {
            let start = id.chars().take(32).collect();
            return Err(NameError::TooLong { kind, length: id.len(), limit: MAX_ID, start });
        }
        without_control(kind, id)?;
        Ok(Self(SmolStr::new(id)))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<EventId> for MessageId {
    fn from(id: EventId) -> Self {
        Self(SmolStr::new(id.0.hyphenated().encode_lower(&mut [0; uuid::fmt::Hyphenated::LENGTH])))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// A message between services. Texts of up to 23 bytes are kept in place, without memory of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its id: that of the event it tells of.
    pub id: MessageId,
    /// The service that published it.
    pub source: SmolStr,
    /// The type of its data, such as `orders.placed`.
    pub message_type: SmolStr,
    /// The version of the data's shape, from 1.
    pub schema_version: u32,
    /// Its subject: the stream of the event.
    pub subject: Option<SmolStr>,
    /// When it happened.
    pub time: Option<Timestamp>,
    /// The address of the schema of its data.
    pub data_schema: Option<SmolStr>,
    /// The media type of its data.
    pub content_type: SmolStr,
    /// Messages with the same key keep their order. An empty key is published as no key.
    pub key: Option<SmolStr>,
    /// The conversation, the cause, the actor, the trace, and headers of the application.
    pub metadata: Metadata,
    /// From this moment on no caller waits for it any more.
    pub expires: Option<Timestamp>,
    /// The key under which a request is carried out once. Without one, the id is.
    pub idempotency_key: Option<SmolStr>,
    /// The topic of the reply to a request.
    pub reply_to: Option<SmolStr>,
    /// The data.
    pub data: Bytes,
}

/// A source and an id within it, as one text.
pub(crate) fn identity(source: &str, id: &str) -> String {
    format!("{source}/{}", utf8_percent_encode(id, JOINED))
}

/// The key of a message. An empty text is no key: brokers have no way to store it as one.
pub(crate) fn key_of(text: impl Into<SmolStr>) -> Option<SmolStr> {
    Some(text.into()).filter(|key| !key.is_empty())
}

/// The media type of JSON.
pub(crate) const JSON: &str = "application/json";

impl Message {
    /// A message with JSON data of version 1, and no key.
    #[must_use]
    pub fn new(id: MessageId, source: &str, message_type: &str, data: impl Into<Bytes>) -> Self {
        Self {
            id,
            source: source.into(),
            message_type: message_type.into(),
            schema_version: 1,
            subject: None,
            time: None,
            data_schema: None,
            content_type: SmolStr::new_static(JSON),
            key: None,
            metadata: Metadata::default(),
            expires: None,
            idempotency_key: None,
            reply_to: None,
            data: data.into(),
        }
    }

    /// Sets the key. An empty text is no key.
    #[must_use]
    pub fn with_key(self, key: &str) -> Self {
        Self { key: key_of(key), ..self }
    }

    /// The source and the id, which together identify a message, as one text: `source/id`. In the id `%` and `/` are
    /// percent-encoded, so that no two messages share the text.
    ///
    /// ```
    /// use recount_messaging::{Message, MessageId};
    ///
    /// # fn main() -> Result<(), recount_core::NameError> {
    /// let message = Message::new(MessageId::new("order/17")?, "eu/shop", "orders.placed", "{}");
    /// assert_eq!(message.identity(), "eu/shop/order%2F17");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn identity(&self) -> String {
        identity(&self.source, self.id.as_str())
    }

    /// Whether its data is JSON.
    #[must_use]
    pub fn is_json(&self) -> bool {
        is_json(&self.content_type)
    }
}

/// Whether data of this media type is JSON: `application/json`, `text/json`, `image/geo+json`.
pub(super) fn is_json(content_type: &str) -> bool {
    let media = media_type(content_type).to_ascii_lowercase();
    media.ends_with("/json") || media.ends_with("+json")
}

/// The media type without its parameters.
pub(super) fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}
