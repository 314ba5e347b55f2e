//! Messages as properties and payload of Pulsar.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use pulsar::message::Metadata;
use pulsar::producer;
use recount_messaging::envelope::{HeaderForm, NATIVE_TYPE, from_headers, to_headers};
use recount_messaging::{Malformed, Message, Outgoing, RawMessage, Refusal};

use crate::capabilities::MAX_HEADERS;

/// The native message, if the server takes it. One that is too large makes the client library send it again and again, so
/// sizes are checked here.
pub(crate) fn encode(outgoing: Outgoing, limit: usize) -> Result<producer::Message, Refusal> {
    let message = &outgoing.message;
    let id = || message.id.to_string();
    let invalid = |reason: String| Refusal::Invalid { id: id(), reason };
    let mut headers = to_headers(message, HeaderForm::PULSAR).map_err(invalid)?;
    headers.push((NATIVE_TYPE.into(), (&*message.content_type).into()));
    if headers.len() > MAX_HEADERS {
        let reason = format!("are {}, the limit is {MAX_HEADERS}", headers.len());
        return Err(Refusal::Headers { id: id(), reason });
    }
    let key = message.key.as_deref().map_or(0, str::len);
    let size = key + message.data.len() + headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    if size > limit {
        return Err(Refusal::TooLarge { id: id(), size, limit });
    }
    let owned = headers.into_iter().map(|(name, value)| (name.into_owned(), value.into_owned()));
    let properties: HashMap<String, String> = owned.collect();
    Ok(producer::Message {
        properties,
        partition_key: message.key.as_deref().map(str::to_owned),
        event_time: message.time.and_then(|time| u64::try_from(time.as_millisecond()).ok()),
        payload: message.data.to_vec(),
        ..producer::Message::default()
    })
}

/// The message in native terms.
pub(crate) fn raw(origin: &Arc<str>, metadata: &Metadata, body: &Bytes) -> RawMessage {
    let headers = metadata.properties.iter().map(|property| (&property.key, &property.value));
    RawMessage { origin: Arc::clone(origin), headers: headers.collect(), body: body.clone() }
}

/// Reads the envelope.
pub(crate) fn decode(metadata: &Metadata, body: &Bytes) -> Result<Message, Malformed> {
    let named = metadata.properties.iter().map(|property| (property.key.as_str(), property.value.as_bytes()));
    let mut message = from_headers(named, None, body.clone(), HeaderForm::PULSAR)?;
    // Other programs may give the key only as Pulsar's. Keys of bytes are left out.
    if message.key.is_none() && metadata.partition_key_b64_encoded != Some(true) {
        message.key = metadata.partition_key.as_deref().filter(|key| !key.is_empty()).map(Into::into);
    }
    Ok(message)
}
