//! Values that JSON does not preserve are neither appended nor kept in a snapshot.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

use std::convert::Infallible;

use recount_core::{
    Aggregate, Apply, Command, Context, Decision, DecodeError, DispatchError, EncodeError, Event, EventData,
    EventStore, EventType, EventVariant, Handle, Id, NameError, Query, Recount, StateStore, codec,
};
use recount_store_memory::MemoryStore;
use recount_testing::{FaultyStore, Operation};

#[derive(Id, Clone, Debug, PartialEq, Eq, Hash)]
struct SensorId(String);

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "sensor")]
enum SensorEvent {
    Measured { value: f64 },
}

#[derive(Command, Clone, Debug)]
#[command(aggregate = Sensor)]
struct Measure {
    #[command(id)]
    sensor: SensorId,
    values: Vec<f64>,
}

#[derive(Aggregate, Clone, Debug, Default, PartialEq)]
#[aggregate(name = "sensor", id = SensorId, event = SensorEvent, error = Infallible, commands(Measure),
            snapshot(every = 2, version = 1))]
struct Sensor {
    sum: f64,
    most: Option<f64>,
}

impl Apply for Sensor {
    fn apply(&mut self, SensorEvent::Measured { value }: &SensorEvent) {
        self.sum += value;
        self.most = Some(self.sum.max(self.most.unwrap_or(f64::MIN)));
    }
}

impl Handle<Measure> for Sensor {
    fn handle(&self, Measure { values, .. }: Measure) -> Result<Vec<SensorEvent>, Infallible> {
        Ok(values.into_iter().map(|value| SensorEvent::Measured { value }).collect())
    }
}

fn id() -> SensorId {
    SensorId::from("a".to_owned())
}

fn measure(values: &[f64]) -> Measure {
    Measure { sensor: id(), values: values.to_vec() }
}

/// Loads without a cache, as another process or a restarted one does.
async fn load_cold(store: &FaultyStore<MemoryStore>) -> Sensor {
    Recount::new(store.clone()).load::<Sensor>(&id()).await.unwrap()
}

#[tokio::test]
async fn an_event_that_could_not_be_read_is_refused_while_the_aggregate_is_warm() {
    let store = FaultyStore::new(MemoryStore::new());
    let recount = Recount::new(store.clone());
    let _ = recount.dispatch(measure(&[1.0])).await.unwrap();
    for value in [f64::NAN, f64::INFINITY] {
        let refused = recount.dispatch(measure(&[2.0, value])).await;
        let Err(DispatchError::Encode(EncodeError::Lossy { event_type: "sensor.measured", field, reason })) = refused
        else {
            panic!("{refused:?}; after a restart: {:?}", load_cold(&store).await);
        };
        assert_eq!(field, "value");
        assert!(reason.contains(if value.is_nan() { "NaN" } else { "inf" }), "{reason}");
    }
    let _ = recount.dispatch(measure(&[3.0])).await.unwrap();
    assert_eq!(load_cold(&store).await.sum, 4.0);
    assert_eq!(recount.load::<Sensor>(&id()).await.unwrap().sum, 4.0);
}

#[tokio::test]
async fn in_a_group_only_the_command_to_blame_is_refused() {
    let store = FaultyStore::new(MemoryStore::new());
    let recount = Recount::new(store.clone());
    let _ = recount.dispatch(measure(&[1.0])).await.unwrap();
    let all = futures_util::future::join_all((0..20).map(|index| {
        let value = if index == 7 { f64::NAN } else { 1.0 };
        let recount = recount.clone();
        async move { recount.dispatch(measure(&[value])).await }
    }))
    .await;
    let refused: Vec<_> = all.iter().enumerate().filter(|(_, outcome)| outcome.is_err()).map(|(at, _)| at).collect();
    assert_eq!(refused, [7]);
    assert_eq!(load_cold(&store).await.sum, 20.0);
}

#[tokio::test]
async fn a_state_that_could_not_be_read_is_not_kept_as_a_snapshot() {
    let store = FaultyStore::new(MemoryStore::new());
    let recount = Recount::new(store.clone());
    for _ in 0..4 {
        let _ = recount.dispatch(measure(&[f64::MAX])).await.unwrap();
    }
    // The sum has become infinite, and `most` too: as JSON it would be null, and read as `None`.
    let warm = recount.load::<Sensor>(&id()).await.unwrap();
    assert_eq!(warm.most, Some(f64::INFINITY));
    assert_eq!(load_cold(&store).await, warm);
    let key = recount_core::Namespace::SNAPSHOT.key("sensor/a").unwrap();
    assert_eq!(store.get(&key).await.unwrap(), None);
    // The snapshot is not retried for each command.
    store.reset_calls();
    let _ = recount.dispatch(measure(&[1.0])).await.unwrap();
    assert_eq!(store.calls(Operation::Put), 0);
}

/// Records a measurement without an aggregate.
struct Record(f64);

impl Decision for Record {
    type Event = SensorEvent;
    type State = ();
    type Error = Infallible;

    fn boundary(&self) -> Result<Query, NameError> {
        Ok(Query::types([EventType::new("sensor.measured")?]))
    }

    fn apply(&self, (): &mut (), _: &SensorEvent) {}

    fn decide(&self, (): &(), _: &Context<'_>) -> Result<Vec<SensorEvent>, Infallible> {
        Ok(vec![SensorEvent::Measured { value: self.0 }])
    }
}

#[tokio::test]
async fn a_decision_that_could_not_be_read_is_not_recorded() {
    let store = MemoryStore::new();
    let recount = Recount::new(store.clone());
    let _ = recount.decide(Record(1.0)).await.unwrap();
    let refused = recount.decide(Record(f64::NAN)).await;
    assert!(matches!(refused, Err(DispatchError::Encode(EncodeError::Lossy { .. }))), "{refused:?}");
    assert_eq!(store.head().await.unwrap().get(), 1);
    let _ = recount.decide(Record(2.0)).await.unwrap();
}

/// Written by hand: the check is part of `codec::to_json`.
#[derive(Debug)]
struct ByHand(Option<f64>);

impl Event for ByHand {
    fn variants() -> Vec<EventVariant> {
        Vec::new()
    }
    fn encode(&self) -> Result<EventData, EncodeError> {
        Ok(EventData::new(EventType::new("by.hand")?, codec::to_json("by.hand", &self.0)?))
    }
    fn decode(event_type: &str, schema_version: u32, payload: &[u8]) -> Result<Self, DecodeError> {
        codec::from_json(event_type, schema_version, payload).map(Self)
    }
}

#[test]
fn an_event_written_by_hand_is_checked_too() {
    for value in [None, Some(1.5)] {
        let data = ByHand(value).encode().unwrap();
        assert_eq!(ByHand::decode("by.hand", 1, &data.payload).unwrap().0, value);
    }
    let error = ByHand(Some(f64::NAN)).encode().unwrap_err();
    assert!(matches!(&error, EncodeError::Lossy { event_type: "by.hand", .. }), "{error:?}");
    assert!(codec::to_json_unchecked("by.hand", &f64::NAN).is_ok());
}
