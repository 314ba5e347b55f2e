//! The checkpoint remembers the filter of the projection.

use std::sync::Arc;

use recount_core::{Consumers, Event, FilterChange, Position, ReadModel, Recount, Status, Store};

use super::Harness;
use super::harness::has_instances;
use super::writing::*;
use crate::FaultyReadModel;

/// Events of both kinds: the odd positions have the first kind.
async fn mixed(store: &Arc<dyn Store>) -> Position {
    append_each(store, "a", [Noted::First {}, Noted::Second {}, Noted::First {}, Noted::Second {}]).await
}

fn start_with<H: Harness, E: Event>(
    h: &Arc<H>,
    recount: &Recount,
    model: &FaultyReadModel<H::Model>,
    choice: FilterChange,
) -> Consumers {
    let builder = recount.consumers().retry(soon()).projection(Writing::<H, E>::new(h), model.clone());
    builder.on_filter_change(choice).start()
}

/// The log, and a read model that a program with the narrow filter has built.
async fn narrow<H: Harness>(h: &Arc<H>) -> (Arc<dyn Store>, Recount, FaultyReadModel<H::Model>, Position) {
    let (store, recount) = log(h).await;
    let model = open(h).await;
    let last = mixed(&store).await;
    let running = start_with::<H, FirstOnly>(h, &recount, &model, FilterChange::Refuse);
    running.wait_for(last).await.unwrap();
    running.shutdown().await;
    assert_eq!(h.written().await, [1, 3]);
    (store, recount, model, last)
}

/// Unless there is a choice, the projection doesn't start, and names the added and removed types and the cure.
pub async fn another_filter_is_refused_and_named<H: Harness>(h: &Arc<H>) {
    let (_, recount, model, last) = narrow(h).await;
    let running = start_with::<H, Noted>(h, &recount, &model, FilterChange::Refuse);
    let (_, error) = stopped(&running).await;
    for part in ["projection writing is at position 4", "added noted.second;", "StartOver", "GoOn"] {
        assert!(error.contains(part), "{error}");
    }
    running.wait_for(Position::new(1)).await.unwrap_err();
    // The program before it goes on.
    let running = start_with::<H, FirstOnly>(h, &recount, &model, FilterChange::Refuse);
    running.wait_for(last).await.unwrap();
    running.shutdown().await;
    assert_eq!(h.written().await, [1, 3]);
    // A removed type is a change as well.
    let running = start_with::<H, Noted>(h, &recount, &model, FilterChange::GoOn);
    running.wait_for(last).await.unwrap();
    running.shutdown().await;
    let running = start_with::<H, FirstOnly>(h, &recount, &model, FilterChange::Refuse);
    let (_, error) = stopped(&running).await;
    assert!(error.contains("removed noted.second"), "{error}");
}

/// By choice the projection is built anew: nothing of the old filter's work is left, and no event is missing.
pub async fn another_filter_starts_over_by_choice<H: Harness>(h: &Arc<H>) {
    let (store, recount, model, last) = narrow(h).await;
    let running = start_with::<H, Noted>(h, &recount, &model, FilterChange::StartOver);
    running.wait_for(last).await.unwrap();
    assert_eq!(h.written().await, [1, 2, 3, 4]);
    running.shutdown().await;
    // The choice is made once: with the same filter it goes on.
    let running = start_with::<H, Noted>(h, &recount, &model, FilterChange::StartOver);
    running.wait_for(append(&store, "a", 1).await).await.unwrap();
    assert_eq!(h.written().await, [1, 2, 3, 4, 5]);
}

/// By choice the projection goes on from its position with the new filter.
pub async fn another_filter_goes_on_by_choice<H: Harness>(h: &Arc<H>) {
    let (store, recount, model, _) = narrow(h).await;
    let running = start_with::<H, Noted>(h, &recount, &model, FilterChange::GoOn);
    running.wait_for(mixed(&store).await).await.unwrap();
    assert_eq!(h.written().await, [1, 3, 5, 6, 7, 8]);
    running.shutdown().await;
    let running = start_with::<H, Noted>(h, &recount, &model, FilterChange::Refuse);
    running.wait_for(append(&store, "a", 1).await).await.unwrap();
}

