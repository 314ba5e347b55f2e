//! The adapter of recount for Amazon SQS and SNS.
//!
//! ```no_run
//! # async fn example() -> Result<(), recount_messaging::BrokerError> {
//! use recount_broker_aws::AwsBroker;
//!
//! let broker = AwsBroker::connect("sqs://eu-central-1/123456789012").await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Objects at the server
//!
//! A topic is an SNS FIFO topic, `recount-TOPIC.fifo`. A group is a queue that is subscribed to it with raw delivery: a FIFO
//! queue if the group has its messages in order, else a standard queue. The names of queues are cut to the 80 characters
//! that SQS allows, with a hash: `recount-TOPIC-HASH-GROUP-HASH.fifo`. Tags hold the whole names. Each queue has a redrive
//! policy to a queue of its own, `…-dead.fifo`, after the 1,000 deliveries that SQS allows at most: a backstop, far above the
//! attempts of a handler.
//!
//! With `fanout=sqs` ([`Fanout::Sqs`]) there is no SNS topic: the publisher sends a message to the queue of each group. It
//! lists the queues once a second at most.
//!
//! A body is a CloudEvent as JSON. The attributes `type`, `partitionkey` and `traceparent` repeat parts of it for filter
//! policies.
//!
//! # Guarantees
//!
//! * A message with the fate *stored* was accepted by SNS, or with `fanout=sqs` by the queue of each group.
//! * In order: the key is the message group; a key that can't be one is hashed. A group has one message of a key out at
//!   a time. One that fails or is delayed holds back the later ones of its key.
//! * A message that is published again within five minutes is delivered once to groups with order. The server does not
//!   tell: its fate is *stored* again.
//! * An acknowledgement that is *confirmed* was answered by the server, within the lease.
//! * `ensure` refuses an existing queue with settings that break a promise, such as a shorter retention or fewer deliveries.
//! * Every request ends within the call timeout (5 seconds unless set), also towards a server that has stopped to answer.
//!   A call may need several. A publish sends no further request after one that timed out; while the server answers,
//!   a large batch may take longer. An `ensure` takes several requests for each binding.
//!
//! # Not guaranteed
//!
//! * A group gets no message from before its declaration, so declare groups first. A topic without any group takes no
//!   message: it is *refused* as unroutable, and the relay waits. With `fanout=sqs` a group may miss messages that other
//!   programs publish in the second after its declaration; on AWS the list of queues can be late by more.
//! * SQS forgets messages after 14 days, handled or not.
//! * A message that is delivered for the 1,001st time leaves its key.
//! * With `fanout=sqs` a message with the fate *unknown* may be in the queues of some groups.

mod address;
mod broker;
mod capabilities;
mod connection;
mod consumer;
mod ensure;
mod envelope;
mod error;
mod expiry;
mod group;
mod names;
mod options;
mod publish;
mod receive;
mod send;
mod settings;
mod settle;
mod subscription;

pub use broker::AwsBroker;
pub use names::channel_binding;
pub use options::{AwsOptions, Fanout};
#[doc(no_inline)]
pub use recount_messaging::Topic;
