//! Messages that are set aside: they wait for a retry, for the messages before them, or for an operator.
//!
//! Each consumer has queues of messages in the state store, one for each key. While a key has a queue, its later messages
//! go behind it instead of being handled, so the order of a key survives retries, restarts and the orders of operators.
//! The first message of a queue is due at some time, or is a *dead letter*, which waits for an operator.
//!
//! In the namespace of parked messages, an entry `queue/CONSUMER/HASH` is the [`Head`](head::Head) of a queue,
//! `letter/CONSUMER/HASH/NUMBER` holds a message, `settled/CONSUMER/HASH` names a message that an operator has discarded or
//! replaced, so that its copies are recognised, and `changes/CONSUMER` is written with every change of a head: its revision
//! tells other programs to read the heads again.

mod claim;
mod entries;
mod head;
mod letter;
mod lot;
mod names;
mod operators;
mod schedule;
mod summary;

pub use letter::{Content, Letter, Note};
pub(crate) use lot::{Parking, Standing};
pub use names::LetterId;
pub(crate) use names::QueueKey;
pub use operators::{DeadLetters, LetterError};
pub use summary::{LetterState, LetterSummary};
