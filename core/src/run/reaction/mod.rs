//! Reactions: events in, commands out.

mod activity;
mod commands;
mod responder;
mod sink;

use std::future::Future;
use std::sync::Arc;

pub(crate) use activity::Calling;
pub use activity::{Activity, Call};
pub use commands::Commands;
pub(crate) use sink::Reacting;

use crate::{BoxError, Event, RecordedEvent};

/// Sends commands when it hears of events.
///
/// The commands of an event take effect once: each has an idempotency key that is made from the reaction's name, the
/// event's id and the number of the command. They belong to the event's conversation, and the event is their cause.
/// Events of one stream are handled in order, those of different streams at once.
///
/// Its checkpoint is kept in the store's state, under the reaction's name. After a crash the last few events are heard
/// again, and their commands answered by their keys.
///
/// ```
/// # extern crate recount_core as recount;
/// use recount::{
///     Aggregate, Apply, BoxError, Command, Commands, Event, Handle, Reaction, RecordedEvent, Recount,
/// };
///
/// #[derive(Event, Clone)]
/// #[event(name = "order")]
/// enum OrderEvent {
///     Placed { order: String, cents: u64 },
/// }
///
/// #[derive(Event, Clone)]
/// #[event(name = "payment")]
/// enum PaymentEvent {
///     Captured { cents: u64 },
/// }
///
/// #[derive(Command, Clone)]
/// #[command(aggregate = Payment)]
/// struct Capture {
///     #[command(id)]
///     order: String,
///     cents: u64,
/// }
///
/// #[derive(Aggregate, Clone, Default)]
/// #[aggregate(name = "payment", id = String, event = PaymentEvent, error = std::convert::Infallible, commands(Capture))]
/// struct Payment;
///
/// impl Apply for Payment {
///     fn apply(&mut self, _: &PaymentEvent) {}
/// }
///
/// impl Handle<Capture> for Payment {
///     fn handle(&self, capture: Capture) -> Result<Vec<PaymentEvent>, std::convert::Infallible> {
///         Ok(vec![PaymentEvent::Captured { cents: capture.cents }])
///     }
/// }
///
/// struct Payments;
///
/// impl Reaction for Payments {
///     type Event = OrderEvent;
///
///     fn name(&self) -> &str {
///         "payments"
///     }
///
///     async fn on(&self, event: &OrderEvent, _: &RecordedEvent) -> Result<Commands, BoxError> {
///         let OrderEvent::Placed { order, cents } = event;
///         Ok(Commands::send(Capture { order: order.clone(), cents: *cents }))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let recount = Recount::new(recount_store_memory::MemoryStore::new());
/// let running = recount.consumers().reaction(Payments).start();
/// running.shutdown().await;
/// # }
/// ```
pub trait Reaction: Send + Sync + 'static {
    /// The events that it listens to: exactly these types are read and decoded.
    type Event: Event;

    /// Its name: part of the key of its checkpoint and of each command's idempotency key. Under another name it hears
    /// of all events again, and its commands take effect again. At most 400 bytes.
    fn name(&self) -> &str;

    /// The commands that follow from an event. It may be called several times for one event, so it must give the same
    /// commands each time, and have no effect of its own.
    fn on(
        &self,
        event: &Self::Event,
        recorded: &RecordedEvent,
    ) -> impl Future<Output = Result<Commands, BoxError>> + Send;
}

impl<R: Reaction> Reaction for Arc<R> {
    type Event = R::Event;

    fn name(&self) -> &str {
        (**self).name()
    }

    async fn on(&self, event: &Self::Event, recorded: &RecordedEvent) -> Result<Commands, BoxError> {
        (**self).on(event, recorded).await
    }
}
