//! Crash points while nothing runs, with a clock that jumps, or with state that is gone.

use std::time::Duration;

use recount_core::InstanceState::{Compensated, Ended, Parked};
use recount_core::{Append, EventData, EventType, ExpectedVersion, StreamId};

use super::domain::{PAYMENT_TIME, UNANSWERED};
use super::oracle::{Books, check};
use super::world::{PROCESS, Program, World};
use crate::store::Harness;
use crate::{Fault, Operation};

const HOUR: Duration = Duration::from_secs(3600);

/// A timer is due while nothing runs: it fires once after the start, with its due time as the moment.
pub async fn c21_due_while_nothing_runs(harness: &dyn Harness) {
    let world = World::new(harness.open().await);
    let program = world.program();
    world.fill(1, 1000).await;
    world.place(1, UNANSWERED).await;
    world.until_log(1, "stock_reserved", 1).await;
    program.die();
    tokio::time::sleep(2 * PAYMENT_TIME).await;
    let programs = [world.program(), world.program()];
    world.reaches(1, Compensated).await;
    for program in programs {
        program.shut_down().await;
    }
    let log = world.log(1).await;
    assert_eq!(log.matches(r#""kind":"timer""#).count(), 1, "it fires once:\n{log}");
    check(&world, 1).await;
}

/// The clock of the store jumps ahead by an hour: the timer fires early by that much, once. It jumps back: nothing more.
pub async fn c22_a_clock_that_jumps(harness: &dyn Harness) {
    let world = World::new(harness.open().await);
    let program = world.program();
    world.fill(1, 1000).await;
    world.place(1, 2).await;
    // It is paid, shipped, and over before the time is.
    world.reaches(1, Ended).await;
    world.fill(2, 1000).await;
    world.place(2, UNANSWERED).await;
    world.until_log(2, "stock_reserved", 1).await;
    program.faults.set_clock_ahead(HOUR);
    world.reaches(2, Compensated).await;
    program.faults.set_clock_ahead(Duration::ZERO);
    world.note(2).await;
    tokio::time::sleep(2 * PAYMENT_TIME).await;
    program.shut_down().await;
    let log = world.log(2).await;
    assert_eq!(log.matches(r#""kind":"timer""#).count(), 1, "it fires once:\n{log}");
    assert_eq!(Books::of(&world, 2).await.released, 1);
    check(&world, 1).await;
}

/// An input comes after the end, and a timer with its entry still there: nothing is recorded, and nothing fails.
pub async fn c24_late_inputs_and_timers(harness: &dyn Harness) {
    let world = World::new(harness.open().await);
    let faults = world.faults();
    // The entries of timers are never deleted.
    faults.fail_each(|call| (call.operation == Operation::Delete && call.is_about("timer/")).then_some(Fault::Before));
    let program = Program::start(faults.clone());
    world.fill(1, 1000).await;
    world.place(1, UNANSWERED).await;
    world.reaches(1, Compensated).await;
    let version = world.status(1).await.unwrap().version;
    world.note(1).await;
    faults.heal();
    program.die();
    // The sender and the alarm start over from their stored state.
    let program = world.program();
    world.fill(2, 1000).await;
    world.place(2, 2).await;
    world.reaches(2, Ended).await;
    let late = world.status(2).await.unwrap().version;
    world.note(2).await;
    world.extend(2).await;
    tokio::time::sleep(PAYMENT_TIME / 4).await;
    program.assert_alive();
    program.shut_down().await;
    assert_eq!(world.status(1).await.unwrap().version, version);
    assert_eq!(world.status(2).await.unwrap().version, late);
    check(&world, 1).await;
    check(&world, 2).await;
}

/// A fact that can't be read parks its instance. The others of the process go on.
pub async fn c26_a_fact_that_cannot_be_read(harness: &dyn Harness) {
    let world = World::new(harness.open().await);
    let program = world.program();
    for order in [1, 2] {
        world.fill(order, 1000).await;
        world.place(order, UNANSWERED).await;
        world.until_log(order, "stock_reserved", 1).await;
        if order == 1 {
            let stream = StreamId::new(PROCESS, "1").unwrap();
            let foreign = EventData::new(EventType::from_static("suite_fulfilment.foreign"), b"{}".to_vec());
            let append = Append::to(stream, ExpectedVersion::StreamExists, vec![foreign]);
            world.store.append(append).await.unwrap();
            world.note(1).await;
        }
    }
    world.reaches(1, Parked).await;
    let trouble = world.status(1).await.unwrap().trouble.unwrap();
    assert!(trouble.error.contains("suite_fulfilment.foreign"), "{trouble:?}");
    world.reaches(2, Compensated).await;
    // Redriven by the same program it fails again, and still holds back no other.
    world.redrive(1).await;
    world.until_log(1, "recount.parked", 2).await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    program.assert_alive();
    world.fill(3, 1000).await;
    world.place(3, 2).await;
    world.reaches(3, Ended).await;
    program.shut_down().await;
    check(&world, 2).await;
    check(&world, 3).await;
}

/// The target of a command is archived or erased: that is a refusal, which is not tried again for ever.
pub async fn c29_a_closed_target(harness: &dyn Harness) {
    let world = World::new(harness.open().await);
    for order in [1, 2] {
        world.fill(order, 1000).await;
    }
    world.store.archive(&StreamId::new("suite_stock", "1").unwrap()).await.unwrap();
    world.store.erase(&StreamId::new("suite_stock", "2").unwrap()).await.unwrap();
    let program = world.program();
    for order in [1, 2] {
        world.place(order, 2).await;
        world.reaches(order, Compensated).await;
        let log = world.log(order).await;
        assert!(log.contains("recount.request_refused"), "{log}");
    }
    program.shut_down().await;
    for order in [1, 2] {
        check(&world, order).await;
    }
}

/// Checkpoints and timers are gone: they are made again from the log, and no command takes effect twice.
pub async fn c30_a_wiped_state_store(harness: &dyn Harness) {
    let world = World::new(harness.open().await);
    let program = world.program();
    for order in [1, 2] {
        world.fill(order, 1000).await;
    }
    world.place(1, 2).await;
    world.reaches(1, Ended).await;
    world.place(2, UNANSWERED).await;
    world.until_log(2, "stock_reserved", 1).await;
    let version = world.status(1).await.unwrap().version;
    program.die();
    world.wipe_state().await;
    let program = world.program();
    world.reaches(2, Compensated).await;
    program.shut_down().await;
    assert_eq!(world.status(1).await.unwrap().version, version, "the first order is done");
    for order in [1, 2] {
        check(&world, order).await;
    }
}
