//! The Pulsar adapter of recount: messages over Apache Pulsar.
//!
//! ```no_run
//! # async fn example() -> Result<(), recount_messaging::BrokerError> {
//! use recount_broker_pulsar::PulsarBroker;
//!
//! let url = "pulsar://localhost:6650/acme/orders?admin=http://localhost:8080";
//! let broker = PulsarBroker::options(url)?.token("eyJhbGciOi…").connect().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Building
//!
//! The client library, the crate `pulsar`, compiles the protocol's definition when it is built, which takes the program
//! `protoc`: install the Debian package `protobuf-compiler` or its like, or name one in the variable `PROTOC`. (`cargo xtask`
//! fetches one for the crates of recount.)
//!
//! # Objects at the server
//!
//! A topic is a partitioned topic of the namespace, with a partition for each lane. The publisher computes the lane from the
//! key ([`Topic::lane_of`]) and publishes to `TOPIC-partition-LANE`, so clients in other languages find the same partition. A
//! group is a durable subscription of its name: Failover if it is bound in order, Shared if not. Its property
//! `recount-order` holds the order. Topics keep their messages, by a retention policy, so that late groups get them; retention that
//! an operator has set stays.
//!
//! Topics and subscriptions are declared over the admin interface: `http://HOST:8080`, or `https://HOST:8443` with
//! `pulsar+ssl://`, unless the address names another one (`?admin=http://HOST:PORT`). The token needs the right to declare them,
//! or someone declares them before: then it still has to be allowed to look. Publishing needs no admin interface. A consumer in order
//! asks it which messages are acknowledged: [guarantees](#guarantees).
//!
//! Attributes of the envelope are properties `ce_…`, as in the binding of CloudEvents for Kafka. The key is the message's key.
//!
//! # Guarantees
//!
//! * A message with the fate *stored* is in the ledger of as many bookies as the namespace demands.
//! * In order: messages of a key come in the order of publishing, through reconnects, members that come and go, and a server that is
//!   killed. A released message returns to its place in front of the lane, in this program's memory: the adapter sends no
//!   negative acknowledgement in ordered groups, since these reorder. While a lane moves to another member, a server with
//!   `activeConsumerFailoverDelayTimeMillis` above 0 (1000 by default) may send later messages first, and may leave earlier ones
//!   out. So messages behind a gap wait until all before them have come or are acknowledged, and after 2.5 seconds the adapter opens
//!   the lane's consumer anew. A lane in which nothing comes is looked into after 5 seconds, and then less often, at least each
//!   minute. Messages that the server can't send, such as those of a lost ledger, are passed after 9 tries, with a warning.
//! * An acknowledgement is sent and not confirmed. The server writes acknowledgements about once a second: its sudden end brings
//!   back the messages that were acknowledged since, unless it runs with `managedLedgerDefaultMarkDeleteRateLimit=0`.
//! * A batch of a foreign producer is acknowledged when all its messages are settled.
//! * Every request ends within the call timeout (5 seconds unless set), a declaration within four times as long, also towards a
//!   server that is frozen. A call ends after its requests: `ensure` makes some for each topic and group, and a batch one for
//!   each message of a key. After a message that has timed out it sends no more.
//!
//! # Not guaranteed
//!
//! * Order after a move of lanes while the admin interface does not answer: messages behind a gap then wait for 2.5 seconds only, or
//!   one call timeout if that is longer, and pass with a warning. For a minute after that the next ones do not wait.
//! * When a member joins an ordered group, the server moves lanes without telling the member that had them. That one goes on
//!   with its fetched messages, so up to `prefetch` messages of a lane come to both. The inbox makes the second copy harmless.
//! * No deduplication: a message that is published again is stored again. On a server with deduplication the fate *duplicate* means
//!   that the library itself has sent a message twice.
//! * No count of deliveries, no delayed retry and no dead letters of the server: the inbox has them.
//! * The server has no groups that expire one by one. The adapters remove an expired group when another group that expires is
//!   declared on the same topic; until then it only counts as removed. Its topic stays.
//! * Messages that a foreign producer has split into chunks are not put together, and encrypted ones are not decrypted.
//! * A message that can't be read (a broken batch) is logged as an error and stays at the server; later ones pass.
//! * At the level `trace` the library logs each frame that it sends, with the token.

mod acknowledged;
mod address;
mod admin;
mod broker;
mod capabilities;
mod consumer;
mod ensure;
mod envelope;
mod error;
mod expiry;
mod lane;
mod ledger;
mod names;
mod options;
mod publish;
mod retention;
mod sequence;
mod session;
mod subscription;
mod tasks;
mod topics;

pub use broker::PulsarBroker;
pub use options::PulsarOptions;
#[doc(no_inline)]
pub use recount_messaging::Topic;
