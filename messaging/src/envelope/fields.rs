//! The attributes of a message by name, which both modes share.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use recount_core::{Metadata, NameError, Timestamp};
use smol_str::SmolStr;

use super::attribute::{self, Attribute};
use super::message::JSON;
use super::{Malformed, Message, MessageId};

/// The greatest length of a key, source, type or subject, in bytes.
pub(crate) const MAX_TEXT: usize = 1024;
/// The version of the specification that is written.
const SPEC_VERSION: &str = "1.0";

/// Calls `each` with every attribute except for the media type of the data, in a fixed order.
fn each_attribute<'m>(message: &'m Message, mut each: impl FnMut(Attribute, Cow<'m, str>)) {
    let Metadata { correlation_id, causation_id, actor, traceparent, headers: _ } = &message.metadata;
    let version = match message.schema_version {
        1 => "1".into(),
        version => version.to_string().into(),
    };
    each(Attribute::SpecVersion, SPEC_VERSION.into());
    each(Attribute::Id, message.id.as_str().into());
    each(Attribute::Source, (&*message.source).into());
    each(Attribute::Type, (&*message.message_type).into());
    each(Attribute::SchemaVersion, version);
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string().into());
    let text = |text: &'m Option<SmolStr>| text.as_deref().map(Cow::Borrowed);
    let shared = |text: &'m Option<Arc<str>>| text.as_deref().map(Cow::Borrowed);
    let optional = [
        (Attribute::Subject, text(&message.subject)),
        (Attribute::Time, time(message.time)),
        (Attribute::DataSchema, text(&message.data_schema)),
        (Attribute::PartitionKey, text(&message.key)),
        (Attribute::CorrelationId, shared(correlation_id)),
        (Attribute::CausationId, shared(causation_id)),
        (Attribute::Actor, shared(actor)),
        (Attribute::TraceParent, shared(traceparent)),
        (Attribute::IdempotencyKey, text(&message.idempotency_key)),
        (Attribute::ReplyTo, text(&message.reply_to)),
        (Attribute::ExpiryTime, time(message.expires)),
    ];
    for (attribute, value) in optional {
        if let Some(value) = value {
            each(attribute, value);
        }
    }
}

/// The attributes of an envelope that is being read.
#[derive(Default)]
pub(super) struct Attributes<'e> {
    known: [Option<Cow<'e, str>>; attribute::COUNT],
    /// Headers of the application.
    pub(super) headers: BTreeMap<String, String>,
}

impl<'e> Attributes<'e> {
    /// Adds an attribute.
    pub(super) fn add(&mut self, attribute: Attribute, value: Cow<'e, str>) -> Result<(), Malformed> {
        let known = &mut self.known[attribute as usize];
        if known.as_ref().is_some_and(|earlier| *earlier != value) {
            return Err(Malformed::Repeated { attribute: attribute.name().to_owned() });
        }
        *known = Some(value);
        Ok(())
    }

    /// Adds an attribute by its name. One that is not known is kept as a header of the application.
    pub(super) fn add_named(&mut self, name: &str, value: Cow<'e, str>) -> Result<(), Malformed> {
        if let Some(attribute) = Attribute::find(name) {
            return self.add(attribute, value);
        }
        match self.headers.insert(name.to_owned(), value.into_owned()) {
            Some(_) => Err(Malformed::Repeated { attribute: name.to_owned() }),
            None => Ok(()),
        }
    }

    /// The value of an attribute, unless it is empty.
    pub(super) fn value(&self, attribute: Attribute) -> Option<&str> {
        self.known[attribute as usize].as_deref().filter(|value| !value.is_empty())
    }

