//! Publications: which events of a service become which messages.

use std::collections::BTreeSet;
use std::sync::Arc;

use recount_core::{Aggregate, BoxError, Command, Event, EventType, NameError, Published, Query, RecordedEvent};

use super::RoutedPublication;
use crate::envelope::without_control;
use crate::presence::written;
use crate::route::Draft;
use crate::{CircuitSettings, Message, MessageType, Topic};

/// The message of an event, if it is published.
pub(super) type Map = dyn Fn(&RecordedEvent) -> Result<Option<Draft>, BoxError> + Send + Sync;

/// The events of a service that become messages of a topic. For several topics see [`to`](Self::to).
///
/// ```
/// # extern crate recount_core as recount;
/// use recount::Event;
/// use recount_messaging::{Publication, Topic};
///
/// /// Private: it changes with the code of the service.
/// #[derive(Event, Clone)]
/// #[event(name = "order")]
/// enum OrderEvent {
///     Placed { customer: String, note: String },
///     Repriced { cents: u64 },
/// }
///
/// /// Published: a contract with other services.
/// #[derive(Event, Clone)]
/// #[event(name = "orders", published)]
/// enum OrderMessage {
///     Placed { customer: String },
/// }
///
/// let orders = Publication::new("orders", Topic::new("orders")?).map(|event: &OrderEvent, _| match event {
///     OrderEvent::Placed { customer, .. } => Some(OrderMessage::Placed { customer: customer.clone() }),
///     OrderEvent::Repriced { .. } => None,
/// });
/// # drop(orders);
/// # Ok::<(), recount::NameError>(())
/// ```
///
/// A private event is not published by accident:
///
/// ```compile_fail,E0277
/// # extern crate recount_core as recount;
/// # use recount::Event;
/// # use recount_messaging::{Publication, Topic};
/// # #[derive(Event, Clone)]
/// # #[event(name = "order")]
/// # enum OrderEvent { Placed }
/// Publication::new("orders", Topic::new("orders")?).map(|event: &OrderEvent, _| Some(event.clone()));
/// # Ok::<(), recount::NameError>(())
/// ```
#[must_use = "a publication does nothing until it is started"]
pub struct Publication {
    name: Arc<str>,
    topic: Topic,
    circuit: CircuitSettings,
}

/// A publication with its mapping.
#[must_use = "a publication does nothing until it is started"]
pub struct PublicationParts {
    pub(crate) name: Arc<str>,
    pub(crate) topics: Vec<Topic>,
    pub(crate) circuit: CircuitSettings,
    pub(crate) query: Query,
    /// Whether its messages may have the ids of their events.
    pub(crate) has_event_ids: bool,
    /// The types of its messages, if its mapping has a type for them.
    pub(crate) types: Option<Vec<MessageType>>,
    pub(super) map: Arc<Map>,
}

impl Publication {
    /// A publication to a topic. The name is that of its checkpoint: under another name all events are published again. A
    /// name that is empty or has a control character is [refused](crate::Service::publish).
    pub fn new(name: &str, topic: Topic) -> Self {
        Self { name: name.into(), topic, circuit: CircuitSettings::default() }
    }

    /// A publication to several topics: its mapping chooses one of them for each message, by the event's content. The name is
    /// that of its checkpoint.
    pub fn to<const N: usize>(name: &str, topics: [Topic; N]) -> RoutedPublication<N> {
        RoutedPublication::new(name, topics)
    }

    fn routed(self) -> RoutedPublication<1> {
        let Self { name, topic, circuit } = self;
        RoutedPublication { name, topics: [topic], circuit }
    }

    /// When the circuit to the broker opens: no message is published while it can't be reached.
    pub fn circuit(mut self, settings: CircuitSettings) -> Self {
        self.circuit = settings;
        self
    }

    /// Maps private events to published ones. `None` is not published. The key is the event's stream.
    pub fn map<E: Event, M: Published>(
        self,
        map: impl Fn(&E, &RecordedEvent) -> Option<M> + Send + Sync + 'static,
    ) -> PublicationParts {
        self.map_keyed(move |event: &E, recorded| Some((recorded.stream.to_string(), map(event, recorded)?)))
    }

    /// Maps private events to published ones with a key each: messages with the same key keep the order of their events.
    pub fn map_keyed<E: Event, M: Published>(
        self,
        map: impl Fn(&E, &RecordedEvent) -> Option<(String, M)> + Send + Sync + 'static,
    ) -> PublicationParts {
        let parts = self.routed().route(move |event: &E, recorded, [topic]| {
            let (key, message) = map(event, recorded)?;
            Some(topic.event(&message).keyed(key))
        });
        PublicationParts { types: Some(written(M::variants())), ..parts }
    }

