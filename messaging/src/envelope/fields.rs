//! The attributes of a message by name, which both modes share.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use recount_core::{Metadata, Timestamp};

use super::message::JSON;
use super::{Malformed, Message, MessageId};

/// The greatest length of a key, source, type or subject, in bytes.
const MAX_TEXT: usize = 1024;
/// The version of the specification that is written.
const SPEC_VERSION: &str = "1.0";

/// Calls `each` with every attribute except for the media type of the data, in a fixed order.
pub(super) fn each_attribute(message: &Message, mut each: impl FnMut(&'static str, &str)) {
    let Metadata { correlation_id, causation_id, actor, traceparent, headers: _ } = &message.metadata;
    each("specversion", SPEC_VERSION);
    each("id", message.id.as_str());
    each("source", &message.source);
    each("type", &message.message_type);
    each("schemaversion", &message.schema_version.to_string());
    let mut optional = |name, value: Option<&str>| {
        if let Some(value) = value {
            each(name, value);
        }
    };
    optional("subject", message.subject.as_deref());
    optional("time", message.time.map(|time| time.to_string()).as_deref());
    optional("dataschema", message.data_schema.as_deref());
    optional("partitionkey", message.key.as_deref());
    optional("correlationid", correlation_id.as_deref());
    optional("causationid", causation_id.as_deref());
    optional("actor", actor.as_deref());
    optional("traceparent", traceparent.as_deref());
    optional("idempotencykey", message.idempotency_key.as_deref());
    optional("replyto", message.reply_to.as_deref());
    optional("expirytime", message.expires.map(|time| time.to_string()).as_deref());
}

/// The attributes of an envelope that is being read.
#[derive(Default)]
pub(super) struct Attributes {
    known: BTreeMap<&'static str, String>,
    /// Headers of the application.
    pub(super) headers: BTreeMap<String, String>,
}

/// Every attribute that is read.
const KNOWN: &[&str] = &[
    "specversion",
    "id",
    "source",
    "type",
    "schemaversion",
    "subject",
    "time",
    "dataschema",
    "datacontenttype",
    "partitionkey",
    "correlationid",
    "causationid",
    "actor",
    "traceparent",
    "idempotencykey",
    "replyto",
    "expirytime",
];

impl Attributes {
    /// Adds an attribute. One that is not known is kept as a header of the application.
    pub(super) fn add(&mut self, name: &str, value: String) -> Result<(), Malformed> {
        let previous = match KNOWN.iter().find(|known| **known == name) {
            Some(known) => {
                let repeated = self.known.get(known).is_some_and(|earlier| *earlier != value);
                self.known.insert(known, value);
                repeated
            }
            None => self.headers.insert(name.to_owned(), value).is_some(),
        };
        if previous { Err(Malformed::Repeated { attribute: name.to_owned() }) } else { Ok(()) }
    }

    /// A text of any characters: the name of a stream is data, and may hold any.
    fn any_text(&mut self, name: &'static str) -> Result<Option<Arc<str>>, Malformed> {
        let Some(value) = self.known.remove(name).filter(|value| !value.is_empty()) else { return Ok(None) };
        if value.len() > MAX_TEXT {
            let reason = format!("it has {} bytes, the limit is {MAX_TEXT}", value.len());
            return Err(Malformed::attribute(name, &value, reason));
        }
        Ok(Some(value.into()))
    }

    fn text(&mut self, name: &'static str) -> Result<Option<Arc<str>>, Malformed> {
        match self.any_text(name)? {
            Some(value) if value.contains(|c: char| c.is_control()) => {
                Err(Malformed::attribute(name, &value, "it has a control character"))
            }
            value => Ok(value),
        }
    }

    fn required(&mut self, name: &'static str) -> Result<Arc<str>, Malformed> {
        self.text(name)?.ok_or(Malformed::Missing { attribute: name })
    }

    fn time(&mut self, name: &'static str) -> Result<Option<Timestamp>, Malformed> {
        let Some(value) = self.known.remove(name) else { return Ok(None) };
        value.parse().map(Some).map_err(|_| Malformed::attribute(name, &value, "it is no time of RFC 3339"))
    }

    /// The message of these attributes and this data.
    pub(super) fn message(mut self, data: Bytes) -> Result<Message, Malformed> {
        let version = self.required("specversion")?;
        if !version.starts_with("1.") {
            return Err(Malformed::SpecVersion { found: version.chars().take(16).collect() });
        }
        let id = self.known.remove("id").ok_or(Malformed::Missing { attribute: "id" })?;
        let id = MessageId::new(&id).map_err(|error| Malformed::attribute("id", &id, error))?;
        let schema_version = match self.known.remove("schemaversion") {
            None => 1,
            Some(text) => match text.parse() {
                Ok(0) | Err(_) => return Err(Malformed::attribute("schemaversion", &text, "it is no number from 1")),
                Ok(number) => number,
            },
        };
        Ok(Message {
            id,
            source: self.required("source")?,
            message_type: self.required("type")?,
            schema_version,
            subject: self.any_text("subject")?,
            time: self.time("time")?,
            data_schema: self.text("dataschema")?,
            content_type: self.text("datacontenttype")?.unwrap_or_else(|| JSON.into()),
            key: self.any_text("partitionkey")?,
            metadata: Metadata {
                correlation_id: self.text("correlationid")?,
                causation_id: self.text("causationid")?,
                actor: self.text("actor")?,
                // An invalid trace context is ignored, as the W3C recommendation says.
                traceparent: self.text("traceparent").ok().flatten().filter(|text| is_traceparent(text)),
                headers: std::mem::take(&mut self.headers),
            },
            expires: self.time("expirytime")?,
            idempotency_key: self.any_text("idempotencykey")?,
            reply_to: self.text("replyto")?,
            data,
        })
    }
}

/// Whether a text is a `traceparent` of version 00, with ids that are not all zeros.
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let [version, trace, span, flags] = parts[..] else { return false };
    let some = |part: &str| part.bytes().any(|b| b != b'0');
    version == "00" && hex(trace, 32) && some(trace) && hex(span, 16) && some(span) && hex(flags, 2)
}
