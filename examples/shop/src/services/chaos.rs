//! Chaos: services are killed at random, one after the other.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::crew::Crew;
use super::topology::Part;

/// How often a service is killed.
const EVERY: Duration = Duration::from_secs(1);

/// The kills of each service.
pub type Kills = BTreeMap<&'static str, u64>;

/// Kills a service each second for a time. `seed` chooses the services.
pub async fn cause(crew: &Crew, time: Duration, seed: u64, kills: &mut Kills) {
    let mut random = fastrand::Rng::with_seed(seed);
    let start = Instant::now();
    let mut ticks = interval_at(start + EVERY, EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while start.elapsed() < time {
        ticks.tick().await;
        let part = Part::ALL[random.usize(..Part::ALL.len())];
        // A service that starts at this moment is not killed: another one is.
        let up = crew.up();
        let victim = if up.contains(&part) || up.is_empty() { part } else { up[random.usize(..up.len())] };
        if crew.kill(victim) {
            *kills.entry(victim.name()).or_default() += 1;
        }
    }
}
