//! Crash points between two programs that run the process, or between an input and a timer.

use std::time::Duration;

use recount_core::InstanceState::{Compensated, Ended, Parked, Stuck};

use super::domain::{PANICS, PAYMENT_TIME, UNANSWERED, UNREFUNDABLE, mend};
use super::oracle::{Books, check, check_history};
use super::points::is_step_of;
use super::world::{Program, World};
use crate::store::Harness;
use crate::{Fault, Operation};

/// Two reactors take the same inputs: one step each, and the slower reactor finds it.
pub async fn c04_two_reactors(harness: &dyn Harness) {
    let world = World::new(harness.open().await);
    let (slow, quick) = (world.faults(), world.faults());
    let late = Duration::from_millis(10);
    slow.fail_each(move |call| call.appends("recount.step").then_some(Fault::Delay(late)));
    let programs = [Program::start(slow), Program::start(quick)];
    for order in 1..=3 {
        world.fill(order, 1000).await;
        world.place(order, 2).await;
        world.note(order).await;
    }
    for order in 1..=3 {
        world.reaches(order, Ended).await;
    }
    for program in programs {
        program.shut_down().await;
    }
    for order in 1..=3 {
        check(&world, order).await;
    }
}

/// A reactor pauses with inputs in its queue, and another takes them all. The rest of the queue comes too late.
pub async fn c05_a_queue_in_memory(harness: &dyn Harness) {
    let world = World::new(harness.open().await);
    let faults = world.faults();
    faults.fail_where(Fault::PauseBefore, |call| call.appends("suite_fulfilment.started"));
    let first = Program::start(faults.clone());
    world.fill(1, 1000).await;
    world.place(1, UNANSWERED).await;
    faults.paused().await;
    for _ in 0..5 {
        world.note(1).await;
    }
    let second = world.program();
    world.until_log(1, "suite_fulfilment.noted", 5).await;
    faults.release();
    world.reaches(1, Compensated).await;
    first.shut_down().await;
    second.shut_down().await;
    assert_eq!(world.log(1).await.matches("suite_fulfilment.noted").count(), 5);
    check(&world, 1).await;
}

/// A sender pauses before it records a refusal. Meanwhile the stock arrives, and the command takes effect.
pub async fn c10_a_paused_refusal(harness: &dyn Harness) {
    let world = World::new(harness.open().await);
    let faults = world.faults();
    faults.fail_where(Fault::PauseBefore, |call| call.appends("recount.request_refused"));
    let first = Program::start(faults.clone());
    world.place(1, 2).await;
    faults.paused().await;
    world.fill(1, 1000).await;
    let second = world.program();
    world.reaches(1, Ended).await;
    faults.release();
    first.shut_down().await;
    second.shut_down().await;
    let log = world.log(1).await;
    assert!(!log.contains("recount.request_refused"), "the process heard of a refusal:\n{log}");
    check(&world, 1).await;
}

/// A command is withdrawn while a paused sender is about to send it: it never takes effect.
pub async fn c13_the_withdrawal_comes_first(harness: &dyn Harness) {
    let world = World::new(harness.open().await);
    let (paused, failing) = (world.faults(), world.faults());
    paused.fail_where(Fault::PauseBefore, |call| call.appends("suite_stock.reserved"));
    failing.fail_each(|call| call.appends("suite_stock.reserved").then_some(Fault::Before));
    let first = Program::start(paused.clone());
    world.fill(1, 1000).await;
    world.place(1, 2).await;
    paused.paused().await;
    let second = Program::start(failing);
    world.cancel(1).await;
    world.reaches(1, Compensated).await;
    paused.release();
    first.shut_down().await;
    second.shut_down().await;
    assert_eq!(Books::of(&world, 1).await, Books::default());
    assert!(world.log(1).await.contains("recount.request_withdrawn"));
    check(&world, 1).await;
}

/// A command takes effect while the instance is about to withdraw it: it is undone.
pub async fn c13_the_effect_comes_first(harness: &dyn Harness) {
    let world = World::new(harness.open().await);
    let faults = world.faults();
    faults.fail_where(Fault::PauseAfter, |call| call.appends("suite_stock.reserved"));
    let first = Program::start(faults.clone());
    world.fill(1, 1000).await;
    world.place(1, UNANSWERED).await;
    faults.paused().await;
    let second = world.program();
    world.cancel(1).await;
    world.reaches(1, Compensated).await;
    faults.release();
    first.shut_down().await;
    second.shut_down().await;
    let books = Books::of(&world, 1).await;
    assert_eq!((books.reserved, books.released), (1, 1));
    check(&world, 1).await;
}

/// An undo is refused: the instance is stuck for everyone to see, and nothing is undone before its turn.
pub async fn c15_a_refused_undo(harness: &dyn Harness) {
    let world = World::new(harness.open().await);
    let program = world.program();
    world.fill(1, 1000).await;
    world.place(1, UNREFUNDABLE).await;
    world.reaches(1, Stuck).await;
    program.die();
    let program = world.program();
    world.note(1).await;
    world.until_log(1, "suite_fulfilment.noted", 1).await;
    let status = world.status(1).await.unwrap();
    assert_eq!(status.state, Stuck);
    assert!(status.trouble.unwrap().error.contains("not permitted"));
    assert_eq!(Books::of(&world, 1).await.released, 0, "the stock was released before the payment was refunded");
    assert_eq!(world.log(1).await.matches("recount.request_refused").count(), 2, "the undo is not tried again");
    world.redrive(1).await;
    world.until_log(1, "recount.request_refused", 3).await;
    world.permit_refund(1).await;
    world.redrive(1).await;
    world.reaches(1, Compensated).await;
    program.shut_down().await;
    check(&world, 1).await;
}

