//! Chaos: services are killed in a random order, one after the other.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::crew::Crew;
use super::topology::Part;

/// How often a service is killed.
const EVERY: Duration = Duration::from_secs(1);

/// The kills of each service.
pub type Kills = BTreeMap<&'static str, u64>;

/// Kills a service each second for a time. `seed` chooses the order: in each round all six are killed once.
pub async fn cause(crew: &Crew, time: Duration, seed: u64, kills: &mut Kills) {
    let mut random = fastrand::Rng::with_seed(seed);
    let start = Instant::now();
    let mut ticks = interval_at(start + EVERY, EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut round = Vec::new();
    while start.elapsed() < time {
        ticks.tick().await;
        if round.is_empty() {
            round.extend(Part::ALL);
            random.shuffle(&mut round);
        }
        // A service that starts at this moment is not killed: the next one is, and it comes later.
        let up = crew.up();
        let Some(place) = round.iter().rposition(|part| up.contains(part)) else { continue };
        let victim = round.remove(place);
        if crew.kill(victim) {
            *kills.entry(victim.name()).or_default() += 1;
        }
    }
}
