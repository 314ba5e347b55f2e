//! The abilities of a broker for a binding: ranges rather than flags.

use std::num::NonZeroU16;
use std::time::Duration;

use crate::envelope::MAX_TEXT;

/// The abilities of a broker for one binding.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Whether stored messages survive the end of the broker's process.
    pub durable: bool,
    /// The order of delivery.
    pub order: OrderSupport,
    /// The meaning of an acknowledgement.
    pub ack: AckSupport,
    /// How long a delivery is out before it may come again. `None`: until the connection ends.
    pub lease: Option<Lease>,
    /// Redelivery after a delay, by the broker.
    pub retry: Option<NativeRetry>,
    /// Where a released message goes, and whether that counts as an attempt.
    pub release: Release,
    /// How the broker counts deliveries.
    pub attempts: AttemptCount,
    /// The broker's own dead letters.
    pub dead_letters: BrokerDeadLetters,
    /// After so many deliveries the broker itself removes a message. `None`: never.
    pub attempt_limit: Option<u32>,
    /// How the broker recognises a message that is published twice.
    pub dedupe: Dedupe,
    /// The limits of one publish request. Adapters split larger batches.
    pub batch: BatchLimits,
    /// The greatest message.
    pub max_message: MessageLimit,
    /// The limits of headers.
    pub headers: HeaderLimits,
    /// The limits of keys. Adapters map longer ones.
    pub key: KeyLimits,
    /// How envelopes are written.
    pub envelope: EnvelopeMode,
    /// Reading messages again.
    pub replay: Replay,
    /// Whether a new group gets the messages from before.
    pub late_group_gets_history: bool,
    /// Whether the broker [lists its topics](super::Broker::topics).
    pub lists_topics: bool,
    /// How a binding is spread over consumers.
    pub parallelism: Parallelism,
    /// Whether the broker carries replies itself.
    pub request_reply: RequestReply,
    /// After so long without use the broker removes the group. `None`: never.
    pub idle_expiry: Option<Duration>,
}

impl Capabilities {
    /// The least that a broker offers: at least once, no order, no counts, no limits known.
    #[must_use]
    pub fn least() -> Self {
        Self {
            durable: false,
            order: OrderSupport::None,
            ack: AckSupport::PerMessage { confirmed: false, durable: false },
            lease: None,
            retry: None,
            release: Release::Anywhere { counts: false },
            attempts: AttemptCount::None,
            dead_letters: BrokerDeadLetters::None,
            attempt_limit: None,
            dedupe: Dedupe::None,
            batch: BatchLimits { max_count: usize::MAX, max_bytes: usize::MAX, one_key: false, keeps_prefix: false },
            max_message: MessageLimit { bytes: usize::MAX, counts_headers: false, source: LimitSource::Assumed },
            headers: HeaderLimits { max_count: usize::MAX, max_bytes: usize::MAX },
            // The limit of the envelope, which all brokers share.
            key: KeyLimits { max_len: MAX_TEXT, charset: Charset::Any },
            envelope: EnvelopeMode::Binary,
            replay: Replay::None,
            late_group_gets_history: false,
            lists_topics: false,
            parallelism: Parallelism::Unbounded,
            request_reply: RequestReply::Emulated,
            idle_expiry: None,
        }
    }
}

/// The order in which a binding gets messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderSupport {
    /// None.
    None,
    /// Within a lane, of which there are so many.
    Lane {
        /// How many lanes.
        lanes: NonZeroU16,
        /// Whether the broker gives out one message of a lane at a time.
        withheld: bool,
    },
    /// Within a key.
    Key {
        /// Whether the broker holds back the next message of a key while one is out.
        withheld: bool,
    },
}

/// The meaning of an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckSupport {
    /// Each message by itself.
    PerMessage {
        /// Whether the broker confirms it.
        confirmed: bool,
        /// Whether it survives a sudden end of the broker.
        durable: bool,
    },
    /// All messages of the lane up to this one. The adapter keeps the lowest open one.
    Cumulative,
    /// A message that was given out does not come again.
    AtMostOnce,
}

