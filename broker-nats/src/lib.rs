//! The NATS adapter of recount: messages over JetStream.
//!
//! ```no_run
//! # async fn example() -> Result<(), recount_messaging::BrokerError> {
//! use recount_broker_nats::NatsBroker;
//!
//! let broker = NatsBroker::connect("nats://shop:secret@localhost:4222?replicas=1").await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Objects at the server
//!
//! A topic is a stream, `recount-TOPIC`, in files. Its subjects are `TOPIC.LANE`; the publisher computes the lane from the
//! key ([`Topic::lane_of`]), so clients in other languages find the same subject. The stream's metadata holds the number of
//! lanes. A group that is bound in order has a durable pull consumer for each lane, `lane-LANE-GROUP`; a group that is
//! bound without order has one, `all-GROUP`.
//!
//! Questions need no object: they go to the subject `recount.ask.TOPIC` of core NATS, and replies to `_INBOX.…`.
//!
//! # Guarantees
//!
//! * A message with the fate *stored* is in the stream. With `sync_interval: always` in the server's configuration it is also
//!   on the disk.
//! * A message that is published again within the duplicate window (10 minutes unless set) is stored once. The server
//!   compares ids within a topic.
//! * In order: a lane has one message out at a time, for all members of the group together. The next one comes when it is
//!   acknowledged or rejected; a delayed one holds its lane.
//! * An acknowledgement that is *confirmed* was answered by the server. The server writes acknowledgements later, so its
//!   sudden end can bring messages of the last 200 milliseconds again.
//! * A message that is on its way while its consumer drains comes again when its lease has ended.
//! * Every call ends within the call timeout (5 seconds unless set), also towards a server that has stopped to answer.
//!
//! # Not guaranteed
//!
//! * The client library ends the connection when it gets a message with headers that are not UTF-8, which clients in Go
//!   can publish. Such a message holds up its lane and ends the connection after each lease, until an operator deletes it. The
//!   other lanes go on in between.

mod ack;
mod address;
mod broker;
mod capabilities;
mod connection;
mod consumer;
mod delivery;
mod ensure;
mod error;
mod intake;
mod lane;
mod names;
mod options;
mod publish;
mod remake;
mod requests;
mod settle;
mod topics;

pub use broker::NatsBroker;
pub use options::NatsOptions;
#[doc(no_inline)]
pub use recount_messaging::Topic;
