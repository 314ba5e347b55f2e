//! The domain types of an application: events, aggregates, commands and decisions.

mod aggregate;
pub mod codec;
mod command;
pub(crate) mod content;
mod decision;
mod event;
mod json;
pub(crate) mod loss;
mod metadata;
pub(crate) mod names;
mod panic;
mod published;
pub mod shape;
pub(crate) mod text;
pub(crate) mod trace;

pub use aggregate::{Aggregate, Apply, Context, Handle, HandleWith, Snapshot};
pub use command::{AnyCommand, Command, CommandRoute};
pub use decision::Decision;
pub use event::{DecodeError, EncodeError, Event, EventVariant, ToTags};
pub use panic::panic_message;
pub(crate) use panic::panic_text;
pub use published::Published;
pub use shape::Shape;
