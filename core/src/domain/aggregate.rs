//! Aggregates: a stream of events folded into the state on which commands are decided.

use std::error::Error;
use std::fmt::Display;

use serde_json::Error as JsonError;

use crate::{Command, CommandRoute, Event, Metadata, NameError, StreamId, StreamVersion, Timestamp};

/// A consistency boundary with one stream of events. Derive it; then implement [`Apply`], and [`Handle`] for each command.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an aggregate",
    note = "add `#[derive(Aggregate)]` and `#[aggregate(name = \"…\", id = …, event = …, error = …, commands(…))]` to `{Self}`"
)]
pub trait Aggregate: Default + Clone + Send + Sync + 'static {
    /// The id of a stream within its category. Its text form is stored: it must not change.
    type Id: Display + Clone + Send + Sync + 'static;
    /// The events of its streams.
    type Event: Event;
    /// Why a command can be refused.
    type Error: Error + Send + Sync + 'static;

    /// The category of its streams. Stored: renaming it loses sight of existing streams.
    const NAME: &'static str;

    /// How its state is kept to save replaying long streams, if at all.
    const SNAPSHOT: Option<Snapshot<Self>> = None;

    /// The commands that can be asked for by name.
    fn commands() -> Vec<CommandRoute<Self>>;

    /// A refusal as JSON, for [`Refusal::json`](crate::Refusal::json). The derive provides it if the error implements `Serialize`.
    fn refusal_json(_: &Self::Error) -> Option<serde_json::Value> {
        None
    }

    /// The stream of the aggregate with this id.
    ///
    /// # Errors
    /// [`NameError`] if the id's text form is empty, too long or contains NUL.
    fn stream(id: &Self::Id) -> Result<StreamId, NameError> {
        StreamId::new(Self::NAME, smol_str::ToSmolStr::to_smolstr(id))
    }
}

/// How the state follows from the events. Pure and total: an event that was recorded happened.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say how its state follows from its events",
    note = "write `impl Apply for {Self} {{ fn apply(&mut self, event: &…) {{ … }} }}`"
)]
pub trait Apply: Aggregate {
    /// Takes the event into the state.
    fn apply(&mut self, event: &Self::Event);
}

/// The handler of a command: returns its events, or the error that refuses it. Pure: no clock, no I/O, no randomness.
///
/// A handler that needs the time or other circumstances implements [`HandleWith`] instead.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no handler for the command `{C}`",
    label = "no `impl Handle<{C}> for {Self}`",
    note = "write `impl Handle<{C}> for {Self} {{ fn handle(&self, command: {C}) -> Result<Vec<…>, …> {{ … }} }}`"
)]
pub trait Handle<C: Command<Aggregate = Self>>: Aggregate {
    /// Decides. No events means that nothing needs to happen.
    ///
    /// # Errors
    /// The domain's own error if the command is refused.
    fn handle(&self, command: C) -> Result<Vec<Self::Event>, Self::Error>;
}

/// Like [`Handle`], for handlers that ask for the circumstances of the command.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no handler for the command `{C}`",
    label = "no `impl Handle<{C}> for {Self}`",
    note = "write `impl Handle<{C}> for {Self} {{ fn handle(&self, command: {C}) -> Result<Vec<…>, …> {{ … }} }}`"
)]
pub trait HandleWith<C: Command<Aggregate = Self>>: Aggregate {
    /// Decides. No events means that nothing needs to happen.
    ///
    /// # Errors
    /// The domain's own error if the command is refused.
    fn handle_with(&self, command: C, context: &Context<'_>) -> Result<Vec<Self::Event>, Self::Error>;
}

impl<A: Handle<C>, C: Command<Aggregate = A>> HandleWith<C> for A {
    fn handle_with(&self, command: C, _: &Context<'_>) -> Result<Vec<Self::Event>, Self::Error> {
        self.handle(command)
    }
}

/// The circumstances of a decision: everything beyond state and command that it may depend on.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The time, by the clock that the program was given.
    pub now: Timestamp,
    /// The stream that the command is about; none for a [`Decision`](crate::Decision).
    pub stream: Option<&'a StreamId>,
    /// The version of the state that is decided on.
    pub version: StreamVersion,
    /// The metadata of the events.
    pub metadata: &'a Metadata,
}

/// How an aggregate's state is kept. A snapshot is only a shortcut: if it is missing or unreadable, or has another
/// version or shape, it is ignored, and the events are replayed.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<A> {
    /// After how many events a new one is kept.
    pub every: u64,
    /// The version of the state's meaning. Change it when [`Apply`] computes another state from the same events: older
    /// snapshots are then ignored.
    pub version: u32,
    /// A number for the state's shape. A snapshot of another shape is ignored: a field that was added would hold its
    /// default in it.
    ///
    /// The derive computes it from the state's fields with their types and attributes, from the data that these types
    /// and their own fields deserialize, and from the versions of the events.
    pub shape: fn() -> u64,
    /// Encodes the state. Fails if the state would not decode to an equal one; no snapshot is kept then.
    pub encode: fn(&A) -> Result<Vec<u8>, JsonError>,
    /// Reads the state.
    pub decode: fn(&[u8]) -> Result<A, JsonError>,
}
