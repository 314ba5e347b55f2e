//! Mishaps of a program: at one of its calls of the store it dies, pauses, or loses the answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use recount_core::Store;

use super::oracle::check;
use super::scenario::Scenario;
use super::world::{Program, World};
use crate::{Call, Fault};

/// How long a program goes on after one of its calls has stopped, before it dies: longer than checkpoints take to be stored.
const AGONY: Duration = Duration::from_millis(120);
/// How long a program that was paused goes on beside its successor.
const REVIVAL: Duration = Duration::from_millis(20);

/// The mishap at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// The program dies before or after the call took effect, and another starts.
    Dies(Fault),
    /// The program pauses before or after the call took effect. Another takes over; when all is done, the first goes on.
    Pauses(Fault),
    /// The call fails, or its answer is lost.
    Fails(Fault),
}

impl Mishap {
    pub const ALL: [Self; 6] = [
        Self::Dies(Fault::PauseBefore),
        Self::Dies(Fault::PauseAfter),
        Self::Pauses(Fault::PauseBefore),
        Self::Pauses(Fault::PauseAfter),
        Self::Fails(Fault::Before),
        Self::Fails(Fault::After),
    ];

    const fn fault(self) -> Fault {
        match self {
            Self::Dies(fault) | Self::Pauses(fault) | Self::Fails(fault) => fault,
        }
    }
}

/// Plays a scenario, and lets a mishap happen at the first call that fits. Returns whether there was such a call.
pub async fn play(
    store: Arc<dyn Store>,
    order: u64,
    scenario: Scenario,
    mishap: Mishap,
    fits: impl Fn(&Call<'_>) -> bool + Send + 'static,
) -> bool {
    let world = World::new(store);
    let faults = world.faults();
    faults.fail_where(mishap.fault(), fits);
    let first = Program::start(faults.clone());
    let story = async {
        scenario.play(&world, order).await;
        world.reaches(order, scenario.end()).await;
    };
    let mishap_happens = async {
        match mishap {
            Mishap::Fails(_) => std::future::pending().await,
            Mishap::Dies(_) => {
                faults.paused().await;
                tokio::time::sleep(AGONY).await;
                first.die();
                (world.program(), None)
            }
            Mishap::Pauses(_) => {
                faults.paused().await;
                (world.program(), Some(first))
            }
        }
    };
    // The story goes on beside the mishap.
    tokio::pin!(story, mishap_happens);
    let programs = tokio::select! {
        biased;
        programs = &mut mishap_happens => {
            story.await;
            Some(programs)
        }
        () = &mut story => None,
    };
    if let Some((second, paused)) = programs {
        if let Some(paused) = paused {
            // The call of the paused program comes too late.
            faults.release();
            tokio::time::sleep(REVIVAL).await;
            paused.shut_down().await;
        }
        second.shut_down().await;
    }
    check(&world, order).await;
    faults.is_spent()
}

/// Lets a mishap happen at the first call of the program, then at the second, until it makes no more calls. Returns how many
/// calls there were.
pub async fn sweep(open: impl Fn() -> Arc<dyn Store>, scenario: Scenario, mishap: Mishap) -> u64 {
    for number in 0.. {
        let calls = AtomicU64::new(0);
        let nth = move |_: &Call<'_>| calls.fetch_add(1, Ordering::Relaxed) == number;
        if !play(open(), 1, scenario, mishap, nth).await {
            return number;
        }
    }
    unreachable!("a program makes finitely many calls")
}