/// In a rolling deploy, an older program that still runs can't move the checkpoint past events that it doesn't know.
pub async fn an_older_program_does_not_move_a_newer_checkpoint<H: Harness>(h: &Arc<H>) {
    if !has_instances(&**h) {
        return;
    }
    let (store, recount, model, last) = narrow(h).await;
    let old = start_with::<H, FirstOnly>(h, &recount, &model, FilterChange::Refuse);
    old.wait_for(last).await.unwrap();
    let new = start_with::<H, Noted>(h, &recount, &open(h).await, FilterChange::GoOn);
    new.wait_for(last).await.unwrap();
    let last = mixed(&store).await;
    new.wait_for(last).await.unwrap();
    let over = until(&old, |now| now.is_over()).await;
    let Status::Stopped { error } = over.status else { panic!("{over:?}") };
    assert!(error.contains("removed noted.second"), "{error}");
    assert_eq!(h.written().await, [1, 3, 5, 6, 7, 8]);
    assert!(!new.progress()[0].is_over());
}

/// In a rolling deploy each program makes its choice once, when it starts: the program that starts last goes on, and the
/// one before it stops, also if there was no event yet.
pub async fn each_program_goes_on_by_choice_once<H: Harness>(h: &Arc<H>) {
    if !has_instances(&**h) {
        return;
    }
    let (store, recount) = log(h).await;
    let old = start_with::<H, FirstOnly>(h, &recount, &open(h).await, FilterChange::GoOn);
    old.wait_for(Position::START).await.unwrap();
    let new = start_with::<H, Noted>(h, &recount, &open(h).await, FilterChange::GoOn);
    new.wait_for(Position::START).await.unwrap();
    for _ in 0..20 {
        new.wait_for(mixed(&store).await).await.unwrap();
    }
    let (_, error) = stopped(&old).await;
    assert!(error.contains("removed noted.second"), "{error}");
    assert_eq!(h.written().await, (1..=80).collect::<Vec<u64>>());
    assert!(!new.progress()[0].is_over());
}

/// The same holds for the choice to start over.
pub async fn each_program_starts_over_by_choice_once<H: Harness>(h: &Arc<H>) {
    if !has_instances(&**h) {
        return;
    }
    let (store, recount, model, last) = narrow(h).await;
    let old = start_with::<H, FirstOnly>(h, &recount, &model, FilterChange::StartOver);
    old.wait_for(last).await.unwrap();
    let new = start_with::<H, Noted>(h, &recount, &open(h).await, FilterChange::StartOver);
    new.wait_for(last).await.unwrap();
    for _ in 0..20 {
        new.wait_for(mixed(&store).await).await.unwrap();
    }
    let (_, error) = stopped(&old).await;
    assert!(error.contains("removed noted.second"), "{error}");
    assert_eq!(h.written().await, (1..=84).collect::<Vec<u64>>());
}

/// An order to rebuild stands in the place of the filter, and does not let an older program adopt the projection.
pub async fn an_order_does_not_hide_another_filter<H: Harness>(h: &Arc<H>) {
    if !has_instances(&**h) {
        return;
    }
    let (_, recount, model, last) = narrow(h).await;
    let old = start_with::<H, FirstOnly>(h, &recount, &model, FilterChange::GoOn);
    old.wait_for(last).await.unwrap();
    let new = start_with::<H, Noted>(h, &recount, &open(h).await, FilterChange::StartOver);
    new.wait_for(last).await.unwrap();
    new.shutdown().await;
    model.order_rebuild("writing").await.unwrap();
    let (_, error) = stopped(&old).await;
    assert!(error.contains("removed noted.second"), "{error}");
    assert_eq!(h.written().await, [1, 2, 3, 4]);
    assert!(model.checkpoints().await.unwrap()[0].is_rebuild_ordered());
}
