//! The Kafka adapter of recount: topics with partitions, and consumer groups.
//!
//! ```no_run
//! # async fn example() -> Result<(), recount_messaging::BrokerError> {
//! use recount_broker_kafka::KafkaBroker;
//!
//! let broker = KafkaBroker::connect("kafka://localhost:9092,localhost:9093?replicas=3").await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Tools for the build
//!
//! The client is librdkafka, a C library that is built with this crate by its own configure script, in two to five minutes:
//! gcc, g++, make, python3 and the headers of zlib must be there (Debian: `build-essential python3 zlib1g-dev`). The feature
//! `tls`, for encrypted connections and SCRAM, also wants pkg-config and the headers of OpenSSL (`libssl-dev`). The feature
//! `zstd` reads batches that are compressed with zstd: by other programs, or by the server if the topic's `compression.type` says so.
//!
//! # Objects at the server
//!
//! A topic `orders` is the topic `orders`, with a partition for each lane. The record key is the message's key, and its
//! murmur2 hash decides on the partition, as in Java clients and most others. A message without a key may go to any
//! partition. The number of partitions must not change: the messages of a key would be in two.
//!
//! A group `mail` of the topic is the consumer group `mail.orders`. [`ensure`](recount_messaging::Broker::ensure) declares it by
//! committing where it starts. Groups with and without order are the same, and each member has some of the partitions.
//!
//! # Guarantees
//!
//! * A message with the fate *stored* was confirmed by all replicas in sync (`acks=all`). The order of a key holds over outages:
//!   the producer is idempotent, has one request to each server under way, and skips no message. A publish that is not confirmed
//!   in time ends the producer, so that its messages are never sent behind those of the next one.
//! * A partition is read by one member at a time. A delivery that was not settled comes again, to the same member or the next
//!   one, before later messages of the partition.
//! * Acknowledgements are committed twice a second, when a partition moves to another member, and by `drain`; never beyond an
//!   open message. The sudden end of a member brings those of the last half second again, and those beyond an open message.
//! * A member that ends suddenly keeps its partitions for the session timeout (10 seconds unless set). If the caller does not
//!   call `next` for 5 minutes, the member loses them.
//! * Every request ends within the call timeout (10 seconds unless set), also towards a server that has stopped to answer. `ensure` makes
//!   several requests for each topic and group.
//!
//! # Not guaranteed
//!
//! * No deduplication across producers: a message with an unknown fate that is published again may be stored twice.
//! * No delayed retry, no count of attempts, no dead letters of the broker, no groups that expire by a time of their own. The server
//!   forgets the position of a group without members after `offsets.retention.minutes` (7 days); the group then starts at the first
//!   message.
//! * `keep_for` is the retention of the topic. The server looks each `log.retention.check.interval.ms` (5 minutes).
//!
//! # The rooms of this crate
//!
//! *address*, *options*: where the servers are. *client*: clients of the library, and their end on threads of their own. *ensure*:
//! declarations. *record*: messages as records. *publish*: the producer and fates. *consumer*: the calls of a consumer; *member*: the member of a
//! group behind it; *rebalance*: its partitions come and go; *lane*: one partition; *window*: its open records; *commit*: positions;
//! *seek*: other ones. *capabilities*, *error*.

mod address;
mod broker;
mod capabilities;
mod client;
mod commit;
mod consumer;
mod ensure;
mod error;
mod lane;
mod member;
mod options;
mod publish;
mod rebalance;
mod record;
mod seek;
mod window;

pub use broker::KafkaBroker;
pub use ensure::channel_binding;
pub use options::KafkaOptions;
