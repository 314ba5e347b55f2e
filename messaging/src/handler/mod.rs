//! Handlers of messages: typed by the published events that they take.

mod commands;
mod context;
mod failure;
mod forward;
mod table;

use std::future::Future;

use recount_core::{BoxError, Commands, Published};

pub use context::Incoming;
pub(crate) use context::following;
pub use failure::PermanentError;
pub(crate) use failure::{Failure, classify};
pub(crate) use table::Handlers;
pub use table::{HandledTwice, TakenBy, UnknownType};

/// Handles published events of other services, and answers with commands.
///
/// A message is handled at least once. The commands that it returns take effect once: their idempotency keys are made from
/// the group and the message. Messages with the same key are handled one after the other, in the order of publishing.
///
/// ```
/// # extern crate recount_core as recount;
/// # use recount::{Aggregate, Apply, Command, Handle};
/// use recount::{BoxError, Commands, Event};
/// use recount_messaging::{Incoming, MessageHandler};
///
/// #[derive(Event, Clone)]
/// #[event(name = "orders", published)]
/// enum OrderMessage { Placed { order: String } }
/// # #[derive(Event, Clone)]
/// # #[event(name = "mail")]
/// # enum MailEvent { Queued { order: String } }
/// # #[derive(Command, Clone)]
/// # #[command(aggregate = Mail)]
/// # struct QueueMail { #[command(id)] order: String }
/// # #[derive(Aggregate, Clone, Default)]
/// # #[aggregate(name = "mail", id = String, event = MailEvent, error = std::convert::Infallible, commands(QueueMail))]
/// # struct Mail;
/// # impl Apply for Mail { fn apply(&mut self, _: &MailEvent) {} }
/// # impl Handle<QueueMail> for Mail {
/// #     fn handle(&self, mail: QueueMail) -> Result<Vec<MailEvent>, std::convert::Infallible> {
/// #         Ok(vec![MailEvent::Queued { order: mail.order }])
/// #     }
/// # }
///
/// struct Confirmations;
///
/// impl MessageHandler for Confirmations {
///     type Message = OrderMessage;
///
///     async fn handle(&self, message: &OrderMessage, _: &Incoming<'_>) -> Result<Commands, BoxError> {
///         let OrderMessage::Placed { order } = message;
///         Ok(Commands::send(QueueMail { order: order.clone() }))
///     }
/// }
/// ```
pub trait MessageHandler: Send + Sync + 'static {
    /// The published events that it takes: exactly these types are decoded.
    type Message: Published;

    /// Handles a message.
    ///
    /// # Errors
    /// Any. An error that time heals, see [`is_transient`](recount_core::is_transient), is retried without limit. A
    /// [`PermanentError`] makes the message a dead letter at once. Another one is retried as the
    /// [`RetryPlan`](crate::RetryPlan) says. A panic is such an error.
    ///
    /// # Cancel safety
    /// The call is dropped after the subscriber's time limit, and at a shutdown that lasts too long.
    fn handle(
        &self,
        message: &Self::Message,
        incoming: &Incoming<'_>,
    ) -> impl Future<Output = Result<Commands, BoxError>> + Send;
}
