//! The oracle: the promises that every log keeps, with any mishaps.

mod inputs;
mod outcomes;
mod steps;

use recount_core::{InstanceState, RecordedEvent};
use serde_json::Value;

use super::world::{PROCESS, World, text};

/// The events of one order.
pub(super) struct OrderLog {
    /// All of them.
    pub(super) all: Vec<RecordedEvent>,
    /// Those in the stream of its instance.
    pub(super) own: Vec<RecordedEvent>,
    pub(super) text: String,
}

impl OrderLog {
    pub(super) async fn of(world: &World, order: u64) -> Self {
        let id = order.to_string();
        let mut all = world.events().await;
        all.retain(|event| event.stream.id() == id);
        let own = all.iter().filter(|event| event.stream.category() == PROCESS).cloned().collect();
        let text = text(all.iter());
        Self { all, own, text }
    }

    /// The events of a type.
    pub(super) fn of_type<'a>(&'a self, event_type: &'a str) -> impl Iterator<Item = &'a RecordedEvent> {
        self.all.iter().filter(move |event| is(event, event_type))
    }
}

pub(super) fn is(event: &RecordedEvent, event_type: &str) -> bool {
    event.data.event_type.as_str() == event_type
}

pub(super) fn json(event: &RecordedEvent) -> Value {
    serde_json::from_slice(&event.data.payload).unwrap()
}

/// Counts of the events of one order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Books {
    pub reserved: usize,
    pub released: usize,
    pub captured: usize,
    pub refunded: usize,
    pub shipped: usize,
}

impl Books {
    /// The books of an order.
    pub async fn of(world: &World, order: u64) -> Self {
        Self::read(&OrderLog::of(world, order).await)
    }

    fn read(log: &OrderLog) -> Self {
        Self {
            reserved: log.of_type("suite_stock.reserved").count(),
            released: log.of_type("suite_stock.released").count(),
            captured: log.of_type("suite_payment.captured").count(),
            refunded: log.of_type("suite_payment.refunded").count(),
            shipped: log.of_type("suite_shipment.shipped").count(),
        }
    }
}

/// Checks the log of one order, with its instance over.
pub async fn check(world: &World, order: u64) {
    let log = OrderLog::of(world, order).await;
    let (books, text) = (Books::read(&log), &log.text);
    let status = world.status(order).await.unwrap();
    match status.state {
        InstanceState::Ended => {
            let expected = Books { reserved: 1, captured: 1, shipped: 1, ..Books::default() };
            assert_eq!(books, expected, "an order that ended is reserved, paid and shipped once:\n{text}");
        }
        InstanceState::Compensated => {
            assert_eq!(books.reserved, books.released, "each reservation is released once:\n{text}");
            assert_eq!(books.captured, books.refunded, "each payment is refunded once:\n{text}");
            assert_eq!(books.shipped, 0, "nothing is shipped:\n{text}");
        }
        state => panic!("order {order} is {state}:\n{text}"),
    }
    check_history(world, order).await;
    outcomes::check(world, &log).await;
}

/// Checks the log of one order, with its instance in any state.
pub async fn check_history(world: &World, order: u64) {
    let log = OrderLog::of(world, order).await;
    steps::check(&log);
    inputs::check(&log);
}

/// The log without ids and times: equal if two runs did the same.
pub async fn signature(world: &World) -> String {
    let line = |event: &RecordedEvent| {
        let mut payload = json(event);
        strip(&mut payload);
        format!("{} {} {} {payload}\n", event.position, event.stream, event.data.event_type)
    };
    world.events().await.iter().map(line).collect()
}

/// Removes the ids of events, and times.
fn strip(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| name != "event" && name != "due");
            members.values_mut().for_each(strip);
        }
        Value::Array(elements) => elements.iter_mut().for_each(strip),
        _ => {}
    }
}
