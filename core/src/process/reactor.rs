//! The reactor: takes the inputs of a process, each in the lane of its instance, and records the steps.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;

use futures_util::StreamExt;
use smol_str::{SmolStr, ToSmolStr};

use super::decide::{Heard, OrderKind, Turn};
use super::desk::{After, Desk};
use super::instance::NoStep;
use super::ledger::Mode;
use super::record::{Record, RefusedRecord, types};
use super::start::{StartAt, start_of};
use super::{Process, Route, Routed};
use crate::store::RESERVED;
use crate::{
    BoxError, Checkpoint, Delivered, Event, EventType, Filter, Lane, Metadata, Position, Query, QueryItem, ReadAll,
    RecordedEvent, Sink, Source, StoreSource, Timestamp,
};

/// The events that a process hears: its inputs, and the refusals and orders in its own streams.
fn query<P: Process>() -> Query {
    let own = [types::REFUSED, types::REDRIVE].map(EventType::from_static).to_vec();
    P::Input::query().or(QueryItem { event_types: own, category: Some(P::NAME.into()), ..QueryItem::default() })
}

/// The inputs of a process, each once for every instance that it is for.
pub(super) struct Inputs<P: Process> {
    events: StoreSource,
    desk: Arc<Desk<P>>,
    start: StartAt,
    ready: VecDeque<Delivered<Self>>,
}

/// An input for an instance.
pub(super) struct Arrival<P: Process> {
    instance: SmolStr,
    what: Arrived<P>,
    recorded: Arc<RecordedEvent>,
}

enum Arrived<P: Process> {
    Input { input: Arc<P::Input>, starts: bool },
    Refused(Arc<RefusedRecord>),
    Redrive,
}

impl<P: Process> Inputs<P> {
    pub(super) fn new(desk: Arc<Desk<P>>, reader: String, start: StartAt) -> Self {
        let events = StoreSource::new(Arc::clone(&desk.engine.store), reader, query::<P>());
        Self { events, desk, start, ready: VecDeque::new() }
    }
}

/// The instances that an event is for.
fn arrivals<P: Process>(recorded: RecordedEvent) -> Result<Vec<Arrival<P>>, BoxError> {
    let data = &recorded.data;
    let event_type = data.event_type.as_str();
    if event_type.starts_with(RESERVED) {
        let what = match Record::decode(event_type, data.schema_version, &data.payload)? {
            Record::Refused(refused) => Arrived::Refused(Arc::new(refused)),
            Record::Redrive(_) => Arrived::Redrive,
            _ => return Ok(Vec::new()),
        };
        return Ok(vec![Arrival { instance: SmolStr::new(recorded.stream.id()), what, recorded: Arc::new(recorded) }]);
    }
    let input = P::Input::from_recorded(&recorded)?;
    let mut routed = Routed::new();
    input.route(&mut routed);
    let (input, recorded) = (Arc::new(input), Arc::new(recorded));
    let arrival = |target: super::route::Target<P::Id>| Arrival {
        instance: target.id.to_smolstr(),
        what: Arrived::Input { input: Arc::clone(&input), starts: target.starts },
        recorded: Arc::clone(&recorded),
    };
    Ok(routed.into_targets().into_iter().map(arrival).collect())
}

impl<P: Process> Source for Inputs<P> {
    type Item = Arrival<P>;
    type Mark = Checkpoint;
    type Ticket = ();

    const FOLLOWS_STORE: bool = true;

    fn filter(&self) -> Filter {
        self.events.filter()
    }

    async fn open(&mut self, after: Option<Checkpoint>) -> Result<(), BoxError> {
        self.ready.clear();
        let after = match after {
            Some(after) => after,
            None => start_of::<P>(&*self.desk.engine.store, self.start).await?.into(),
        };
        self.events.open(Some(after)).await
    }

    async fn next(&mut self) -> Result<Delivered<Self>, BoxError> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Ok(ready);
            }
            let (item, mark) = match self.events.next().await? {
                Delivered::CaughtUp { mark } => return Ok(Delivered::CaughtUp { mark }),
                Delivered::Item { item, mark, .. } => (item, mark),
            };
            let arrivals = arrivals::<P>(item)?;
            // The mark is reached when the last instance has taken the input.
            let last = arrivals.len().saturating_sub(1);
            let marks = (0..arrivals.len()).map(|index| mark.filter(|_| index == last));
            let items = arrivals.into_iter().zip(marks).map(|(item, mark)| Delivered::Item {
                lane: Lane::of(&item.instance),
                item,
                ticket: (),
                mark,
            });
            self.ready.extend(items);
        }
    }

    fn complete(&self, mark: Checkpoint) -> impl Future<Output = Result<Checkpoint, BoxError>> + Send + 'static {
        self.events.complete(mark)
    }

    fn position(mark: &Checkpoint) -> Position {
        mark.position
    }
}

/// Records the steps that follow from inputs.
pub(super) struct Reactor<P: Process> {
    desk: Arc<Desk<P>>,
}

impl<P: Process> Reactor<P> {
    pub(super) const fn new(desk: Arc<Desk<P>>) -> Self {
        Self { desk }
    }

