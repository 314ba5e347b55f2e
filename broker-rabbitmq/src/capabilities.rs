//! The abilities of RabbitMQ for a binding.

use std::time::Duration;

use recount_messaging::{
    AckSupport, AttemptCount, BatchLimits, Binding, BrokerDeadLetters, Capabilities, Dedupe, EnvelopeMode, Extend,
    HeaderLimits, Lease, LimitSource, MessageLimit, Order, OrderSupport, Parallelism, Release, Replay, RequestReply,
};

use crate::RabbitOptions;

/// The greatest body unless it was set: the smallest default of `max_message_size`, that of 4.0 and later.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;
/// How many headers a message may have, those of the envelope included: as many as are read.
pub(crate) const MAX_HEADERS: usize = 256;
/// The bytes of a frame of headers beside their names and values: properties, and 6 bytes for each header.
const FRAME_OVERHEAD: usize = 3072;
/// How long a delivery may be out: the default of `consumer_timeout`. Then the server closes the channel.
pub(crate) const CONSUMER_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// The greatest body.
pub(crate) fn max_message(options: &RabbitOptions) -> MessageLimit {
    let (bytes, source) = match options.max_message {
        Some(bytes) => (bytes, LimitSource::Configured),
        None => (MAX_MESSAGE, LimitSource::Assumed),
    };
    MessageLimit { bytes, counts_headers: false, source }
}

/// How many bytes the names and values of headers may have: all headers stand in one frame, and a larger one ends the
/// connection.
pub(crate) fn max_header_bytes(frame_max: usize) -> usize {
    frame_max.saturating_sub(FRAME_OVERHEAD)
}

/// The capabilities for a binding, on a connection with this greatest frame.
pub(crate) fn of(binding: &Binding, options: &RabbitOptions, frame_max: usize) -> Capabilities {
    let ordered = binding.order == Order::PerKey;
    let lease = Lease { default: CONSUMER_TIMEOUT, max_total: Some(CONSUMER_TIMEOUT), extend: Extend::No };
    let mut this = Capabilities::least();
    this.durable = true;
    this.order = match ordered {
        true => OrderSupport::Lane { lanes: binding.topic.lanes(), withheld: false },
        false => OrderSupport::None,
    };
    // No answer tells when the queue has stored an acknowledgement: one that a sudden end overtakes is lost.
    this.ack = AckSupport::PerMessage { confirmed: false, durable: false };
    this.lease = Some(lease);
    // Without order, the messages fetched before the release come first.
    this.release = if ordered { Release::Front { counts: true } } else { Release::Anywhere { counts: true } };
    // A release and a lost connection count for the fetched messages as well.
    this.attempts = AttemptCount::Approximate;
    this.dead_letters = match binding.expires_after {
        Some(_) => BrokerDeadLetters::None,
        None => BrokerDeadLetters::Broker { at_least_once: true },
    };
    this.attempt_limit = Some(options.delivery_limit);
    this.dedupe = Dedupe::None;
    this.batch = BatchLimits { max_count: usize::MAX, max_bytes: usize::MAX, one_key: false, keeps_prefix: true };
    this.max_message = max_message(options);
    this.headers = HeaderLimits { max_count: MAX_HEADERS, max_bytes: max_header_bytes(frame_max) };
    this.envelope = EnvelopeMode::Binary;
    this.replay = Replay::None;
    this.late_group_gets_history = false;
    this.parallelism = if ordered { Parallelism::Lanes } else { Parallelism::Unbounded };
    this.request_reply = RequestReply::Native { buffered: true };
    this.idle_expiry = binding.expires_after;
    this
}
