//! given / when / then for processes: the step that follows from an input, a timer or a refusal; and processes that run.

mod any_order;
mod crashes;
mod look;
mod running;
mod step;

pub use any_order::{AnyOrder, SEED_VARIABLE, any_order};
pub use running::RunningProcess;
pub use step::{GivenFacts, NextStep, given_facts};
