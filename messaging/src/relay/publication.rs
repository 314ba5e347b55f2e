//! Publications: which events of a service become which messages.

use std::sync::Arc;

use recount_core::{BoxError, Event, EventData, Published, Query, RecordedEvent};

use crate::{CircuitSettings, Message, MessageId, Topic};

/// The message of an event, if it is published.
type Map = dyn Fn(&RecordedEvent) -> Result<Option<Mapped>, BoxError> + Send + Sync;

/// A published event before it gets an envelope.
struct Mapped {
    data: EventData,
    key: String,
}

/// The events of a service that become messages of a topic.
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
    pub(crate) topic: Topic,
    pub(crate) circuit: CircuitSettings,
    pub(crate) query: Query,
    map: Arc<Map>,
}

impl Publication {
    /// A publication to a topic. The name is that of its checkpoint: under another name all events are published again.
    pub fn new(name: &str, topic: Topic) -> Self {
        Self { name: name.into(), topic, circuit: CircuitSettings::default() }
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
        let Self { name, topic, circuit } = self;
        let map = move |recorded: &RecordedEvent| -> Result<Option<Mapped>, BoxError> {
            let event = E::from_recorded(recorded)?;
            let Some((key, message)) = map(&event, recorded) else { return Ok(None) };
            Ok(Some(Mapped { data: message.encode()?, key }))
        };
        PublicationParts { name, topic, circuit, query: E::query(), map: Arc::new(map) }
    }

    /// Publishes events that are published types themselves.
    pub fn events<E: Published + Clone>(self) -> PublicationParts {
        self.map(|event: &E, _| Some(event.clone()))
    }
}

impl PublicationParts {
    /// The message of an event: its id is the event's.
    pub(crate) fn message(&self, source: &Arc<str>, recorded: &RecordedEvent) -> Result<Option<Message>, BoxError> {
        let Some(Mapped { data, key }) = (self.map)(recorded)? else { return Ok(None) };
        let mut message =
            Message::new(MessageId::from(recorded.data.id), source, data.event_type.as_str(), data.payload);
        message.schema_version = data.schema_version;
        message.subject = Some(recorded.stream.to_string().into());
        message.time = Some(recorded.recorded_at);
        message.key = Some(key.into());
        message.metadata = recorded.data.metadata.clone();
        let id = message.id.as_str().into();
        message.metadata.correlation_id.get_or_insert(id);
        Ok(Some(message))
    }
}
