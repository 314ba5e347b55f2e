//! A simulation of relay, inbox, retries, circuit and dead letters: mishaps at random, then everything is healed and must
//! come to an end in time.

mod actors;
mod broker;
mod checks;
mod expected;
mod programs;
mod world;

use std::time::Duration;

use fastrand::Rng;
use futures_util::future::join_all;

use world::Sim;

/// How long mishaps happen.
const UNSAFE_TIME: Duration = Duration::from_secs(90);

/// Runs the simulation of a seed and checks its promises. Returns a log without ids.
pub(crate) async fn run(seed: u64) -> String {
    // Pauses and delays are drawn from the generator of the thread.
    fastrand::seed(seed);
    let mut random = Rng::with_seed(seed);
    let sim = Sim::new(seed, &mut random).await;
    let (relays, inboxes) = (random.usize(1..=3), random.usize(1..=3));
    let customers: Vec<_> = (0..sim.keys.len()).map(|key| actors::customer(&sim, key, random.fork())).collect();
    let programs = join_all((0..relays + inboxes).map(|number| programs::life(&sim, number < relays, random.fork())));
    let others = async {
        tokio::join!(
            join_all(customers),
            actors::mishaps(&sim, random.fork()),
            actors::operator(&sim, random.fork()),
            actors::repairs(&sim, random.fork()),
        )
    };
    let unsafe_time = async {
        tokio::select! {
            biased;
            _ = programs => {}
            () = checks::watch(&sim) => {}
            _ = others => std::future::pending().await,
        }
    };
    let _ = tokio::time::timeout(UNSAFE_TIME, unsafe_time).await;
    checks::promises(&sim).await;
    sim.heal();
    let programs = [programs::healthy(&sim), programs::healthy(&sim)];
    checks::settles(&sim).await;
    checks::nothing_is_lost(&sim).await;
    checks::ends(&sim).await;
    for program in programs {
        program.shut_down().await;
    }
    checks::promises(&sim).await;
    sim.log()
}

/// Does not print the panics of handlers.
pub(crate) fn quiet_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let shown = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.payload().downcast_ref::<&str>() != Some(&"boom") {
                shown(panic);
            }
        }));
    });
}
