//! A message as the broker stores it, and its way through the envelope.

use std::sync::Arc;

use bytes::Bytes;
use recount_core::Timestamp;
use tokio::time::Instant;

use super::policy::Policy;
use crate::envelope::{HeaderForm, NATIVE_TYPE, STRUCTURED_TYPE, from_headers, to_headers, to_json};
use crate::{Capabilities, EnvelopeMode, Malformed, Message, Outgoing, RawMessage, Refusal};

/// A stored message.
#[derive(Debug)]
pub(super) struct Stored {
    /// Its place in the topic, from 1.
    pub(super) sequence: u64,
    /// Its lane in the topic.
    pub(super) lane: u16,
    pub(super) key: Arc<str>,
    pub(super) written: Written,
    pub(super) published_at: Timestamp,
    pub(super) stored: Instant,
}

impl Stored {
    /// Its bytes in memory, about.
    pub(super) fn size(&self) -> usize {
        self.written.header_bytes() + self.written.body.len() + self.key.len()
    }
}

/// A message in native terms.
#[derive(Clone, Debug)]
pub(super) struct Written {
    /// The source and id, which together identify the message. `None` for a foreign one.
    pub(super) identity: Option<String>,
    pub(super) headers: Vec<(String, Bytes)>,
    pub(super) body: Bytes,
}

impl Written {
    /// Writes a message, if it fits into the limits.
    pub(super) fn new(outgoing: &Outgoing, declared: &Capabilities, policy: &Policy) -> Result<Self, Refusal> {
        let message = &outgoing.message;
        let id = message.id.to_string();
        let (headers, body) =
            encode(message, declared.envelope, policy.form).map_err(|reason| Refusal::Invalid { id, reason })?;
        let written = Self { identity: Some(format!("{}/{}", message.source, message.id)), headers, body };
        written.check(message, declared)?;
        Ok(written)
    }

    fn check(&self, message: &Message, declared: &Capabilities) -> Result<(), Refusal> {
        let (id, count, bytes) = (message.id.to_string(), self.headers.len(), self.header_bytes());
        let limits = declared.headers;
        if count > limits.max_count {
            let reason = format!("are {count}, the limit is {}", limits.max_count);
            return Err(Refusal::Headers { id, reason });
        }
        if bytes > limits.max_bytes {
            let reason = format!("have {bytes} bytes, the limit is {}", limits.max_bytes);
            return Err(Refusal::Headers { id, reason });
        }
        let limit = declared.max_message.bytes;
        let size = self.body.len() + if declared.max_message.counts_headers { bytes } else { 0 };
        if size > limit { Err(Refusal::TooLarge { id, size, limit }) } else { Ok(()) }
    }

    fn header_bytes(&self) -> usize {
        self.headers.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    /// Reads the envelope.
    pub(super) fn read(&self, form: HeaderForm) -> Result<Message, Malformed> {
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), &**value));
        from_headers(headers, None, self.body.clone(), form)
    }

    pub(super) fn raw(&self, origin: Arc<str>) -> RawMessage {
        RawMessage { origin, headers: self.headers.clone(), body: self.body.clone() }
    }
}

type Parts = (Vec<(String, Bytes)>, Bytes);

fn encode(message: &Message, mode: EnvelopeMode, form: HeaderForm) -> Result<Parts, String> {
    match mode {
        EnvelopeMode::Binary => {
            let headers = to_headers(message, form)?;
            let mut headers: Vec<_> = headers.into_iter().map(|(name, value)| (name, Bytes::from(value))).collect();
            let content_type = Bytes::copy_from_slice(message.content_type.as_bytes());
            headers.push((NATIVE_TYPE.to_owned(), content_type));
            Ok((headers, message.data.clone()))
        }
        EnvelopeMode::Structured => {
            let headers = vec![(NATIVE_TYPE.to_owned(), Bytes::from_static(STRUCTURED_TYPE.as_bytes()))];
            Ok((headers, to_json(message)?.into()))
        }
    }
}
