//! Each event takes effect once, even after failures.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Harness;
use super::writing::*;
use crate::{Fault, faulty_read_model::Step};

/// History and live events are written once, in the order of their positions, also after a restart.
pub async fn every_event_is_written_once_in_order<H: Harness>(h: &Arc<H>) {
    let (store, recount) = log(h).await;
    let model = open(h).await;
    append(&store, "a", 300).await;
    for round in 1..=3 {
        let running = start(&recount, Writing::<H>::new(h), model.clone());
        let mut last = append(&store, "b", 50).await;
        running.wait_for(last).await.unwrap();
        last = append(&store, "c", 50).await;
        running.wait_for(last).await.unwrap();
        running.shutdown().await;
        assert_eq!(h.written().await, (1..=300 + round * 100).collect::<Vec<u64>>());
    }
}

/// The projection stops at the event that fails for good. The events before it are written, it and those behind aren't.
pub async fn a_failed_event_is_undone_and_those_before_it_are_kept<H: Harness>(h: &Arc<H>) {
    let (store, recount) = log(h).await;
    append(&store, "a", 10).await;
    let refuse = |event: &recount_core::RecordedEvent| {
        if event.position.get() == 7 { Err("seven is refused".into()) } else { Ok(()) }
    };
    let running = start(&recount, Writing::<H>::with(h, refuse), open(h).await);
    let (position, error) = stopped(&running).await;
    assert_eq!(position.get(), 6);
    assert_eq!(error, "event noted.first at position 7 (noted/a, version 7) failed: seven is refused");
    assert_eq!(h.written().await, [1, 2, 3, 4, 5, 6]);
    // The events handled before the failure can be relied on.
    running.wait_for(recount_core::Position::new(6)).await.unwrap();
    running.shutdown().await;
    let running = start(&recount, Writing::<H>::new(h), open(h).await);
    running.wait_for(recount_core::Position::new(10)).await.unwrap();
    assert_eq!(h.written().await, (1..=10).collect::<Vec<u64>>());
}

/// An event that fails a few times is written once, and the status returns to live.
pub async fn an_event_that_fails_for_a_while_is_written_once<H: Harness>(h: &Arc<H>) {
    let (store, recount) = log(h).await;
    let last = append(&store, "a", 10).await;
    let failures = AtomicUsize::new(3);
    let fail = move |event: &recount_core::RecordedEvent| {
        let left = |left: usize| left.checked_sub(1);
        let fails =
            event.position.get() == 4 && failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_ok();
        if fails { Err("not yet".into()) } else { Ok(()) }
    };
    let running = recount.consumers().projection(Writing::<H>::with(h, fail), open(h).await).start();
    running.wait_for(last).await.unwrap();
    until(&running, |now| now.status == recount_core::Status::Live).await;
    assert_eq!(h.written().await, (1..=10).collect::<Vec<u64>>());
}

/// A commit that happened, though its answer was lost, is not made again.
pub async fn a_commit_whose_answer_is_lost_counts_once<H: Harness>(h: &Arc<H>) {
    let (store, recount) = log(h).await;
    let model = open(h).await;
    append(&store, "a", 5).await;
    // The set-up, too.
    model.fail(Step::Commit, 2, Fault::After);
    let running = start(&recount, Writing::<H>::new(h), model.clone());
    running.wait_for(append(&store, "a", 5).await).await.unwrap();
    model.fail(Step::Commit, 1, Fault::After);
    running.wait_for(append(&store, "a", 5).await).await.unwrap();
    assert_eq!(h.written().await, (1..=15).collect::<Vec<u64>>());
}