    /// Maps private events to commands of another service, which [takes](crate::Subscriber::commands) them from the topic.
    /// `None` sends nothing.
    ///
    /// The idempotency key of a command is made from the event's id, the command's type and its aggregate. So the command
    /// takes effect once, however often it is published to this topic. Commands for the same aggregate keep the order of their events. No reply is asked for:
    /// a refusal is an outcome at the other service.
    ///
    /// ```
    /// # extern crate recount_core as recount;
    /// # use recount::{Aggregate, Apply, Command, Event, Handle};
    /// # use recount_messaging::{Publication, Topic};
    /// # #[derive(Event, Clone)]
    /// # #[event(name = "order")]
    /// # enum OrderEvent { Placed { order: String, cents: u64 }, Noted }
    /// # #[derive(Event, Clone)]
    /// # #[event(name = "payment")]
    /// # enum PaymentEvent { Captured }
    /// # #[derive(Command, Clone)]
    /// # #[command(aggregate = Payment)]
    /// # struct Capture { #[command(id)] order: String, cents: u64 }
    /// # #[derive(Aggregate, Clone, Default)]
    /// # #[aggregate(name = "payment", id = String, event = PaymentEvent, error = std::convert::Infallible, commands(Capture))]
    /// # struct Payment;
    /// # impl Apply for Payment { fn apply(&mut self, _: &PaymentEvent) {} }
    /// # impl Handle<Capture> for Payment {
    /// #     fn handle(&self, _: Capture) -> Result<Vec<PaymentEvent>, std::convert::Infallible> { Ok(vec![]) }
    /// # }
    /// let captures = Publication::new("captures", Topic::new("payment-commands")?);
    /// let captures = captures.commands(|event: &OrderEvent, _| match event {
    ///     OrderEvent::Placed { order, cents } => Some(Capture { order: order.clone(), cents: *cents }),
    ///     OrderEvent::Noted => None,
    /// });
    /// # drop(captures);
    /// # Ok::<(), recount::NameError>(())
    /// ```
    pub fn commands<E: Event, C: Command>(
        self,
        map: impl Fn(&E, &RecordedEvent) -> Option<C> + Send + Sync + 'static,
    ) -> PublicationParts {
        let name = format!("{}.{}", <C::Aggregate as Aggregate>::NAME, C::NAME);
        let parts =
            self.routed().route(move |event: &E, recorded, [topic]| Some(topic.command(&map(event, recorded)?)));
        PublicationParts { types: Some(vec![MessageType { name, version: 1 }]), has_event_ids: false, ..parts }
    }

    /// Publishes events that are published types themselves.
    pub fn events<E: Published + Clone>(self) -> PublicationParts {
        self.map(|event: &E, _| Some(event.clone()))
    }
}

impl PublicationParts {
    pub(crate) fn check_name(&self) -> Result<(), NameError> {
        let kind = "publication's name";
        if self.name.is_empty() { Err(NameError::Empty { kind }) } else { without_control(kind, &self.name) }
    }

    /// Whether two messages of one event could meet in a topic: with the event's id both, so that a broker or a receiver would
    /// take the second one for the first.
    pub(crate) fn collides(&self, other: &Self) -> Option<&Topic> {
        if !(self.has_event_ids && other.has_event_ids) {
            return None;
        }
        let types = |parts: &Self| -> BTreeSet<EventType> {
            parts.query.items.iter().flat_map(|item| item.event_types.iter().cloned()).collect()
        };
        let (own, others) = (types(self), types(other));
        // An item without types selects events of any type.
        let any =
            [self, other].into_iter().any(|parts| parts.query.items.iter().any(|item| item.event_types.is_empty()));
        let shared = any || !own.is_disjoint(&others);
        self.topics.iter().find(|topic| shared && other.topic_of_name(topic.name()).is_some())
    }

    /// The number of the topic and the message of an event.
    pub(crate) fn message(&self, source: &str, recorded: &RecordedEvent) -> Result<Option<(usize, Message)>, BoxError> {
        let Some(draft) = (self.map)(recorded)? else { return Ok(None) };
        let topic = draft.topic;
        Ok(Some((topic, draft.of_event(source, recorded)?)))
    }

    /// The number of the topic of this name.
    pub(crate) fn topic_of_name(&self, name: &str) -> Option<usize> {
        self.topics.iter().position(|topic| topic.name() == name)
    }
}
