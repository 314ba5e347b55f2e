//! The inbox: the messages of a broker as a consumer of recount, with effects that happen once.
//!
//! A *source* takes deliveries from the broker and settles them; a *sink* handles them, and sets failed ones aside.

mod admission;
mod call;
mod early;
mod item;
mod settings;
mod sink;
mod source;

pub use settings::{LaterMessages, Subscriber};
pub(crate) use sink::InboxSink;
pub(crate) use source::{Declared, InboxSource};
