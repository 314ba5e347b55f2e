//! Profiles: the brokers that the in-process broker can play.

use std::num::NonZeroU16;
use std::time::Duration;

use crate::{
    AckSupport, AttemptCount, BatchLimits, Binding, BrokerDeadLetters, Capabilities, Charset, Dedupe, EnvelopeMode,
    Extend, HeaderLimits, KeyLimits, Lease, LimitSource, MessageLimit, NativeRetry, Order, OrderSupport, Parallelism,
    Release, Replay, Topic,
};

const MIB: usize = 1024 * 1024;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A broker that the in-process broker plays. Each is a value of [`Capabilities`], and behaves as it declares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Profile {
    /// The embedded default: order per key across all members, exact counts, leases, delays that keep the order.
    #[default]
    Own,
    /// Kafka's consumer groups: cumulative acknowledgements by lane, lanes that move between members with notice, no
    /// counts, leases by polling.
    Kafka,
    /// Pulsar's Failover subscriptions: acknowledgements and counts in the broker's memory, a release rewinds the lane,
    /// lanes move without notice.
    Pulsar,
    /// RabbitMQ's quorum queues behind a hash exchange, each with a single active consumer and a delivery limit of 20.
    RabbitMq,
    /// NATS `JetStream`, with one message of a lane out at a time: exact counts, leases, delays, dedupe by id.
    Nats,
    /// SQS FIFO queues behind an SNS FIFO topic: one message of a key out at a time, leases of 12 hours at most, batches
    /// of ten, receipts that become stale, approximate counts.
    Fifo,
    /// Google Pub/Sub with ordering keys: several messages of a key out at once, leases that the client extends, requests
    /// of one key that succeed or fail as a whole.
    PubSub,
}

impl Profile {
    /// All profiles.
    pub const ALL: [Self; 7] =
        [Self::Own, Self::Kafka, Self::Pulsar, Self::RabbitMq, Self::Nats, Self::Fifo, Self::PubSub];

    /// The abilities that the profile declares for a binding.
    #[must_use]
    pub fn capabilities(self, binding: &Binding) -> Capabilities {
        let mut declared = self.declared(binding.order, &binding.topic, binding.lease);
        declared.idle_expiry = binding.expires_after;
        declared
    }

    pub(super) fn lists_topics(self) -> bool {
        matches!(self, Self::Own | Self::Kafka | Self::Pulsar | Self::Nats)
    }

    /// The abilities that the profile declares for bindings of a topic.
    pub(super) fn declared(self, order: Order, topic: &Topic, lease: Duration) -> Capabilities {
        let (ordered, lanes) = (order == Order::PerKey, topic.lanes());
        let mut declared = match self {
            Self::Own => own(ordered, lease),
            Self::Kafka => kafka(lanes),
            Self::Pulsar => pulsar(ordered, lanes),
            Self::RabbitMq => rabbitmq(ordered, lanes),
            Self::Nats => nats(ordered, lanes, lease),
            Self::Fifo => fifo(ordered, lease),
            Self::PubSub => pubsub(lease),
        };
        declared.request_reply = super::requests::of_profile(self);
        declared.lists_topics = self.lists_topics();
        if !ordered && self != Self::Kafka {
            declared.order = OrderSupport::None;
            declared.parallelism = Parallelism::Unbounded;
        }
        declared
    }
}

fn limit(bytes: usize, counts_headers: bool, source: LimitSource) -> MessageLimit {
    MessageLimit { bytes, counts_headers, source }
}

fn batches(max_count: usize, max_bytes: usize, keeps_prefix: bool) -> BatchLimits {
    BatchLimits { max_count, max_bytes, one_key: false, keeps_prefix }
}

fn own(ordered: bool, lease: Duration) -> Capabilities {
    Capabilities {
        order: OrderSupport::Key { withheld: true },
        ack: AckSupport::PerMessage { confirmed: true, durable: false },
        lease: Some(Lease { default: lease, max_total: None, extend: Extend::Call }),
        retry: Some(NativeRetry { min: Duration::ZERO, max: YEAR, keeps_order: ordered, uses_window: false }),
        release: Release::Front { counts: false },
        attempts: AttemptCount::Exact,
        dead_letters: BrokerDeadLetters::Broker { at_least_once: true },
        dedupe: Dedupe::Window(2 * MINUTE),
        batch: batches(usize::MAX, usize::MAX, true),
        max_message: limit(16 * MIB, true, LimitSource::Configured),
        headers: HeaderLimits { max_count: 250, max_bytes: 64 * 1024 },
        replay: Replay::Both,
        late_group_gets_history: true,
        ..Capabilities::least()
    }
}

