//! The capabilities of Pub/Sub for a binding. Limits are from its documentation: the service tells none.

use std::time::Duration;

use recount_messaging::{
    AckSupport, AttemptCount, BatchLimits, Binding, BrokerDeadLetters, Capabilities, Charset, Dedupe, EnvelopeMode,
    Extend, HeaderLimits, KeyLimits, Lease, LimitSource, MessageLimit, Order, OrderSupport, Parallelism, Release,
    Replay, RequestReply,
};

/// The greatest message. A request has 10,000,000 bytes, with the name of the topic and a few bytes for each attribute.
pub(crate) const MAX_MESSAGE: usize = 9_990_000;
/// The greatest request.
const MAX_REQUEST: usize = 10_000_000;
/// How many messages a request has.
pub(crate) const MAX_BATCH: u32 = 1_000;
/// How many attributes a message has.
pub(crate) const MAX_ATTRIBUTES: usize = 100;
/// The longest name of an attribute, in bytes.
pub(crate) const MAX_NAME: usize = 256;
/// The longest value of an attribute, and the longest ordering key, in bytes.
pub(crate) const MAX_VALUE: usize = 1024;
/// A message comes again so long after its consumer has died: the shortest that the service takes.
pub(crate) const LEASE: Duration = Duration::from_secs(10);
/// The client extends the lease of a message no longer than this.
pub(crate) const MAX_LEASE: Duration = Duration::from_secs(60 * 60);
/// The shortest time after which the service removes an unused subscription.
pub(crate) const MIN_EXPIRY: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) fn capabilities(binding: &Binding) -> Capabilities {
    let ordered = binding.order == Order::PerKey;
    let mut this = Capabilities::least();
    this.durable = true;
    this.order = if ordered { OrderSupport::Key { withheld: false } } else { OrderSupport::None };
    this.ack = AckSupport::PerMessage { confirmed: false, durable: false };
    this.lease = Some(Lease { default: LEASE, max_total: Some(MAX_LEASE), extend: Extend::ByClient });
    // The client library has no call for a delay.
    this.retry = None;
    this.release = if ordered { Release::Front { counts: false } } else { Release::Anywhere { counts: false } };
    // The service counts for its own dead letters only, which break the order of a key.
    this.attempts = AttemptCount::None;
    this.dead_letters = BrokerDeadLetters::None;
    this.attempt_limit = None;
    this.dedupe = Dedupe::None;
    this.batch =
        BatchLimits { max_count: MAX_BATCH as usize, max_bytes: MAX_REQUEST, one_key: true, keeps_prefix: true };
    this.max_message = MessageLimit { bytes: MAX_MESSAGE, counts_headers: true, source: LimitSource::Assumed };
    this.headers = HeaderLimits { max_count: MAX_ATTRIBUTES, max_bytes: MAX_ATTRIBUTES * (MAX_NAME + MAX_VALUE) };
    this.key = KeyLimits { max_len: MAX_VALUE, charset: Charset::Any };
    this.envelope = EnvelopeMode::Binary;
    this.replay = Replay::None;
    this.late_group_gets_history = false;
    this.parallelism = Parallelism::Unbounded;
    this.request_reply = RequestReply::Emulated;
    this.idle_expiry = binding.expires_after.map(|time| time.max(MIN_EXPIRY));
    this
}
