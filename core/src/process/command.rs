//! The commands of a process by name, as its requests are stored.

use crate::{Apply, Command, HandleWith};

/// A command that a process may send.
#[derive(Clone, Copy, Debug)]
pub struct ProcessCommand {
    /// The name of the aggregate.
    pub aggregate: &'static str,
    /// The name of the command among those of its aggregate.
    pub command: &'static str,
}

impl ProcessCommand {
    /// The command `C`.
    #[must_use]
    pub const fn of<A, C>() -> Self
    where
        A: Apply + HandleWith<C>,
        C: Command<Aggregate = A>,
    {
        Self { aggregate: A::NAME, command: C::NAME }
    }
}
