//! Steps: one for each input, in order, and one for each timer that fired.

use std::collections::BTreeMap;
use std::time::Duration;

use recount_core::{RecordedEvent, Timestamp};
use serde_json::Value;

use super::{OrderLog, is, json};
use crate::process::domain::{RESTOCK_TIME, payment_time};

/// The timers that are set, with their generations.
type Timers = BTreeMap<String, u64>;

/// Inputs are taken in order, each once. A timer fires once, not early, and only while it is set. It is set from the time of the
/// step's reason, by no other clock.
pub(super) fn check(log: &OrderLog) {
    let (mut last, mut started, mut pieces) = (0, 0, 0);
    let mut timers = Timers::new();
    for event in &log.own {
        if is(event, "suite_fulfilment.started") {
            pieces = u32::try_from(json(event)["pieces"].as_u64().unwrap()).unwrap();
            started += 1;
        }
        if !is(event, "recount.step") {
            continue;
        }
        let step = json(event);
        let why = &step["why"];
        match why["kind"].as_str().unwrap() {
            "input" | "refusal" => {
                let position = why["position"].as_u64().unwrap();
                assert!(position > last, "input {position} was taken after {last}:\n{}", log.text);
                last = position;
            }
            "timer" => fires(&mut timers, why, event, log),
            other => panic!("a step because of {other}:\n{}", log.text),
        }
        for cancelled in step["cancelled"].as_array().into_iter().flatten() {
            let removed = timers.remove(cancelled["timer"].as_str().unwrap());
            let generation = cancelled["generation"].as_u64();
            assert_eq!(removed, generation, "a timer was cancelled that was not set:\n{}", log.text);
        }
        for set in step["timers"].as_array().into_iter().flatten() {
            let timer = set["timer"].as_str().unwrap();
            let after = if timer == "restock" { RESTOCK_TIME } else { payment_time(pieces) };
            assert_eq!(time(&set["due"]), moment(why, log) + after, "{timer} is set by another clock:\n{}", log.text);
            timers.insert(timer.to_owned(), set["generation"].as_u64().unwrap());
        }
    }
    assert!(started <= 1, "the instance started {started} times:\n{}", log.text);
}

fn fires(timers: &mut Timers, why: &Value, event: &RecordedEvent, log: &OrderLog) {
    let (timer, generation) = (why["timer"].as_str().unwrap(), why["generation"].as_u64().unwrap());
    assert_eq!(timers.remove(timer), Some(generation), "a timer fired that was not set:\n{}", log.text);
    // The clock of a store may be behind that of its events by a bit.
    let slack = Duration::from_millis(1);
    assert!(time(&why["due"]) <= event.recorded_at + slack, "a timer fired early:\n{}", log.text);
}

/// The time of a step's reason.
fn moment(why: &Value, log: &OrderLog) -> Timestamp {
    match why["position"].as_u64() {
        None => time(&why["due"]),
        Some(position) => {
            log.all.iter().find(|event| event.position.get() == position).expect("the input is in the log").recorded_at
        }
    }
}

fn time(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}
