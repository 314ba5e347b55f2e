//! The names of exchanges and queues. Topics and groups have letters, digits, `-` and `_`, so `.` and `:` separate them.

use lapin::types::ShortString;
use recount_messaging::{Binding, Topic};
use serde_json::{Value, json};

/// The longest short string of AMQP, in bytes. The driver panics on a longer one.
pub(crate) const MAX_SHORT: usize = 255;

/// The exchange that a topic is published to.
pub(crate) fn topic(topic: &Topic) -> String {
    format!("recount.{topic}")
}

/// The exchange of a topic as a [channel binding](https://github.com/asyncapi/bindings/tree/master/amqp) of AsyncAPI, for
/// the protocol `amqp`. The exchange is in the virtual host of the broker's address.
///
/// ```
/// # use recount_messaging::Topic;
/// let binding = recount_broker_rabbitmq::channel_binding(&Topic::new("orders")?);
/// assert_eq!(binding["exchange"]["name"], "recount.orders");
/// # Ok::<(), recount_core::NameError>(())
/// ```
#[must_use]
pub fn channel_binding(topic: &Topic) -> Value {
    let exchange = json!({ "name": self::topic(topic), "type": "topic", "durable": true, "autoDelete": false });
    json!({ "is": "routingKey", "exchange": exchange, "bindingVersion": "0.3.0" })
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
