//! The calls to the broker and its answers, by message: they tell where a message was lost.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use recount_messaging::{Delivery, Fate, Message, Outgoing, Settle, Settled, Signal};

/// The history of the messages and lanes of one seed.
pub(super) struct History {
    started: Instant,
    /// Lines by the order and number of a message, and those of lanes by an empty name.
    lines: Mutex<BTreeMap<String, Vec<String>>>,
}

impl History {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), lines: Mutex::default() }
    }

    fn note(&self, name: String, what: &dyn Debug) {
        let line = format!("{:.3} s: {what:?}", self.started.elapsed().as_secs_f64());
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default().push(line);
    }

    pub(super) fn published(&self, batch: &[Outgoing], fates: &[Fate]) {
        for (outgoing, fate) in batch.iter().zip(fates) {
            self.note(name_of(&outgoing.message), fate);
        }
    }

    /// Notes a delivery. Returns the name of its message.
    pub(super) fn delivered(&self, delivery: &Delivery) -> String {
        let name = delivery.message.as_ref().map_or_else(|error| format!("{error:?}"), name_of);
        self.note(name.clone(), &(&delivery.ticket, delivery.position));
        name
    }

    pub(super) fn settled(&self, name: String, settle: Settle, settled: &Settled) {
        self.note(name, &(settle, settled));
    }

    /// Notes news of lanes.
    pub(super) fn told(&self, signal: &Signal) {
        self.note(String::new(), signal);
    }

    /// The history of a message.
    pub(super) fn of_message(&self, order: &str, n: u32) -> Vec<String> {
        self.of(&name(order, &n.into()))
    }

    /// The history of the lanes.
    pub(super) fn of_lanes(&self) -> Vec<String> {
        self.of("")
    }

    fn of(&self, name: &str) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned().unwrap_or_default()
    }
}

fn name(order: &str, n: &serde_json::Value) -> String {
    format!("{order} {n}")
}

fn name_of(message: &Message) -> String {
    let data: serde_json::Value = serde_json::from_slice(&message.data).unwrap_or_default();
    name(data["order"].as_str().unwrap_or_default(), &data["n"])
}
