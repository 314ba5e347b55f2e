//! Activities: calls of services outside of recount that follow from events.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Commands;
use super::responder::Responder;
use crate::dispatch::Engine;
use crate::run::consumer::{TIME_LIMIT, bounded, guarded};
use crate::run::projection::failed_on;
use crate::{BoxError, Event, ExpectedRevision, IdempotencyKey, NameError, Namespace, RecordedEvent, Sink};

/// Calls a service outside of recount when it hears of an event, and answers with commands.
///
/// The call is made at least once: after a crash, or if its answer is lost, it is made again. So it hands on
/// [`Call::key`], which is the same each time, for the service to recognise a repetition. This is where *exactly once*
/// ends; only a service that knows the key can keep it up.
///
/// The commands that it returns take effect once, as those of a [`Reaction`](crate::Reaction) do. Each attempt is
/// recorded before it is made, so a program that dies in the call counts it too.
///
/// ```
/// # extern crate recount_core as recount;
/// # use recount::{Aggregate, Apply, Command, Event, Handle};
/// # #[derive(Event, Clone)]
/// # #[event(name = "order")]
/// # enum OrderEvent { Placed { order: String } }
/// # #[derive(Command, Clone)]
/// # #[command(aggregate = Order)]
/// # struct NoteReceipt { #[command(id)] order: String, receipt: String }
/// # #[derive(Event, Clone)]
/// # #[event(name = "note")]
/// # enum Noted { Receipt { receipt: String } }
/// # #[derive(Aggregate, Clone, Default)]
/// # #[aggregate(name = "note", id = String, event = Noted, error = std::convert::Infallible, commands(NoteReceipt))]
/// # struct Order;
/// # impl Apply for Order { fn apply(&mut self, _: &Noted) {} }
/// # impl Handle<NoteReceipt> for Order {
/// #     fn handle(&self, note: NoteReceipt) -> Result<Vec<Noted>, std::convert::Infallible> {
/// #         Ok(vec![Noted::Receipt { receipt: note.receipt }])
/// #     }
/// # }
/// # async fn send_mail(_: &str, _: &str) -> Result<String, std::io::Error> { Ok(String::new()) }
/// use recount::{Activity, BoxError, Call, Commands};
///
/// struct ConfirmationMail;
///
/// impl Activity for ConfirmationMail {
///     type Event = OrderEvent;
///
///     fn name(&self) -> &str {
///         "confirmation mail"
///     }
///
///     async fn call(&self, event: &OrderEvent, call: &Call<'_>) -> Result<Commands, BoxError> {
///         let OrderEvent::Placed { order } = event;
///         let receipt = send_mail(order, call.key.as_str()).await?;
///         Ok(Commands::send(NoteReceipt { order: order.clone(), receipt }))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # use recount::Recount;
/// let recount = Recount::new(recount_store_memory::MemoryStore::new());
/// let running = recount.consumers().activity(ConfirmationMail).start();
/// running.shutdown().await;
/// # }
/// ```
pub trait Activity: Send + Sync + 'static {
    /// The events that it listens to: exactly these types are read and decoded.
    type Event: Event;

    /// How many calls are made at once at most. The calls for the events of one stream are made one after the other.
    const AT_ONCE: usize = 32;

    /// Its name: part of the key of its checkpoint, and of the key of each call. Under another name it hears of all
    /// events again, and calls again. At most 400 bytes.
    fn name(&self) -> &str;

    /// Calls the service.
    ///
    /// # Errors
    /// Any. An error that time heals, see [`is_transient`](crate::is_transient), is retried without limit; another one
    /// until the event's [retry budget](crate::RetryBudget) is used up. Then the activity stops.
    ///
    /// # Cancel safety
    /// The call is dropped after [`time_limit`](Self::time_limit), and at a shutdown that lasts too long.
    fn call(&self, event: &Self::Event, call: &Call<'_>) -> impl Future<Output = Result<Commands, BoxError>> + Send;

    /// How long a call may last. Then it is dropped and made again. 30 seconds unless defined.
    fn time_limit(&self) -> Duration {
        TIME_LIMIT
    }
}

/// The circumstances of a call.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Call<'a> {
    /// The same for each attempt, and unlike that of any other call: for the service to recognise a repetition.
    pub key: &'a IdempotencyKey,
    /// The number of the attempt, from 1. Attempts of programs that died count.
    pub attempt: u32,
    /// The event.
    pub recorded: &'a RecordedEvent,
}

/// The stored attempts of a call.
#[derive(Default, Serialize, Deserialize)]
struct Attempts {
    attempts: u32,
}

/// The sink of an activity.
pub(crate) struct Calling<A> {
    activity: A,
    responder: Responder,
}

impl<A: Activity> Calling<A> {
    pub(crate) fn new(engine: Arc<Engine>, activity: A) -> Result<Self, NameError> {
        let responder = Responder::new(engine, "activity", activity.name())?;
        Ok(Self { activity, responder })
    }

    async fn make(&self, recorded: &RecordedEvent) -> Result<(), BoxError> {
        let event = A::Event::from_recorded(recorded)?;
        let key = self.responder.key(recorded)?;
        let entry = Namespace::ATTEMPT.key(format_args!("{}/{}", self.responder.name(), recorded.data.id))?;
        let store = self.responder.store();
        let before =
            store.get(&entry).await?.map(|entry| serde_json::from_slice::<Attempts>(&entry.value)).transpose()?;
        let attempts = Attempts { attempts: before.unwrap_or_default().attempts.saturating_add(1) };
        store.put(&entry, serde_json::to_vec(&attempts)?.into(), ExpectedRevision::Any, None).await?;
        let call = Call { key: &key, attempt: attempts.attempts, recorded };
        let metadata = self.responder.metadata(recorded);
        let commands = metadata.clone().scope(self.activity.call(&event, &call));
        let commands = bounded(self.activity.time_limit(), commands).await?;
        self.responder.dispatch(recorded, &metadata, &commands).await?;
        Ok(store.delete(&entry, ExpectedRevision::Any).await?)
    }
}

impl<A: Activity> Sink for Calling<A> {
    type Item = RecordedEvent;

    const AT_ONCE: usize = A::AT_ONCE;

    async fn take(&self, recorded: &RecordedEvent) -> Result<(), BoxError> {
        guarded(self.make(recorded)).await.map_err(|error| failed_on(recorded, error))
    }

    /// The call has a limit of its own; the rest is for its commands.
    fn time_limit(&self) -> Duration {
        self.activity.time_limit().saturating_add(TIME_LIMIT)
    }
}
