//! The capabilities of Pulsar for a binding.

use recount_messaging::{
    AckSupport, AttemptCount, BatchLimits, Binding, BrokerDeadLetters, Capabilities, Charset, Dedupe, EnvelopeMode,
    HeaderLimits, KeyLimits, LimitSource, MessageLimit, Order, OrderSupport, Parallelism, Release, Replay,
    RequestReply,
};

use crate::PulsarOptions;

/// How many headers are read.
pub(crate) const MAX_HEADERS: usize = 256;
/// The longest key: attributes of envelopes are not longer.
const MAX_KEY: usize = 1024;

pub(crate) fn of(options: &PulsarOptions, binding: &Binding) -> Capabilities {
    let ordered = binding.order == Order::PerKey;
    let (bytes, configured) = options.limit();
    let mut this = Capabilities::least();
    this.durable = true;
    this.order = match ordered {
        true => OrderSupport::Lane { lanes: binding.topic.lanes(), withheld: false },
        false => OrderSupport::None,
    };
    // The server writes acknowledgements about once a second, and its sudden end forgets the others.
    this.ack = AckSupport::PerMessage { confirmed: false, durable: false };
    this.lease = None;
    this.retry = None;
    this.release = if ordered { Release::Front { counts: false } } else { Release::Anywhere { counts: false } };
    // The server counts in memory, and the client library keeps the count to itself.
    this.attempts = AttemptCount::None;
    this.dead_letters = BrokerDeadLetters::None;
    this.attempt_limit = None;
    this.dedupe = Dedupe::None;
    this.batch = BatchLimits { max_count: usize::MAX, max_bytes: usize::MAX, one_key: false, keeps_prefix: true };
    let source = if configured { LimitSource::Configured } else { LimitSource::Assumed };
    this.max_message = MessageLimit { bytes, counts_headers: true, source };
    this.headers = HeaderLimits { max_count: MAX_HEADERS, max_bytes: bytes };
    this.key = KeyLimits { max_len: MAX_KEY, charset: Charset::Any };
    this.envelope = EnvelopeMode::Binary;
    this.replay = Replay::Both;
    this.late_group_gets_history = true;
    this.lists_topics = true;
    this.parallelism = if ordered { Parallelism::Lanes } else { Parallelism::Unbounded };
    this.request_reply = RequestReply::Emulated;
    this.idle_expiry = binding.expires_after;
    this
}
