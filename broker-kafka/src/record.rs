//! Messages as records: the envelope in headers, the key as the record's.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use rdkafka::Timestamp as Stamp;
use rdkafka::message::{BorrowedMessage, Header, Headers, Message as _, OwnedHeaders};
use recount_core::Timestamp;
use recount_messaging::envelope::{HeaderForm, NATIVE_TYPE, from_headers, to_headers};
use recount_messaging::{
    Attempts, BrokerPosition, Delivery, Malformed, Message, RawHeaders, RawMessage, Refusal, Returns, Ticket,
    TicketParts,
};

/// How many headers are read.
pub(crate) const MAX_HEADERS: usize = 256;
/// The bytes of a request beside the keys, values and headers of its messages, by which the limits of the library and the server
/// are greater than ours.
pub(crate) const OVERHEAD: usize = 48_576;

/// The header of the key in the envelope.
const KEY: &str = "ce_partitionkey";

/// A message as it is sent.
pub(crate) struct Outbound {
    pub(crate) headers: OwnedHeaders,
    pub(crate) message: Message,
}

impl Outbound {
    /// Checks a message and writes its headers.
    pub(crate) fn new(message: Message, limit: usize) -> Result<Self, Refusal> {
        let id = || message.id.to_string();
        let attributes =
            to_headers(&message, HeaderForm::KAFKA).map_err(|reason| Refusal::Invalid { id: id(), reason })?;
        let (count, content_type) = (attributes.len() + 1, &*message.content_type);
        if count > MAX_HEADERS {
            return Err(Refusal::Headers { id: id(), reason: format!("are {count}, the limit is {MAX_HEADERS}") });
        }
        let mut size = message.key.as_deref().map_or(0, str::len) + message.data.len();
        let mut headers = OwnedHeaders::new_with_capacity(count);
        let written = attributes.iter().map(|(name, value)| (&**name, &**value));
        for (name, value) in written.chain([(NATIVE_TYPE, content_type)]) {
            if name.contains('\0') {
                return Err(Refusal::Invalid { id: id(), reason: format!("the header name {name:?} has a zero byte") });
            }
            size += name.len() + value.len();
            headers = headers.insert(Header { key: name, value: Some(value) });
        }
        if size > limit {
            return Err(Refusal::TooLarge { id: id(), size, limit });
        }
        drop(attributes);
        Ok(Self { headers, message })
    }
}

/// A record that came.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) offset: i64,
    /// Of the server or of the program that published, in milliseconds.
    pub(crate) timestamp: Option<i64>,
    /// When the server stored it, if it says.
    stored: Option<Timestamp>,
    /// The key, if the envelope has none: of another program.
    key: Option<Arc<str>>,
    body: Bytes,
    headers: RawHeaders,
    /// Whether the library can read its headers.
    is_readable: bool,
}

impl Record {
    pub(crate) fn read(native: &BorrowedMessage<'_>) -> Self {
        let (mut has_key, mut is_readable) = (false, true);
        let payload = native.payload().unwrap_or_default();
        let parts = native.headers().map(|headers| {
            let all = (0..headers.count()).map(|index| {
                let Header { key, value } = headers.get(index);
                let value = value.unwrap_or_default();
                has_key |= key == KEY && !value.is_empty();
                (key, value)
            });
            // The library panics at a name that is not UTF-8.
            catch_unwind(AssertUnwindSafe(|| RawHeaders::with_body(all, payload)))
        });
        let (headers, body) = match parts {
            Some(Ok(parts)) => parts,
            unread => {
                is_readable = unread.is_none();
                (RawHeaders::default(), Bytes::copy_from_slice(payload))
            }
        };
        let stored = match native.timestamp() {
            Stamp::LogAppendTime(time) => Timestamp::from_millisecond(time).ok(),
            Stamp::CreateTime(_) | Stamp::NotAvailable => None,
        };
        let foreign_key = || std::str::from_utf8(native.key()?).ok().filter(|key| !key.is_empty());
        let key = if has_key { None } else { foreign_key().map(Into::into) };
        let timestamp = native.timestamp().to_millis();
        Self { offset: native.offset(), timestamp, stored, key, body, headers, is_readable }
    }

    /// The size of the body.
    pub(crate) fn size(&self) -> usize {
        self.body.len()
    }

    pub(crate) fn deliver(&self, topic: &Arc<str>, parts: TicketParts, returns: &Returns, repeated: bool) -> Delivery {
        let raw = RawMessage { origin: Arc::clone(topic), headers: self.headers.clone(), body: self.body.clone() };
        let attempts = if repeated { Attempts::AtLeast(1) } else { Attempts::Unknown };
        let mut delivery = Delivery::new(Ticket::new(parts, returns), self.decode(), attempts, raw);
        delivery.position = u64::try_from(self.offset).ok().map(|offset| BrokerPosition(offset, 0));
        delivery.published_at = self.stored;
        delivery
    }

    fn decode(&self) -> Result<Message, Malformed> {
        if !self.is_readable {
            return Err(Malformed::Headers { reason: "a name is not UTF-8" });
        }
        let mut message = from_headers(self.headers.iter(), None, self.body.clone(), HeaderForm::KAFKA)?;
        // Other programs may give the key only as the record's.
        if message.key.is_none() {
            message.key = self.key.clone().map(Into::into);
        }
        Ok(message)
    }
}
