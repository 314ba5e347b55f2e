//! The settings of a subscriber.

use std::time::Duration;

use recount_core::Published;

use crate::handler::{HandledTwice, Handlers, MessageHandler, UnknownType};
use crate::{Binding, CircuitSettings, RetryPlan};

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
