//! The promises of a process, without faults.

use std::time::Duration;

use recount_core::InstanceState::{Compensated, Ended, Parked, Stuck, Waiting};

use super::domain::{JAMMED, PANICS, UNANSWERED};
use super::oracle::check;
use super::scenario::Scenario;
use super::world::{PROCESS, Program, World};
use crate::store::Harness;

/// Plays a story of an order to its end, and checks the log.
async fn tell(harness: &dyn Harness, scenario: Scenario) {
    let world = World::new(harness.open().await);
    let program = world.program();
    scenario.play(&world, 1).await;
    world.reaches(1, scenario.end()).await;
    program.shut_down().await;
    check(&world, 1).await;
}

/// A world where the undo of the reservation of order 1 was refused, and its program.
async fn stuck(harness: &dyn Harness) -> (World, Program) {
    let world = World::new(harness.open().await);
    let program = world.program();
    world.fill(1, 1000).await;
    world.place(1, JAMMED).await;
    world.until("the payment is asked for", async || world.log(1).await.contains("stock_reserved")).await;
    world.cancel(1).await;
    world.reaches(1, Stuck).await;
    (world, program)
}

/// An order is reserved, paid and shipped.
pub async fn an_order_is_fulfilled(harness: &dyn Harness) {
    tell(harness, Scenario::Fulfilled).await;
}

/// Callers can wait until the consumers of a process have handled everything: its timers have no positions, and are not
/// waited for.
pub async fn what_follows_from_an_order_can_be_waited_for(harness: &dyn Harness) {
    let world = World::new(harness.open().await);
    let program = world.program();
    world.fill(1, 10).await;
    world.place(1, 2).await;
    world.reaches(1, Ended).await;
    let waited = program.consumers.wait_for(world.store.head().await.unwrap());
    tokio::time::timeout(Duration::from_secs(10), waited).await.unwrap().unwrap();
    program.shut_down().await;
}

/// A refusal undoes the effects before it.
pub async fn a_declined_payment_releases_the_stock(harness: &dyn Harness) {
    tell(harness, Scenario::Declined).await;
}

/// A timer fires, and the commands are sent again.
pub async fn stock_that_arrives_late_is_reserved(harness: &dyn Harness) {
    tell(harness, Scenario::Restocked).await;
}

/// A timer that nothing cancels compensates.
pub async fn an_overdue_payment_is_given_up(harness: &dyn Harness) {
    let world = World::new(harness.open().await);
    let program = world.program();
    world.fill(1, 100).await;
    world.place(1, UNANSWERED).await;
    world.reaches(1, Waiting).await;
    world.reaches(1, Compensated).await;
    program.shut_down().await;
    check(&world, 1).await;
}

/// The undo of an effect is refused: the instance is stuck, and goes on when an operator says so.
pub async fn a_stuck_compensation_is_redriven(harness: &dyn Harness) {
    let (world, program) = stuck(harness).await;
    let status = world.status(1).await.unwrap();
    assert!(status.trouble.unwrap().error.contains("jammed"));
    world.fill(1, 0).await;
    world.redrive(1).await;
    world.reaches(1, Compensated).await;
    program.shut_down().await;
    check(&world, 1).await;
}

/// An operator declares that nothing is left to undo.
pub async fn a_stuck_compensation_is_resolved(harness: &dyn Harness) {
    let (world, program) = stuck(harness).await;
    let request = world.status(1).await.unwrap().trouble.unwrap().request.unwrap();
    let processes = world.client.processes();
    let wrong = recount_core::RequestId { step: request.step, index: 7 };
    assert!(processes.resolve(PROCESS, "1", wrong, "the suite", "wrong").await.is_err());
    processes.resolve(PROCESS, "1", request, "the suite", "taken back by hand").await.unwrap();
    world.reaches(1, Compensated).await;
    program.shut_down().await;
    assert!(!world.log(1).await.contains("suite_stock.released"));
}

/// A panic parks the instance, its inputs wait, and others go on.
pub async fn c26_a_panic_parks_one_instance(harness: &dyn Harness) {
    let world = World::new(harness.open().await);
    let program = world.program();
    for order in [1, 2] {
        world.fill(order, 100).await;
    }
    world.place(1, PANICS).await;
    world.reaches(1, Parked).await;
    world.note(1).await;
    world.place(2, 1).await;
    world.reaches(2, Ended).await;
    assert_eq!(world.state(1).await, Some(Parked));
    assert!(world.status(1).await.unwrap().trouble.unwrap().error.contains("out of luck"));
    // Redriven by the same program it fails again.
    world.redrive(1).await;
    let parked = async || world.log(1).await.matches("recount.parked").count() == 2;
    world.until("the instance is parked again", parked).await;
    assert!(!world.log(1).await.contains("suite_fulfilment.noted"), "the input behind the failure waits");
    program.shut_down().await;
    check(&world, 2).await;
}

/// A payment that the process has not asked for is given back, too, also if it comes while the compensation is stuck.
pub async fn an_undo_without_a_command_is_sent(harness: &dyn Harness) {
    let world = World::new(harness.open().await);
    let program = world.program();
    world.fill(1, 1000).await;
    world.place(1, JAMMED).await;
    world.reaches(1, Stuck).await;
    world.pay(1).await;
    world.until_log(1, "suite_fulfilment.paid", 1).await;
    world.fill(1, 0).await;
    world.redrive(1).await;
    world.reaches(1, Compensated).await;
    program.shut_down().await;
    check(&world, 1).await;
}

/// A step with an undo of its own sends its commands all the same.
pub async fn a_step_with_an_undo_sends_its_commands(harness: &dyn Harness) {
    tell(harness, Scenario::PaidByHand).await;
}
