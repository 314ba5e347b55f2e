//! Capabilities as a table for people.

use std::fmt;
use std::time::Duration;

use super::{
    AckSupport, AttemptCount, BatchLimits, BrokerDeadLetters, Capabilities, Charset, Dedupe, EnvelopeMode, Extend,
    HeaderLimits, KeyLimits, Lease, LimitSource, MessageLimit, NativeRetry, OrderSupport, Parallelism, Release, Replay,
    RequestReply,
};

impl Capabilities {
    /// A row for each ability: its name and declared value. The names and their order are the same for every broker.
    #[must_use]
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        vec![
            ("messages survive a crash", yes(self.durable).to_owned()),
            ("order", order(self.order)),
            ("acknowledgement", ack(self.ack).to_owned()),
            ("lease", self.lease.map_or_else(|| "until the connection ends".to_owned(), lease)),
            ("delayed retry", self.retry.map_or_else(|| "none".to_owned(), retry)),
            ("released message", release(self.release)),
            ("count of deliveries", attempts(self.attempts).to_owned()),
            ("dead letters", dead_letters(self.dead_letters).to_owned()),
            ("limit of attempts", self.attempt_limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string())),
            ("dedupe on publish", dedupe(self.dedupe)),
            ("publish request", batch(self.batch)),
            ("greatest message", message(self.max_message)),
            ("headers", headers(self.headers)),
            ("key", key(self.key)),
            ("envelope", envelope(self.envelope).to_owned()),
            ("read again", replay(self.replay).to_owned()),
            ("late group gets history", yes(self.late_group_gets_history).to_owned()),
            ("lists its topics", yes(self.lists_topics).to_owned()),
            ("consumers of a group", parallelism(self.parallelism).to_owned()),
            ("replies", replies(self.request_reply).to_owned()),
            (
                "unused group is removed",
                self.idle_expiry.map_or_else(|| "never".to_owned(), |t| format!("after {}", time(t))),
            ),
        ]
    }
}

/// One line for each ability.
impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows();
        let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        let mut lines = rows.iter();
        if let Some((name, value)) = lines.next() {
            write!(f, "{name:width$}  {value}")?;
        }
        lines.try_for_each(|(name, value)| write!(f, "\n{name:width$}  {value}"))
    }
}

fn yes(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

fn order(order: OrderSupport) -> String {
    let one = |withheld| if withheld { ", one message out at a time" } else { "" };
    match order {
        OrderSupport::None => "none".to_owned(),
        OrderSupport::Lane { lanes, withheld } => format!("within each of {lanes} lanes{}", one(withheld)),
        OrderSupport::Key { withheld } => format!("within a key{}", one(withheld)),
    }
}

fn ack(ack: AckSupport) -> &'static str {
    match ack {
        AckSupport::PerMessage { confirmed: true, durable: true } => "each message, confirmed, survives a crash",
        AckSupport::PerMessage { confirmed: true, durable: false } => "each message, confirmed, a crash may forget it",
        AckSupport::PerMessage { confirmed: false, durable: true } => "each message, not confirmed, survives a crash",
        AckSupport::PerMessage { confirmed: false, durable: false } => {
            "each message, not confirmed, a crash may forget it"
        }
        AckSupport::Cumulative => "all of a lane up to a message",
        AckSupport::AtMostOnce => "none: a message is given out once",
    }
}

fn lease(lease: Lease) -> String {
    let extended = match lease.extend {
        Extend::Call => "extended by a call",
        Extend::ByClient => "extended by the client",
        Extend::Polling => "extended by asking for messages",
        Extend::No => "not extended",
    };
    let total = lease.max_total.map_or_else(String::new, |total| format!(", {} in total", time(total)));
    format!("{}, {extended}{total}", time(lease.default))
}

fn retry(retry: NativeRetry) -> String {
    let order = if retry.keeps_order { "the key waits" } else { "others pass" };
    let window = if retry.uses_window { ", counts as out" } else { "" };
    format!("{} to {}, {order}{window}", time(retry.min), time(retry.max))
}

fn release(release: Release) -> String {
    let (place, counts) = match release {
        Release::Front { counts } => ("to the front", counts),
        Release::Back { counts } => ("to the back", counts),
        Release::Anywhere { counts } => ("anywhere", counts),
    };
    format!("{place}, {}", if counts { "counts as a delivery" } else { "does not count" })
}

