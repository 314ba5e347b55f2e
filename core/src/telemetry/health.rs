//! The health of the running parts, as data.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// How well something runs. The order is by severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// It works.
    Ok,
    /// It works with limits, and another instance of the program would have the same limits.
    Degraded,
    /// It is not ready yet.
    Starting,
    /// It does not work.
    Failing,
}

impl Condition {
    /// Whether requests should be sent to this instance: `Ok` or `Degraded`.
    #[must_use]
    pub const fn is_ready(self) -> bool {
        matches!(self, Self::Ok | Self::Degraded)
    }
}

/// The health of one part. Holds no secrets, stream ids or payloads: health is often public.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The part, such as `store` or `projection:accounts`.
    pub name: String,
    /// How well it runs.
    pub status: Condition,
    /// The time of the last change of the status.
    pub since: Timestamp,
    /// The reason, if the status is not [`Condition::Ok`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The health of a [`Recount`](crate::Recount): of its store and its consumers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The worst status of the checks.
    pub status: Condition,
    /// The parts.
    pub checks: Vec<Check>,
}

impl Health {
    /// The health of these parts together.
    #[must_use]
    pub fn of(checks: Vec<Check>) -> Self {
        let status = checks.iter().map(|check| check.status).max().unwrap_or(Condition::Ok);
        Self { status, checks }
    }
}
