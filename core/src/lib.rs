//! The contracts and pure logic of recount.

#[doc(hidden)]
#[path = "private/mod.rs"]
pub mod __private;
mod aggregate;
mod append;
pub mod codec;
mod command;
mod decision;
mod error;
mod event;
mod event_data;
mod name;
mod projection;
mod query;
mod read;
mod state;
mod store;
mod version;

pub use aggregate::{Aggregate, Apply, Context, Handle, HandleWith, Snapshot};
pub use append::{
    Append, AppendCondition, AppendError, Appended, CONFLICT_EVENTS, Conflict, ExpectedVersion, Idempotency,
    InvalidAppend, MAX_EVENTS, MAX_PAYLOAD, StreamAppend, StreamAppended, Violation,
};
pub use command::{AnyCommand, Command, CommandRoute};
pub use decision::Decision;
pub use error::{BoxError, StoreError};
pub use event::{DecodeError, EncodeError, Event, EventVariant, ToTags};
pub use event_data::{EventData, EventId, Metadata, RecordedEvent, Timestamp};
pub use name::{EventType, IdempotencyKey, NameError, StateKey, StreamId, Tag};
pub use projection::{CheckpointError, Projection, ReadModel};
pub use query::{Query, QueryItem};
pub use read::{Direction, EventStream, ReadAll, ReadStream};
pub use state::{ExpectedRevision, Revision, StateEntry, StateError, StateStore};
pub use store::{EventStore, Store};
pub use version::{Position, StreamVersion};

pub use recount_macros::{Aggregate, Command, Event, Id};
