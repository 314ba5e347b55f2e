//! Readers distinguish a store that went back in time, or another store, from one without new events.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use recount_core::{
    Checkpoint, Delivery, EventAt, Position, Progress, Query, Recount, Status, Store, StoreError, Subscription,
};
use tokio::time::timeout;

use super::Harness;
use super::probe::{Probe, Target};
use super::support::*;

/// The time limit to notice lost events: a running reader needs a second, a busy machine more.
const SOON: Duration = Duration::from_secs(20);

/// All instances of a store have the same identity. Every other store has another identity.
pub async fn a_store_has_an_identity(h: &dyn Harness) {
    let [one, two] = instances(h).await;
    assert_eq!(one.identity(), two.identity());
    assert_ne!(one.identity(), h.open_another().await.identity());
    let identity = one.identity();
    if h.is_durable() {
        one.close().await;
        two.close().await;
        assert_eq!(h.open().await.identity(), identity);
    }
}

/// `event_at` distinguishes an event, an erased event, and a position that never had an event.
pub async fn event_at_distinguishes_events_erased_events_and_gaps(h: &dyn Harness) {
    let store = h.open().await;
    let kept = fill(&*store, &stream("kept"), 3).await;
    let erased = fill(&*store, &stream("erased"), 2).await;
    for event in kept.iter().chain(&erased) {
        assert_eq!(store.event_at(event.position).await.unwrap(), EventAt::Event(event.data.id));
    }
    let beyond = Position::new(erased[1].position.get() + 1000);
    assert_eq!(store.event_at(beyond).await.unwrap(), EventAt::Nothing);
    store.erase(&stream("erased")).await.unwrap();
    for event in &erased {
        assert_eq!(store.event_at(event.position).await.unwrap(), EventAt::Erased);
    }
    assert_eq!(store.event_at(kept[2].position).await.unwrap(), EventAt::Event(kept[2].data.id));
    assert_eq!(store.event_at(beyond).await.unwrap(), EventAt::Nothing);
}

fn subscribe(store: &Arc<dyn Store>, query: Query, after: impl Into<Checkpoint>) -> Subscription {
    Recount::new(Arc::clone(store)).subscribe(query, after)
}

/// Takes all deliveries up to the first `CaughtUp`, and returns the positions of the events.
async fn catch_up(subscription: &mut Subscription) -> Vec<u64> {
    let mut positions = Vec::new();
    loop {
        match timeout(SOON, subscription.next()).await.expect("in time").expect("it goes on").unwrap() {
            Delivery::Event(event) => positions.push(event.position.get()),
            Delivery::CaughtUp(_) => return positions,
        }
    }
}

/// Expects an error as the next delivery, and then the end.
async fn refused(subscription: &mut Subscription) -> StoreError {
    loop {
        match timeout(SOON, subscription.next()).await.expect("it is noticed").expect("it doesn't just end") {
            Ok(Delivery::Event(event)) => panic!("an event at {} of another history was delivered", event.position),
            // Delivered before the store went back.
            Ok(Delivery::CaughtUp(_)) => {}
            Err(error) => {
                assert!(subscription.next().await.is_none());
                return error;
            }
        }
    }
}

#[track_caller]
fn went_back(error: &StoreError, from: Position) {
    assert!(matches!(error, StoreError::WentBack { checkpoint, .. } if checkpoint.position == from), "{error}");
    assert!(error.to_string().contains("went back in time") && error.to_string().contains("rebuild"), "{error}");
}

/// A store that was saved with five events and then got five more, and the checkpoint of a reader of all ten.
async fn ahead_of_the_copy(h: &dyn Harness) -> (Arc<dyn Store>, Checkpoint) {
    let store = h.open().await;
    fill(&*store, &stream("s"), 5).await;
    h.save().await;
    fill(&*store, &stream("s"), 5).await;
    let mut reader = subscribe(&store, Query::all(), Position::START);
    assert_eq!(catch_up(&mut reader).await.len(), 10);
    (store, reader.checkpoint().await.unwrap())
}

/// A subscriber's checkpoint names the store and the event, even if the query doesn't select that event.
pub async fn a_checkpoint_names_store_and_event(h: &dyn Harness) {
    let store = h.open().await;
    let events = fill(&*store, &stream("s"), 3).await;
    let last = Checkpoint::at(&events[2], store.identity());
    for query in [Query::all(), Query::category("nothing")] {
        let mut reader = subscribe(&store, query, Position::START);
        assert_eq!(
            reader.checkpoint().await.unwrap(),
            Checkpoint { store: Some(store.identity()), ..Checkpoint::START }
        );
        catch_up(&mut reader).await;
        assert_eq!(reader.checkpoint().await.unwrap(), last);
        assert!(catch_up(&mut subscribe(&store, Query::all(), last)).await.is_empty());
    }
}

