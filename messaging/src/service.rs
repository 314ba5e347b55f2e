//! A service at a broker: its publications and subscribers, started together.

use std::sync::Arc;

use recount_core::{
    Check, Condition, ConsumerKind, Consumers, ConsumersBuilder, MessageMetrics, NameError, Recount, Timestamp,
};

use crate::inbox::{InboxSink, InboxSource};
use crate::parking::Parking;
use crate::relay::{PublicationParts, RelaySink, RelaySource};
use crate::request::{GatewayBuilder, Replier, Requester, ServiceGateway, Waiters, replies};
use crate::{Binding, Broker, Circuit, CircuitState, Group, Order, Plan, Subscriber, Topic};

/// A service at a broker.
///
/// ```
/// # extern crate recount_core as recount;
/// # use std::sync::Arc;
/// # use recount::{Event, Recount};
/// # use recount_messaging::{Broker, Publication, Service, Topic};
/// # #[derive(Event, Clone)]
/// # #[event(name = "orders", published)]
/// # enum OrderMessage { Placed }
/// # async fn f(recount: Recount, broker: Arc<dyn Broker>) -> Result<(), Box<dyn std::error::Error>> {
/// let service = Service::new(recount, broker, "orders")?;
/// let running = service.publish(Publication::new("orders", Topic::new("orders")?).events::<OrderMessage>()).start();
/// // …
/// running.shutdown().await;
/// # Ok(()) }
/// ```
#[must_use = "a service does nothing until it is started"]
pub struct Service {
    recount: Recount,
    broker: Arc<dyn Broker>,
    name: Arc<str>,
    consumers: ConsumersBuilder,
    plan: Plan,
}

impl Service {
    /// A service. Its name is the source of its messages.
    ///
    /// # Errors
    /// [`NameError`] if the name is none: 1 to 64 ASCII letters, digits, `-` and `_`.
    pub fn new(recount: Recount, broker: Arc<dyn Broker>, name: &str) -> Result<Self, NameError> {
        // A name follows the rules of topics, so that a broker can hold it.
        let name = Topic::new(name)?.name().into();
        let consumers = recount.consumers();
        Ok(Self { recount, broker, name, consumers, plan: Plan::default() })
    }

    /// Publishes events. The relay is a consumer of kind [`Relay`](ConsumerKind::Relay).
    pub fn publish(mut self, publication: PublicationParts) -> Self {
        let circuit = Circuit::new(publication.circuit);
        let publication = Arc::new(publication);
        let name = Arc::clone(&publication.name);
        self.plan.topics.push(publication.topic.clone());
        let parking = Parking::new(Arc::clone(self.recount.store()), &format!("relay/{name}"));
        let source = RelaySource::new(
            self.recount.clone(),
            Arc::clone(&self.name),
            Arc::clone(&publication),
            Arc::clone(&self.broker),
            parking.clone(),
        );
        let metrics = self.metrics(publication.topic.name(), &format!("relay/{name}"));
        let (own, broker) = (Arc::clone(&metrics), Arc::clone(&self.broker));
        let sink = RelaySink::new(publication, broker, parking.clone(), circuit.clone(), own);
        self.consumers = self.consumers.consumer_of_kind(ConsumerKind::Relay, &name, source, sink).check(check(
            format!("relay:{name}:messages"),
            (parking, circuit, metrics),
            "the broker",
        ));
        self
    }

    /// Handles the messages of a topic. The inbox is a consumer of kind [`Inbox`](ConsumerKind::Inbox).
    pub fn subscribe(mut self, subscriber: Subscriber) -> Self {
        let parts = subscriber.0;
        let (name, circuit) = (parts.name(), Circuit::new(parts.circuit));
        self.plan.bindings.push(parts.binding.clone());
        let parking = Parking::new(Arc::clone(self.recount.store()), &name);
        let source = InboxSource::new(Arc::clone(&self.broker), parts.binding.clone(), parking.clone());
        let metrics = self.metrics(parts.binding.topic.name(), &name);
        let (recount, own) = (self.recount.clone(), Arc::clone(&metrics));
        let sink = InboxSink::new(recount, parts, parking.clone(), circuit.clone(), self.replier(), own);
        self.consumers = self.consumers.consumer_of_kind(ConsumerKind::Inbox, &name, source, sink).check(check(
            format!("inbox:{name}:messages"),
            (parking, circuit, metrics),
            "what the handlers call",
        ));
        self
    }

    /// Sends commands to aggregates of other services, and takes the replies. The gateway works while the service runs.
    ///
    /// # Errors
    /// [`NameError`] if the name of the instance is none.
    pub fn gateway(self, gateway: GatewayBuilder) -> Result<(Self, ServiceGateway), NameError> {
        let GatewayBuilder { routes, instance } = gateway;
        let instance = instance.as_deref().map(|instance| format!("-{instance}")).unwrap_or_default();
        let address = format!("replies-{}{instance}", self.name);
        let topic = replies(&address)?;
        let waiters = Waiters::default();
        let store = Arc::clone(self.recount.store());
        let binding = Binding::new(topic, Group::new(&self.name)?).order(Order::Unordered);
        let requester = Requester::new(self.replier(), store, binding.clone(), waiters.clone());
        let mut subscriber = Subscriber::new(binding);
        subscriber.0.handlers.take_replies(waiters);
        Ok((self.subscribe(subscriber), ServiceGateway::new(requester, routes)))
    }

    fn metrics(&self, topic: &str, consumer: &str) -> Arc<MessageMetrics> {
        Arc::new(self.recount.message_metrics(self.broker.system(), topic, consumer))
    }

    fn replier(&self) -> Replier {
        Replier { broker: Arc::clone(&self.broker), service: Arc::clone(&self.name) }
    }

    /// The topics and bindings that it needs at the broker. Its consumers declare them when they start. A broker that keeps
    /// nothing for later groups needs them [declared](Broker::ensure) before any service publishes.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Adds other consumers of the service, which start and end with it: projections, reactions, processes.
    pub fn consumers(mut self, add: impl FnOnce(ConsumersBuilder) -> ConsumersBuilder) -> Self {
        self.consumers = add(self.consumers);
        self
    }

    /// Starts its consumers. They declare their objects at the broker, and wait for a broker that can't be reached.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(self) -> Consumers {
        self.consumers.start()
    }
}

/// The health of a consumer's messages: degraded while its circuit is open, or messages wait for an operator.
fn check(
    name: String,
    (parking, circuit, metrics): (Parking, Circuit, Arc<MessageMetrics>),
    callee: &'static str,
) -> impl Fn() -> Check + Send + Sync {
    let since = std::sync::Mutex::new((Condition::Ok, Timestamp::now()));
    move || {
        let (_, dead) = parking.counts();
        metrics.set(dead, circuit.state().name(), &CircuitState::NAMES);
        let message = match (circuit.state(), dead) {
            (CircuitState::Closed, 0) => None,
            (CircuitState::Closed, dead) => {
                Some(format!("{dead} dead letters wait for an operator; redrive or discard them"))
            }
            (_, 0) => Some(format!("the circuit is open: {callee} can't be reached")),
            (_, dead) => Some(format!(
                "the circuit is open: {callee} can't be reached; and {dead} dead letters wait for an operator"
            )),
        };
        let status = if message.is_some() { Condition::Degraded } else { Condition::Ok };
        let mut last = since.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.0 != status {
            *last = (status, Timestamp::now());
        }
        Check { name: name.clone(), status, since: last.1, message }
    }
}