    /// Takes an input. Returns whether the instance could go on with the next.
    async fn step(&self, arrival: &Arrival<P>, turn: Turn) -> Result<bool, BoxError> {
        let Arrival { instance, what, recorded } = arrival;
        let (position, at) = (recorded.position, recorded.recorded_at);
        if let Err(error) = Desk::<P>::stream(instance) {
            // No instance can have this id, so there is nothing to park.
            tracing::error!(process = P::NAME, %position, %error, "the input names an impossible instance");
            self.desk.counts.no_step(&NoStep::Unknown);
            return Ok(true);
        }
        let kind = match what {
            Arrived::Input { input, starts } => OrderKind::Input(Heard {
                input: Arc::clone(input),
                position,
                event: recorded.data.id,
                event_type: recorded.data.event_type.as_str().into(),
                at,
                starts: *starts,
                turn,
            }),
            Arrived::Refused(refused) => {
                OrderKind::Refusal { position, at, refused: Arc::clone(refused), redriven: turn == Turn::Redriven }
            }
            Arrived::Redrive => return Ok(true),
        };
        let metadata = Metadata::caused_by(recorded);
        match self.desk.decide(instance, kind, &metadata).await? {
            Ok(After { started: false, .. }) => self.desk.counts.no_step(&NoStep::Unknown),
            Ok(After { held, .. }) => {
                self.count(arrival);
                if turn != Turn::Held {
                    return self.take_held(instance, held).await;
                }
            }
            Err(NoStep::Failed(error)) => {
                return Ok(!self.desk.park(instance, Some(position), &error, &metadata).await?);
            }
            Err(no_step) => {
                self.desk.counts.no_step(&no_step);
                if no_step == NoStep::Unexpected {
                    let event_type = &recorded.data.event_type;
                    tracing::info!(process = P::NAME, %instance, %position, %event_type, "unexpected input");
                }
                // The program may have died between a start and the inputs that were held for it.
                if no_step == NoStep::Duplicate
                    && let Arrived::Input { starts: true, .. } = arrival.what
                    && turn != Turn::Held
                {
                    let loaded = self.desk.load_or_park(instance, &metadata).await?;
                    let Some(loaded) = loaded else { return Ok(false) };
                    return self.take_held(instance, loaded.ledger.held).await;
                }
            }
        }
        Ok(true)
    }

    fn count(&self, arrival: &Arrival<P>) {
        let counts = &self.desk.counts;
        counts.step(if matches!(arrival.what, Arrived::Refused(_)) { "refusal" } else { "input" });
        if counts.metrics().enabled() {
            let passed = Timestamp::now().duration_since(arrival.recorded.recorded_at);
            counts.metrics().reaction_time(passed.try_into().unwrap_or_default());
        }
    }

    /// Takes the inputs that were held until the instance started.
    async fn take_held(&self, instance: &SmolStr, held: Vec<Position>) -> Result<bool, BoxError> {
        for position in held {
            for arrival in self.read(instance, before(position), position).await? {
                if !Box::pin(self.step(&arrival, Turn::Held)).await? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Handles the inputs that wait since the instance was parked, in order, and then lets it go on. The order to do so has a
    /// position of its own: later inputs follow in the same lane.
    async fn redrive(&self, instance: &SmolStr, ordered: &RecordedEvent) -> Result<(), BoxError> {
        let metadata = Metadata::caused_by(ordered);
        let loaded = self.desk.load_or_park(instance, &metadata).await?;
        let Some(ledger) = loaded.map(|loaded| loaded.ledger) else { return Ok(()) };
        // An order is about a failure before it. For a later one the inputs behind it are not read here.
        let Some(halt) = ledger.parked.filter(|halt| halt.version < ordered.version.get()) else { return Ok(()) };
        if ledger.mode != Mode::New && !self.take_held(instance, ledger.held).await? {
            return Ok(());
        }
        let after = before(halt.position).max(ledger.last);
        for arrival in self.read(instance, after, before(ordered.position)).await? {
            if !self.step(&arrival, Turn::Redriven).await? {
                return Ok(());
            }
        }
        if let Err(NoStep::Failed(error)) =
            self.desk.decide(instance, OrderKind::Resume { parked: halt.version }, &metadata).await?
        {
            self.desk.park(instance, None, &error, &metadata).await?;
        }
        Ok(())
    }

    /// The inputs of an instance behind a position, up to another.
    async fn read(&self, instance: &SmolStr, after: Position, to: Position) -> Result<Vec<Arrival<P>>, BoxError> {
        let read = ReadAll { after, to, ..ReadAll::new(query::<P>()) };
        let mut events = self.desk.engine.store.read_all(read);
        let mut found = Vec::new();
        while let Some(event) = events.next().await {
            found.extend(arrivals::<P>(event?)?.into_iter().filter(|arrival| arrival.instance == *instance));
        }
        Ok(found)
    }
}

/// The position before this one.
fn before(position: Position) -> Position {
    Position::new(position.get().saturating_sub(1))
}

impl<P: Process> Sink for Reactor<P> {
    type Item = Arrival<P>;

    async fn take(&self, arrival: &Arrival<P>) -> Result<(), BoxError> {
        match arrival.what {
            Arrived::Redrive => self.redrive(&arrival.instance, &arrival.recorded).await,
            Arrived::Input { .. } | Arrived::Refused(_) => self.step(arrival, Turn::Delivered).await.map(drop),
        }
    }

    fn event<'i>(&self, arrival: &'i Arrival<P>) -> Option<&'i RecordedEvent> {
        Some(&arrival.recorded)
    }
}