    fn take(&mut self, attribute: Attribute) -> Option<Cow<'e, str>> {
        self.known[attribute as usize].take()
    }

    fn text<T: From<Cow<'e, str>>>(&mut self, attribute: Attribute) -> Result<Option<T>, Malformed> {
        let Some(value) = self.take(attribute).filter(|value| !value.is_empty()) else { return Ok(None) };
        match fault(attribute, &value) {
            Some(reason) => Err(Malformed::attribute(attribute.name(), &value, reason)),
            None => Ok(Some(value.into())),
        }
    }

    fn required(&mut self, attribute: Attribute) -> Result<SmolStr, Malformed> {
        self.text(attribute)?.ok_or(Malformed::Missing { attribute: attribute.name() })
    }

    fn time(&mut self, attribute: Attribute) -> Result<Option<Timestamp>, Malformed> {
        let Some(value) = self.take(attribute) else { return Ok(None) };
        value.parse().map(Some).map_err(|_| Malformed::attribute(attribute.name(), &value, "it is no time of RFC 3339"))
    }

    /// The message of these attributes and this data.
    pub(super) fn message(&mut self, data: Bytes) -> Result<Message, Malformed> {
        let version = self.take(Attribute::SpecVersion).filter(|version| !version.is_empty());
        let version = version.ok_or(Malformed::Missing { attribute: Attribute::SpecVersion.name() })?;
        if !version.starts_with("1.") {
            return Err(Malformed::SpecVersion { found: version.chars().take(16).collect() });
        }
        let id = self.take(Attribute::Id).ok_or(Malformed::Missing { attribute: "id" })?;
        let id = MessageId::new(&id).map_err(|error| Malformed::attribute("id", &id, error))?;
        let schema_version = match self.take(Attribute::SchemaVersion) {
            None => 1,
            Some(text) => match text.parse() {
                Ok(0) | Err(_) => return Err(Malformed::attribute("schemaversion", &text, "it is no number from 1")),
                Ok(number) => number,
            },
        };
        Ok(Message {
            id,
            source: self.required(Attribute::Source)?,
            message_type: self.required(Attribute::Type)?,
            schema_version,
            subject: self.text(Attribute::Subject)?,
            time: self.time(Attribute::Time)?,
            data_schema: self.text(Attribute::DataSchema)?,
            content_type: self.text(Attribute::DataContentType)?.unwrap_or(SmolStr::new_static(JSON)),
            key: self.text(Attribute::PartitionKey)?,
            metadata: Metadata {
                correlation_id: self.text(Attribute::CorrelationId)?,
                causation_id: self.text(Attribute::CausationId)?,
                actor: self.text(Attribute::Actor)?,
                // An invalid trace context is ignored, as the W3C recommendation says.
                traceparent: self
                    .text(Attribute::TraceParent)
                    .ok()
                    .flatten()
                    .filter(|text: &Arc<str>| is_traceparent(text)),
                headers: std::mem::take(&mut self.headers),
            },
            expires: self.time(Attribute::ExpiryTime)?,
            idempotency_key: self.text(Attribute::IdempotencyKey)?,
            reply_to: self.text(Attribute::ReplyTo)?,
            data,
        })
    }
}

/// The reason for which the value of an attribute is not read, and so not written either.
pub(super) fn fault(attribute: Attribute, value: &str) -> Option<String> {
    // The name of a stream is data, and may hold any character.
    let is_data = matches!(attribute, Attribute::Subject | Attribute::PartitionKey | Attribute::IdempotencyKey);
    match attribute {
        _ if value.len() > MAX_TEXT => Some(format!("it has {} bytes, the limit is {MAX_TEXT}", value.len())),
        _ if !is_data && has_control(value) => Some("it has a control character".to_owned()),
        Attribute::Source | Attribute::Type if value.is_empty() => Some("it is empty".to_owned()),
        Attribute::SchemaVersion if value == "0" => Some("it is no number from 1".to_owned()),
        _ => None,
    }
}

/// Calls `each` with every attribute except for the media type of the data, all of which a reader takes.
///
/// # Errors
/// The reason if a reader would not take one of them, or the media type.
pub(super) fn checked_attributes<'m>(
    message: &'m Message,
    mut each: impl FnMut(Attribute, Cow<'m, str>),
) -> Result<(), String> {
    let named = |attribute: Attribute| move |reason: String| format!("{}: {reason}", attribute.name());
    let mut refused = fault(Attribute::DataContentType, &message.content_type).map(named(Attribute::DataContentType));
    each_attribute(message, |attribute, value| {
        refused = refused.take().or_else(|| fault(attribute, &value).map(named(attribute)));
        each(attribute, value);
    });
    refused.map_or(Ok(()), Err)
}

/// Whether a text has a control character.
fn has_control(text: &str) -> bool {
    // Nearly all texts are of one byte a character, and need no decoding.
    if text.is_ascii() { text.bytes().any(|b| b.is_ascii_control()) } else { text.contains(char::is_control) }
}

/// Refuses a name with control characters: names are parts of keys and log lines.
pub(crate) fn without_control(kind: &'static str, name: &str) -> Result<(), NameError> {
    let character = has_control(name).then(|| name.chars().find(|c| c.is_control())).flatten();
    character.map_or(Ok(()), |character| Err(NameError::Forbidden { kind, character, name: name.to_owned() }))
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
