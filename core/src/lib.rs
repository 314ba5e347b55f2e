//! The contracts and pure logic of recount. Applications use the `recount` crate, which exports all of this beside the stores;
//! authors of stores build on this crate and prove their work with `recount-testing`.
//!
//! # The rooms of this crate
//!
//! *store*: the contract of a store. [`EventStore`] and [`StateStore`], asked by [`Append`], [`ReadStream`], [`ReadAll`] and
//! [`Query`], about [`EventData`] and [`RecordedEvent`] in streams ([`StreamId`], [`StreamVersion`]) and in the whole store
//! ([`Position`]). [`Lease`] gives a right to one process at a time.
//!
//! *domain*: the types that an application defines. [`Event`], [`Command`], [`Aggregate`] with [`Apply`] and [`Handle`],
//! and [`Decision`].
//!
//! *dispatch*: commands and decisions in, events out: [`Dispatch`], [`Decide`], [`Load`].
//!
//! *run*: readers of events. [`Subscription`] delivers events. [`Consumers`] run: [`Projection`]s write to a [`ReadModel`],
//! [`Reaction`]s send [`Commands`], and a [`Sink`] of your own handles the items of a [`Source`].
//!
//! *process*: long-running work across aggregates. A [`Process`] hears the events that its [`Route`]s name, and answers with a
//! [`Step`]: facts, commands, timers. [`Processes`] shows its instances and takes the orders of operators.
//!
//! *telemetry*: names of metrics and spans, and [`TraceContext`]. [`Health`] is data.
//!
//! [`Recount`] is the handle on all of them.
//!
//! # Not in this crate
//!
//! Input and output: no database, no broker, no file, no network. Time and randomness enter through the clock given to
//! [`RecountBuilder::clock`], event ids, and the jitter of retries.

#[doc(hidden)]
#[path = "private/mod.rs"]
pub mod __private;
mod dispatch;
mod domain;
mod health;
mod process;
mod recount;
mod redact;
mod run;
mod shutdown;
mod status;
mod store;
mod telemetry;

pub use dispatch::{
    Clock, Decide, Dispatch, DispatchError, DispatchJson, KeyOutcome, Load, LoadError, Receipt, Refusal, Retry,
};
pub use domain::{
    Aggregate, AnyCommand, Apply, Command, CommandRoute, Context, Decision, DecodeError, EncodeError, Event,
    EventVariant, Handle, HandleWith, Published, Shape, Snapshot, ToTags, codec, panic_message, shape,
};
pub use process::{
    CommandDescription, Gateway, GatewayAnswer, GatewayRequest, InstanceState, InstanceStatus, InvalidRequestId,
    Moment, NoTimer, OrderError, Process, ProcessCommand, ProcessDefinition, ProcessSummary, Processes, RefusedCommand,
    RequestId, RequestOutcome, RequestStatus, Route, RouteOf, Routed, Sends, StartAt, Step, StepDescription,
    StepVerdict, TimelineEntry, Timer, TimerError, TimerStatus, Trouble, UnknownInstance, UnknownState, diagram,
};
pub use recount::{Recount, RecountBuilder};
pub use redact::redacted;
pub use run::{
    Activity, Call, CheckpointError, Commands, ConsumerKind, Consumers, ConsumersBuilder, Delivered, Delivery,
    EndedTransaction, Filter, FilterChange, Fold, InMemory, Inline, Inlines, Lane, ProcessCounts, ProcessStatus,
    Progress, Projection, Reaction, ReadModel, Rebuild, RebuildError, RetryBudget, Runners, Sink, Source, Status,
    StoreSource, StoredCheckpoint, Subscription, TransientError, Troubles, is_transient,
};
pub use shutdown::Unfinished;
pub use status::{ApplicationStatus, ConsumerStatus, StoreStatus};
pub use store::{
    Append, AppendCondition, AppendError, Appended, BoxError, CONFLICT_EVENTS, Checkpoint, Conflict, Direction, Driven,
    EachEvent, EventAt, EventData, EventId, EventRef, EventStore, EventStream, EventType, ExpectedRevision,
    ExpectedVersion, FilterId, Home, Idempotency, IdempotencyKey, InvalidAppend, InvalidState, KeyedSlice, Lease,
    LeaseError, MAX_EVENTS, MAX_PAYLOAD, MAX_STATE_BATCH, MAX_STATE_BATCH_BYTES, MAX_STATE_VALUE, Metadata,
    NameCollision, NameError, NamedAppend, Namespace, PoolUsage, Position, Query, QueryItem, ReadAll, ReadStream,
    RecordedEvent, Revision, RustType, StateDelete, StateEntry, StateError, StateKey, StatePut, StateStore, Store,
    StoreError, StoreId, StoreWaits, StoredNames, StreamAppend, StreamAppended, StreamId, StreamVersion, Tag,
    Timestamp, Transient, Violation, driven, error_chain,
};
pub use telemetry::{
    Check, Condition, DURATION_BUCKETS, Health, METRICS, MessageMetrics, Metric, MetricKind, SIZE_BUCKETS,
    TRACE_TARGET, TraceContext,
};

pub use recount_macros::{Aggregate, Command, Event, Id, Process, Route, Shape, Timer};
