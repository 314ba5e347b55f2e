//! Structured mode: attributes and data in one JSON document.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::attribute::Attribute;
use super::fields::{Attributes, checked_attributes};
use super::message::is_json;
use super::{Malformed, Message};

/// The media type of a structured message.
pub const STRUCTURED_TYPE: &str = "application/cloudevents+json";
/// Headers of the application, as one object of texts.
const HEADERS: &str = "recountheaders";

/// The message as a JSON document. Data that is JSON without white space around it stands in `data` as it is, other data in
/// `data_base64`.
///
/// # Errors
/// The reason if a part has no JSON form, or is none that a reader would take.
pub fn to_json(message: &Message) -> Result<Vec<u8>, String> {
    let mut document = Map::new();
    checked_attributes(message, |attribute, value| {
        document.insert(attribute.name().to_owned(), Value::from(value));
    })?;
    document.insert("datacontenttype".to_owned(), Value::from(&*message.content_type));
    let headers = &message.metadata.headers;
    if !headers.is_empty() {
        let headers = headers.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
        document.insert(HEADERS.to_owned(), Value::Object(headers.collect()));
    }
    let raw = message.is_json().then(|| serde_json::from_slice::<&RawValue>(&message.data).ok()).flatten();
    // Readers drop white space around a value, and the bytes of the data must arrive equal.
    let raw = raw.filter(|raw| raw.get().len() == message.data.len());
    if raw.is_none() && !message.data.is_empty() {
        document.insert("data_base64".to_owned(), Value::from(STANDARD.encode(&message.data)));
    }
    let mut json = serde_json::to_vec(&document).map_err(|error| error.to_string())?;
    if let Some(raw) = raw {
        // The bytes of the data are kept as they are.
        json.pop();
        json.extend_from_slice(b",\"data\":");
        json.extend_from_slice(raw.get().as_bytes());
        json.push(b'}');
    }
    Ok(json)
}

/// Reads a message from a JSON document. If the media type is not JSON, a text in `data` is the data itself without its quotation
/// marks, as section 3.1 of the JSON format of CloudEvents says.
///
/// # Errors
/// [`Malformed`].
pub fn from_json(body: &Bytes) -> Result<Message, Malformed> {
    let malformed = |reason: String| Malformed::Json { reason };
    let mut document: BTreeMap<Cow<'_, str>, &RawValue> =
        serde_json::from_slice(body).map_err(|error| malformed(error.to_string()))?;
    let data = document.remove("data").map(|raw| body.slice_ref(raw.get().as_bytes()));
    let mut attributes = Attributes::default();
    let mut base64 = None;
    for (name, raw) in document {
        let value = serde_json::from_str(raw.get()).map_err(|error| malformed(format!("{name}: {error}")))?;
        match (&*name, value) {
            ("data_base64", Value::String(text)) => {
                base64 = Some(STANDARD.decode(&text).map_err(|error| malformed(format!("data_base64: {error}")))?);
            }
            (HEADERS, Value::Object(headers)) => {
                let texts = headers.into_iter().filter_map(|(name, value)| Some((name, value.as_str()?.to_owned())));
                attributes.headers.extend(texts);
            }
            (_, Value::Null) => {}
            (_, Value::String(text)) => attributes.add_named(&name, text.into())?,
            (_, value @ (Value::Bool(_) | Value::Number(_))) => {
                attributes.add_named(&name, value.to_string().into())?
            }
            (_, _) => {
                return Err(Malformed::attribute(&name, raw.get(), "it is neither a text, a number nor a truth value"));
            }
        }
    }
    let data = match (data, base64) {
        (Some(_), Some(_)) => return Err(malformed("it has both `data` and `data_base64`".to_owned())),
        (Some(data), None) => match attributes.value(Attribute::DataContentType) {
            Some(content_type) if !is_json(content_type) => text_of(data),
            _ => data,
        },
        (None, Some(decoded)) => decoded.into(),
        (None, None) => Bytes::new(),
    };
    attributes.message(data)
}

/// The content of a JSON string; other values stay as they are.
fn text_of(data: Bytes) -> Bytes {
    match serde_json::from_slice::<String>(&data) {
        Ok(text) => text.into(),
        Err(_) => data,
    }
}
