//! The names of exchanges and queues. Topics and groups have letters, digits, `-` and `_`, so `.` and `:` separate them.

use lapin::types::ShortString;
use recount_messaging::{Binding, Topic};

/// The longest short string of AMQP, in bytes. The driver panics on a longer one.
pub(crate) const MAX_SHORT: usize = 255;

/// The exchange that a topic is published to.
pub(crate) fn topic(topic: &Topic) -> String {
    format!("recount.{topic}")
}

/// The exchange that records the number of lanes of a topic.
pub(crate) fn lanes(topic: &Topic) -> String {
    format!("recount.{topic}:lanes")
}

/// The hash exchange of a group with order, or the queue of one without.
pub(crate) fn group(binding: &Binding) -> String {
    format!("recount.{}.{}", binding.topic, binding.group)
}

/// The queue of a lane of a group with order.
pub(crate) fn lane(binding: &Binding, lane: u16) -> String {
    format!("{}.{lane}", group(binding))
}

/// The queue of dead letters of a group.
pub(crate) fn dead(binding: &Binding) -> String {
    format!("{}:dead", group(binding))
}

/// A short string, if it is short enough.
pub(crate) fn short(text: &str) -> Option<ShortString> {
    ShortString::try_new(text).ok()
}

/// The routing key of a message's key: the key itself, or its 64-bit FNV-1a in hexadecimal if it is too long.
pub(crate) fn routing_key(key: &str) -> ShortString {
    short(key).unwrap_or_else(|| {
        let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        format!("{:016x}", key.bytes().fold(0xcbf2_9ce4_8422_2325, hash)).into()
    })
}
