//! The capabilities of SQS for a binding.

use std::time::Duration;

use recount_messaging::{
    AckSupport, AttemptCount, BatchLimits, Binding, BrokerDeadLetters, Capabilities, Charset, Dedupe, EnvelopeMode,
    Extend, HeaderLimits, KeyLimits, Lease, LimitSource, MessageLimit, NativeRetry, Order, OrderSupport, Parallelism,
    Release, Replay, RequestReply,
};

use crate::connection::Connection;
use crate::send::MAX_COUNT;

/// The greatest message and batch of SQS.
const MAX_BYTES_SQS: usize = 1024 * 1024;
/// The greatest message and batch of SNS, unless the topic is set to more.
const MAX_BYTES_SNS: usize = 256 * 1024;
/// A message is out so long at most, with all extensions.
pub(crate) const MAX_LEASE: Duration = Duration::from_secs(12 * 3600);
/// The server remembers ids so long.
const DEDUPE: Duration = Duration::from_secs(300);
/// After so many deliveries the server sets a message aside: the greatest number that it takes.
pub(crate) const MAX_DELIVERIES: u32 = 1000;

/// The greatest message, and the greatest batch.
pub(crate) fn max_bytes(connection: &Connection) -> usize {
    if connection.sns.is_some() { MAX_BYTES_SNS } else { MAX_BYTES_SQS }
}

/// The lease of a binding: whole seconds.
pub(crate) fn lease(binding: &Binding) -> Duration {
    whole_seconds(binding.lease).clamp(Duration::from_secs(1), MAX_LEASE)
}

/// A time in whole seconds, rounded up.
pub(crate) fn whole_seconds(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0)))
}

pub(crate) fn capabilities(connection: &Connection, binding: &Binding) -> Capabilities {
    let (ordered, bytes) = (binding.order == Order::PerKey, max_bytes(connection));
    let mut this = Capabilities::least();
    this.durable = true;
    this.order = if ordered { OrderSupport::Key { withheld: true } } else { OrderSupport::None };
    this.ack = AckSupport::PerMessage { confirmed: true, durable: true };
    this.lease = Some(Lease { default: lease(binding), max_total: Some(MAX_LEASE), extend: Extend::Call });
    this.retry = Some(NativeRetry { min: Duration::ZERO, max: MAX_LEASE, keeps_order: ordered, uses_window: false });
    this.release = if ordered { Release::Front { counts: true } } else { Release::Anywhere { counts: true } };
    this.attempts = AttemptCount::Approximate;
    // The redrive policy is a backstop: a rejected message is deleted.
    this.dead_letters = BrokerDeadLetters::None;
    this.attempt_limit = Some(MAX_DELIVERIES);
    // Only queues with order know ids.
    this.dedupe = if ordered { Dedupe::Silent(DEDUPE) } else { Dedupe::None };
    this.batch = BatchLimits { max_count: MAX_COUNT, max_bytes: bytes, one_key: false, keeps_prefix: false };
    this.max_message = MessageLimit { bytes, counts_headers: true, source: LimitSource::Assumed };
    this.headers = HeaderLimits { max_count: usize::MAX, max_bytes: bytes };
    this.key = KeyLimits { max_len: 128, charset: Charset::Ascii };
    this.envelope = EnvelopeMode::Structured;
    this.replay = Replay::None;
    this.late_group_gets_history = false;
    this.parallelism = Parallelism::Unbounded;
    this.request_reply = RequestReply::Emulated;
    this.idle_expiry = binding.expires_after;
    this
}
