//! Questions to other services, and their replies.
//!
//! A question is a published event with a deadline and the address for its replies. Where the broker carries requests itself
//! ([`NativeRequests`](crate::NativeRequests)), a question goes to an instance that is there, and nothing is stored; else it goes
//! through a topic, and its replies are recorded, so that a question that is delivered again has equal replies.
//!
//! The *desk* of a service knows its open questions: asked by it, or being answered by it. A *frame* is the wire form of a reply.

mod answers;
mod asker;
mod clock;
mod desk;
mod error;
mod frame;
mod handler;
mod native;
mod probe;
mod replies;
mod responder;
mod stored;
mod stream;
mod tasks;

pub(crate) use answers::Answers;
pub use asker::Asker;
pub(crate) use clock::Clock;
pub(crate) use desk::Desk;
pub use error::AskError;
pub use handler::{Asked, Question, QuestionHandler};
pub(crate) use native::{InboxMessages, Mailbox};
pub use replies::{ReplyError, ReplySender};
pub use responder::{AnsweredTwice, Responder};
pub(crate) use stored::{REPLY_PREFIX, StoredResponder};
pub use stream::Replies;