/// A subscriber that is ahead of its store gets an error, even if its checkpoint is only a position.
pub async fn a_subscriber_ahead_of_its_store_is_refused(h: &dyn Harness) {
    let (store, checkpoint) = ahead_of_the_copy(h).await;
    h.restore().await;
    went_back(&refused(&mut subscribe(&store, Query::all(), checkpoint)).await, checkpoint.position);
    let position = checkpoint.position;
    went_back(&refused(&mut subscribe(&store, Query::category("nothing"), position)).await, position);
    // Positions that the copy has are accepted.
    let copied = positions(&everything(&*store).await);
    assert!(catch_up(&mut subscribe(&store, Query::all(), Position::new(copied[4]))).await.is_empty());
}

/// A subscriber of lost events gets the error even if the store has grown past its position again.
pub async fn a_store_that_grew_again_after_a_restore_is_refused(h: &dyn Harness) {
    let (store, checkpoint) = ahead_of_the_copy(h).await;
    h.restore().await;
    append(&*store, &stream("s"), exact(5), events(9)).await.unwrap();
    assert!(store.head().await.unwrap() > checkpoint.position);
    went_back(&refused(&mut subscribe(&store, Query::all(), checkpoint)).await, checkpoint.position);
    let nothing = Query::category("nothing");
    went_back(&refused(&mut subscribe(&store, nothing, checkpoint)).await, checkpoint.position);
}

/// A checkpoint of another store is refused, independent of this store's events.
pub async fn a_checkpoint_of_another_store_is_refused(h: &dyn Harness) {
    let (store, another) = (h.open().await, h.open_another().await);
    fill(&*store, &stream("s"), 9).await;
    fill(&*another, &stream("s"), 3).await;
    let mut reader = subscribe(&another, Query::all(), Position::START);
    for events in [0, 3] {
        if events > 0 {
            catch_up(&mut reader).await;
        }
        let checkpoint = reader.checkpoint().await.unwrap();
        let error = refused(&mut subscribe(&store, Query::all(), checkpoint)).await;
        assert!(
            matches!(&error, StoreError::OtherStore { expected, found, .. }
            if (*expected, *found) == (another.identity(), store.identity())),
            "{error}"
        );
        assert!(error.to_string().contains(&another.identity().to_string()), "{error}");
    }
}

/// A subscription continues if the event of its checkpoint was erased.
pub async fn an_erased_event_at_the_checkpoint_is_passed(h: &dyn Harness) {
    let store = h.open().await;
    fill(&*store, &stream("s"), 3).await;
    let mut running = subscribe(&store, Query::all(), Position::START);
    catch_up(&mut running).await;
    fill(&*store, &stream("erased"), 2).await;
    assert_eq!(catch_up(&mut running).await.len(), 2);
    let checkpoint = running.checkpoint().await.unwrap();
    store.erase(&stream("erased")).await.unwrap();
    let mut later = subscribe(&store, Query::all(), checkpoint);
    assert!(catch_up(&mut later).await.is_empty());
    // Longer than the interval of the comparison.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let next = add(&*store, &stream("s"), event()).await.position.get();
    for mut reader in [running, later] {
        while catch_up(&mut reader).await != [next] {}
    }
}

/// A running subscription ends with an error when its store goes back, and delivers no event of the new history.
pub async fn a_running_subscription_notices_that_its_store_went_back(h: &dyn Harness) {
    let (store, checkpoint) = ahead_of_the_copy(h).await;
    let readers = [Query::all(), Query::category("nothing")].map(|query| subscribe(&store, query, Position::START));
    let mut readers = Vec::from(readers);
    for reader in &mut readers {
        catch_up(reader).await;
    }
    h.restore().await;
    for reader in &mut readers {
        went_back(&refused(reader).await, checkpoint.position);
    }
}

/// It does so even if the store has grown past the subscription again before the next comparison.
pub async fn a_running_subscription_notices_that_its_store_grew_again(h: &dyn Harness) {
    let (store, checkpoint) = ahead_of_the_copy(h).await;
    let mut reader = subscribe(&store, Query::all(), Position::START);
    catch_up(&mut reader).await;
    h.restore().await;
    append(&*store, &stream("s"), exact(5), events(20)).await.unwrap();
    went_back(&refused(&mut reader).await, checkpoint.position);
}

