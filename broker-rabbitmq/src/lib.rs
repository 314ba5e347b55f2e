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
//! A topic `orders` is the topic exchange `recount.orders`. The routing key of a message is the number of its lane, which is
//! [`Topic::lane_of`](recount_messaging::Topic::lane_of) its key, or its id if it has none. The exchange
//! `recount.orders:lanes` records the number of lanes.
//!
//! A group `mail` with order per key has a queue for each lane, `recount.orders.mail.0` and so on, with a single active
//! consumer. A group without order has one queue, `recount.orders.mail`.
//!
//! The exchange type `x-consistent-hash` is not used: after a restart of the server it distributes the keys differently
//! (3.10.8), so the messages of a key would be in two queues.
//!
//! All queues are quorum queues with an explicit delivery limit. A message that is rejected or exceeds the limit goes
//! to the queue `recount.orders.mail:dead`, at least once.
//!
//! The questions of a topic go to the queue `recount.orders:ask`, which ends with its last consumer, and the replies to
//! the asker's queue, `recount:inbox:ID`, which waits a minute for an asker that reconnects. Their messages are in memory only.
//!
//! # Guarantees and their limits
//!
//! * A message is stored when its fate is `Stored`: the server has confirmed it. Messages are persistent, and one that no
//!   queue takes is refused.
//! * Acknowledgements are not confirmed by the server. After a crash an acknowledged message may come again.
//! * A group gets no messages from before its first `ensure`.
//! * In a group with order, a released message comes again before all others of its lane, when the other deliveries of the
//!   lane are settled. After the time of a call these become stale. Releases, drains and lost connections count as a delivery of every fetched message, also
//!   of one that no handler has seen.
//! * The first member of a group is the active consumer of all its lanes; another member gets them when it leaves.
//! * `ensure` takes 1.5 seconds longer when it declares a queue: a server that ends suddenly before forgets the queue.
//!
//! # The rooms of this crate
//!
//! *options*: the address and the settings. *link*: one connection, and its sudden end. *names*: the names at the server.
//! *ensure*: declarations. *publish*: confirms and fates. *envelope*: messages as AMQP properties. *consumer*: the
//! connection of a binding; *lane*: one queue of it; *requests*: questions and their replies; *settle*: settlements. *capabilities*, *error*.

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
mod requests;
mod settle;

pub use broker::RabbitBroker;
pub use names::channel_binding;
pub use options::RabbitOptions;
