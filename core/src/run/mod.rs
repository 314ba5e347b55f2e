//! What runs beside commands: subscriptions and projections.

mod history;
mod in_memory;
mod projection;
mod runner;
mod subscription;

pub use in_memory::InMemory;
pub use projection::{CheckpointError, Projection, ReadModel};
pub use runner::{Progress, Projections, ProjectionsBuilder, Status};
pub use subscription::{Delivery, Subscription};
