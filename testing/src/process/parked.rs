//! Instances that are parked, and how the application shows them.

use std::sync::atomic::Ordering;

use recount_core::Condition;
use recount_core::InstanceState::{Compensated, Ended, Parked};

use super::domain::{BROKEN, FRAGILE};
use super::oracle::check;
use super::world::{Program, World};
use crate::store::Harness;
use crate::{Fault, FaultyStore};

/// A command that can't be sent parks its instance. Inputs that came before wait, and are taken when it is redriven.
pub async fn a_command_that_fails_parks_one_instance(harness: &dyn Harness) {
    let world = World::new(harness.open().await);
    let faults = FaultyStore::new(std::sync::Arc::clone(&world.store));
    world.fill(FRAGILE, 10).await;
    world.place(FRAGILE, 2).await;
    world.note(FRAGILE).await;
    BROKEN.store(true, Ordering::SeqCst);
    // The second input can't be recorded before the command of the first one has failed.
    for _ in 0..10_000 {
        faults.fail_where(Fault::Before, |call| call.appends("suite_fulfilment.noted"));
    }
    let program = Program::start(faults.clone());
    world.reaches(FRAGILE, Parked).await;
    faults.heal();
    let health = async || program.recount.health().await;
    world.until("the health is degraded", async || health().await.status == Condition::Degraded).await;
    let check_of = async || health().await.checks.into_iter().find(|check| check.name.ends_with(":instances")).unwrap();
    assert!(check_of().await.message.unwrap().starts_with("1 parked and 0 stuck instances"));
    let status = program.recount.status().await.processes.remove(0);
    assert_eq!((status.name, status.troubles.unwrap().parked), ("suite_fulfilment", 1));
    BROKEN.store(false, Ordering::SeqCst);
    world.client.processes().redrive("suite_fulfilment", &FRAGILE.to_string(), "the suite").await.unwrap();
    // The time for the payment may be over by now.
    let over = async || matches!(world.state(FRAGILE).await, Some(Ended | Compensated));
    world.until("the order goes on", over).await;
    world.until("the health is fine", async || health().await.status == Condition::Ok).await;
    program.shut_down().await;
    let log = world.log(FRAGILE).await;
    assert_eq!(log.matches("suite_fulfilment.noted").count(), 1, "{log}");
    check(&world, FRAGILE).await;
}