/// How long a delivery is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The time until it may come again.
    pub default: Duration,
    /// The greatest time with extensions. `None`: without limit.
    pub max_total: Option<Duration>,
    /// How it is extended.
    pub extend: Extend,
}

/// How a lease is extended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extend {
    /// By [`BrokerConsumer::extend`](super::BrokerConsumer::extend).
    Call,
    /// By the broker's client, in the background.
    ByClient,
    /// By calling [`BrokerConsumer::next`](super::BrokerConsumer::next) often enough.
    Polling,
    /// Not at all.
    No,
}

/// Redelivery after a delay, by the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NativeRetry {
    /// The shortest delay.
    pub min: Duration,
    /// The longest delay.
    pub max: Duration,
    /// Whether later messages of the key wait, so that the order is kept.
    pub keeps_order: bool,
    /// Whether a waiting message counts as one of the messages that may be out at once.
    pub uses_window: bool,
}

/// Where a released message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Before all others of its lane.
    Front {
        /// Whether it counts as a delivery.
        counts: bool,
    },
    /// Behind all others of its lane.
    Back {
        /// Whether it counts as a delivery.
        counts: bool,
    },
    /// Not specified.
    Anywhere {
        /// Whether it counts as a delivery.
        counts: bool,
    },
}

/// How a broker counts the deliveries of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptCount {
    /// Exactly.
    Exact,
    /// About.
    Approximate,
    /// In memory: a restart or a reconnect forgets the count.
    Volatile,
    /// It says only whether a message was delivered before, or nothing.
    None,
}

/// A broker's own dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerDeadLetters {
    /// None.
    None,
    /// Moved by the broker.
    Broker {
        /// Whether none is lost on the way.
        at_least_once: bool,
    },
    /// Moved by the broker's client.
    Client,
}

/// How a broker recognises a message that is published twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dedupe {
    /// Not at all.
    None,
    /// By its id, within this time: its fate is [`Duplicate`](super::Fate::Duplicate).
    Window(Duration),
    /// By its id, within this time, without telling: its fate is [`Stored`](super::Fate::Stored) again.
    Silent(Duration),
    /// Within one session of a publisher.
    Session,
}

/// The limits of one publish request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// How many messages.
    pub max_count: usize,
    /// How many bytes together.
    pub max_bytes: usize,
    /// Whether all must have the same key.
    pub one_key: bool,
    /// Whether several messages of one key may be in a batch: if one is not stored, none behind it is.
    pub keeps_prefix: bool,
}

/// The greatest message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageLimit {
    /// In bytes.
    pub bytes: usize,
    /// Whether headers count.
    pub counts_headers: bool,
    /// How the limit is known.
    pub source: LimitSource,
}

/// How a limit is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitSource {
    /// The server said so.
    Server,
    /// It was configured here.
    Configured,
    /// From the broker's documentation.
    Assumed,
}

/// The limits of headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderLimits {
    /// How many.
    pub max_count: usize,
    /// How many bytes together, names included.
    pub max_bytes: usize,
}

/// The limits of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyLimits {
    /// In bytes.
    pub max_len: usize,
    /// The characters.
    pub charset: Charset,
}

/// A set of characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    /// Any.
    Any,
    /// Printable ASCII.
    Ascii,
}

/// How envelopes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvelopeMode {
    /// Attributes in native headers, data as the body.
    Binary,
    /// Attributes and data in one JSON document.
    Structured,
}

/// Reading messages again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// Impossible.
    None,
    /// By position.
    Position,
    /// By time.
    Time,
    /// By both.
    Both,
}

/// How a binding is spread over consumers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parallelism {
    /// One consumer for each lane at most.
    Lanes,
    /// Any number.
    Unbounded,
}

/// Whether a broker carries replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestReply {
    /// It does.
    Native {
        /// Whether replies wait for a requester that is slow or away.
        buffered: bool,
    },
    /// By an ordinary topic of replies.
    Emulated,
}
