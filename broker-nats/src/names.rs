//! The names of streams, subjects and consumers.

use recount_messaging::{Binding, Group, LaneId, Order, Topic};

/// The start of the names of streams.
const STREAM: &str = "recount-";

/// The stream of a topic.
pub(crate) fn stream(topic: &Topic) -> String {
    format!("{STREAM}{topic}")
}

/// The name of the topic of a stream.
pub(crate) fn topic_of(stream: &str) -> Option<&str> {
    stream.strip_prefix(STREAM)
}

/// The subject of a lane.
pub(crate) fn subject(topic: &Topic, lane: u16) -> String {
    format!("{topic}.{lane}")
}

/// The subjects of all lanes.
pub(crate) fn subjects(topic: &Topic) -> String {
    format!("{topic}.*")
}

/// A durable consumer of a binding: of one lane, or of all together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Durable {
    pub(crate) lane: LaneId,
    pub(crate) name: String,
    /// The subject that it filters.
    pub(crate) filter: String,
}

/// The consumer of a lane. No name of a group can be confused with it: the text before the group has a form of its own.
fn of_lane(topic: &Topic, group: &Group, lane: u16) -> Durable {
    Durable { lane: LaneId(lane.into()), name: format!("lane-{lane}-{group}"), filter: subject(topic, lane) }
}

/// The consumer of all lanes.
fn of_all(topic: &Topic, group: &Group) -> Durable {
    Durable { lane: LaneId(0), name: format!("all-{group}"), filter: subjects(topic) }
}

/// The consumers of a binding.
pub(crate) fn durables(binding: &Binding) -> Vec<Durable> {
    let Binding { topic, group, .. } = binding;
    match binding.order {
        Order::PerKey => (0..topic.lanes().get()).map(|lane| of_lane(topic, group, lane)).collect(),
        Order::Unordered => vec![of_all(topic, group)],
    }
}

/// A consumer that the group has if it is bound with the other order.
pub(crate) fn of_other_order(binding: &Binding) -> Durable {
    match binding.order {
        Order::PerKey => of_all(&binding.topic, &binding.group),
        Order::Unordered => of_lane(&binding.topic, &binding.group, 0),
    }
}