fn attempts(attempts: AttemptCount) -> &'static str {
    match attempts {
        AttemptCount::Exact => "exact",
        AttemptCount::Approximate => "approximate",
        AttemptCount::Volatile => "forgotten at a reconnect",
        AttemptCount::None => "none",
    }
}

fn dead_letters(dead: BrokerDeadLetters) -> &'static str {
    match dead {
        BrokerDeadLetters::None => "none",
        BrokerDeadLetters::Broker { at_least_once: true } => "moved by the broker, none is lost",
        BrokerDeadLetters::Broker { at_least_once: false } => "moved by the broker, may be lost",
        BrokerDeadLetters::Client => "moved by the client",
    }
}

fn dedupe(dedupe: Dedupe) -> String {
    match dedupe {
        Dedupe::None => "none".to_owned(),
        Dedupe::Window(window) => format!("by id, for {}", time(window)),
        Dedupe::Silent(window) => format!("by id, for {}, untold", time(window)),
        Dedupe::Session => "within a session of the publisher".to_owned(),
    }
}

fn batch(limits: BatchLimits) -> String {
    let one_key = if limits.one_key { ", of one key" } else { "" };
    let prefix = if limits.keeps_prefix { "several messages of a key" } else { "one message of a key" };
    format!("{}, {}{one_key}, {prefix}", messages(limits.max_count), bytes(limits.max_bytes))
}

fn message(limit: MessageLimit) -> String {
    if limit.bytes == usize::MAX {
        return "no limit known".to_owned();
    }
    let headers = if limit.counts_headers { "with headers" } else { "without headers" };
    let source = match limit.source {
        LimitSource::Server => "the server says",
        LimitSource::Configured => "configured",
        LimitSource::Assumed => "from the documentation",
    };
    format!("{} {headers}, {source}", bytes(limit.bytes))
}

fn headers(limits: HeaderLimits) -> String {
    format!("{}, {}", count(limits.max_count), bytes(limits.max_bytes))
}

fn key(limits: KeyLimits) -> String {
    let charset = if limits.charset == Charset::Ascii { "printable ASCII" } else { "any text" };
    format!("{charset}, {}", bytes(limits.max_len))
}

fn envelope(mode: EnvelopeMode) -> &'static str {
    match mode {
        EnvelopeMode::Binary => "attributes in headers",
        EnvelopeMode::Structured => "one JSON document",
    }
}

fn replay(replay: Replay) -> &'static str {
    match replay {
        Replay::None => "no",
        Replay::Position => "by position",
        Replay::Time => "by time",
        Replay::Both => "by position and time",
    }
}

fn parallelism(parallelism: Parallelism) -> &'static str {
    match parallelism {
        Parallelism::Lanes => "one for each lane at most",
        Parallelism::Unbounded => "any number",
    }
}

fn replies(replies: RequestReply) -> &'static str {
    match replies {
        RequestReply::Native { buffered: true } => "by the broker, wait for the requester",
        RequestReply::Native { buffered: false } => "by the broker, the requester must be there",
        RequestReply::Emulated => "by a topic of replies",
    }
}

fn count(count: usize) -> String {
    if count == usize::MAX { "any number".to_owned() } else { count.to_string() }
}

fn messages(max: usize) -> String {
    if max == usize::MAX { "any number of messages".to_owned() } else { format!("{max} messages") }
}

fn bytes(bytes: usize) -> String {
    const KIB: usize = 1024;
    const MIB: usize = KIB * KIB;
    match bytes {
        usize::MAX => "any size".to_owned(),
        _ if bytes >= MIB && bytes.is_multiple_of(MIB) => format!("{} MiB", bytes / MIB),
        _ if bytes >= KIB && bytes.is_multiple_of(KIB) => format!("{} KiB", bytes / KIB),
        _ => format!("{bytes} bytes"),
    }
}

fn time(time: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(24 * 60 * 60, "d"), (60 * 60, "h"), (60, "min"), (1, "s")];
    if time.is_zero() {
        return "0 s".to_owned();
    }
    let seconds = time.as_secs();
    let unit = UNITS.iter().find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit));
    match unit {
        Some((unit, name)) if time.subsec_nanos() == 0 => format!("{} {name}", seconds / unit),
        _ => format!("{time:?}"),
    }
}
