//! The promises, checked while the mishaps happen and afterwards.

use std::collections::BTreeSet;
use std::time::Duration;

use recount_messaging::{LetterState, LetterSummary};

use super::world::Sim;

/// How long everything may take once it is healed: until nothing moves without an operator, and then again until all is
/// done. A message that a broker has lent to a program that died comes back within the longest lease.
const HEALED_LIMIT: Duration = Duration::from_secs(900);
/// The same without any fault.
const UNTROUBLED_LIMIT: Duration = Duration::from_secs(15);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(500);
/// How many looks there are for each operator's round.
const ROUND: u32 = 20;

/// Checks the promises again and again.
pub(crate) async fn watch(sim: &Sim) {
    loop {
        tokio::time::sleep(Duration::from_secs(7)).await;
        promises(sim).await;
    }
}

/// What holds at any moment: effects once and in order, and no mark passes an event that was not published.
pub(crate) async fn promises(sim: &Sim) {
    for (key, count) in &sim.keys {
        let entered = sim.entered(key).await;
        sim.expected.lock().unwrap().check(key, &entered, *count);
        sim.note(format_args!("{key}: {} effects", entered.len()));
        if !sim.faulty {
            for n in &entered {
                assert_eq!(sim.plan.calls(key, *n), 1, "{key} {n} was not handled once, without any fault");
            }
        }
    }
    let mark = sim.mark().await;
    let parked = sim.parked().await[0].clone();
    let parked: BTreeSet<_> = parked.iter().filter_map(|letter| letter.message.as_deref()).collect();
    let stored = sim.stored.lock().unwrap().clone();
    for event in sim.committed().await.iter().filter(|event| event.position.get() <= mark) {
        let ordered = sim.expected.lock().unwrap().of(&event.key, event.n).at_relay;
        let safe = ordered || stored.contains(&event.id) || parked.contains(event.id.as_str());
        assert!(safe, "the relay's mark is {mark}, but nothing knows whether {event:?} is stored");
    }
}

/// Waits until nothing moves without an operator: all is published, handled or a dead letter.
pub(crate) async fn settles(sim: &Sim) {
    let last = sim.committed().await.last().map_or(0, |event| event.position.get());
    let limit = if sim.faulty { HEALED_LIMIT } else { UNTROUBLED_LIMIT };
    let settled = tokio::time::timeout(limit, async {
        loop {
            let parked = sim.parked().await;
            let moves = parked.iter().flatten().any(|letter| matches!(letter.state, LetterState::Waiting { .. }));
            if !moves && sim.mark().await >= last && sim.backlog() == 0 {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    });
    if settled.await.is_err() {
        panic!(
            "stuck {limit:?} after the faults: the relay is at {} of {last}, {} wait at the broker, {:#?}",
            sim.mark().await,
            sim.backlog(),
            sim.parked().await
        );
    }
    sim.note(format_args!("nothing moves without an operator"));
}

/// Each event without its effect is parked, with all that an operator needs.
pub(crate) async fn nothing_is_lost(sim: &Sim) {
    let parked = sim.parked().await;
    assert!(sim.faulty || parked.iter().all(Vec::is_empty), "without any fault: {parked:#?}");
    let mut contents = BTreeSet::new();
    for (place, list) in parked.iter().enumerate() {
        for letter in list {
            contents.insert(complete(sim, place, letter).await);
        }
    }
    for (key, count) in &sim.keys {
        let entered = sim.entered(key).await;
        for n in sim.expected.lock().unwrap().missing(key, &entered, *count) {
            let data = format!(r#"{{"order":"{key}","n":{n}}}"#);
            assert!(contents.contains(&data), "{key} {n} is lost: entered are {entered:?}, parked {contents:#?}");
        }
    }
}

/// The data of a parked message, which has its reason, attempts and key.
async fn complete(sim: &Sim, place: usize, listed: &LetterSummary) -> String {
    let letters = Sim::letters_of([&sim.orders, &sim.ledgers][place]);
    let (_, letter) = letters.show(&listed.id).await.unwrap();
    let message = letter.message().unwrap();
    assert!(!listed.reason.is_empty() && message.key.is_some(), "{listed:?}");
    let tried = listed.state != LetterState::Dead || listed.attempts > 0;
    assert!(tried, "a dead letter that was never tried: {listed:?}");
    String::from_utf8(message.data.to_vec()).unwrap()
}

/// An operator redrives all dead letters, until each event has its effect and nothing is parked.
pub(crate) async fn ends(sim: &Sim) {
    let ending = tokio::time::timeout(HEALED_LIMIT, async {
        for look in 0.. {
            let parked = sim.parked().await;
            let mut open = !parked.iter().all(Vec::is_empty);
            for (key, count) in &sim.keys {
                let entered = sim.entered(key).await;
                open |= !sim.expected.lock().unwrap().missing(key, &entered, *count).is_empty();
            }
            if !open {
                return;
            }
            if look % ROUND == 0 {
                for store in [&sim.orders, &sim.ledgers] {
                    Sim::letters_of(store).redrive_all(None, "healed").await.unwrap();
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    });
    let in_time = ending.await.is_ok();
    for (key, count) in &sim.keys {
        let entered = sim.entered(key).await;
        sim.note(format_args!("{key}: {entered:?}"));
        let missing = sim.expected.lock().unwrap().missing(key, &entered, *count);
        assert!(in_time || missing.is_empty(), "{key}: {missing:?} never took effect: {entered:?}");
    }
    assert!(in_time, "parked for ever: {:#?}", sim.parked().await);
}
