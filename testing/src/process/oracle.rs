//! The oracle: what must hold of every log, whatever happened while it was written.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use recount_core::{IdempotencyKey, InstanceState, RecordedEvent};
use serde_json::Value;

use super::world::World;

/// Counts of the events of one order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Books {
    pub reserved: u32,
    pub released: u32,
    pub captured: u32,
    pub refunded: u32,
    pub shipped: u32,
}

impl Books {
    fn of(events: &[RecordedEvent], order: u64) -> Self {
        let id = order.to_string();
        let count = |event_type: &str| {
            let own = events.iter().filter(|event| event.stream.id() == id);
            u32::try_from(own.filter(|event| event.data.event_type.as_str() == event_type).count()).unwrap()
        };
        Self {
            reserved: count("suite_stock.reserved"),
            released: count("suite_stock.released"),
            captured: count("suite_payment.captured"),
            refunded: count("suite_payment.refunded"),
            shipped: count("suite_shipment.shipped"),
        }
    }
}

/// Checks the log of one order whose instance is over.
pub async fn check(world: &World, order: u64) {
    let events = world.events().await;
    let books = Books::of(&events, order);
    let status = world.status(order).await.unwrap();
    let log = world.log(order).await;
    match status.state {
        InstanceState::Ended => {
            let expected = Books { reserved: 1, captured: 1, shipped: 1, ..Books::default() };
            assert_eq!(books, expected, "an order that ended is reserved, paid and shipped once:\n{log}");
        }
        InstanceState::Compensated => {
            assert_eq!(books.reserved, books.released, "each reservation is released once:\n{log}");
            assert_eq!(books.captured, books.refunded, "each payment is refunded once:\n{log}");
            assert_eq!(books.shipped, 0, "nothing is shipped:\n{log}");
        }
        state => panic!("order {order} is {state}:\n{log}"),
    }
    let own: Vec<&RecordedEvent> = events
        .iter()
        .filter(|event| event.stream.category() == "suite_fulfilment" && event.stream.id() == order.to_string())
        .collect();
    steps(&own, &log);
    outcomes(world, &own, status.state, &log).await;
}

fn json(event: &RecordedEvent) -> Value {
    serde_json::from_slice(&event.data.payload).unwrap()
}

/// Each input led to one step, in order; each timer fired once, and only while it was set.
fn steps(own: &[&RecordedEvent], log: &str) {
    let mut last = 0;
    let mut timers: BTreeMap<String, u64> = BTreeMap::new();
    let mut started = BTreeSet::new();
    for event in own {
        match event.data.event_type.as_str() {
            "recount.step" => {}
            "suite_fulfilment.started" => {
                assert!(started.insert(event.stream.clone()), "the instance started twice:\n{log}");
                continue;
            }
            _ => continue,
        }
        let step = json(event);
        let why = &step["why"];
        match why["kind"].as_str().unwrap() {
            "input" | "refusal" => {
                let position = why["position"].as_u64().unwrap();
                assert!(position > last, "input {position} was taken after {last}:\n{log}");
                last = position;
            }
            "timer" => {
                let (timer, generation) = (why["timer"].as_str().unwrap(), why["generation"].as_u64().unwrap());
                assert_eq!(timers.remove(timer), Some(generation), "a timer fired that was not set:\n{log}");
                let due: recount_core::Timestamp = why["due"].as_str().unwrap().parse().unwrap();
                assert!(due <= event.recorded_at, "a timer fired early:\n{log}");
            }
            _ => {}
        }
        for cancelled in step["cancelled"].as_array().into_iter().flatten() {
            let removed = timers.remove(cancelled["timer"].as_str().unwrap());
            assert_eq!(removed, cancelled["generation"].as_u64(), "a timer was cancelled that was not set:\n{log}");
        }
        for set in step["timers"].as_array().into_iter().flatten() {
            timers.insert(set["timer"].as_str().unwrap().to_owned(), set["generation"].as_u64().unwrap());
        }
    }
}

/// Each request has one outcome: its effect, its refusal, or its withdrawal.
async fn outcomes(world: &World, own: &[&RecordedEvent], state: InstanceState, log: &str) {
    let mut refused: HashMap<String, u32> = HashMap::new();
    for event in own {
        if ["recount.request_refused", "recount.request_withdrawn"].contains(&event.data.event_type.as_str()) {
            let (request, undo) = (&json(event)["request"], &json(event)["undo"]);
            *refused.entry(format!("{}/{} {undo}", request["step"], request["index"])).or_default() += 1;
        }
    }
    assert!(refused.values().all(|count| *count == 1), "a request was refused or withdrawn twice: {refused:?}\n{log}");
    for event in own.iter().filter(|event| event.data.event_type.as_str() == "recount.step") {
        for index in 0..json(event)["requests"].as_array().map_or(0, Vec::len) {
            let key = format!("recount.process/{}/{}/{index}", event.stream, event.version);
            let first = world.store.find_append(&IdempotencyKey::from_stored(&key).unwrap()).await.unwrap();
            assert!(first.is_some(), "request {key} has no outcome, and the instance is {state}:\n{log}");
        }
    }
}
