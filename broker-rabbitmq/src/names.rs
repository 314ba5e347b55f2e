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

/// The queue of a group without order.
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
