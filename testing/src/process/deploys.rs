//! Crash points of deploys: instances that an older program has begun.

use recount_core::InstanceState::{Compensated, Ended, Parked};
use recount_core::StartAt;

use super::domain::next::{Next, Reduced, Renamed};
use super::domain::{UNANSWERED, UNWELCOME, Welcome, mend};
use super::oracle::check;
use super::world::{Program, World};
use crate::store::Harness;
use crate::{Fault, Operation};

/// A command took effect, and the program dies before it hears so. The next program has a field more in the command, and in a
/// fact: the command is the same for the store, and the fact is upcast.
pub async fn c28_a_field_more(harness: &dyn Harness) {
    let world = World::new(harness.open().await);
    let faults = world.faults();
    faults.fail_where(Fault::PauseAfter, |call| call.appends("suite_payment.captured"));
    let old = Program::start(faults.clone());
    world.fill(1, 1000).await;
    world.place(1, 2).await;
    faults.paused().await;
    old.die();
    let faults = world.faults();
    let new = Program::start_with(faults.clone(), |consumers| consumers.process::<Next>(StartAt::Beginning));
    world.reaches(1, Ended).await;
    new.shut_down().await;
    assert_eq!(faults.calls(Operation::FindAppend), 0, "the store takes the repeated command for another one");
    check(&world, 1).await;
}

/// A command is no longer declared: the instance is parked with the cure, and goes on with a program that declares it.
pub async fn c28_a_command_that_is_gone(harness: &dyn Harness) {
    let world = World::new(harness.open().await);
    let faults = world.faults();
    faults.fail_where(Fault::PauseBefore, |call| call.reads("suite_payment"));
    let old = Program::start(faults.clone());
    world.fill(1, 1000).await;
    world.place(1, 2).await;
    faults.paused().await;
    old.die();
    let new = Program::start_with(world.faults(), |consumers| consumers.process::<Reduced>(StartAt::Beginning));
    world.reaches(1, Parked).await;
    let error = world.status(1).await.unwrap().trouble.unwrap().error;
    assert!(error.contains("no longer declares the command suite_payment."), "{error}");
    new.shut_down().await;
    let old = world.program();
    world.redrive(1).await;
    world.reaches(1, Ended).await;
    old.shut_down().await;
    check(&world, 1).await;
}

/// A timer is renamed without an alias: the instance is parked with the cure, and the timer fires when it is redriven.
pub async fn c28_a_timer_that_is_gone(harness: &dyn Harness) {
    let world = World::new(harness.open().await);
    let old = world.program();
    world.fill(1, 1000).await;
    world.place(1, UNANSWERED).await;
    world.until_log(1, "stock_reserved", 1).await;
    old.die();
    let new = Program::start_with(world.faults(), |consumers| consumers.process::<Renamed>(StartAt::Beginning));
    world.reaches(1, Parked).await;
    let error = world.status(1).await.unwrap().trouble.unwrap().error;
    assert!(error.contains("there is no timer payment_overdue"), "{error}");
    new.shut_down().await;
    let old = world.program();
    world.redrive(1).await;
    world.reaches(1, Compensated).await;
    old.shut_down().await;
    check(&world, 1).await;
}

/// Inputs that come before the one that starts the instance are held, and taken in order when it starts, also by a program
/// that finds it started.
pub async fn early_inputs_are_held(harness: &dyn Harness) {
    let world = World::new(harness.open().await);
    let start = || {
        let faults = world.faults();
        let program = Program::start_with(faults.clone(), |consumers| consumers.process::<Welcome>(StartAt::Beginning));
        (faults, program)
    };
    let (faults, first) = start();
    for _ in 0..3 {
        world.note(1).await;
    }
    world.until_log(1, "recount.input_held", 3).await;
    // It dies between the start and the inputs that were held.
    faults.fail_where(Fault::PauseAfter, |call| call.appends("suite_welcome.welcomed"));
    world.fill(1, 1).await;
    faults.paused().await;
    first.die();
    let (_, second) = start();
    world.until_log(1, "suite_welcome.noted", 3).await;
    world.note(1).await;
    world.until_log(1, "suite_welcome.noted", 4).await;
    second.shut_down().await;
    let log = world.log(1).await;
    let held = log.matches(r#""kind":"held""#).count();
    let numbers: Vec<_> = (1..=4).filter(|number| log.contains(&format!(r#"{{"number":{number}}}"#))).collect();
    assert_eq!((held, numbers), (3, vec![1, 2, 3, 4]), "{log}");
}

/// An early input fails when it is taken: the instance is parked, and a redrive takes the input.
pub async fn an_early_input_that_fails_is_redriven(harness: &dyn Harness) {
    let world = World::new(harness.open().await);
    let program = Program::start_with(world.faults(), |consumers| consumers.process::<Welcome>(StartAt::Beginning));
    for _ in 0..2 {
        world.note(UNWELCOME).await;
    }
    world.until_log(UNWELCOME, "recount.input_held", 2).await;
    world.fill(UNWELCOME, 1).await;
    world.until_log(UNWELCOME, "recount.parked", 1).await;
    mend(UNWELCOME);
    let processes = world.client.processes();
    processes.redrive("suite_welcome", &UNWELCOME.to_string(), "the suite").await.unwrap();
    world.until_log(UNWELCOME, "suite_welcome.noted", 2).await;
    world.until_log(UNWELCOME, "recount.resumed", 1).await;
    program.shut_down().await;
}
