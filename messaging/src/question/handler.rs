//! Questions, and their handlers.

use std::future::Future;

use recount_core::{BoxError, Metadata, Published};
use tokio::time::{Duration, Instant};

use super::replies::ReplySender;
use crate::Message;
use crate::handler::following;

/// A question to another service. It and its replies are published events, so both have names, versions and upcasters, and
/// are held by the schema lock. Neither is stored as an event.
///
/// ```
/// # extern crate recount_core as recount;
/// use recount::Event;
/// use recount_messaging::Question;
///
/// #[derive(Event, Clone)]
/// #[event(name = "stock", published, unlocked)]
/// enum StockQuestion { Count { sku: String } }
///
/// #[derive(Event, Clone)]
/// #[event(name = "stock_reply", published, unlocked)]
/// enum StockReply { Counted { pieces: u32 } }
///
/// impl Question for StockQuestion {
///     type Reply = StockReply;
/// }
/// ```
pub trait Question: Published {
    /// The replies.
    type Reply: Published;
}

/// Answers the questions of other services.
///
/// A question has no effect of its own, so a handler may be called again for it, and its replies may be lost. For an effect
/// that happens once, send a command through a [`ServiceGateway`](crate::ServiceGateway).
///
/// ```
/// # extern crate recount_core as recount;
/// # use recount::{BoxError, Event};
/// # use recount_messaging::{Asked, Question, QuestionHandler, ReplySender};
/// # #[derive(Event, Clone)]
/// # #[event(name = "stock", published, unlocked)]
/// # enum StockQuestion { Count { sku: String } }
/// # #[derive(Event, Clone)]
/// # #[event(name = "stock_reply", published, unlocked)]
/// # enum StockReply { Counted { pieces: u32 } }
/// # impl Question for StockQuestion { type Reply = StockReply; }
/// struct Warehouse;
///
/// impl QuestionHandler for Warehouse {
///     type Question = StockQuestion;
///
///     async fn answer(
///         &self,
///         StockQuestion::Count { sku }: &StockQuestion,
///         _: &Asked<'_>,
///         replies: &mut ReplySender<'_, StockReply>,
///     ) -> Result<(), BoxError> {
///         replies.send(&StockReply::Counted { pieces: sku.len() as u32 }).await?;
///         Ok(())
///     }
/// }
/// ```
pub trait QuestionHandler: Send + Sync + 'static {
    /// The questions that it answers: exactly these types are decoded.
    type Question: Question;

    /// Answers a question with one reply or several. The end of the call ends the replies.
    ///
    /// # Errors
    /// Any. The asker gets the text of the error and its causes, and whether time heals it, see
    /// [`is_transient`](recount_core::is_transient). Keep secrets out of the text.
    ///
    /// # Cancel safety
    /// The call is dropped at the question's deadline, when the asker stops listening, after the responder's time limit,
    /// and at a shutdown that lasts too long.
    fn answer(
        &self,
        question: &Self::Question,
        asked: &Asked<'_>,
        replies: &mut ReplySender<'_, <Self::Question as Question>::Reply>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;
}

/// A question that is being answered.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Asked<'m> {
    /// The question's message.
    pub message: &'m Message,
    deadline: Option<Instant>,
}

impl<'m> Asked<'m> {
    pub(crate) fn new(message: &'m Message, deadline: Option<Instant>) -> Self {
        Self { message, deadline }
    }

    /// The time left until the question's deadline. `None` if it has none.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// The metadata of the question's effects: the same conversation, actor and trace, with the question as the
    /// cause.
    #[must_use]
    pub fn metadata(&self) -> Metadata {
        following(self.message)
    }
}
