//! The contracts and pure logic of recount. Applications use the `recount` crate, which exports all of this beside the stores;
//! authors of stores build on this crate and prove their work with `recount-testing`.
//!
//! # The rooms of this crate
//!
//! *What a store does*: [`EventStore`] and [`StateStore`], asked by [`Append`], [`ReadStream`], [`ReadAll`] and [`Query`],
//! about [`EventData`] and [`RecordedEvent`] in streams ([`StreamId`], [`StreamVersion`]) and in the whole store ([`Position`]).
//!
//! *What a domain is made of*: [`Event`], [`Command`], [`Aggregate`] with [`Apply`] and [`Handle`], and [`Decision`].
//!
//! *What brings them together*: [`Recount`] dispatches commands and records decisions; [`Subscription`] delivers events;
//! [`Projection`]s write to a [`ReadModel`]; [`Lease`] lets one process do what only one may do.
//!
//! # What must not be here
//!
//! Input and output: no database, no broker, no file, no network. Time and randomness enter through the clock given to
//! [`RecountBuilder::clock`], event ids, and the jitter of retries.

#[doc(hidden)]
#[path = "private/mod.rs"]
pub mod __private;
mod aggregate;
mod append;
mod append_error;
mod checkpoint;
pub mod codec;
mod command;
mod decision;
mod dispatch;
mod error;
mod event;
mod event_data;
mod fold;
mod history;
mod home;
mod in_memory;
mod lease;
mod loss;
mod metadata;
mod name;
mod names;
mod projection;
mod query;
mod read;
mod recount;
mod redact;
mod runner;
pub mod shape;
mod state;
mod store;
mod subscription;
mod text;
mod trace;
mod version;

pub use aggregate::{Aggregate, Apply, Context, Handle, HandleWith, Snapshot};
pub use append::{
    Append, AppendCondition, Appended, CONFLICT_EVENTS, ExpectedVersion, Idempotency, KeyedSlice, MAX_EVENTS,
    MAX_PAYLOAD, NamedAppend, StreamAppend, StreamAppended,
};
pub use append_error::{AppendError, Conflict, InvalidAppend, Violation};
pub use checkpoint::{Checkpoint, EventAt, StoreId};
pub use command::{AnyCommand, Command, CommandRoute};
pub use decision::Decision;
pub use dispatch::{Decide, Dispatch, DispatchError, DispatchJson, Load, LoadError, Receipt, Rejection, Retry};
pub use error::{BoxError, StoreError};
pub use event::{DecodeError, EncodeError, Event, EventVariant, RustType, ToTags};
pub use event_data::{EachEvent, EventData, EventId, EventRef, Metadata, RecordedEvent, Timestamp};
pub use fold::Fold;
pub use home::Home;
pub use in_memory::InMemory;
pub use lease::{Lease, LeaseError};
pub use name::{EventType, IdempotencyKey, NameError, StateKey, StreamId, Tag};
pub use names::{NameCollision, StoredNames};
pub use projection::{CheckpointError, Projection, ReadModel};
pub use query::{Query, QueryItem};
pub use read::{Direction, EventStream, ReadAll, ReadStream};
pub use recount::{Clock, Recount, RecountBuilder};
pub use redact::redacted;
pub use runner::{Progress, Projections, ProjectionsBuilder, Status};
pub use state::{ExpectedRevision, Revision, StateEntry, StateError, StateStore};
pub use store::{EventStore, Store};
pub use subscription::{Delivery, Subscription};
pub use version::{Position, StreamVersion};

pub use recount_macros::{Aggregate, Command, Event, Id, Shape};
pub use shape::Shape;
