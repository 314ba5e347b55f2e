//! The items that most files need: `use recount::prelude::*;`.

pub use crate::{
    Aggregate, Apply, BoxError, Command, Commands, Context, Decision, DispatchError, Event, Fold, Handle, HandleWith,
    Id, InMemory, Moment, Process, Projection, Reaction, Receipt, RecordedEvent, Recount, RefusedCommand, Route,
    Routed, Step, Timer,
};
