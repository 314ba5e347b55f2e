//! The items that most files need: `use recount::prelude::*;`.

pub use crate::{
    Aggregate, Apply, BoxError, Command, Commands, Context, Decision, DispatchError, Event, Fold, Handle, HandleWith,
    Id, InMemory, Projection, Reaction, Receipt, RecordedEvent, Recount,
};
