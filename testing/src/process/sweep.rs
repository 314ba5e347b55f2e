//! The sweep: every call of a store that a program makes is once the call at which it dies, pauses, or loses the answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use recount_core::InstanceState::{self, Compensated, Ended, Stuck};
use recount_core::Store;

use super::domain::{DECLINED, JAMMED, PAYMENT_TIME, UNANSWERED};
use super::oracle::check;
use super::world::{Program, World};
use crate::{Call, Fault, FaultyStore};

/// A story of one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Reserved, paid, shipped.
    Fulfilled,
    /// The stock arrives late.
    Restocked,
    /// The stock never arrives.
    OutOfStock,
    /// The payment is declined.
    Declined,
    /// The payment is never answered.
    Overdue,
    /// The customer cancels while the payment is open.
    Cancelled,
    /// The undo of the reservation is refused, and redriven.
    Stuck,
}

impl Scenario {
    pub const ALL: [Self; 7] = [
        Self::Fulfilled,
        Self::Restocked,
        Self::OutOfStock,
        Self::Declined,
        Self::Overdue,
        Self::Cancelled,
        Self::Stuck,
    ];

    /// How the story ends.
    pub fn end(self) -> InstanceState {
        match self {
            Self::Fulfilled | Self::Restocked => Ended,
            _ => Compensated,
        }
    }

    const fn pieces(self) -> u32 {
        match self {
            Self::Fulfilled | Self::Restocked | Self::OutOfStock => 2,
            Self::Declined => DECLINED,
            Self::Overdue | Self::Cancelled => UNANSWERED,
            Self::Stuck => JAMMED,
        }
    }

    /// What customers and operators do, beside the program that runs the process.
    pub async fn play(self, world: &World, order: u64) {
        if !matches!(self, Self::Restocked | Self::OutOfStock) {
            world.fill(order, 1000).await;
        }
        world.place(order, self.pieces()).await;
        match self {
            Self::Restocked => {
                let refused = async || world.log(order).await.contains("restocking");
                world.until("a reservation is refused", refused).await;
                world.fill(order, 1000).await;
            }
            Self::Cancelled => {
                let asked = async || world.log(order).await.contains("stock_reserved");
                world.until("the payment is asked for", asked).await;
                world.cancel(order).await;
            }
            Self::Stuck => {
                world.reaches(order, Stuck).await;
                world.fill(order, 0).await;
                world.client.processes().redrive("suite_fulfilment", &order.to_string(), "the sweep").await.unwrap();
            }
            _ => {}
        }
    }
}

/// What happens at the call.
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
    let faults = FaultyStore::new(Arc::clone(&world.store));
    faults.fail_where(mishap.fault(), fits);
    let first = Program::start(faults.clone());
    let story = async {
        scenario.play(&world, order).await;
        world.reaches(order, scenario.end()).await;
    };
    let mishap_happens = async {
        match mishap {
            Mishap::Fails(_) => {
                std::future::pending::<()>().await;
                None
            }
            Mishap::Dies(_) => {
                faults.paused().await;
                first.die();
                Some((world.program(), None))
            }
            Mishap::Pauses(_) => {
                faults.paused().await;
                Some((world.program(), Some(first)))
            }
        }
    };
    // The story goes on beside the mishap.
    tokio::pin!(story, mishap_happens);
    let programs = tokio::select! {
        () = &mut story => None,
        programs = &mut mishap_happens => {
            story.await;
            programs
        }
    };
    let happened = faults.is_spent();
    if let Some((second, paused)) = programs {
        if let Some(paused) = paused {
            faults.release();
            // What the paused program had begun comes too late.
            tokio::time::sleep(2 * PAYMENT_TIME).await;
            paused.shut_down().await;
        }
        second.shut_down().await;
    }
    check(&world, order).await;
    happened
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
