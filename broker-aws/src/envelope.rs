//! Messages in the terms of SQS: a CloudEvent as a JSON text, and a few attributes for filters.

use std::collections::HashMap;
use std::sync::Arc;

use aws_sdk_sqs::types::{Message as Native, MessageAttributeValue, MessageSystemAttributeName};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use recount_core::Timestamp;
use recount_messaging::envelope::{from_json, to_json};
use recount_messaging::{BrokerPosition, Malformed, Message, Outgoing, RawHeaders, RawMessage, Refusal};
use serde_json::value::RawValue;

use crate::names;

/// The type of each attribute.
pub(crate) const TEXT: &str = "String";

/// A message as it is sent. It keeps to the limits of the server.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    /// The message's id, for refusals.
    pub(crate) id: String,
    pub(crate) body: String,
    /// The attributes: at most three of the ten that a server takes.
    pub(crate) attributes: Vec<(&'static str, String)>,
    pub(crate) group: String,
    pub(crate) dedupe: String,
    /// The size that the server counts: of the body, and of the names, types and values of the attributes.
    pub(crate) size: usize,
}

/// The message as it is sent.
pub(crate) fn encode(outgoing: &Outgoing, limit: usize) -> Result<Encoded, Refusal> {
    let message = &outgoing.message;
    let id = message.id.to_string();
    let body = match body(message) {
        Ok(body) => body,
        Err(reason) => return Err(Refusal::Invalid { id, reason }),
    };
    let candidates = [
        ("type", Some(&*message.message_type)),
        ("partitionkey", message.key.as_deref()),
        ("traceparent", message.metadata.traceparent.as_deref()),
    ];
    // An attribute can't be empty. One with other characters is left out: the envelope has it, too.
    let fits = |value: &&str| !value.is_empty() && value.chars().all(is_allowed);
    let attributes: Vec<_> =
        candidates.into_iter().filter_map(|(name, value)| Some((name, value.filter(fits)?.to_owned()))).collect();
    let of_attributes: usize = attributes.iter().map(|(name, value)| name.len() + TEXT.len() + value.len()).sum();
    let size = body.len() + of_attributes;
    if size > limit {
        return Err(Refusal::TooLarge { id, size, limit });
    }
    let (group, dedupe) = (names::group_id(outgoing.lane_key()), names::dedupe_id(message));
    Ok(Encoded { id, body, attributes, group, dedupe, size })
}

/// The JSON document. Where a part has characters that a server refuses, attributes are escaped, and the data is written
/// in base64.
fn body(message: &Message) -> Result<String, String> {
    let document = String::from_utf8(to_json(message)?).map_err(|error| error.to_string())?;
    if document.chars().all(is_plain) {
        return Ok(document);
    }
    let head = to_json(&Message { data: Bytes::new(), ..message.clone() })?;
    let head = String::from_utf8(head).map_err(|error| error.to_string())?;
    let mut escaped = String::with_capacity(document.len() + 64);
    for character in head.chars() {
        if is_plain(character) {
            escaped.push(character);
        } else {
            let mut units = [0; 2];
            character.encode_utf16(&mut units).iter().for_each(|unit| escaped.push_str(&format!("\\u{unit:04x}")));
        }
    }
    escaped.pop();
    let json = message.is_json().then(|| serde_json::from_slice::<&RawValue>(&message.data).ok()).flatten();
    match json.map(RawValue::get).filter(|json| json.chars().all(is_allowed)) {
        Some(json) => escaped.push_str(&format!(",\"data\":{json}}}")),
        None if message.data.is_empty() => escaped.push('}'),
        None => escaped.push_str(&format!(",\"data_base64\":\"{}\"}}", STANDARD.encode(&message.data))),
    }
    Ok(escaped)
}

/// Whether a server takes the character.
fn is_allowed(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Whether every server takes the character: some that stand in for AWS refuse those of two UTF-16 units.
fn is_plain(character: char) -> bool {
    is_allowed(character) && character < '\u{10000}'
}

/// A message as it came.
pub(crate) struct Decoded {
    pub(crate) message: Result<Message, Malformed>,
    pub(crate) raw: RawMessage,
    /// How often it was delivered, with this time.
    pub(crate) deliveries: u32,
    pub(crate) published_at: Option<Timestamp>,
    pub(crate) position: Option<BrokerPosition>,
}

/// Reads a message from a queue.
pub(crate) fn decode(native: Native, queue: &Arc<str>) -> Decoded {
    let system = native.attributes.unwrap_or_default();
    let number = |name: MessageSystemAttributeName| system.get(&name).and_then(|text| text.parse::<u128>().ok());
    let deliveries = number(MessageSystemAttributeName::ApproximateReceiveCount);
    let sent = number(MessageSystemAttributeName::SentTimestamp).and_then(|time| i64::try_from(time).ok());
    let body = Bytes::from(native.body.unwrap_or_default());
    let attributes: HashMap<_, _> = native.message_attributes.unwrap_or_default();
    let bytes = |value: MessageAttributeValue| match value.binary_value {
        Some(blob) => blob.into_inner(),
        None => value.string_value.unwrap_or_default().into_bytes(),
    };
    let headers = RawHeaders::by_name(attributes.into_iter().map(|(name, value)| (name, bytes(value))));
    Decoded {
        message: from_json(&body),
        raw: RawMessage { origin: Arc::clone(queue), headers, body },
        deliveries: deliveries.and_then(|count| u32::try_from(count).ok()).unwrap_or(1),
        published_at: sent.and_then(|time| Timestamp::from_millisecond(time).ok()),
        position: number(MessageSystemAttributeName::SequenceNumber)
            .map(|number| BrokerPosition((number >> 64) as u64, number as u64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use recount_messaging::MessageId;

    fn message(data: &str) -> Message {
        Message::new(MessageId::new("1").unwrap(), "tests", "tests.sent", data.to_owned())
    }

    #[test]
    fn a_body_has_allowed_characters_alone_and_is_read_again() {
        let texts = ["\"plain\"", "\"🦀\"", "\"\u{fffe}\"", "\u{ffff}", "a\u{0}b", "", "{\"a\": [1.0, \"ü\"]}"];
        for data in texts {
            for key in ["key", "🦀\u{ffff}\u{fffe}ü"] {
                let sent = message(data).with_key(key);
                let encoded = encode(&Outgoing::new(sent.clone()), usize::MAX).unwrap();
                assert!(encoded.body.chars().all(is_allowed), "{}", encoded.body);
                assert_eq!(from_json(&Bytes::from(encoded.body)).unwrap(), sent);
            }
        }
        let emoji = encode(&Outgoing::new(message("\"🦀\"")), usize::MAX).unwrap();
        assert!(emoji.body.contains(",\"data\":\"🦀\""), "JSON stays readable: {}", emoji.body);
    }

    #[test]
    fn the_limit_counts_attributes_and_is_exact() {
        let one = Outgoing::new(message("\"x\"").with_key("k"));
        let size = encode(&one, usize::MAX).unwrap().size;
        assert!(encode(&one, size).is_ok());
        assert!(
            matches!(encode(&one, size - 1), Err(Refusal::TooLarge { size: s, limit, .. }) if s == size && limit == size - 1)
        );
    }
}
