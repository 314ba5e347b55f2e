//! Messages as properties, headers and body of AMQP.

use std::sync::Arc;

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::message::Delivery as Native;
use lapin::types::{AMQPValue, FieldTable};
use recount_messaging::envelope::{HeaderForm, from_headers, to_headers};
use recount_messaging::{Attempts, Malformed, Message, Outgoing, RawHeaders, RawMessage, Refusal};

use crate::capabilities::MAX_HEADERS;
use crate::names::{MAX_SHORT, short};

/// The delivery mode of messages that survive a restart.
const PERSISTENT: u8 = 2;
/// How often the message was returned to its queue.
const DELIVERY_COUNT: &str = "x-delivery-count";
/// Headers of the server. They are no headers of the application.
const OF_SERVER: &[&str] = &[DELIVERY_COUNT, "x-acquired-count", "x-death", "x-first-death-", "x-last-death-"];

/// The limits of messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) body: usize,
    pub(crate) header_bytes: usize,
}

/// The properties of a message, if the server takes them. Properties that it does not take end the channel or the
/// connection with all that is under way, so they are checked here.
pub(crate) fn properties(outgoing: &Outgoing, limits: Limits) -> Result<BasicProperties, Refusal> {
    let message = &outgoing.message;
    let id = || message.id.as_str().to_owned();
    let invalid = |reason: String| Refusal::Invalid { id: id(), reason };
    if message.data.len() > limits.body {
        return Err(Refusal::TooLarge { id: id(), size: message.data.len(), limit: limits.body });
    }
    let headers = to_headers(message, HeaderForm::AMQP).map_err(invalid)?;
    if headers.len() > MAX_HEADERS {
        return Err(Refusal::Headers {
            id: id(),
            reason: format!("are {}, the limit is {MAX_HEADERS}", headers.len()),
        });
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > limits.header_bytes {
        let reason = format!("have {bytes} bytes, the limit is {}", limits.header_bytes);
        return Err(Refusal::Headers { id: id(), reason });
    }
    let needed = |what: &str, text: &str| {
        short(text).ok_or_else(|| invalid(format!("{what} has {} bytes, the limit is {MAX_SHORT}", text.len())))
    };
    let mut table = FieldTable::default();
    for (name, value) in headers {
        table.insert(needed("a header's name", &name)?, AMQPValue::LongString(value.into_owned().into_bytes().into()));
    }
    let mut properties = BasicProperties::default()
        .with_content_type(needed("the content type", &message.content_type)?)
        .with_delivery_mode(PERSISTENT)
        .with_headers(table);
    // For other programs and the server's tools. The attributes in the headers count.
    if let Some(address) = message.reply_to.as_deref().and_then(short) {
        properties = properties.with_reply_to(address);
    }
    if let Some(id) = short(message.id.as_str()) {
        properties = properties.with_message_id(id);
    }
    if let Some(id) = message.metadata.correlation_id.as_deref().and_then(short) {
        properties = properties.with_correlation_id(id);
    }
    if let Some(seconds) = message.time.and_then(|time| u64::try_from(time.as_second()).ok()) {
        properties = properties.with_timestamp(seconds);
    }
    Ok(properties)
}

/// The content of a native delivery.
pub(crate) struct Read {
    pub(crate) message: Result<Message, Malformed>,
    pub(crate) attempts: Attempts,
    pub(crate) raw: RawMessage,
}

/// Reads a native delivery from this queue.
pub(crate) fn read(native: Native, queue: &Arc<str>) -> Read {
    let properties = &native.properties;
    let table = properties.headers().as_ref().map(FieldTable::inner);
    let attempts = match returns(&native).map(u32::try_from) {
        Some(count) => Attempts::Exact(count.unwrap_or(u32::MAX)),
        None if native.redelivered => Attempts::AtLeast(1),
        None => Attempts::Exact(0),
    };
    let headers: RawHeaders =
        table.into_iter().flatten().filter_map(|(name, value)| Some((name.as_str(), text(value)?))).collect();
    let of_application = |name: &str| !OF_SERVER.iter().any(|start| name.starts_with(start));
    let content_type = properties.content_type().as_ref().map(|text| text.as_str());
    let body = Bytes::from(native.data);
    let message = from_headers(
        headers.iter().filter(|(name, _)| of_application(name)),
        content_type,
        body.clone(),
        HeaderForm::AMQP,
    );
    Read { message, attempts, raw: RawMessage { origin: queue.clone(), headers, body } }
}

/// How often the message was returned to its queue, if the server says.
pub(crate) fn returns(native: &Native) -> Option<i64> {
    let table = native.properties.headers().as_ref()?;
    table.inner().get(DELIVERY_COUNT).and_then(integer)
}

fn integer(value: &AMQPValue) -> Option<i64> {
    match *value {
        AMQPValue::ShortShortInt(number) => Some(number.into()),
        AMQPValue::ShortShortUInt(number) => Some(number.into()),
        AMQPValue::ShortInt(number) => Some(number.into()),
        AMQPValue::ShortUInt(number) => Some(number.into()),
        AMQPValue::LongInt(number) => Some(number.into()),
        AMQPValue::LongUInt(number) => Some(number.into()),
        AMQPValue::LongLongInt(number) => Some(number),
        _ => None,
    }
}

/// The value of a header as bytes, if it has one.
fn text(value: &AMQPValue) -> Option<Bytes> {
    match value {
        AMQPValue::LongString(text) => Some(Bytes::copy_from_slice(text.as_bytes())),
        AMQPValue::ShortString(text) => Some(Bytes::copy_from_slice(text.as_str().as_bytes())),
        AMQPValue::ByteArray(bytes) => Some(Bytes::copy_from_slice(bytes.as_slice())),
        AMQPValue::Boolean(truth) => Some(truth.to_string().into()),
        AMQPValue::Float(number) => Some(number.to_string().into()),
        AMQPValue::Double(number) => Some(number.to_string().into()),
        AMQPValue::Timestamp(seconds) => Some(seconds.to_string().into()),
        AMQPValue::FieldArray(_) | AMQPValue::FieldTable(_) | AMQPValue::DecimalValue(_) | AMQPValue::Void => None,
        number => integer(number).map(|number| number.to_string().into()),
    }
}
