//! The settings of a subscriber.

use std::sync::Arc;
use std::time::Duration;

use recount_core::{BoxError, Published};
use tower_layer::Layer;
use tower_service::Service;

use crate::handler::{HandledTwice, Handlers, MessageHandler, UnknownType};
use crate::middleware::{Handled, HandlerRequest, HandlerService, Wrap};
use crate::route::{Route, Routed};
use crate::{Binding, CircuitSettings, Incoming, RetryPlan, Topic};

/// How long a handler may take unless set.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// How many messages are handled at once unless set.
const AT_ONCE: usize = 256;
/// How many programs may have died while they handled a message unless set.
const CRASHES: u32 = 5;

/// The treatment of the later messages of a key behind a dead letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LaterMessages {
    /// They wait behind it, so that the order of the key is kept.
    #[default]
    Wait,
    /// They are handled without it.
    Pass,
}

/// A group's handlers of the messages of a topic, and how they are run.
#[must_use = "a subscriber does nothing until it is started"]
pub struct Subscriber(pub(crate) SubscriberParts);

/// The parts of a subscriber.
#[derive(Clone)]
pub(crate) struct SubscriberParts {
    pub(crate) binding: Binding,
    pub(crate) handlers: Handlers,
    /// The topics to which messages are forwarded.
    pub(crate) topics: Vec<Topic>,
    pub(crate) layers: Option<Wrap>,
    pub(crate) plan: RetryPlan,
    pub(crate) later: LaterMessages,
    pub(crate) time_limit: Duration,
    pub(crate) at_once: usize,
    pub(crate) crashes: u32,
    pub(crate) circuit: CircuitSettings,
}

impl SubscriberParts {
    /// The name of the consumer: messages are parked under it, and idempotency keys are made from it.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.binding.group, self.binding.topic)
    }
}

impl Subscriber {
    /// A subscriber without handlers.
    pub fn new(binding: Binding) -> Self {
        Self(SubscriberParts {
            binding,
            handlers: Handlers::default(),
            topics: Vec::new(),
            layers: None,
            plan: RetryPlan::default(),
            later: LaterMessages::default(),
            time_limit: TIME_LIMIT,
            at_once: AT_ONCE,
            crashes: CRASHES,
            circuit: CircuitSettings::default(),
        })
    }

    /// Adds a handler.
    ///
    /// # Errors
    /// [`HandledTwice`] if another handler takes one of its types.
    pub fn handle<H: MessageHandler>(mut self, handler: H) -> Result<Self, HandledTwice> {
        self.0.handlers.add(handler)?;
        Ok(self)
    }

    /// Records messages as events of the service's own store, each once: then its projections, reactions and processes
    /// hear of them as of any other event. The stream is `CATEGORY` and the message's key, so that the events of a key keep
    /// their order. The event's id is the message's.
    ///
    /// # Errors
    /// [`HandledTwice`] if a handler takes one of its types.
    pub fn record<M: Published>(mut self, category: &str) -> Result<Self, HandledTwice> {
        self.0.handlers.record::<M>(category)?;
        Ok(self)
    }

