//! Binary mode: attributes in native headers, data as the body.

use std::borrow::Cow;

use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::attribute::{self, Attribute, Names};
use super::fields::{Attributes, checked_attributes};
use super::message::media_type;
use super::{Malformed, Message, STRUCTURED_TYPE, from_json};

/// The name of the header with the media type of the data, where a broker has no property for it.
pub const NATIVE_TYPE: &str = "content-type";
/// How many headers a message may have that is read.
const MAX_HEADERS: usize = 256;

/// The escaped characters of the HTTP binding of CloudEvents, section 3.1.3.2: everything that is not printable ASCII,
/// the space, the quotation mark and the percent sign.
const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// How a broker's protocol binding writes attributes as headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderForm {
    /// The start of the names of attributes.
    prefix: &'static str,
    /// The names of the attributes, with the prefix.
    names: &'static Names,
    /// Whether values are percent-encoded, because headers can only hold ASCII.
    escaped: bool,
}

impl HeaderForm {
    /// NATS: `ce-`, escaped.
    pub const NATS: Self = Self { prefix: "ce-", names: &attribute::NATS, escaped: true };
    /// AMQP: `cloudEvents:`, in application properties.
    pub const AMQP: Self = Self { prefix: "cloudEvents:", names: &attribute::AMQP, escaped: false };
    /// Kafka: `ce_`.
    pub const KAFKA: Self = Self { prefix: "ce_", names: &attribute::KAFKA, escaped: false };
    /// Pulsar: `ce_`, in properties. CloudEvents has no binding for Pulsar; this is the one for Kafka.
    pub const PULSAR: Self = Self::KAFKA;
    /// Google Pub/Sub: `ce-`, in attributes.
    pub const PUBSUB: Self = Self { escaped: false, ..Self::NATS };

    /// A value as its headers have it.
    #[must_use]
    pub fn written(self, value: Cow<'_, str>) -> Cow<'_, str> {
        if !self.escaped {
            return value;
        }
        match value {
            Cow::Borrowed(value) => utf8_percent_encode(value, ESCAPED).into(),
            Cow::Owned(value) => Cow::Owned(Cow::from(utf8_percent_encode(&value, ESCAPED)).into_owned()),
        }
    }
}

/// The name and value of a native header. A borrowed name is that of an attribute.
pub type Header<'m> = (Cow<'static, str>, Cow<'m, str>);

/// The headers of a message, except for the media type of its data: that is [`Message::content_type`], and goes into
/// the property that the broker has for it. Headers of the application come last, under their own names.
///
/// # Errors
/// The reason if the message has a header that can't be told from an attribute, or a part that a reader would not take.
pub fn to_headers(message: &Message, form: HeaderForm) -> Result<Vec<Header<'_>>, String> {
    let mut headers = Vec::with_capacity(16 + message.metadata.headers.len());
    if is_event_format(&message.content_type) {
        let name = Attribute::DataContentType.name();
        return Err(format!("{name}: a reader would take the data for a CloudEvent; use another media type"));
    }
    checked_attributes(message, |attribute, value| {
        headers.push((attribute.name_in(form.names).into(), form.written(value)));
    })?;
    for (name, value) in &message.metadata.headers {
        check_name(name, form)?;
        headers.push((name.clone().into(), form.written(value.as_str().into())));
    }
    Ok(headers)
}

/// Reads a message from native headers and body. A body of type `application/cloudevents+json` is read as
/// [structured](from_json).
///
/// # Errors
/// [`Malformed`].
pub fn from_headers<'h>(
    headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
    content_type: Option<&'h str>,
    body: Bytes,
    form: HeaderForm,
) -> Result<Message, Malformed> {
    if content_type.is_some_and(is_structured) {
        return from_json(&body);
    }
    let mut attributes = Attributes::default();
    let mut next = 0;
    for (count, (name, value)) in headers.into_iter().enumerate() {
        if count >= MAX_HEADERS {
            return Err(Malformed::TooManyHeaders { count: count + 1, limit: MAX_HEADERS });
        }
        if name.eq_ignore_ascii_case(NATIVE_TYPE) {
            let value = String::from_utf8_lossy(value);
            if is_structured(&value) {
                return from_json(&body);
            }
            attributes.add(Attribute::DataContentType, value)?;
            continue;
        }
        let known = Attribute::find_from(next, name, form.names);
        next = known.map_or(next, |known| known as usize + 1);
        let attribute = known.map(|known| known.name().into()).or_else(|| strip_prefix(name, form.prefix));
        let Ok(value) = std::str::from_utf8(value) else {
            // A header of another program, which this one would not read anyway.
            let Some(attribute) = attribute else { continue };
            return Err(Malformed::attribute(&attribute, &String::from_utf8_lossy(value), "it is not UTF-8"));
        };
        match (known, attribute) {
            (Some(known), _) => attributes.add(known, unescape(known.name(), value, form)?)?,
            (None, Some(attribute)) => attributes.add_named(&attribute, unescape(&attribute, value, form)?)?,
            (None, None) => {
                // A repeated header of another program is no reason to refuse its message: the first one counts.
                let value = unescape(name, value, form).unwrap_or(Cow::Borrowed(value));
                attributes.headers.entry(name.to_owned()).or_insert_with(|| value.into_owned());
            }
        }
    }
    if let Some(content_type) = content_type {
        attributes.add(Attribute::DataContentType, content_type.into())?;
    }
    attributes.message(body)
}

fn is_structured(content_type: &str) -> bool {
    media_type(content_type).eq_ignore_ascii_case(STRUCTURED_TYPE)
}

/// Whether readers take a body of this type for a whole event, or many: all types that begin so are event formats.
fn is_event_format(content_type: &str) -> bool {
    const START: &str = "application/cloudevents";
    media_type(content_type).get(..START.len()).is_some_and(|start| start.eq_ignore_ascii_case(START))
}

/// The attribute's name in lower case, if the header is one.
fn strip_prefix<'h>(name: &'h str, prefix: &str) -> Option<Cow<'h, str>> {
    let (start, attribute) = name.split_at_checked(prefix.len())?;
    if !start.eq_ignore_ascii_case(prefix) {
        return None;
    }
    let is_lower = !attribute.bytes().any(|b| b.is_ascii_uppercase());
    Some(if is_lower { attribute.into() } else { attribute.to_ascii_lowercase().into() })
}

fn check_name(name: &str, form: HeaderForm) -> Result<(), String> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&b);
    if name.is_empty() || name.len() > 128 || !name.bytes().all(token) {
        let name: String = name.chars().take(64).collect();
        return Err(format!("the header name {name:?} is no token of 1 to 128 letters, digits and signs"));
    }
    if strip_prefix(name, form.prefix).is_some() || name.eq_ignore_ascii_case(NATIVE_TYPE) {
        return Err(format!("the header name {name:?} is one of the envelope's"));
    }
    Ok(())
}

fn unescape<'h>(name: &str, value: &'h str, form: HeaderForm) -> Result<Cow<'h, str>, Malformed> {
    if !form.escaped {
        return Ok(value.into());
    }
    let decoded = percent_decode_str(value).decode_utf8();
    decoded.map_err(|_| Malformed::attribute(name, value, "it does not decode to UTF-8"))
}
