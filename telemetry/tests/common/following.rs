//! What follows from a sale: a reaction that sends a command, and a projection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use recount_core::{
    BoxError, Commands, Consumers, InMemory, Projection, Reaction, RecordedEvent, Recount, RetryBudget,
};

use super::{TillEvent, sell};

/// Books each sale of a till `x` on the till `tax-x`.
pub struct Taxes;

impl Reaction for Taxes {
    type Event = TillEvent;

    fn name(&self) -> &str {
        "taxes"
    }

    async fn on(&self, TillEvent::Sold { .. }: &TillEvent, recorded: &RecordedEvent) -> Result<Commands, BoxError> {
        let till = recorded.stream.id();
        if till.starts_with("tax-") {
            Ok(Commands::none())
        } else {
            Ok(Commands::send(sell(&format!("tax-{till}"), 1)))
        }
    }
}

/// Counts sales, or fails if told to.
#[derive(Default)]
pub struct Sums {
    pub sales: AtomicU64,
    pub fails: AtomicBool,
}

impl Projection for Sums {
    type Event = TillEvent;
    type ReadModel = InMemory;

    fn name(&self) -> &str {
        "sums"
    }

    async fn on(&self, TillEvent::Sold { .. }: &TillEvent, _: &RecordedEvent, (): &mut ()) -> Result<(), BoxError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err("geheim".into());
        }
        self.sales.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// Starts both.
pub fn follow(recount: &Recount, sums: &Arc<Sums>) -> Consumers {
    let budget = RetryBudget { time: Duration::from_millis(300), ..RetryBudget::default() };
    recount.consumers().reaction(Taxes).projection(Arc::clone(sums), InMemory::new()).retry(budget).start()
}

/// Waits until both have handled everything, also what the reaction has caused.
pub async fn settled(recount: &Recount, following: &Consumers) {
    loop {
        let head = recount.store().head().await.unwrap();
        following.wait_for(head).await.unwrap();
        if recount.store().head().await.unwrap() == head {
            return;
        }
    }
}
