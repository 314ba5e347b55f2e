//! The capabilities of NATS for a binding.

use std::time::Duration;

use recount_messaging::{
    AckSupport, AttemptCount, BatchLimits, Binding, BrokerDeadLetters, Capabilities, Charset, Dedupe, EnvelopeMode,
    Extend, HeaderLimits, KeyLimits, Lease, LimitSource, MessageLimit, NativeRetry, Order, OrderSupport, Parallelism,
    Release, Replay, RequestReply,
};

use crate::connection::Connection;
use crate::ensure;

/// The longest header block, in bytes: the server stores its length in 16 bits.
pub(crate) const MAX_HEADER_BYTES: usize = 65_535;
/// How many headers are read.
pub(crate) const MAX_HEADERS: usize = 256;
/// The longest key: attributes of envelopes are not longer.
const MAX_KEY: usize = 1024;
/// The longest delay of a redelivery. The server has no limit.
const MAX_DELAY: Duration = Duration::from_secs(365 * 24 * 3600);

pub(crate) fn capabilities(connection: &Connection, binding: &Binding) -> Capabilities {
    let ordered = binding.order == Order::PerKey;
    let mut this = Capabilities::least();
    this.durable = true;
    this.order =
        if ordered { OrderSupport::Lane { lanes: binding.topic.lanes(), withheld: true } } else { OrderSupport::None };
    // The server writes acknowledgements later: its sudden end forgets those of the last 200 milliseconds.
    this.ack = AckSupport::PerMessage { confirmed: true, durable: false };
    this.lease = Some(Lease { default: binding.lease, max_total: None, extend: Extend::Call });
    this.retry = Some(NativeRetry { min: Duration::ZERO, max: MAX_DELAY, keeps_order: ordered, uses_window: ordered });
    this.release = if ordered { Release::Front { counts: true } } else { Release::Anywhere { counts: true } };
    this.attempts = AttemptCount::Exact;
    this.dead_letters = BrokerDeadLetters::None;
    this.attempt_limit = None;
    this.dedupe = Dedupe::Window(ensure::duplicate_window(&connection.options, &binding.topic));
    this.batch = BatchLimits { max_count: usize::MAX, max_bytes: usize::MAX, one_key: false, keeps_prefix: true };
    this.max_message =
        MessageLimit { bytes: connection.max_payload, counts_headers: true, source: LimitSource::Server };
    this.headers = HeaderLimits { max_count: MAX_HEADERS, max_bytes: MAX_HEADER_BYTES };
    this.key = KeyLimits { max_len: MAX_KEY, charset: Charset::Any };
    this.envelope = EnvelopeMode::Binary;
    this.replay = Replay::Both;
    this.late_group_gets_history = true;
    this.lists_topics = true;
    this.parallelism = if ordered { Parallelism::Lanes } else { Parallelism::Unbounded };
    this.request_reply = RequestReply::Native { buffered: false };
    this.idle_expiry = binding.expires_after;
    this
}
