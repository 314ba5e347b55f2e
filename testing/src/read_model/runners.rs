//! Several runners of one projection.

use std::sync::Arc;
use std::time::Duration;

use recount_core::{Append, Position, Projection, Recount, Status, Store};

use super::Harness;
use super::harness::has_instances;
use super::writing::*;

/// The first of these read models runs the projection; the others, which stand for the same one, refuse it until it is over.
pub async fn one_runner_of_a_name<P: Projection>(
    store: Arc<dyn Store>,
    projection: impl Fn() -> P,
    [model, others @ ..]: [P::ReadModel; 4],
    event: Append,
) where
    P::ReadModel: Clone,
{
    let recount = Recount::new(Arc::clone(&store));
    let start = |model| recount.consumers().projection(projection(), model).start();
    let first = start(model.clone());
    for other in others {
        let refused = start(other).wait_for(Position::START).await.unwrap_err();
        assert!(format!("{refused:?}").contains("runs already"), "{refused:?}");
    }
    let last = store.append(event).await.unwrap().position;
    first.wait_for(last).await.unwrap();
    // The name is free once its projection is over.
    first.shutdown().await;
    start(model).wait_for(last).await.unwrap();
}

/// In one process, a second projection of a name is refused, and the first is not disturbed. Another name is not.
pub async fn a_second_projection_of_a_name_is_refused<H: Harness>(h: &Arc<H>) {
    let (store, recount) = log(h).await;
    let model = open(h).await;
    let last = append(&store, "a", 5).await;
    let first = start(&recount, Writing::<H>::new(h), model.clone());
    // Also by another handle on the store.
    let second = start(&Recount::new(store.clone()), Writing::<H>::new(h), model.clone());
    let (_, error) = stopped(&second).await;
    assert!(error.starts_with("projection writing runs already"), "{error}");
    second.wait_for(Position::START).await.unwrap_err();
    let mut another = Writing::<H>::with(h, |_| Err("unused".into()));
    another.name = "another".to_owned();
    let both = recount.consumers().projection(Writing::<H>::new(h), model.clone()).projection(another, model);
    let both = both.start();
    assert!(both.progress()[0].is_over() && !both.progress()[1].is_over());
    first.wait_for(last).await.unwrap();
    assert_eq!(h.written().await, [1, 2, 3, 4, 5]);
}

/// The name is free after a shutdown, as soon as the handle is dropped, and once the projection has stopped.
pub async fn a_name_is_free_once_its_projection_is_over<H: Harness>(h: &Arc<H>) {
    let (store, recount) = log(h).await;
    let model = open(h).await;
    append(&store, "a", 4).await;
    start(&recount, Writing::<H>::new(h), model.clone()).shutdown().await;
    drop(start(&recount, Writing::<H>::new(h), model.clone()));
    let last = append(&store, "a", 1).await;
    let failing = start(&recount, Writing::<H>::with(h, |_| Err("no".into())), model.clone());
    stopped(&failing).await;
    let running = start(&recount, Writing::<H>::new(h), model);
    running.wait_for(last).await.unwrap();
    assert_eq!(h.written().await, [1, 2, 3, 4, 5]);
}

/// Two instances, as two processes have them, write everything once, and both know it.
pub async fn two_instances_write_everything_once<H: Harness>(h: &Arc<H>) {
    if !has_instances(&**h) {
        return;
    }
    let (store, recount) = log(h).await;
    let runners = [open(h).await, open(h).await].map(|model| start(&recount, Writing::<H>::new(h), model));
    let mut last = Position::START;
    for _ in 0..40 {
        last = append(&store, "a", 5).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    for runner in &runners {
        runner.wait_for(last).await.unwrap();
    }
    assert_eq!(h.written().await, (1..=200).collect::<Vec<u64>>());
    for runner in runners {
        until(&runner, |now| now.status == Status::Live).await;
    }
}

/// A runner that has fallen silent inside its transaction is passed by another one after the time limit at the latest.
pub async fn a_runner_in_an_open_transaction_holds_up_no_other_for_long<H: Harness>(h: &Arc<H>) {
    if !has_instances(&**h) {
        return;
    }
    let (store, recount) = log(h).await;
    let last = append(&store, "a", 5).await;
    let limit = Duration::from_secs(2);
    let silent = open(h).await.with_time_limit(limit);
    let hanging = Writing::<H>::new(h);
    hanging.hangs.store(true, std::sync::atomic::Ordering::SeqCst);
    let stuck = start(&recount, hanging, silent);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let healthy = start(&recount, Writing::<H>::new(h), open(h).await);
    let reached = tokio::time::timeout(limit * 5, healthy.wait_for(last)).await;
    reached.expect("the other runner is held up").unwrap();
    assert_eq!(h.written().await, [1, 2, 3, 4, 5]);
    assert!(!stuck.progress()[0].is_over());
}
