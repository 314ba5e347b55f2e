//! A service at a broker: its publications and subscribers, started together.

mod asking;
mod discovery;

use std::sync::Arc;
use std::time::Duration;

use recount_core::{
    Check, Condition, ConsumerKind, Consumers, ConsumersBuilder, EventId, MessageMetrics, NameError, Recount, Timestamp,
};

use crate::inbox::{Declared, InboxSink, InboxSource};
use crate::parking::Parking;
use crate::presence::{Found, announcer, check_instance, clamped};
use crate::question::Desk;
use crate::relay::{PublicationParts, RelaySink, RelaySource};
use crate::request::Replier;
use crate::route::{Forwarder, Turns};
use crate::{Broker, Circuit, CircuitState, Group, Manifest, Plan, Subscriber, Topic};

/// How often a service announces itself unless set: one small message for an instance.
const ANNOUNCED: Duration = Duration::from_secs(10);

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
    /// The group of its replies and of the questions that it answers.
    group: Group,
    consumers: ConsumersBuilder,
    plan: Plan,
    publications: Vec<Arc<PublicationParts>>,
    /// The turns of the keys of forwarded messages.
    turns: Arc<Turns>,
    manifest: Manifest,
    /// How often it is announced; `None`: not at all.
    announced: Option<Duration>,
    /// The open questions, if the broker carries replies itself.
    desk: Option<Desk>,
    /// The topics that were found by patterns.
    found: Found,
    /// It subscribes to topics that exist, and declares none.
    only_existing: bool,
}

impl Service {
    /// A service. Its name is the source of its messages.
    ///
    /// # Errors
    /// [`NameError`] if the name is none: 1 to 64 ASCII letters, digits, `-` and `_`.
    pub fn new(recount: Recount, broker: Arc<dyn Broker>, name: &str) -> Result<Self, NameError> {
        // A name follows the rules of topics, so that a broker can hold it.
        let name: Arc<str> = Topic::new(name)?.name().into();
        let group = Group::new(&name)?;
        let manifest = Manifest::new(&name, EventId::new().0.simple().to_string());
        Ok(Self { manifest, announced: Some(ANNOUNCED), ..Self::empty(recount, broker, name, group) })
    }

    /// A service without an instance, not announced.
    fn empty(recount: Recount, broker: Arc<dyn Broker>, name: Arc<str>, group: Group) -> Self {
        Self {
            consumers: recount.consumers(),
            manifest: Manifest::new(&name, String::new()),
            recount,
            broker,
            name,
            group,
            plan: Plan::default(),
            publications: Vec::new(),
            turns: Arc::default(),
            announced: None,
            desk: None,
            found: Found::default(),
            only_existing: false,
        }
    }

    /// Publishes events. The relay is a consumer of kind [`Relay`](ConsumerKind::Relay).
    ///
    /// A message has the id of its event, so two publications of a service that read the same types of events need different
    /// topics: the second one is refused. Publications of [commands](crate::Publication::commands) have ids of their own. A name
    /// that is empty, or has a control character, is refused, too. A refused publication has no relay: an error is logged, and
    /// the check `relay:NAME` is [`Failing`](Condition::Failing) with the reason while the service runs.
    pub fn publish(mut self, publication: PublicationParts) -> Self {
        if let Some(refusal) = self.refusal(&publication) {
            return self.refuse(&publication.name, refusal);
        }
        let circuit = Circuit::new(publication.circuit);
        let publication = Arc::new(publication);
        let name = Arc::clone(&publication.name);
        self.plan.topics.extend_from_slice(&publication.topics);
        self.manifest.publishes(&name, &publication.topics, publication.types.as_deref());
        let parking = Parking::new(Arc::clone(self.recount.store()), &format!("relay/{name}"));
        let source = RelaySource::new(
            self.recount.clone(),
            Arc::clone(&self.name),
            Arc::clone(&publication),
            Arc::clone(&self.broker),
            parking.clone(),
        );
        self.publications.push(Arc::clone(&publication));
        let of_topic = |topic: &Topic| self.metrics(topic.name(), &format!("relay/{name}"));
        let own: Vec<_> = publication.topics.iter().map(of_topic).collect();
        // The state of the circuit and the number of dead letters are those of the relay: the handles of any topic have them.
        let metrics = own.first().map_or_else(|| self.metrics("", &format!("relay/{name}")), Arc::clone);
        let broker = Arc::clone(&self.broker);
        let sink = RelaySink::new(publication, broker, parking.clone(), circuit.clone(), own);
        self.consumers = self.consumers.consumer_of_kind(ConsumerKind::Relay, &name, source, sink).check(check(
            format!("relay:{name}:messages"),
            (parking, circuit, metrics),
            "the broker",
        ));
        self
    }

