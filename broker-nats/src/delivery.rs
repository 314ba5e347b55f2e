//! Deliveries, made of the messages that the client library hands out.

use std::time::Duration;

use async_nats::Message as Native;
use bytes::Bytes;
use recount_messaging::envelope::{HeaderForm, from_headers};
use recount_messaging::{
    Attempts, BrokerPosition, Delivery, Malformed, Message, RawHeaders, RawMessage, Returns, Ticket, TicketParts,
};
use tokio::time::Instant;

use crate::ack::AckSubject;
use crate::publish::is_reserved;

/// A message that came, and is not handed out yet.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// The place of its lane in the consumer.
    pub(crate) lane: usize,
    /// The number of the message in its stream.
    pub(crate) sequence: u64,
    /// When it came.
    pub(crate) at: Instant,
    pub(crate) message: Native,
}

impl Arrival {
    /// The subject by which it is acknowledged.
    pub(crate) fn handle(&self) -> Bytes {
        self.message.reply.as_ref().map(|reply| Bytes::copy_from_slice(reply.as_bytes())).unwrap_or_default()
    }

    /// The delivery. The ticket's parts are the consumer's.
    pub(crate) fn into_delivery(self, parts: TicketParts, returns: &Returns, lease: Duration) -> Delivery {
        let reply = self.message.reply.clone();
        let raw = raw(self.message);
        let ack = reply.as_deref().and_then(AckSubject::read);
        let attempts = ack.map_or(Attempts::Unknown, |ack| Attempts::Exact(ack.delivered.saturating_sub(1)));
        let mut delivery = Delivery::new(Ticket::new(parts, returns), decode(&raw), attempts, raw);
        delivery.lease_until = Some(self.at + lease);
        delivery.position = Some(BrokerPosition(self.sequence, 0));
        delivery.published_at = ack.and_then(|ack| ack.stored);
        delivery
    }
}

/// The message in native terms.
pub(crate) fn raw(native: Native) -> RawMessage {
    let Native { subject, payload, headers, .. } = native;
    let mut named: Vec<(&str, &str)> = Vec::new();
    for (name, values) in headers.iter().flat_map(|headers| headers.iter()) {
        named.extend(values.iter().map(|value| (name.as_ref(), value.as_ref())));
    }
    RawMessage { origin: subject.as_str().into(), headers: RawHeaders::by_name(named), body: payload }
}

pub(crate) fn decode(raw: &RawMessage) -> Result<Message, Malformed> {
    let headers = raw.headers.iter().filter(|(name, _)| !is_reserved(name));
    from_headers(headers, None, raw.body.clone(), HeaderForm::NATS)
}
