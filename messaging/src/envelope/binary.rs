//! Binary mode: attributes in native headers, data as the body.

use std::borrow::Cow;

use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::fields::{Attributes, each_attribute};
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
    /// The start of the names of attributes, such as `ce-`.
    pub prefix: &'static str,
    /// Whether values are percent-encoded, because headers can only hold ASCII.
    pub escaped: bool,
}

impl HeaderForm {
    /// NATS: `ce-`, escaped.
    pub const NATS: Self = Self { prefix: "ce-", escaped: true };
    /// AMQP: `cloudEvents:`, in application properties.
    pub const AMQP: Self = Self { prefix: "cloudEvents:", escaped: false };
    /// Kafka: `ce_`.
    pub const KAFKA: Self = Self { prefix: "ce_", escaped: false };
}

/// The headers of a message, except for the media type of its data: that is [`Message::content_type`], and goes into
/// the property that the broker has for it. Headers of the application come last, under their own names.
///
/// # Errors
/// The reason if the message has a header that can't be told from an attribute, or can't be written.
pub fn to_headers(message: &Message, form: HeaderForm) -> Result<Vec<(String, String)>, String> {
    let mut headers = Vec::with_capacity(16 + message.metadata.headers.len());
    each_attribute(message, |name, value| {
        headers.push((format!("{}{name}", form.prefix), escape(value, form).into_owned()));
    });
    for (name, value) in &message.metadata.headers {
        check_name(name, form)?;
        headers.push((name.clone(), escape(value, form).into_owned()));
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
    content_type: Option<&str>,
    body: Bytes,
    form: HeaderForm,
) -> Result<Message, Malformed> {
    if content_type.is_some_and(is_structured) {
        return from_json(&body);
    }
    let mut attributes = Attributes::default();
    for (count, (name, value)) in headers.into_iter().enumerate() {
        if count >= MAX_HEADERS {
            return Err(Malformed::TooManyHeaders { count: count + 1, limit: MAX_HEADERS });
        }
        if name.eq_ignore_ascii_case(NATIVE_TYPE) {
            let value = String::from_utf8_lossy(value);
            if is_structured(&value) {
                return from_json(&body);
            }
            attributes.add("datacontenttype", value.into_owned())?;
            continue;
        }
        let attribute = strip_prefix(name, form.prefix);
        let Ok(value) = std::str::from_utf8(value) else {
            // A header of another program, which this one would not read anyway.
            let Some(attribute) = attribute else { continue };
            return Err(Malformed::attribute(&attribute, &String::from_utf8_lossy(value), "it is not UTF-8"));
        };
        match attribute {
            Some(attribute) => attributes.add(&attribute, unescape(&attribute, value, form)?)?,
            None => {
                // A repeated header of another program is no reason to refuse its message: the first one counts.
                let value = unescape(name, value, form).unwrap_or_else(|_| value.to_owned());
                attributes.headers.entry(name.to_owned()).or_insert(value);
            }
        }
    }
    if let Some(content_type) = content_type {
        attributes.add("datacontenttype", content_type.to_owned())?;
    }
    attributes.message(body)
}

fn is_structured(content_type: &str) -> bool {
    content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(STRUCTURED_TYPE)
}

/// The attribute's name in lower case, if the header is one.
fn strip_prefix(name: &str, prefix: &str) -> Option<String> {
    let start = name.get(..prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then(|| name[prefix.len()..].to_ascii_lowercase())
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

fn escape(value: &str, form: HeaderForm) -> Cow<'_, str> {
    if form.escaped { utf8_percent_encode(value, ESCAPED).into() } else { value.into() }
}

fn unescape(name: &str, value: &str, form: HeaderForm) -> Result<String, Malformed> {
    if !form.escaped {
        return Ok(value.to_owned());
    }
    let decoded = percent_decode_str(value).decode_utf8();
    decoded.map(Cow::into_owned).map_err(|_| Malformed::attribute(name, value, "it does not decode to UTF-8"))
}
