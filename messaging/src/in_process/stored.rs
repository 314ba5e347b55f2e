//! A message as the broker stores it, and its way through the envelope.

use std::sync::Arc;

use bytes::Bytes;
use recount_core::Timestamp;
use tokio::time::Instant;

use super::policy::Policy;
use crate::envelope::{HeaderForm, NATIVE_TYPE, STRUCTURED_TYPE, from_headers, to_headers, to_json};
use crate::{Capabilities, EnvelopeMode, Malformed, Message, Outgoing, RawHeaders, RawMessage, Refusal};

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
        self.written.headers.bytes() + self.written.body.len() + self.key.len()
    }
}

/// A message in native terms.
#[derive(Clone, Debug)]
pub(super) struct Written {
    /// The source and id, which together identify the message. `None` for a foreign one.
    pub(super) identity: Option<String>,
    pub(super) headers: RawHeaders,
    pub(super) body: Bytes,
}

impl Written {
    /// Writes a message, if it fits into the limits.
    pub(super) fn new(outgoing: &Outgoing, declared: &Capabilities, policy: &Policy) -> Result<Self, Refusal> {
        let message = &outgoing.message;
        let id = message.id.to_string();
        let (headers, body) =
            encode(message, declared.envelope, policy.form).map_err(|reason| Refusal::Invalid { id, reason })?;
        let written = Self { identity: Some(message.identity()), headers, body };
        written.check(message, declared)?;
        Ok(written)
    }

    fn check(&self, message: &Message, declared: &Capabilities) -> Result<(), Refusal> {
        let (id, count, bytes) = (message.id.to_string(), self.headers.len(), self.headers.bytes());
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

    /// Reads the envelope.
    pub(super) fn read(&self, form: HeaderForm) -> Result<Message, Malformed> {
        from_headers(self.headers.iter(), None, self.body.clone(), form)
    }

    pub(super) fn raw(&self, origin: Arc<str>) -> RawMessage {
        RawMessage { origin, headers: self.headers.clone(), body: self.body.clone() }
    }
}

fn encode(message: &Message, mode: EnvelopeMode, form: HeaderForm) -> Result<(RawHeaders, Bytes), String> {
    match mode {
        EnvelopeMode::Binary => {
            let mut headers = to_headers(message, form)?;
            headers.push((NATIVE_TYPE.into(), (&*message.content_type).into()));
            let headers = headers.iter().map(|(name, value)| (&**name, value.as_bytes()));
            Ok((headers.collect(), message.data.clone()))
        }
        EnvelopeMode::Structured => {
            Ok(([(NATIVE_TYPE, STRUCTURED_TYPE)].into_iter().collect(), to_json(message)?.into()))
        }
    }
}
