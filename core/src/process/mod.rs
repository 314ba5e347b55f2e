//! Process managers: long-running work across aggregates.

mod alarm;
mod builder;
mod command;
mod counts;
mod decide;
mod definition;
mod describe;
mod desk;
mod diagram;
mod gateway;
mod instance;
mod ledger;
mod moment;
mod orders;
mod reactor;
mod record;
mod refused;
mod route;
mod sender;
mod start;
mod state;
mod status;
mod step;
mod timeline;
mod timer;
mod timers;
mod transient;
mod troubles;
mod undo;

pub use command::ProcessCommand;
pub use definition::{ProcessDefinition, Sends, UnknownInstance};
pub use describe::{CommandDescription, StepDescription, StepVerdict};
pub use diagram::diagram;
pub use gateway::{Gateway, GatewayAnswer, GatewayRequest};
pub use moment::Moment;
pub use orders::OrderError;
pub use record::{InvalidRequestId, RequestId};
pub use refused::RefusedCommand;
pub use route::{Route, RouteOf, Routed};
pub use start::StartAt;
pub use state::{InstanceState, UnknownState};
pub use status::{InstanceStatus, ProcessSummary, Processes, RequestOutcome, RequestStatus, TimerStatus, Trouble};
pub use step::Step;
pub use timeline::TimelineEntry;
pub use timer::{NoTimer, Timer, TimerError};

/// A process manager: it hears events, remembers facts, and answers with commands and timers.
///
/// All methods are pure: no clock, no input or output, no randomness. The runtime may call them again for the same
/// input.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say what it does",
    note = "write `impl Process for {Self} {{ … }}`"
)]
pub trait Process: ProcessDefinition {
    /// Takes a fact into the state. Total: a fact that was recorded happened.
    fn apply(&mut self, fact: &Self::Fact);

    /// The step that follows from an input.
    fn on(&self, input: &Self::Input, at: &Moment) -> Step<Self>;

    /// The step that follows from a timer that is due.
    fn due(&self, timer: &Self::Timer, at: &Moment) -> Step<Self>;

    /// The step that follows when an aggregate refused a command. Unless defined, everything that took effect is undone.
    fn refused(&self, refused: &RefusedCommand, at: &Moment) -> Step<Self> {
        let _ = (refused, at);
        Step::new().compensate()
    }
}
