//! Consumers: source, lanes, policy, sink, and the checkpoint as a contiguous watermark.
//!
//! A *source* delivers items, each in a lane. The *policy* retries failures, and stops the consumer when an item has
//! used up its budget. There are two ways into a *sink*: in transactions that also move the checkpoint
//! (projections, see [`projection`](super::projection)), and item by item in lanes, many at once (`concurrent`).

mod builder;
mod check;
mod concurrent;
mod consumers;
mod failure;
mod filter;
mod item;
mod keeper;
mod lanes;
mod policy;
mod progress;
mod recovery;
mod registry;
mod reporter;
mod runners;
mod sink;
pub(crate) mod source;
mod span;
mod state;
mod store_source;
mod supervise;

use std::time::Duration;

pub use builder::ConsumersBuilder;
pub use consumers::Consumers;
pub(crate) use failure::{Class, bounded, classify, guarded, took_too_long, unwound};
pub use failure::{TransientError, is_transient};
pub use filter::{Filter, FilterChange};
pub(crate) use filter::{FilterChanged, Verdict, verdict};
pub use policy::RetryBudget;
pub use progress::{ConsumerKind, Progress, Rebuild, Status};
pub(crate) use registry::{Registered, Registry};
pub(crate) use reporter::WHOLE;
pub use runners::Runners;
pub use sink::Sink;
pub use source::{Delivered, Lane, Source};
pub(crate) use span::{batch_span, failed};
pub use store_source::StoreSource;
pub(crate) use supervise::{Frame, Work};

/// How long a handler may take by default.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(30);
/// The deliveries that may be open at once, for each item that is handled at once: the source waits while a slow item holds
/// the watermark back by more.
const WINDOW: usize = 4;
/// How often the watermark is stored at most. A crash repeats the items behind it.
const STORE_INTERVAL: Duration = Duration::from_millis(100);
/// How often a source does its due maintenance while items are being handled.
const MAINTENANCE: Duration = Duration::from_secs(1);
/// How long a shutdown waits for the items that are being handled, and a failed source for the next of them to end.
const GRACE: Duration = Duration::from_secs(5);
