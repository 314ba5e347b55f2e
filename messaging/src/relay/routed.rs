//! Publications to several topics.

use std::sync::Arc;

use recount_core::{BoxError, Event, RecordedEvent};

use super::PublicationParts;
use crate::route::{Draft, Route, Routed, routes};
use crate::{CircuitSettings, Topic};

/// A publication to several topics: its mapping chooses the topic of each message.
///
/// ```
/// # extern crate recount_core as recount;
/// # use recount::Event;
/// use recount_messaging::{Publication, Topic};
/// # #[derive(Event, Clone)]
/// # #[event(name = "orders", published)]
/// # enum OrderMessage { Placed { country: String }, Cancelled }
///
/// let topics = [Topic::new("orders")?, Topic::new("orders-abroad")?];
/// let orders = Publication::to("orders", topics).route(|event: &OrderMessage, _, [inland, abroad]| {
///     Some(match event {
///         OrderMessage::Placed { country } if country != "SE" => abroad.event(event),
///         OrderMessage::Placed { .. } | OrderMessage::Cancelled => inland.event(event),
///     })
/// });
/// # drop(orders);
/// # Ok::<(), recount::NameError>(())
/// ```
///
/// The mapping gets as many routes as there are topics, so that it can't choose an undeclared one:
///
/// ```compile_fail,E0527
/// # extern crate recount_core as recount;
/// # use recount::Event;
/// # use recount_messaging::{Publication, Topic};
/// # #[derive(Event, Clone)]
/// # #[event(name = "orders", published)]
/// # enum OrderMessage { Placed }
/// # let topics = [Topic::new("orders")?, Topic::new("orders-abroad")?];
/// let orders = Publication::to("orders", topics)
///     .route(|event: &OrderMessage, _, [inland, abroad, elsewhere]| Some(elsewhere.event(event)));
/// # Ok::<(), recount::NameError>(())
/// ```
///
/// Neither can it return a route of another call, or of another publication:
///
/// ```compile_fail,E0521
/// # extern crate recount_core as recount;
/// # use recount::Event;
/// # use recount_messaging::{Publication, Route, Topic};
/// # #[derive(Event, Clone)]
/// # #[event(name = "orders", published)]
/// # enum OrderMessage { Placed }
/// # let topics = [Topic::new("orders")?, Topic::new("orders-abroad")?];
/// let kept = std::sync::Mutex::new(None::<Route<'_>>);
/// let orders = Publication::to("orders", topics).route(move |event: &OrderMessage, _, [inland, _]| {
///     kept.lock().unwrap().replace(inland).map(|earlier| earlier.event(event))
/// });
/// # Ok::<(), recount::NameError>(())
/// ```
#[must_use = "a publication does nothing until it is started"]
pub struct RoutedPublication<const N: usize> {
    pub(super) name: Arc<str>,
    pub(super) topics: [Topic; N],
    pub(super) circuit: CircuitSettings,
}

impl<const N: usize> RoutedPublication<N> {
    pub(super) fn new(name: &str, topics: [Topic; N]) -> Self {
        Self { name: name.into(), topics, circuit: CircuitSettings::default() }
    }

    /// When the circuit to the broker opens: no message is published while it can't be reached. All topics share it.
    pub fn circuit(mut self, settings: CircuitSettings) -> Self {
        self.circuit = settings;
        self
    }

    /// Maps events to messages, each for one of the topics: a published event ([`Route::event`]) or a command
    /// ([`Route::command`]). `None` is not published.
    ///
    /// The order of a key is kept within a topic. A message that the broker refuses holds up its key in its topic alone.
    ///
    /// Content that can't be written as JSON stops the relay, as a defect of the program.
    pub fn route<E: Event>(
        self,
        map: impl for<'r> Fn(&E, &RecordedEvent, [Route<'r>; N]) -> Option<Routed<'r>> + Send + Sync + 'static,
    ) -> PublicationParts {
        let Self { name, topics, circuit } = self;
        let map = move |recorded: &RecordedEvent| -> Result<Option<Draft>, BoxError> {
            let event = E::from_recorded(recorded)?;
            Ok(map(&event, recorded, routes()).map(Routed::into_draft))
        };
        let topics = topics.into();
        PublicationParts {
            name,
            topics,
            circuit,
            query: E::query(),
            types: None,
            has_event_ids: true,
            map: Arc::new(map),
        }
    }
}
