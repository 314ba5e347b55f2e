//! The parts that run beside commands: subscriptions, and consumers with sinks, such as projections and reactions.

mod consumer;
mod fold;
mod follower;
mod history;
mod in_memory;
mod inline;
mod process_status;
mod projection;
mod reaction;
mod read_model;
mod rebuild;
mod subscription;

pub use consumer::{
    ConsumerKind, Consumers, ConsumersBuilder, Delivered, Filter, FilterChange, Lane, Progress, Rebuild, RetryBudget,
    Runners, Sink, Source, Status, StoreSource, TransientError, is_transient,
};
pub(crate) use consumer::{Registered, Registry, TIME_LIMIT, guarded};
pub use fold::Fold;
pub use in_memory::InMemory;
pub use inline::{EndedTransaction, Inline, Inlines};
pub(crate) use process_status::RunningProcess;
pub use process_status::{ProcessCounts, ProcessStatus, Troubles};
pub use projection::Projection;
pub use reaction::{Activity, Call, Commands, Reaction};
pub use read_model::{CheckpointError, ReadModel};
pub use rebuild::{RebuildError, StoredCheckpoint};
pub use subscription::{Delivery, Subscription};
