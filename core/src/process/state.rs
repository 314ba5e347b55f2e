//! The states of instances.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::ledger::{Ledger, Mode};

/// The state of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum InstanceState {
    /// Inputs are held until the instance starts.
    Held,
    /// It waits for inputs, or for the outcomes of its commands.
    Running,
    /// The same, with a timer set.
    Waiting,
    /// Its effects are being undone.
    Compensating,
    /// The command that undoes an effect was refused: an operator must redrive or resolve it.
    Stuck,
    /// An input, timer or command failed: an operator must redrive it.
    Parked,
    /// It ended.
    Ended,
    /// Everything that took effect was undone.
    Compensated,
}

impl InstanceState {
    /// All states.
    pub const ALL: [Self; 8] = [
        Self::Held,
        Self::Running,
        Self::Waiting,
        Self::Compensating,
        Self::Stuck,
        Self::Parked,
        Self::Ended,
        Self::Compensated,
    ];

    pub(super) fn of(ledger: &Ledger) -> Self {
        if ledger.parked.is_some() {
            return Self::Parked;
        }
        match ledger.mode {
            Mode::New => Self::Held,
            Mode::Running if ledger.timers.is_empty() => Self::Running,
            Mode::Running => Self::Waiting,
            Mode::Compensating if ledger.stuck.is_some() => Self::Stuck,
            Mode::Compensating => Self::Compensating,
            Mode::Compensated => Self::Compensated,
            Mode::Ended => Self::Ended,
        }
    }

    /// The name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Compensating => "compensating",
            Self::Stuck => "stuck",
            Self::Parked => "parked",
            Self::Ended => "ended",
            Self::Compensated => "compensated",
        }
    }
}

impl FromStr for InstanceState {
    type Err = UnknownState;

    fn from_str(name: &str) -> Result<Self, UnknownState> {
        let found = Self::ALL.into_iter().find(|state| state.name() == name);
        found.ok_or_else(|| UnknownState { name: name.chars().take(64).collect() })
    }
}

/// The text is no state of an instance.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} is no state of an instance: held, running, waiting, compensating, stuck, parked, ended or compensated"
)]
pub struct UnknownState {
    name: String,
}

impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
