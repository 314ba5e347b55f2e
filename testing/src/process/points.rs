//! The crash points at calls of the store: at each, the program dies, pauses, or loses the answer, before and after the call.
//!
//! Points that are no call, or that need a story of their own, are in [`races`](super::races), [`outages`](super::outages) and
//! [`deploys`](super::deploys).

use std::sync::atomic::{AtomicBool, Ordering};

use super::mishap::{Mishap, play};
use super::scenario::Scenario;
use crate::store::Harness;
use crate::{Call, Operation};

type Fits = Box<dyn Fn(&Call<'_>) -> bool + Send>;

/// Plays the scenario with each mishap at the first call that fits, each with an order of its own.
async fn at_point(harness: &dyn Harness, scenario: Scenario, fits: impl Fn() -> Fits) {
    let store = harness.open().await;
    for (order, mishap) in (1..).zip(Mishap::ALL) {
        let happened = play(store.clone(), order, scenario, mishap, fits()).await;
        assert!(happened, "the program makes no such call: {scenario:?}, {mishap:?}");
    }
}

macro_rules! points {
    ($($(#[$doc:meta])* $name:ident: $scenario:ident at $fits:expr;)*) => {
        $($(#[$doc])*
        pub async fn $name(harness: &dyn Harness) {
            at_point(harness, Scenario::$scenario, || $fits).await;
        })*
    };
}

points! {
    /// Before the first step's append, and with its outcome unknown: the instance starts once.
    c01_the_first_step: Fulfilled at appends("suite_fulfilment.started");
    /// A step is recorded, and the reactor's checkpoint is not: the input comes again and is recognised.
    c02_the_reactors_checkpoint: Overdue at next(appends("suite_fulfilment.started"), puts_checkpoint(""));
    /// A later step's append has an unknown outcome: it is read again, and there is one step.
    c03_a_later_step: Fulfilled at appends("suite_fulfilment.paid");
    /// A step is recorded, and the sender has not seen it: its command goes out after the restart.
    c06_the_sender_sees_a_step: Fulfilled at reads("suite_stock");
    /// A command took effect, and the sender's checkpoint is not stored: the repeated command has the first outcome.
    c07_the_senders_checkpoint: Overdue at next(appends("suite_stock.reserved"), puts_checkpoint("/send"));
    /// A command takes effect with an unknown outcome.
    c07_a_command: Fulfilled at appends("suite_payment.captured");
    /// A command was refused, and the refusal is not recorded: it is asked again, and has one answer.
    c08_a_refusal: Declined at appends("recount.request_refused");
    /// A sender pauses before its command is decided. Meanwhile the refusal is recorded, and the stock arrives.
    c09_a_paused_decision: Restocked at reads("suite_stock");
    /// A refusal is recorded, and the reactor dies: the process hears of it once.
    c11_the_step_of_a_refusal: Restocked at appends_step("refusal");
    /// A command had nothing to do, and that is not recorded.
    c12_a_command_without_events: PaidByHand at Box::new(is_without_events);
    /// An undo took effect, and nothing tells of it: the repeated undo has the first outcome.
    c14_an_undo: Declined at appends("suite_stock.released");
    /// An undo was refused, and that is not recorded.
    c15_the_refusal_of_an_undo: Stuck at appends("recount.request_refused");
    /// A crash between two undos: the compensation goes on where it was.
    c16_between_two_undos: Unshippable at appends("suite_stock.released");
    /// The first of two undos.
    c16_the_first_undo: Unshippable at appends("suite_payment.refunded");
    /// Everything is undone, and that is not recorded.
    c16_the_end_of_a_compensation: Unshippable at appends("recount.compensated");
    /// A step set a timer, and the index does not hold it: the sender writes it after the restart, and it fires once.
    c17_the_index_of_timers: Overdue at of(Operation::Put, "timer/");
    /// A timer fired, and its entry in the index is not deleted.
    c18_the_entry_of_a_timer: Overdue at of(Operation::Delete, "timer/");
    /// The step of a timer, which another alarm takes too.
    c20_the_step_of_a_timer: Overdue at appends_step("timer");
    /// A timer is moved, and its first entry is not deleted.
    c19_the_first_entry_of_a_moved_timer: Extended at of(Operation::Delete, "timer/");
    /// An order is carried out to go on with a compensation.
    c15_a_redrive: Unrefundable at next(appends("recount.request_refused"), appends("suite_payment.refunded"));
}

fn appends(event_type: &'static str) -> Fits {
    Box::new(move |call| call.appends(event_type))
}

/// The append of a step that follows from such a reason.
fn appends_step(kind: &'static str) -> Fits {
    Box::new(move |call| is_step_of(call, kind))
}

pub(super) fn is_step_of(call: &Call<'_>, kind: &str) -> bool {
    let kind = format!(r#"{{"why":{{"kind":"{kind}""#);
    let mut events = call.append.iter().flat_map(|append| &append.streams).flat_map(|stream| &stream.events);
    events.any(|event| event.event_type.as_str() == "recount.step" && event.payload.starts_with(kind.as_bytes()))
}

fn reads(category: &'static str) -> Fits {
    Box::new(move |call| call.reads(category))
}

fn of(operation: Operation, key: &'static str) -> Fits {
    Box::new(move |call| call.operation == operation && call.is_about(key))
}

/// The write of the checkpoint of one of the process's consumers.
fn puts_checkpoint(consumer: &str) -> Fits {
    let key = format!("consumer/process/{}{consumer}", super::world::PROCESS);
    Box::new(move |call| call.operation == Operation::Put && call.key == Some(&key))
}

fn is_without_events(call: &Call<'_>) -> bool {
    call.append.is_some_and(|append| {
        append.idempotency.is_some() && append.streams.iter().all(|stream| stream.events.is_empty())
    })
}

/// The first call that fits the second, once there was one that fits the first.
fn next(first: Fits, second: Fits) -> Fits {
    let seen = AtomicBool::new(false);
    Box::new(move |call| {
        if seen.load(Ordering::Relaxed) {
            return second(call);
        }
        seen.store(first(call), Ordering::Relaxed);
        false
    })
}