    /// Why a publication can't be published beside the earlier ones.
    fn refusal(&self, publication: &PublicationParts) -> Option<String> {
        if let Err(error) = publication.check_name() {
            return Some(error.to_string());
        }
        let collision = |other: &Arc<PublicationParts>| Some((Arc::clone(&other.name), publication.collides(other)?));
        let (other, topic) = self.publications.iter().find_map(collision)?;
        let name = &publication.name;
        Some(format!(
            "the publications {other} and {name} can make two messages of one event for topic {topic}, with the same id: a \
             broker would keep the first alone; give one of them another topic, or map the event in one publication"
        ))
    }

    fn refuse(mut self, name: &str, refusal: String) -> Self {
        let (name, since) = (format!("relay:{}", name.escape_debug()), Timestamp::now());
        tracing::error!(service = &*self.name, name, refusal, "a publication is refused");
        let check = Check { name, status: Condition::Failing, since, message: Some(refusal) };
        self.consumers = self.consumers.check(move || check.clone());
        self
    }

    /// Handles the messages of a topic. The inbox is a consumer of kind [`Inbox`](ConsumerKind::Inbox).
    pub fn subscribe(mut self, subscriber: Subscriber) -> Self {
        let parts = subscriber.0;
        let (name, circuit) = (parts.name(), Circuit::new(parts.circuit));
        self.plan.bindings.push(parts.binding.clone());
        self.plan.topics.extend_from_slice(&parts.topics);
        self.manifest.subscribes(&parts.binding, &parts.handlers, &self.recount);
        self.manifest.publishes(&name, &parts.topics, None);
        let parking = Parking::new(Arc::clone(self.recount.store()), &name);
        let declared = Declared {
            binding: parts.binding.clone(),
            topics: parts.topics.clone(),
            only_existing: self.only_existing,
        };
        let source = InboxSource::new(Arc::clone(&self.broker), declared, parking.clone());
        let forwarder = self.forwarder(&parts.topics, &name);
        let metrics = self.metrics(parts.binding.topic.name(), &name);
        let (recount, own) = (self.recount.clone(), Arc::clone(&metrics));
        let sink = InboxSink::new(recount, parts, parking.clone(), circuit.clone(), (self.replier(), forwarder), own);
        self.consumers = self.consumers.consumer_of_kind(ConsumerKind::Inbox, &name, source, sink).check(check(
            format!("inbox:{name}:messages"),
            (parking, circuit, metrics),
            "what the handlers call",
        ));
        self
    }

    fn metrics(&self, topic: &str, consumer: &str) -> Arc<MessageMetrics> {
        Arc::new(self.recount.message_metrics(self.broker.system(), topic, consumer))
    }

    fn forwarder(&self, topics: &[Topic], consumer: &str) -> Arc<Forwarder> {
        let metrics = topics.iter().map(|topic| (topic.name().to_owned(), self.metrics(topic.name(), consumer)));
        Arc::new(Forwarder {
            broker: Arc::clone(&self.broker),
            service: Arc::clone(&self.name),
            turns: Arc::clone(&self.turns),
            metrics: metrics.collect(),
        })
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

    /// Sets the version of the program, for its announcements: `env!("CARGO_PKG_VERSION")`.
    pub fn version(mut self, version: &str) -> Self {
        self.manifest.version = Some(version.to_owned());
        self
    }

    /// Names this instance in its announcements, such as by its host: 1 to 64 ASCII letters, digits, `-` and `_`. Instances
    /// that run at once need different names. Unless set, each start makes a new one.
    ///
    /// # Errors
    /// [`NameError`] if the name is none.
    pub fn instance(mut self, name: &str) -> Result<Self, NameError> {
        check_instance(name)?;
        name.clone_into(&mut self.manifest.instance);
        Ok(self)
    }

    /// Sets how often the service announces itself, 1 to 180 seconds. Each 10 seconds unless set. Its announcement expires
    /// after three intervals.
    pub fn announce_every(mut self, interval: Duration) -> Self {
        self.announced = Some(clamped(interval));
        self
    }

    /// Does not announce the service: observers do not know of it.
    pub fn unannounced(mut self) -> Self {
        self.announced = None;
        self
    }

    /// The description of the service as it is set up so far, without asking the broker.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Starts its consumers. They declare their objects at the broker, and wait for a broker that can't be reached. Unless
    /// it is [unannounced](Self::unannounced), a consumer of kind [`Announcer`](ConsumerKind::Announcer) announces the
    /// service; its failures are logged and disturb nothing else.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(self) -> Consumers {
        let Self { recount, broker, name, mut consumers, manifest, announced, found, .. } = self;
        if let Some(interval) = announced {
            let (ticks, sink) = announcer(recount, broker, (manifest, found), interval);
            consumers = consumers.consumer_of_kind(ConsumerKind::Announcer, &name, ticks, sink);
        }
        consumers.start()
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
