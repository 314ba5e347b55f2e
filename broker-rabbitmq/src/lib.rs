//! Messaging of recount over RabbitMQ, from version 3.10.
//!
//! ```no_run
//! # async fn example() -> Result<(), recount_messaging::BrokerError> {
//! use recount_broker_rabbitmq::RabbitBroker;
//! use recount_messaging::{Binding, Broker, Group, Plan, Topic};
//!
//! let broker = RabbitBroker::connect("amqp://app:s3cret@localhost/shop").await?;
//! # let (topic, group) = (Topic::new("orders").unwrap(), Group::new("mail").unwrap());
//! let binding = Binding::new(topic, group);
//! broker.ensure(&Plan { topics: vec![], bindings: vec![binding.clone()] }, false).await?;
//! let consumer = broker.subscribe(&binding).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Objects at the server
//!
//! A topic `orders` is the fanout exchange `recount.orders`. The exchange `recount.orders:lanes` records its number of lanes.
//!
//! A group `mail` with order per key has the exchange `recount.orders.mail` of type `x-consistent-hash`, which distributes the
//! messages by routing key over the queues `recount.orders.mail.0`, `.1` and so on, one for each lane. The routing key is
//! the message's key, or its id if it has none. Each queue has a single active consumer. The server needs the plugin
//! `rabbitmq_consistent_hash_exchange`, which comes with it: `rabbitmq-plugins enable rabbitmq_consistent_hash_exchange`.
//!
//! A group without order has one queue, `recount.orders.mail`.
//!
//! All queues are quorum queues with an explicit delivery limit. What is rejected or exceeds the limit goes to the queue
//! `recount.orders.mail:dead`, at least once.
//!
//! # Guarantees, and what is not guaranteed
//!
//! * A message is stored when its fate is `Stored`: the server has confirmed it. Messages are persistent, and one that no
//!   queue takes is refused.
//! * Acknowledgements are not confirmed by the server. After a crash an acknowledged message may come again.
//! * A group gets no messages from before its first `ensure`.
//! * A released message goes to the front of its lane, and the adapter returns what it has fetched behind it, so the lane
//!   keeps its order. Each return counts as a delivery, and so does each lost connection for every fetched message.
//!
//! # The rooms of this crate
//!
//! *options*: the address and the settings. *link*: one connection, and its sudden end. *names*: the names at the server.
//! *ensure*: declarations. *publish*: confirms and fates. *envelope*: messages as AMQP properties. *consumer*: the
//! connection of a binding; *lane*: one queue of it; *settle*: settlements. *capabilities*, *error*.

mod broker;
mod capabilities;
mod consumer;
mod ensure;
mod envelope;
mod error;
mod lane;
mod link;
mod names;
mod options;
mod publish;
mod settle;

pub use broker::RabbitBroker;
pub use options::RabbitOptions;
