//! The capabilities of Kafka for a binding.

use recount_messaging::{
    AckSupport, AttemptCount, BatchLimits, Binding, BrokerDeadLetters, Capabilities, Dedupe, EnvelopeMode, Extend,
    HeaderLimits, Lease, LimitSource, MessageLimit, OrderSupport, Parallelism, Release, Replay, RequestReply,
};

use crate::KafkaOptions;
use crate::record::MAX_HEADERS;

pub(crate) fn of(options: &KafkaOptions, binding: &Binding) -> Capabilities {
    let mut this = Capabilities::least();
    this.durable = true;
    // Groups without order have it as well: the broker knows no others for a topic with keys.
    this.order = OrderSupport::Lane { lanes: binding.topic.lanes(), withheld: false };
    this.ack = AckSupport::Cumulative;
    this.lease = Some(Lease { default: options.max_poll, max_total: None, extend: Extend::Polling });
    this.retry = None;
    this.release = Release::Front { counts: false };
    this.attempts = AttemptCount::None;
    this.dead_letters = BrokerDeadLetters::None;
    this.attempt_limit = None;
    this.dedupe = Dedupe::Session;
    this.batch = BatchLimits { max_count: usize::MAX, max_bytes: usize::MAX, one_key: false, keeps_prefix: true };
    this.max_message =
        MessageLimit { bytes: options.max_message, counts_headers: true, source: LimitSource::Configured };
    this.headers = HeaderLimits { max_count: MAX_HEADERS, max_bytes: options.max_message };
    this.envelope = EnvelopeMode::Binary;
    this.replay = Replay::Both;
    this.late_group_gets_history = true;
    this.lists_topics = true;
    this.parallelism = Parallelism::Lanes;
    this.request_reply = RequestReply::Emulated;
    this.idle_expiry = None;
    this
}
