//! Those who act on the services: customers, operators, and what happens to the broker.

use std::time::Duration;

use fastrand::Rng;
use recount_core::{Event, StateStore};
use recount_messaging::{Broker, LetterError, LetterId, LetterState, PublishFault};

use super::expected::EDIT;
use super::programs::pause;
use super::world::Sim;
use crate::common::{Fail, OrderMessage, Place, binding};

/// How old a parked message is before an operator changes or discards it: until then a program may still handle a copy.
const AGE: Duration = Duration::from_secs(20);

/// Places orders of a key at random times.
pub(crate) async fn customer(sim: &Sim, key: usize, mut random: Rng) {
    let (key, count) = &sim.keys[key];
    for n in 0..*count {
        let _ = sim.client.dispatch(Place { order: key.clone(), n }).await.unwrap();
        if random.bool() {
            pause(&mut random, 6_000).await;
        }
    }
}

/// Ends outages of what the handlers call, now and then.
pub(crate) async fn repairs(sim: &Sim, mut random: Rng) {
    loop {
        pause(&mut random, 20_000).await;
        sim.plan.repair(Fail::Outage);
    }
}

/// What happens to the broker.
pub(crate) async fn mishaps(sim: &Sim, mut random: Rng) {
    if !sim.faulty {
        return;
    }
    let faults = sim.server.faults();
    // What is not durable is lost with the server: that is declared, and no defect.
    let durable = sim.server.capabilities(&binding()).durable;
    loop {
        pause(&mut random, 6_000).await;
        let mishap = random.u8(if durable { 0 } else { 2 }..12);
        sim.note(format_args!("mishap {mishap}"));
        match mishap {
            0 => {
                faults.kill();
                pause(&mut random, 8_000).await;
                faults.start();
            }
            4 => {
                faults.freeze();
                pause(&mut random, 15_000).await;
                faults.thaw();
            }
            1 => faults.restart(),
            2 => faults.cut_connections(),
            3 => faults.move_lanes(),
            5 => {
                faults.set_latency(Duration::from_millis(random.u64(..300)));
                pause(&mut random, 10_000).await;
                faults.set_latency(Duration::ZERO);
            }
            6 | 7 => faults.publishes(random.usize(1..4), PublishFault::StoredUnknown),
            8 => faults.publishes(random.usize(1..4), PublishFault::LostUnknown),
            9 => faults.publishes(random.usize(1..8), PublishFault::NotSent),
            _ => faults.publishes(1, PublishFault::Refused),
        }
    }
}

/// An operator looks after parked messages.
pub(crate) async fn operator(sim: &Sim, mut random: Rng) {
    if !sim.faulty {
        return;
    }
    loop {
        pause(&mut random, 8_000).await;
        let at_relay = random.u8(..3) == 0;
        let store = if at_relay { &sim.orders } else { &sim.ledgers };
        let letters = Sim::letters_of(store);
        let listed = letters.list(None).await.unwrap();
        if listed.is_empty() {
            continue;
        }
        let letter = &listed[random.usize(..listed.len())];
        let old = store.now().await.unwrap().duration_since(letter.parked_at) > AGE.try_into().unwrap();
        let order = random.u8(..8);
        let outcome = match order {
            0 if old => replace(sim, &letter.id, at_relay, false).await,
            1 if old => replace(sim, &letter.id, at_relay, true).await,
            _ => {
                if random.bool() && letter.state == LetterState::Dead {
                    repair(sim, &letter.id, at_relay).await;
                }
                letters.redrive(&letter.id, "tried again").await
            }
        };
        match outcome {
            Ok(()) | Err(LetterError::Busy { .. } | LetterError::NotFirst { .. } | LetterError::Unknown { .. }) => {}
            Err(error) => panic!("an operator's order failed: {error:?}"),
        }
    }
}

/// Edits a parked message, or discards it.
async fn replace(sim: &Sim, id: &LetterId, at_relay: bool, edits: bool) -> Result<(), LetterError> {
    let letters = Sim::letters_of(if at_relay { &sim.orders } else { &sim.ledgers });
    let Some((key, n)) = content(sim, id, at_relay).await else { return Ok(()) };
    let by = edits.then_some(n + EDIT);
    match by {
        Some(by) => letters.edit(id, format!(r#"{{"order":"{key}","n":{by}}}"#), "was wrong").await?,
        None => letters.discard(id, "of no use").await?,
    }
    // A relay can't know whether a message that was refused had been stored before. An inbox may have two copies.
    let entered = at_relay || sim.entered(&key).await.contains(&n);
    sim.note(format_args!("{key} {n} is replaced by {by:?}, at the relay: {at_relay}, entered: {entered}"));
    sim.expected.lock().unwrap().replace(&key, n, by, entered, at_relay);
    Ok(())
}

async fn repair(sim: &Sim, id: &LetterId, at_relay: bool) {
    if let Some((key, n)) = content(sim, id, at_relay).await {
        sim.plan.repair_one(&key, n);
    }
}

/// The key and number of a parked message.
async fn content(sim: &Sim, id: &LetterId, at_relay: bool) -> Option<(String, u32)> {
    let letters = Sim::letters_of(if at_relay { &sim.orders } else { &sim.ledgers });
    let (_, letter) = letters.show(id).await.ok()?;
    let message = letter.message().unwrap();
    let event = OrderMessage::decode(&message.message_type, message.schema_version, &message.data);
    let OrderMessage::Placed { order, n } = event.unwrap();
    Some((order, n))
}
