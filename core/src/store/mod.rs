//! The contract of stores: requests, answers and errors.

mod append;
mod append_error;
mod checkpoint;
mod contract;
mod digest;
mod driven;
mod error;
mod event_data;
mod home;
mod lease;
mod name;
mod query;
mod read;
mod retention;
mod state;
mod state_batch;
mod state_key;
mod stored_names;
mod stream_id;
pub(crate) mod transient;
mod version;
mod waits;

pub use append::{
    Append, AppendCondition, Appended, CONFLICT_EVENTS, ExpectedVersion, Idempotency, KeyedSlice, MAX_EVENTS,
    MAX_PAYLOAD, NamedAppend, StreamAppend, StreamAppended,
};
pub use append_error::{AppendError, Conflict, InvalidAppend, Violation};
pub use checkpoint::{Checkpoint, EventAt, FilterId, StoreId};
pub use contract::{EventStore, PoolUsage, Store};
pub(crate) use digest::digest;
pub use driven::{Driven, driven};
pub(crate) use error::in_time;
pub use error::{BoxError, StoreError, error_chain};
pub use event_data::{EachEvent, EventData, EventId, EventRef, Metadata, RecordedEvent, Timestamp};
pub use home::Home;
pub use lease::{Lease, LeaseError};
pub(crate) use name::RESERVED;
pub use name::{EventType, IdempotencyKey, NameError, Tag};
pub use query::{Query, QueryItem};
pub use read::{Direction, EventStream, ReadAll, ReadStream};
pub(crate) use retention::sweep_keys;
pub use state::{ExpectedRevision, Revision, StateEntry, StateError, StateStore};
pub use state_batch::{InvalidState, MAX_STATE_BATCH, MAX_STATE_BATCH_BYTES, MAX_STATE_VALUE, StateDelete, StatePut};
pub use state_key::{Namespace, StateKey};
pub use stored_names::{NameCollision, RustType, StoredNames};
pub use stream_id::StreamId;
pub use transient::Transient;
pub use version::{Position, StreamVersion};
pub use waits::StoreWaits;
pub(crate) use waits::WaitRecorder;