fn kafka(lanes: NonZeroU16) -> Capabilities {
    Capabilities {
        durable: true,
        order: OrderSupport::Lane { lanes, withheld: false },
        ack: AckSupport::Cumulative,
        lease: Some(Lease { default: 5 * MINUTE, max_total: None, extend: Extend::Polling }),
        release: Release::Front { counts: false },
        dedupe: Dedupe::Session,
        batch: batches(10_000, 1_000_000, true),
        max_message: limit(1_000_000, true, LimitSource::Configured),
        replay: Replay::Both,
        late_group_gets_history: true,
        parallelism: Parallelism::Lanes,
        ..Capabilities::least()
    }
}

fn pulsar(ordered: bool, lanes: NonZeroU16) -> Capabilities {
    Capabilities {
        durable: true,
        order: OrderSupport::Lane { lanes, withheld: false },
        release: if ordered { Release::Front { counts: true } } else { Release::Anywhere { counts: true } },
        attempts: AttemptCount::Volatile,
        batch: batches(1_000, 5 * MIB, false),
        max_message: limit(5 * MIB - 64 * 1024, true, LimitSource::Assumed),
        replay: Replay::Both,
        late_group_gets_history: true,
        parallelism: Parallelism::Lanes,
        ..Capabilities::least()
    }
}

fn rabbitmq(ordered: bool, lanes: NonZeroU16) -> Capabilities {
    Capabilities {
        durable: true,
        order: OrderSupport::Lane { lanes, withheld: false },
        ack: AckSupport::PerMessage { confirmed: false, durable: false },
        lease: Some(Lease { default: HOUR / 2, max_total: Some(HOUR / 2), extend: Extend::No }),
        release: if ordered { Release::Front { counts: true } } else { Release::Back { counts: true } },
        attempts: AttemptCount::Exact,
        dead_letters: BrokerDeadLetters::Broker { at_least_once: true },
        attempt_limit: Some(20),
        batch: batches(1_000, usize::MAX, false),
        max_message: limit(16 * MIB, false, LimitSource::Server),
        headers: HeaderLimits { max_count: usize::MAX, max_bytes: 131_064 },
        key: KeyLimits { max_len: 255, charset: Charset::Any },
        parallelism: Parallelism::Lanes,
        ..Capabilities::least()
    }
}

fn nats(ordered: bool, lanes: NonZeroU16, lease: Duration) -> Capabilities {
    Capabilities {
        durable: true,
        order: OrderSupport::Lane { lanes, withheld: true },
        ack: AckSupport::PerMessage { confirmed: true, durable: false },
        lease: Some(Lease { default: lease, max_total: None, extend: Extend::Call }),
        retry: Some(NativeRetry { min: Duration::ZERO, max: YEAR, keeps_order: ordered, uses_window: true }),
        release: Release::Front { counts: true },
        attempts: AttemptCount::Exact,
        dedupe: Dedupe::Window(2 * MINUTE),
        batch: batches(1_000, usize::MAX, false),
        max_message: limit(MIB, true, LimitSource::Server),
        headers: HeaderLimits { max_count: usize::MAX, max_bytes: 64 * 1024 },
        replay: Replay::Both,
        late_group_gets_history: true,
        ..Capabilities::least()
    }
}

fn fifo(ordered: bool, lease: Duration) -> Capabilities {
    Capabilities {
        durable: true,
        order: OrderSupport::Key { withheld: true },
        ack: AckSupport::PerMessage { confirmed: true, durable: true },
        lease: Some(Lease { default: lease, max_total: Some(12 * HOUR), extend: Extend::Call }),
        retry: Some(NativeRetry { min: Duration::ZERO, max: 12 * HOUR, keeps_order: ordered, uses_window: false }),
        release: Release::Front { counts: true },
        attempts: AttemptCount::Approximate,
        dedupe: Dedupe::Window(5 * MINUTE),
        batch: batches(10, MIB, false),
        max_message: limit(MIB, true, LimitSource::Assumed),
        headers: HeaderLimits { max_count: 10, max_bytes: MIB },
        key: KeyLimits { max_len: 128, charset: Charset::Ascii },
        envelope: EnvelopeMode::Structured,
        ..Capabilities::least()
    }
}

fn pubsub(lease: Duration) -> Capabilities {
    let lease = lease.clamp(Duration::from_secs(10), 10 * MINUTE);
    Capabilities {
        durable: true,
        order: OrderSupport::Key { withheld: false },
        lease: Some(Lease { default: lease, max_total: Some(HOUR), extend: Extend::ByClient }),
        release: Release::Front { counts: true },
        attempts: AttemptCount::Approximate,
        batch: BatchLimits { max_count: 1_000, max_bytes: 10_000_000, one_key: true, keeps_prefix: true },
        max_message: limit(10_000_000, true, LimitSource::Assumed),
        headers: HeaderLimits { max_count: 100, max_bytes: 100 * (256 + 1024) },
        key: KeyLimits { max_len: 1024, charset: Charset::Any },
        replay: Replay::Time,
        ..Capabilities::least()
    }
}
