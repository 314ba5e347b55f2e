//! The types of a process, and the commands that it may send.

use std::fmt::Display;

use super::command::ProcessCommand;
use super::{Route, Timer};
use crate::{Command, Event};

/// The names and types of a process. `#[derive(Process)]` implements it; then implement [`Process`](super::Process).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a process",
    note = "add `#[derive(Process)]` and `#[process(name = \"…\", id = …, input = …, fact = …, timer = …, commands(…))]` to `{Self}`"
)]
pub trait ProcessDefinition: Default + Clone + Send + Sync + 'static {
    /// The id of an instance. Its text form is stored: it must not change.
    type Id: Display + Clone + Send + Sync + 'static;
    /// The events that it hears.
    type Input: Route<Id = Self::Id>;
    /// The facts that it remembers.
    type Fact: Event;
    /// The timers that it sets.
    type Timer: Timer;

    /// The category of its streams, one for each instance. Stored: renaming it loses sight of running instances.
    const NAME: &'static str;

    /// How an input is handled for an instance that was not started.
    const UNKNOWN: UnknownInstance = UnknownInstance::Ignore;

    /// The commands that it may send.
    fn commands() -> Vec<ProcessCommand>;
}

/// A process that may send this command. `#[derive(Process)]` implements it for each command of its list.
#[diagnostic::on_unimplemented(
    message = "the process `{Self}` does not declare the command `{C}`",
    label = "not among its commands",
    note = "add `{C}` to `#[process(commands(…))]` of `{Self}`"
)]
pub trait Sends<C: Command>: ProcessDefinition {}

/// How an input is handled that doesn't start an instance, and is for an instance that was not started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownInstance {
    /// It is counted, and has no effect.
    #[default]
    Ignore,
    /// It is held, and handled after the input that starts the instance: for inputs that may overtake each other.
    Hold,
    /// It is held, and the instance waits until an operator redrives it.
    Park,
}
