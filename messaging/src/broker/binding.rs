//! Topics, consumer groups, and the binding of a group to a topic.

use std::fmt;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use recount_core::NameError;

use super::BrokerError;

/// The greatest length of the name of a topic or group, in bytes. The names of both fit into those of every broker.
const MAX_NAME: usize = 64;
/// How many lanes a topic has unless set.
const LANES: NonZeroU16 = NonZeroU16::new(8).unwrap();

/// Checks a name of ASCII letters, digits, `-`, `_` and further characters.
pub(super) fn name(kind: &'static str, name: &str, further: &[char]) -> Result<Arc<str>, NameError> {
    if name.is_empty() {
        return Err(NameError::Empty { kind });
    }
    if name.len() > MAX_NAME {
        let start = name.chars().take(32).collect();
        return Err(NameError::TooLong { kind, length: name.len(), limit: MAX_NAME, start });
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_') || further.contains(&c);
    match name.chars().find(|c| !allowed(*c)) {
        Some(character) => Err(NameError::Forbidden { kind, character, name: name.to_owned() }),
        None => Ok(name.into()),
    }
}

/// A named stream of messages at a broker. Every group that is bound to it gets each message.
///
/// A topic has a fixed number of lanes. Messages with the same key are in the same lane, in the order in which they were
/// published. All services that use a topic must agree on the number: it is declared at the broker, and
/// [`ensure`](crate::Broker::ensure) refuses another one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Topic {
    name: Arc<str>,
    lanes: NonZeroU16,
    kept_for: Option<Duration>,
}

impl Topic {
    /// A topic with 8 lanes. The name has 1 to 64 ASCII letters, digits, `-` and `_`.
    ///
    /// # Errors
    /// [`NameError`] if the name is none.
    pub fn new(topic: &str) -> Result<Self, NameError> {
        Ok(Self { name: name("topic", topic, &[])?, lanes: LANES, kept_for: None })
    }

    /// Sets the number of lanes: how many keys can be consumed at once in order, by all members of a group together.
    #[must_use]
    pub fn with_lanes(self, lanes: NonZeroU16) -> Self {
        Self { lanes, ..self }
    }

    /// Lets a broker with [history](crate::Capabilities::late_group_gets_history) forget messages that are older than this,
    /// handled or not. For messages that count for a moment only. Unless set, the adapter's settings say. The broker may
    /// keep a message for some seconds longer. [`Broker::ensure`](crate::Broker::ensure) refuses less than a second.
    #[must_use]
    pub fn keep_for(self, time: Duration) -> Self {
        Self { kept_for: Some(time), ..self }
    }

