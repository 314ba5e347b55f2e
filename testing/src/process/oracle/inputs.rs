//! Inputs: each led to a step, or there is a reason in the log why not.

use std::collections::BTreeMap;

use recount_core::RecordedEvent;

use super::{OrderLog, is, json};

/// The types of the inputs of the process.
const INPUTS: &[&str] = &[
    "suite_order.placed",
    "suite_order.cancelled",
    "suite_order.noted",
    "suite_order.extended",
    "suite_stock.reserved",
    "suite_payment.captured",
    "suite_shipment.shipped",
];

/// The positions of the inputs in the steps, and of those that the process ignores, are exactly the positions that the routes
/// select.
pub(super) fn check(log: &OrderLog) {
    let steps: BTreeMap<u64, &RecordedEvent> = log
        .own
        .iter()
        .filter(|event| is(event, "recount.step"))
        .filter_map(|step| Some((json(step)["why"]["position"].as_u64()?, step)))
        .collect();
    for input in log.all.iter().filter(|event| is_input(event)) {
        let position = input.position.get();
        if steps.contains_key(&position) {
            continue;
        }
        // It was taken before the step of a later input.
        let before = steps.range(position..).next().map_or(u64::MAX, |(_, step)| step.version.get());
        assert!(
            log.own.iter().take_while(|event| event.version.get() < before).any(|event| excuses(event, input)),
            "input {position} was not taken:\n{}",
            log.text
        );
    }
    for position in steps.keys() {
        let input = log.all.iter().find(|event| event.position.get() == *position);
        assert!(input.is_some_and(is_input), "{position} is no input:\n{}", log.text);
    }
}

fn is_input(event: &RecordedEvent) -> bool {
    let refused = is(event, "recount.request_refused") && json(event)["undo"].is_null();
    refused || INPUTS.iter().any(|input| is(event, input))
}

/// Whether the process could ignore the input after this event of the instance.
fn excuses(event: &RecordedEvent, input: &RecordedEvent) -> bool {
    let over = is(event, "recount.compensated") || is(event, "recount.step") && json(event)["next"] == "end";
    let compensating = is(event, "recount.step") && json(event)["next"] == "compensate";
    over || compensating && (is(input, "recount.request_refused") || is(input, "suite_shipment.shipped"))
}
