//! What most files need: `use recount::prelude::*;`.

pub use crate::{
    Aggregate, Apply, BoxError, Command, Context, Decision, DispatchError, Event, Fold, Handle, HandleWith, Id,
    InMemory, Projection, Receipt, RecordedEvent, Recount,
};
