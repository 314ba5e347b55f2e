//! A reaction that the tests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::TryStreamExt;
use recount_core::{
    BoxError, Commands, Consumers, Progress, Query, Reaction, ReadAll, RecordedEvent, Recount, RetryBudget, Store,
};

use super::*;

/// Moves what is deposited on an account `x` to the account `saved-x`, in two commands.
#[derive(Default)]
pub struct Saving {
    pub name: Option<String>,
    pub failures: AtomicU64,
    pub heard: AtomicU64,
}

impl Reaction for Saving {
    type Event = AccountEvent;

    fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("saving")
    }

    async fn on(&self, event: &AccountEvent, recorded: &RecordedEvent) -> Result<Commands, BoxError> {
        self.heard.fetch_add(1, Ordering::SeqCst);
        let id = recorded.stream.id();
        let AccountEvent::Deposited { cents } = event else { return Ok(Commands::none()) };
        if id.starts_with("saved-") {
            return Ok(Commands::none());
        }
        let fail = |left: u64| left.checked_sub(1);
        if self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fail).is_ok() {
            assert_ne!(id, "panics", "no saving here");
            return Err("not yet".into());
        }
        Ok(Commands::send(deposit(&format!("saved-{id}"), *cents)).and(withdraw(id, *cents)))
    }
}

pub fn soon() -> RetryBudget {
    RetryBudget { time: Duration::from_millis(100), ..RetryBudget::default() }
}

pub async fn everything(store: &dyn Store) -> Vec<RecordedEvent> {
    store.read_all(ReadAll::new(Query::all())).try_collect().await.unwrap()
}

/// Waits until the reaction has handled everything, also what it has caused itself.
pub async fn settled(running: &Consumers, store: &dyn Store) {
    loop {
        let head = store.head().await.unwrap();
        running.wait_for(head).await.unwrap();
        if store.head().await.unwrap() == head {
            return;
        }
    }
}

pub async fn balance(recount: &Recount, name: &str) -> u64 {
    Recount::new(Arc::clone(recount.store())).load::<Account>(&account(name)).await.unwrap().balance
}

pub async fn until(running: &Consumers, expected: impl Fn(&Progress) -> bool) -> Progress {
    let reached = async {
        loop {
            let now = running.progress().remove(0);
            if expected(&now) {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(600), reached).await.expect("in time")
}
