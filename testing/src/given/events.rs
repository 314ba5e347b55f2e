//! given / when / then for decisions and projections, which look at events of many streams.

use std::fmt::Debug;

use recount_core::{
    Context, Decision, Event, EventData, Metadata, Position, Projection, ReadModel, RecordedEvent, StreamId,
    StreamVersion, Timestamp,
};

use super::outcome::{Outcome, Refusal};
use super::storage::{causes, fail, stored};

/// A store in which these events happened, in this order.
///
/// # Panics
/// If an event can't be stored, or is another one when it is read again.
#[track_caller]
pub fn given_events<E: Event + Debug + PartialEq>(events: impl IntoIterator<Item = E>) -> GivenEvents {
    given_nothing().and(events)
}

/// A store in which nothing happened yet.
pub fn given_nothing() -> GivenEvents {
    GivenEvents { events: Vec::new(), now: Timestamp::UNIX_EPOCH, metadata: Metadata::default() }
}

/// A history of events of any type. See [`given_events`].
#[must_use = "say what is asked for: `when(…)` or `project(…)`"]
#[derive(Clone, Debug)]
pub struct GivenEvents {
    events: Vec<(EventData, Timestamp)>,
    now: Timestamp,
    metadata: Metadata,
}

impl GivenEvents {
    /// Then these events happened, perhaps of another type.
    ///
    /// # Panics
    /// If an event can't be stored, or is another one when it is read again.
    #[track_caller]
    pub fn and<E: Event + Debug + PartialEq>(mut self, events: impl IntoIterator<Item = E>) -> Self {
        for event in events {
            match stored(event) {
                (Some(data), _) => self.events.push((data, self.now)),
                (None, event) => fail(&format!("a retired event has no stored form to give: {event:#?}")),
            }
        }
        self
    }

    /// Sets the time for the following steps: the next given events were recorded then, and decisions see it as now.
    /// Before that it is the beginning of 1970.
    pub fn at(mut self, now: Timestamp) -> Self {
        self.now = now;
        self
    }

    /// Sets the metadata that decisions see.
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// Makes a decision. It sees exactly those events that its boundary selects, as it would in a store.
    ///
    /// # Panics
    /// If the boundary is invalid, or selects an event that the decision can't read.
    #[track_caller]
    pub fn when<D: Decision>(self, decision: D) -> Outcome<D::Event, D::Error> {
        let boundary = match decision.boundary() {
            Ok(boundary) => boundary.within(&D::Event::query()),
            Err(error) => fail(&format!("the decision has no valid boundary: {error}")),
        };
        let mut state = D::State::default();
        for event in self.recorded(|data| decision.stream(data)) {
            if boundary.matches(&event) {
                decision.apply(&mut state, &read(&event));
            }
        }
        let version = StreamVersion::EMPTY;
        let context = Context { now: self.now, stream: None, version, metadata: &self.metadata };
        let result = decision.decide(&state, &context).map_err(Refusal::Rejected);
        if let Ok(events) = &result {
            for data in events.iter().filter_map(|event| event.encode().ok()) {
                if let Err(error) = decision.stream(&data) {
                    fail(&format!("the decision has no valid stream for a {} event: {error}", data.event_type));
                }
            }
        }
        Outcome { result }
    }

    /// Lets a projection take the events into its read model, those that it listens to. Then assert on the model.
    ///
    /// Like a runner it keeps the checkpoint with the model, so given events are taken once, also in a second call
    /// with more of them.
    ///
    /// # Panics
    /// If the projection or the read model fails.
    pub async fn project<P: Projection>(&self, projection: &P, model: &P::ReadModel) {
        self.take(projection, model).await.unwrap_or_else(|problem| fail(&problem));
    }

    async fn take<P: Projection>(&self, projection: &P, model: &P::ReadModel) -> Result<(), String> {
        let name = projection.name();
        let query = P::Event::query();
        let fails = |what: &str, error: &(dyn std::error::Error + 'static)| {
            format!("projection {name}: {what} failed: {}", causes(error))
        };
        let (mut transaction, mut checkpoint) = model.begin(name).await.map_err(|error| fails("begin", &error))?;
        let setup = projection.setup(P::ReadModel::connection(&mut transaction)).await;
        setup.map_err(|error| fails("setup", &*error))?;
        let mut at = checkpoint;
        for event in self.recorded(|_| StreamId::new("given", "events")) {
            if event.position <= checkpoint.position || !query.matches(&event) {
                continue;
            }
            let connection = P::ReadModel::connection(&mut transaction);
            let handled = projection.on(&read(&event), &event, connection).await;
            handled.map_err(|error| fails(&format!("handling {}", event.data.event_type), &*error))?;
            at = event.position.into();
            model.commit(transaction, name, checkpoint, at).await.map_err(|error| fails("commit", &error))?;
            (transaction, checkpoint) = model.begin(name).await.map_err(|error| fails("begin", &error))?;
        }
        model.commit(transaction, name, checkpoint, at).await.map_err(|error| fails("commit", &error))
    }

    /// The events as a store would have recorded them.
    #[track_caller]
    fn recorded(&self, stream: impl Fn(&EventData) -> Result<StreamId, recount_core::NameError>) -> Vec<RecordedEvent> {
        let mut recorded: Vec<RecordedEvent> = Vec::with_capacity(self.events.len());
        for (data, recorded_at) in &self.events {
            let stream = match stream(data) {
                Ok(stream) => stream,
                Err(error) => fail(&format!("a given {} event has no valid stream: {error}", data.event_type)),
            };
            let version = recorded.iter().filter(|event| event.stream == stream).count() as u64 + 1;
            recorded.push(RecordedEvent {
                position: Position::new(recorded.len() as u64 + 1),
                stream,
                version: StreamVersion::new(version),
                recorded_at: *recorded_at,
                data: data.clone(),
            });
        }
        recorded
    }
}

#[track_caller]
fn read<E: Event>(event: &RecordedEvent) -> E {
    match E::from_recorded(event) {
        Ok(event) => event,
        Err(error) => fail(&format!("a given event can't be read by what listens to it: {}", causes(&error))),
    }
}