/// A timer was moved, and its first entry stays in the index: the old generation does nothing.
pub async fn c19_a_moved_timer(harness: &dyn Harness) {
    let world = World::new(harness.open().await);
    let faults = world.faults();
    // The first entry is not deleted while the alarm looks.
    faults.fail_where(Fault::PauseBefore, |call| call.operation == Operation::Delete && call.is_about("timer/"));
    let program = Program::start(faults.clone());
    world.fill(1, 1000).await;
    world.place(1, UNANSWERED).await;
    world.until_log(1, "stock_reserved", 1).await;
    tokio::time::sleep(PAYMENT_TIME / 2).await;
    world.extend(1).await;
    // The first due time passes, the second does not yet.
    tokio::time::sleep(PAYMENT_TIME * 3 / 4).await;
    faults.release();
    world.reaches(1, Compensated).await;
    program.shut_down().await;
    check(&world, 1).await;
}

/// Two alarms see the same timer: one step.
pub async fn c20_two_alarms(harness: &dyn Harness) {
    let world = World::new(harness.open().await);
    let (slow, quick) = (world.faults(), world.faults());
    let late = Duration::from_millis(20);
    slow.fail_each(move |call| is_step_of(call, "timer").then_some(Fault::Delay(late)));
    let programs = [Program::start(slow), Program::start(quick)];
    for order in 1..=3 {
        world.fill(order, 1000).await;
        world.place(order, UNANSWERED).await;
    }
    for order in 1..=3 {
        world.reaches(order, Compensated).await;
    }
    for program in programs {
        program.shut_down().await;
    }
    for order in 1..=3 {
        check(&world, order).await;
    }
}

/// A timer is due while the input that moves it comes first: the old generation does nothing.
pub async fn c23_the_input_comes_first(harness: &dyn Harness) {
    let world = World::new(harness.open().await);
    let faults = world.faults();
    faults.fail_where(Fault::PauseBefore, |call| is_step_of(call, "timer"));
    let first = Program::start(faults.clone());
    world.fill(1, 1000).await;
    world.place(1, UNANSWERED).await;
    faults.paused().await;
    // The alarm of the first program holds the turn of the instance, so another program takes the input.
    let quiet = world.faults();
    quiet.fail_always(Operation::List, Fault::Before);
    let second = Program::start(quiet.clone());
    world.extend(1).await;
    world.until_log(1, r#""timers":[{"timer":"payment_overdue""#, 2).await;
    faults.release();
    quiet.heal();
    world.reaches(1, Compensated).await;
    first.shut_down().await;
    second.shut_down().await;
    assert_eq!(world.log(1).await.matches(r#""kind":"timer""#).count(), 1);
    check(&world, 1).await;
}

/// A timer fires before the input that would move it: the input finds the instance compensating.
pub async fn c23_the_timer_comes_first(harness: &dyn Harness) {
    let world = World::new(harness.open().await);
    let faults = world.faults();
    faults.fail_where(Fault::PauseAfter, |call| is_step_of(call, "timer"));
    let first = Program::start(faults.clone());
    world.fill(1, 1000).await;
    world.place(1, UNANSWERED).await;
    faults.paused().await;
    world.extend(1).await;
    let second = world.program();
    world.reaches(1, Compensated).await;
    faults.release();
    first.shut_down().await;
    second.shut_down().await;
    check(&world, 1).await;
}

/// A parked instance is redriven while new inputs arrive: they keep their order.
pub async fn c27_a_redrive_among_inputs(harness: &dyn Harness) {
    const ORDER: u64 = 27;
    let world = World::new(harness.open().await);
    let program = world.program();
    world.fill(ORDER, 1000).await;
    world.place(ORDER, PANICS).await;
    world.reaches(ORDER, Parked).await;
    for _ in 0..3 {
        world.note(ORDER).await;
    }
    mend(ORDER);
    world.redrive(ORDER).await;
    for _ in 0..3 {
        world.note(ORDER).await;
    }
    world.reaches(ORDER, Ended).await;
    world.note(ORDER).await;
    program.shut_down().await;
    check(&world, ORDER).await;
    check_history(&world, ORDER).await;
}

/// The store fails while a redrive begins: the order is carried out later.
pub async fn c27_a_redrive_with_a_failing_store(harness: &dyn Harness) {
    const ORDER: u64 = 270;
    let world = World::new(harness.open().await);
    let program = world.program();
    world.fill(ORDER, 1000).await;
    world.place(ORDER, PANICS).await;
    world.reaches(ORDER, Parked).await;
    mend(ORDER);
    for _ in 0..3 {
        program.faults.fail_where(Fault::Before, |call| call.reads("suite_fulfilment"));
    }
    world.redrive(ORDER).await;
    world.reaches(ORDER, Ended).await;
    program.shut_down().await;
    check(&world, ORDER).await;
}