/// A slow reader in the middle of history notices it, too.
pub async fn a_slow_reader_of_history_notices_that_its_store_grew_again(h: &dyn Harness) {
    let store = h.open().await;
    fill(&*store, &stream("s"), 5).await;
    h.save().await;
    append(&*store, &stream("s"), exact(5), events(700)).await.unwrap();
    let mut reader = subscribe(&store, Query::all(), Position::START);
    for _ in 0..10 {
        assert!(matches!(timeout(SOON, reader.next()).await, Ok(Some(Ok(Delivery::Event(_))))));
    }
    let last = reader.checkpoint().await.unwrap().position;
    h.restore().await;
    append(&*store, &stream("s"), exact(5), events(900)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    went_back(&refused(&mut reader).await, last);
}

/// Waits until the projection has stopped. It must stop at once, without handling an event.
async fn stopped(target: &dyn Target, recount: &Recount, wanted: Position) -> Progress {
    let probe = Probe::new();
    let started = tokio::time::Instant::now();
    let projections = target.start(recount, Arc::clone(&probe));
    let outcome = timeout(SOON, projections.wait_for(wanted)).await.expect("it stops");
    let progress = outcome.expect_err("the position counts as reached");
    // Retries with growing pauses would exceed this limit.
    assert!(started.elapsed() < Duration::from_secs(2), "{}: {:?}", target.place(), started.elapsed());
    assert!(probe.taken().is_empty(), "{}: {probe:?}", target.place());
    progress
}

#[track_caller]
fn stopped_with(progress: &Progress, text: &str, target: &dyn Target) {
    let Status::Stopped { error } = &progress.status else { panic!("{}: {progress:?}", target.place()) };
    assert!(error.contains(text) && error.contains("projection probe"), "{}: {error}", target.place());
}

/// A read model outside of the store that is ahead of it stops its projection with the error, whether the store is
/// shorter now or has other events at the read model's position.
pub async fn a_read_model_ahead_of_its_store_stops(h: &dyn Harness) {
    let (store, targets) = h.open_with_read_models().await;
    let recount = Recount::new(Arc::clone(&store));
    let early = fill(&*store, &stream("s"), 5).await;
    h.save().await;
    fill(&*store, &stream("s"), 5).await;
    // The read model moves past an event that it doesn't select.
    let last = add(&*store, &stream("s"), typed("other")).await.position;
    let targets: Vec<_> = targets.into_iter().filter(|target| target.is_elsewhere()).collect();
    for target in &targets {
        let projections = target.start(&recount, Probe::new());
        timeout(SOON, projections.wait_for(last)).await.expect("in time").unwrap();
        projections.shutdown().await;
    }
    h.restore().await;
    for target in &targets {
        let progress = stopped(&**target, &recount, early[4].position).await;
        stopped_with(&progress, "went back in time", &**target);
    }
    append(&*store, &stream("s"), exact(5), events(9)).await.unwrap();
    for target in &targets {
        let progress = stopped(&**target, &recount, last).await;
        stopped_with(&progress, "went back in time", &**target);
    }
}

/// A running projection stops when its store goes back, and `wait_for` fails.
pub async fn a_running_projection_notices_that_its_store_went_back(h: &dyn Harness) {
    let (store, targets) = h.open_with_read_models().await;
    let recount = Recount::new(Arc::clone(&store));
    fill(&*store, &stream("s"), 5).await;
    h.save().await;
    let last = fill(&*store, &stream("s"), 5).await[9].position;
    let running: Vec<_> = targets.iter().filter(|target| target.is_elsewhere()).collect();
    let running: Vec<_> = running.iter().map(|target| (target, target.start(&recount, Probe::new()))).collect();
    for (_, projections) in &running {
        timeout(SOON, projections.wait_for(last)).await.expect("in time").unwrap();
    }
    h.restore().await;
    for (target, projections) in &running {
        let over = async {
            while !projections.progress()[0].is_over() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(SOON, over).await.expect("it stops");
        let progress = projections.wait_for(last).await.expect_err("the position counts as reached");
        stopped_with(&progress, "went back in time", &****target);
    }
}

/// A read model that was built from another store stops its projection.
pub async fn a_read_model_of_another_store_stops(h: &dyn Harness) {
    let (store, targets) = h.open_with_read_models().await;
    let another = h.open_another().await;
    let last = fill(&*another, &stream("s"), 3).await[2].position;
    fill(&*store, &stream("s"), 9).await;
    for target in targets.iter().filter(|target| target.is_elsewhere()) {
        let projections = target.start(&Recount::new(Arc::clone(&another)), Probe::new());
        timeout(SOON, projections.wait_for(last)).await.expect("in time").unwrap();
        projections.shutdown().await;
        let progress = stopped(&**target, &Recount::new(Arc::clone(&store)), last).await;
        stopped_with(&progress, "but this is store", &**target);
    }
}