    /// Maps published events of one service to commands of another, or to published events of this one: each becomes a
    /// message for one of the topics, or none. It is a type of message with a handler: a service that also acts on it has
    /// another group.
    ///
    /// A message is acknowledged when the broker has confirmed the message that follows from it. The id of the latter, which is
    /// the idempotency key of a command, is made from the group and the message, so that it takes effect once. The key of an
    /// event is that of the message: the order of the key is kept. The key of a command is its aggregate: commands that follow
    /// from messages of one key keep their order.
    ///
    /// Without a confirmation the message is tried again without limit; no attempt is used up. If the broker refuses the
    /// message that follows, because it is too large for instance, this one is a dead letter at once.
    ///
    /// ```
    /// # extern crate recount_core as recount;
    /// # use recount::{Aggregate, Apply, Command, Event, Handle};
    /// # use recount_messaging::{Binding, Group, Subscriber, Topic};
    /// # #[derive(Event, Clone)]
    /// # #[event(name = "orders", published)]
    /// # enum OrderMessage { Placed { order: String }, Cancelled }
    /// # #[derive(Event, Clone)]
    /// # #[event(name = "mail")]
    /// # enum MailEvent { Queued }
    /// # #[derive(Command, Clone)]
    /// # #[command(aggregate = Mail)]
    /// # struct QueueMail { #[command(id)] order: String }
    /// # #[derive(Aggregate, Clone, Default)]
    /// # #[aggregate(name = "mail", id = String, event = MailEvent, error = std::convert::Infallible, commands(QueueMail))]
    /// # struct Mail;
    /// # impl Apply for Mail { fn apply(&mut self, _: &MailEvent) {} }
    /// # impl Handle<QueueMail> for Mail {
    /// #     fn handle(&self, _: QueueMail) -> Result<Vec<MailEvent>, std::convert::Infallible> { Ok(vec![]) }
    /// # }
    /// # fn f() -> Result<Subscriber, Box<dyn std::error::Error>> {
    /// let binding = Binding::new(Topic::new("orders")?, Group::new("order-mails")?);
    /// let mails = [Topic::new("mail-commands")?];
    /// let subscriber = Subscriber::new(binding).forward(mails, |event: &OrderMessage, _, [mails]| match event {
    ///     OrderMessage::Placed { order } => Some(mails.command(&QueueMail { order: order.clone() })),
    ///     OrderMessage::Cancelled => None,
    /// })?;
    /// # Ok(subscriber) }
    /// ```
    ///
    /// # Errors
    /// [`HandledTwice`] if a handler takes one of its types.
    pub fn forward<E: Published, const N: usize>(
        mut self,
        topics: [Topic; N],
        map: impl for<'r> Fn(&E, &Incoming<'_>, [Route<'r>; N]) -> Option<Routed<'r>> + Send + Sync + 'static,
    ) -> Result<Self, HandledTwice> {
        self.0.handlers.forward(topics.clone(), map)?;
        self.0.topics.extend(topics);
        Ok(self)
    }

    /// Wraps the handling of each message in a layer of [tower](https://docs.rs/tower), such as a rate limit or one of the
    /// application. A layer that is added later is around those added earlier.
    ///
    /// All lanes share the layers. Messages wait until these are ready, which uses up neither the time limit nor an attempt, and
    /// ends with the subscriber. The time limit is that of the handler and the layers from then on. The error of a layer is
    /// classified as that of a [handler](MessageHandler::handle). The order of a key is kept.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use recount_messaging::{Binding, Group, Subscriber, Topic};
    /// let binding = Binding::new(Topic::new("orders")?, Group::new("invoices")?);
    /// let limits = tower::ServiceBuilder::new().rate_limit(100, Duration::from_secs(1)).concurrency_limit(8);
    /// let subscriber = Subscriber::new(binding).layer(limits);
    /// # drop(subscriber);
    /// # Ok::<(), recount_core::NameError>(())
    /// ```
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<HandlerService> + Send + Sync + 'static,
        L::Service: Service<HandlerRequest, Response = Handled> + Send + 'static,
        <L::Service as Service<HandlerRequest>>::Error: Into<BoxError>,
        <L::Service as Service<HandlerRequest>>::Future: Send + 'static,
    {
        let inner = self.0.layers.take();
        self.0.layers = Some(Arc::new(move |service| {
            let service = inner.iter().fold(service, |service, inner| inner(service));
            HandlerService::outer(layer.layer(service))
        }));
        self
    }

    /// Takes the commands of [registered](recount_core::RecountBuilder::register) aggregates as messages: the type of a
    /// message is `AGGREGATE.COMMAND`, its data the command as JSON. Each takes effect once. A refusal counts as handled.
    pub fn commands(mut self) -> Self {
        self.0.handlers.take_commands();
        self
    }

    /// The treatment of messages that no handler takes. They are ignored unless set.
    pub fn on_unknown(mut self, policy: UnknownType) -> Self {
        self.0.handlers.on_unknown(policy);
        self
    }

    /// When a message that fails is tried again.
    pub fn retry(mut self, plan: RetryPlan) -> Self {
        self.0.plan = plan;
        self
    }

    /// The treatment of the later messages of a key behind a dead letter. They wait unless set. Has no effect on
    /// [unordered](crate::Order::Unordered) bindings, where each message is by itself.
    pub fn after_dead_letter(mut self, later: LaterMessages) -> Self {
        self.0.later = later;
        self
    }

    /// How long a handler may take. Then it is dropped, which counts as a failure. 30 seconds unless set.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.0.time_limit = limit;
        self
    }

    /// How many messages are handled at once at most, 1 to 256. 256 unless set.
    pub fn at_once(mut self, count: usize) -> Self {
        self.0.at_once = count.clamp(1, AT_ONCE);
        self
    }

    /// How many programs may die while they handle a message before it is a dead letter. 5 unless set.
    pub fn crashes(mut self, count: u32) -> Self {
        self.0.crashes = count;
        self
    }

    /// When the circuit opens: while the service that the handlers call can't be reached, no message is handled.
    pub fn circuit(mut self, settings: CircuitSettings) -> Self {
        self.0.circuit = settings;
        self
    }
}
