//! The envelope of messages: CloudEvents 1.0, so that consumers in other languages read it with their usual clients.
//!
//! Attributes: `id`, `source`, `type`, `subject`, `time`, `dataschema`, `datacontenttype` as the
//! [specification](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md) says; its extensions `partitionkey`,
//! `traceparent` and `expirytime`; and `correlationid`, `causationid`, `actor`, `schemaversion`, `idempotencykey`,
//! `replyto`.
//!
//! In binary mode each attribute is a native header with the prefix of the broker's protocol binding, and the data is the
//! body. In structured mode all is one JSON document of type `application/cloudevents+json`.

mod attribute;
mod binary;
mod fields;
mod malformed;
mod message;
mod schema;
mod structured;

pub use binary::{Header, HeaderForm, NATIVE_TYPE, from_headers, to_headers};
pub(crate) use fields::{MAX_TEXT, without_control};
pub use malformed::Malformed;
pub use message::{Message, MessageId};
pub(crate) use message::{identity, key_of};
pub use schema::attributes_schema;
pub use structured::{STRUCTURED_TYPE, from_json, to_json};
