//! Consumers: source, lanes, policy, sink, and the checkpoint as a contiguous watermark.
//!
//! A *source* delivers items, each in a lane. The *policy* retries failures, and stops the consumer when an item has
//! used up its budget. There are two ways into a *sink*: in transactions that also move the checkpoint
//! (projections, see [`projection`](super::projection)), and item by item in lanes, many at once (`concurrent`).

mod builder;
mod check;
mod concurrent;
mod failure;
mod filter;
mod keeper;
mod lanes;
mod policy;
mod progress;
mod registry;
mod runners;
mod sink;
mod source;
mod span;
mod store_source;
mod supervise;

use std::time::Duration;

pub use builder::{Consumers, ConsumersBuilder};
pub(crate) use failure::{Class, TookTooLong, bounded, classify, guarded};
pub use failure::{TransientError, is_transient};
pub use filter::{Filter, FilterChange};
pub(crate) use filter::{FilterChanged, Verdict, verdict};
pub use policy::RetryBudget;
pub(crate) use progress::WHOLE;
pub use progress::{ConsumerKind, Progress, Rebuild, Status};
pub(crate) use registry::{Registered, Registry};
pub use runners::Runners;
pub use sink::Sink;
pub use source::{Delivered, Lane, Source};
pub(crate) use span::{batch_span, failed};
pub use store_source::StoreSource;
pub(crate) use supervise::{Frame, Work};

/// How long a handler may take by default.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(30);
