//! The Google Cloud Pub/Sub adapter of recount.
//!
//! ```no_run
//! # async fn example() -> Result<(), recount_messaging::BrokerError> {
//! use recount_broker_google::GoogleBroker;
//!
//! let broker = GoogleBroker::connect("pubsub://my-project?credentials=/run/secrets/pubsub.json").await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Objects in the project
//!
//! A topic is the topic `recount-TOPIC`; its label `recount-lanes` holds the number of lanes. A group is the subscription
//! `recount-TOPIC.GROUP`, with message ordering if it is bound in order. It never expires unless the binding says so, has no
//! dead-letter policy and no exactly-once delivery. The key of a message is its ordering key, and its envelope its
//! attributes, with the prefix `ce-`.
//!
//! # Guarantees
//!
//! * A message with the fate *stored* has an id of the service.
//! * In order: messages of a key come in the order in which they were published, if their publishers use one region.
//!   The service may hand out several messages of a key at once; recount handles them one by one.
//! * A key with a failed message goes on with the next batch. A request has messages of one key, and is stored as a whole or not
//!   at all.
//! * A message is out until it is settled: the client extends its lease each few seconds, for an hour at most. When the
//!   program dies, another member gets it within some ten seconds.
//! * A consumer reconnects by itself. While the service takes no connection it tries every two seconds or so.
//! * Every request ends within the call timeout (10 seconds unless set), also towards a service that does not answer. A call
//!   ends after its requests: `ensure` makes one or two for each topic and group.
//!
//! # Not guaranteed
//!
//! * Acknowledgements are sent, and not confirmed: a message may come again.
//! * A consumer of a closed broker gives its messages back at its next call, or when it is dropped. Until then the client extends their
//!   leases, for an hour at most.
//! * The service recognises no message that is published twice, counts no deliveries, and delays none.
//! * A group gets no messages from before its first `ensure`. Unacknowledged messages are gone after the
//!   retention (7 days unless set).
//! * Limits of sizes and attributes are those of the documentation: the service tells none, and Google's own fake, on which
//!   this crate is tested, has none. Two more claims rest on the documentation alone: that messages of a key may be out
//!   together (the fake holds them back), and the expiry of subscriptions.
//!
//! # The rooms of this crate
//!
//! *address*, *options*: where the service is. *connection*: its clients, and calls that end in time. *names*, *ensure*:
//! topics and subscriptions. *publish*: fates. *intake*, *tries*: the streams of a subscription; *consumer*: deliveries and
//! settlements. *capabilities*, *error*.

mod address;
mod broker;
mod capabilities;
mod connection;
mod consumer;
mod ensure;
mod error;
mod intake;
mod names;
mod options;
mod publish;
mod tries;

/// The kind of broker, as telemetry names it.
const SYSTEM: &str = "gcp_pubsub";

pub use broker::GoogleBroker;
pub use options::GoogleOptions;
