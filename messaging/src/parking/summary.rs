//! Parked messages in a list.

use recount_core::Timestamp;
use serde::Serialize;

use super::head::Head;
use super::letter::Letter;
use super::names::LetterId;

/// The state of a parked message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum LetterState {
    /// It waits for an operator.
    Dead,
    /// It is tried again at this time.
    Waiting {
        /// The time.
        due: Timestamp,
    },
    /// It waits for the messages of its key before it.
    Queued,
}

/// A parked message in a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LetterSummary {
    /// Its id, for orders.
    pub id: LetterId,
    /// The consumer that has set it aside.
    pub consumer: String,
    /// Its state.
    #[serde(flatten)]
    pub state: LetterState,
    /// The message's id. `None` if its envelope can't be read.
    pub message: Option<String>,
    /// The message's type.
    pub message_type: Option<String>,
    /// Its key.
    pub key: Option<String>,
    /// Why it was set aside, or its last failure.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was set aside.
    pub parked_at: Timestamp,
}

/// A parked message as a list shows it.
pub(super) fn summary(id: LetterId, head: &Head, letter: &Letter) -> LetterSummary {
    let is_first = id.number == head.first;
    let state = match head.due {
        _ if !is_first => LetterState::Queued,
        Some(due) => LetterState::Waiting { due },
        None => LetterState::Dead,
    };
    let (reason, attempts) = if is_first && !head.reason.is_empty() {
        (head.reason.clone(), letter.attempts.saturating_add(head.attempts))
    } else {
        (letter.reason.clone(), letter.attempts)
    };
    let message = letter.message();
    LetterSummary {
        consumer: id.consumer.clone(),
        id,
        state,
        message: message.map(|message| message.id.to_string()),
        message_type: message.map(|message| message.message_type.to_string()),
        key: message.and_then(|message| message.key.as_deref().map(str::to_owned)),
        reason,
        attempts,
        parked_at: letter.parked_at,
    }
}