    /// How long messages are kept, if it was [set](Self::keep_for).
    #[must_use]
    pub fn kept_for(&self) -> Option<Duration> {
        self.kept_for
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of lanes.
    #[must_use]
    pub fn lanes(&self) -> NonZeroU16 {
        self.lanes
    }

    /// The lane of a key: 32-bit FNV-1a of its UTF-8 bytes, modulo the number of lanes. For adapters of brokers that leave
    /// the choice to the publisher. Clients in other languages compute the same.
    ///
    /// ```
    /// # use recount_messaging::Topic;
    /// assert_eq!(Topic::new("orders")?.lane_of("order/17"), 4);
    /// # Ok::<(), recount_core::NameError>(())
    /// ```
    #[must_use]
    pub fn lane_of(&self, key: &str) -> u16 {
        let hash = key.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        // The remainder is below a u16.
        u16::try_from(hash % u32::from(self.lanes.get())).unwrap_or_default()
    }

    /// Compares the number of partitions that a broker has for the topic with the number of lanes, for adapters.
    ///
    /// # Errors
    /// [`BrokerError::Mismatch`] of this object if they differ: a key would have messages in two partitions.
    pub fn check_partitions(&self, object: impl FnOnce() -> String, partitions: usize) -> Result<(), BrokerError> {
        if partitions == usize::from(self.lanes.get()) {
            return Ok(());
        }
        Err(BrokerError::Mismatch {
            object: object(),
            expected: format!("{} partitions, one for each lane", self.lanes),
            actual: format!("{partitions} partitions"),
            cure: "use the number of lanes that the topic was declared with, or another topic".to_owned(),
        })
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A consumer group: its members share the messages of a topic, each message goes to one of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Group(Arc<str>);

impl Group {
    /// A group. The name has 1 to 64 ASCII letters, digits, `-` and `_`.
    ///
    /// # Errors
    /// [`NameError`] if the name is none.
    pub fn new(group: &str) -> Result<Self, NameError> {
        Ok(Self(name("consumer group", group, &[])?))
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The order in which a group gets messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// Messages with the same key come in the order of publishing. Each lane has one consumer at a time.
    PerKey,
    /// In any order; the messages of a lane are shared among all members of the group.
    Unordered,
}

/// Where a group starts that the broker does not know yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StartFrom {
    /// At the first message that the broker still has.
    Earliest,
    /// At the messages that are published from now on.
    Latest,
}

/// The binding of a group to a topic, and how its messages are delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Binding {
    /// The topic.
    pub topic: Topic,
    /// The group.
    pub group: Group,
    /// The order of delivery.
    pub order: Order,
    /// Where a new group starts.
    pub start: StartFrom,
    /// How long a delivered message is out before the broker may give it to another member, unless it is settled or
    /// extended. Brokers without leases ignore it.
    pub lease: Duration,
    /// After so long without a consumer the broker removes the group with its messages. `None`: never.
    pub expires_after: Option<Duration>,
}

impl Binding {
    /// The group gets the messages of the topic in order per key, from the earliest, with a lease of 30 seconds.
    #[must_use]
    pub fn new(topic: Topic, group: Group) -> Self {
        Self {
            topic,
            group,
            order: Order::PerKey,
            start: StartFrom::Earliest,
            lease: Duration::from_secs(30),
            expires_after: None,
        }
    }

    /// Sets the order of delivery.
    #[must_use]
    pub fn order(self, order: Order) -> Self {
        Self { order, ..self }
    }

    /// Sets where a new group starts.
    #[must_use]
    pub fn start(self, start: StartFrom) -> Self {
        Self { start, ..self }
    }

    /// Sets the lease, 1 second to 30 days: [`Broker::ensure`](crate::Broker::ensure) refuses others.
    #[must_use]
    pub fn lease(self, lease: Duration) -> Self {
        Self { lease, ..self }
    }

    /// Lets the broker remove the group when it had no consumer for this time, in steps of milliseconds. For groups of one
    /// instance of a program, which may never come back. The broker may take some seconds longer. Messages that
    /// a consumer of such a group rejects are dropped. [`Broker::ensure`](crate::Broker::ensure) refuses less than a second
    /// and more than 30 days.
    #[must_use]
    pub fn expires_after(self, time: Duration) -> Self {
        Self { expires_after: Some(time), ..self }
    }
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "group {} of topic {}", self.group, self.topic)
    }
}

/// The topics and bindings that a service needs at a broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The topics that it publishes to.
    pub topics: Vec<Topic>,
    /// The bindings that it consumes. Their topics need not be listed.
    pub bindings: Vec<Binding>,
}

impl Plan {
    /// The topics, those of the bindings among them, and the bindings, each once, in the order of their first places. For
    /// adapters. Of a topic that is named with and without a [time](Topic::keep_for), the time counts.
    ///
    /// # Errors
    /// [`BrokerError::Mismatch`] if the plan contradicts itself: it names a topic with two numbers of lanes or two times, or a
    /// group with two orders. [`BrokerError::Invalid`] names a time that is [out of its bounds](Binding::check).
    pub fn distinct(&self) -> Result<(Vec<&Topic>, Vec<&Binding>), BrokerError> {
        self.check_times()?;
        let mut topics: Vec<&Topic> = Vec::new();
        for topic in self.topics.iter().chain(self.bindings.iter().map(|binding| &binding.topic)) {
            let Some(first) = topics.iter_mut().find(|first| first.name == topic.name) else {
                topics.push(topic);
                continue;
            };
            let named = || format!("topic {topic}");
            if first.lanes != topic.lanes {
                return Err(contradiction(named(), [topic, first].map(|topic| format!("{} lanes", topic.lanes))));
            }
            match (first.kept_for, topic.kept_for) {
                (None, Some(_)) => *first = topic,
                (Some(one), Some(other)) if one != other => {
                    return Err(contradiction(named(), [other, one].map(|time| format!("messages kept for {time:?}"))));
                }
                _ => {}
            }
        }
        let mut bindings: Vec<&Binding> = Vec::new();
        for binding in &self.bindings {
            let same = |first: &&&Binding| first.topic.name == binding.topic.name && first.group == binding.group;
            match bindings.iter().find(same) {
                None => bindings.push(binding),
                Some(first) if first.order == binding.order => {}
                Some(first) => {
                    let orders = [binding.order, first.order].map(|order| format!("order {order:?}"));
                    return Err(contradiction(binding.to_string(), orders));
                }
            }
        }
        Ok((topics, bindings))
    }
}

fn contradiction(object: String, [expected, actual]: [String; 2]) -> BrokerError {
    let (actual, cure) = (format!("{actual} in the same plan"), "name it with the same settings everywhere".to_owned());
    BrokerError::Mismatch { object, expected, actual, cure }
}
