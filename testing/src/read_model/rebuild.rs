//! Starting over by order: a read model that is built anew in place.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use recount_core::{
    BoxError, Checkpoint, CheckpointError, Event, Filter, Position, Projection, ReadModel, RebuildError, RecordedEvent,
    Status,
};

use super::Harness;
use super::harness::has_instances;
use super::writing::*;

/// How many events of history the tests have.
const HISTORY: u64 = 50;

fn up_to(last: u64) -> Vec<u64> {
    (1..=last).collect()
}

/// Waits until nothing of the order is left.
async fn followed<M: ReadModel>(model: &M) {
    while model.checkpoints().await.unwrap().iter().any(|stored| stored.is_rebuild_ordered()) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A projection with a reset that fails as often as the test says, and is counted.
struct Resetting<H> {
    writing: Writing<H>,
    resets: Arc<AtomicUsize>,
    failures: usize,
}

impl<H: Harness> Resetting<H> {
    fn new(h: &Arc<H>, failures: usize) -> (Self, Arc<AtomicUsize>) {
        let resets = Arc::default();
        (Self { writing: Writing::new(h), resets: Arc::clone(&resets), failures }, resets)
    }
}

impl<H: Harness> Projection for Resetting<H> {
    type Event = Noted;
    type ReadModel = <Writing<H> as Projection>::ReadModel;

    fn name(&self) -> &str {
        self.writing.name()
    }

    async fn setup(&self, connection: &mut <Self::ReadModel as ReadModel>::Connection) -> Result<(), BoxError> {
        self.writing.setup(connection).await
    }

    async fn reset(&self, connection: &mut <Self::ReadModel as ReadModel>::Connection) -> Result<(), BoxError> {
        let before = self.resets.fetch_add(1, Ordering::SeqCst);
        if Self::ReadModel::UNDOES {
            self.writing.reset(connection).await?;
        }
        if before < self.failures {
            return Err("the tables are in use".into());
        }
        self.writing.reset(connection).await
    }

    async fn on(
        &self,
        event: &Noted,
        recorded: &RecordedEvent,
        connection: &mut <Self::ReadModel as ReadModel>::Connection,
    ) -> Result<(), BoxError> {
        self.writing.on(event, recorded, connection).await
    }
}

/// A projection that can't start over.
struct Fixed<H>(Writing<H>);

impl<H: Harness> Projection for Fixed<H> {
    type Event = Noted;
    type ReadModel = <Writing<H> as Projection>::ReadModel;

    fn name(&self) -> &str {
        self.0.name()
    }

    async fn setup(&self, connection: &mut <Self::ReadModel as ReadModel>::Connection) -> Result<(), BoxError> {
        self.0.setup(connection).await
    }

    async fn on(
        &self,
        event: &Noted,
        recorded: &RecordedEvent,
        connection: &mut <Self::ReadModel as ReadModel>::Connection,
    ) -> Result<(), BoxError> {
        self.0.on(event, recorded, connection).await
    }
}

/// Every projection that has run is listed, with its checkpoint and its filter.
pub async fn checkpoints_are_listed_with_their_filters<H: Harness>(h: &Arc<H>) {
    let (store, recount) = log(h).await;
    let model = open(h).await;
    assert_eq!(model.checkpoints().await.unwrap(), []);
    let last = append(&store, "a", 5).await;
    let mut another = Writing::<H>::with(h, |_| Ok(()));
    another.name = "another".to_owned();
    let running =
        recount.consumers().projection(Writing::<H>::new(h), model.clone()).projection(another, model.clone());
    let running = running.start();
    running.wait_for(last).await.unwrap();
    running.shutdown().await;
    let stored = model.checkpoints().await.unwrap();
    let names: Vec<_> = stored.iter().map(|stored| &*stored.projection).collect();
    assert_eq!(names, ["another", "writing"]);
    for stored in stored {
        assert_eq!(stored.filter, Some(Filter::of(&Noted::query())));
        assert_eq!(stored.checkpoint, model.begin(&stored.projection).await.unwrap().1);
        assert_eq!((stored.checkpoint.position, stored.checkpoint.store), (last, Some(store.identity())));
        assert!(!stored.is_rebuild_ordered());
    }
}

/// An idle runner notices the order, deletes its rows and writes them anew, and says so meanwhile.
pub async fn a_running_projection_starts_over_by_order<H: Harness>(h: &Arc<H>) {
    let (store, recount) = log(h).await;
    let model = open(h).await;
    let last = append(&store, "a", HISTORY as usize).await;
    let (resetting, resets) = Resetting::new(h, 0);
    let running = recount.consumers().retry(soon()).projection(resetting, model.clone()).start();
    running.wait_for(last).await.unwrap();
    until(&running, |now| now.status == Status::Live).await;
    model.order_rebuild("writing").await.unwrap();
    model.order_rebuild("writing").await.unwrap();
    assert!(model.checkpoints().await.unwrap()[0].is_rebuild_ordered());
    until(&running, |now| now.events == 2 * HISTORY && now.status == Status::Live).await;
    running.wait_for(last).await.unwrap();
    assert_eq!((h.written().await, resets.load(Ordering::SeqCst)), (up_to(HISTORY), 1));
    let now = running.progress().remove(0);
    assert_eq!((now.position, now.rebuild, now.rebuild_rate()), (last, None, None));
    let next = append(&store, "a", 1).await;
    running.wait_for(next).await.unwrap();
    running.shutdown().await;
    assert_eq!(h.written().await, up_to(HISTORY + 1));
    assert!(!model.checkpoints().await.unwrap()[0].is_rebuild_ordered());
}

/// While it writes anew, the progress says so; it is over when it is where it was.
pub async fn an_order_is_followed_at_the_next_start<H: Harness>(h: &Arc<H>) {
    let (store, recount) = log(h).await;
    let model = open(h).await;
    let last = append(&store, "a", HISTORY as usize).await;
    let running = start(&recount, Writing::<H>::new(h), model.clone());
    running.wait_for(last).await.unwrap();
    running.shutdown().await;
    model.order_rebuild("writing").await.unwrap();
    assert_eq!(h.written().await, up_to(HISTORY), "nothing happens before a runner starts over");
    let held = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let hold = Arc::clone(&held);
    let slow = Writing::<H>::with(h, move |recorded| {
        let wait = recorded.position.get() > 10 && hold.load(Ordering::SeqCst);
        if wait { Err(recount_core::TransientError::new("not yet").into()) } else { Ok(()) }
    });
    let running = start(&recount, slow, model.clone());
    let now = until(&running, |now| now.rebuild.is_some()).await;
    assert_eq!(now.rebuild.unwrap().to, last);
    assert!(now.position < last && now.rebuild_rate().is_some());
    held.store(false, Ordering::SeqCst);
    running.wait_for(last).await.unwrap();
    assert_eq!(running.progress()[0].rebuild, None);
    assert_eq!(h.written().await, up_to(HISTORY));
}

/// Orders that come while events are appended and handled: in the end each event is there once.
pub async fn a_rebuild_under_traffic_ends_with_every_event_once<H: Harness>(h: &Arc<H>) {
    let (store, recount) = log(h).await;
    let model = open(h).await;
    let mut last = append(&store, "a", HISTORY as usize).await;
    let (resetting, resets) = Resetting::new(h, 0);
    let running = recount.consumers().retry(soon()).projection(resetting, model.clone()).start();
    running.wait_for(last).await.unwrap();
    for round in 1..=4 {
        let appending = async {
            let mut last = Position::START;
            for _ in 0..20 {
                last = append(&store, "a", 3).await;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            last
        };
        let ordering = async {
            tokio::time::sleep(Duration::from_millis(7 * round)).await;
            // A runner that handles events all the time may get ahead of the order.
            while let Err(error) = model.order_rebuild("writing").await {
                let moved = matches!(error, RebuildError::Checkpoint(CheckpointError::Moved { .. }));
                assert!(moved, "{error}");
            }
        };
        (last, ()) = tokio::join!(appending, ordering);
        followed(&model).await;
    }
    running.wait_for(last).await.unwrap();
    running.shutdown().await;
    assert_eq!((h.written().await, resets.load(Ordering::SeqCst)), (up_to(last.get()), 4));
}

/// If starting over fails, the written rows stay, and so does the order, which is followed later.
pub async fn a_failing_reset_leaves_the_order<H: Harness>(h: &Arc<H>) {
    let (store, recount) = log(h).await;
    let model = open(h).await;
    let last = append(&store, "a", HISTORY as usize).await;
    let running = start(&recount, Writing::<H>::new(h), model.clone());
    running.wait_for(last).await.unwrap();
    running.shutdown().await;
    model.order_rebuild("writing").await.unwrap();
    let (broken, _) = Resetting::new(h, usize::MAX);
    let running = recount.consumers().retry(soon()).projection(broken, model.clone()).start();
    let (_, error) = stopped(&running).await;
    assert!(error.contains("the tables are in use"), "{error}");
    assert_eq!(h.written().await, up_to(HISTORY));
    assert!(model.checkpoints().await.unwrap()[0].is_rebuild_ordered());
    let (healed, resets) = Resetting::new(h, 2);
    let running = recount.consumers().projection(healed, model.clone()).start();
    let now = until(&running, |now| now.status == Status::Live).await;
    assert_eq!((now.position, now.events), (last, HISTORY));
    assert_eq!((h.written().await, resets.load(Ordering::SeqCst)), (up_to(HISTORY), 3));
}

/// A projection that can't start over drops the order, and goes on with the next event.
pub async fn a_projection_without_reset_goes_on<H: Harness>(h: &Arc<H>) {
    let (store, recount) = log(h).await;
    let model = open(h).await;
    let last = append(&store, "a", 5).await;
    let running = recount.consumers().retry(soon()).projection(Fixed(Writing::new(h)), model.clone()).start();
    running.wait_for(last).await.unwrap();
    model.order_rebuild("writing").await.unwrap();
    followed(&model).await;
    let last = append(&store, "a", 5).await;
    running.wait_for(last).await.unwrap();
    assert!(!running.progress()[0].is_over());
    assert_eq!((h.written().await, running.progress()[0].events), (up_to(10), 10));
    let stored = model.checkpoints().await.unwrap().remove(0);
    assert_eq!(stored.checkpoint.filter, stored.filter.map(|filter| filter.id()));
}

/// Of two runners one starts over, and both go on.
pub async fn an_order_of_two_runners_is_followed_once<H: Harness>(h: &Arc<H>) {
    if !has_instances(&**h) {
        return;
    }
    let (store, recount) = log(h).await;
    append(&store, "a", HISTORY as usize).await;
    let models = [open(h).await, open(h).await];
    let runners = models.clone().map(|model| start(&recount, Writing::<H>::new(h), model));
    for round in 1..=2 {
        let last = append(&store, "a", 5).await;
        for runner in &runners {
            runner.wait_for(last).await.unwrap();
        }
        models[round % 2].order_rebuild("writing").await.unwrap();
        followed(&models[0]).await;
    }
    let last = append(&store, "a", 5).await;
    for runner in &runners {
        runner.wait_for(last).await.unwrap();
    }
    let stored = models[0].checkpoints().await.unwrap().remove(0);
    assert_eq!(stored.checkpoint.position, last);
    assert_eq!(h.written().await, up_to(last.get()));
}

/// There is nothing to start over where no projection has run, or where no runner would notice.
pub async fn an_unknown_projection_is_not_ordered<H: Harness>(h: &Arc<H>) {
    let model = h.open().await;
    let unknown = model.order_rebuild("nobody").await;
    assert!(matches!(&unknown, Err(RebuildError::Unknown { projection }) if projection == "nobody"), "{unknown:?}");
    let (transaction, _) = model.begin("inline").await.unwrap();
    let inline = Checkpoint::from(Position::new(3));
    model.commit(transaction, "inline", Checkpoint::START, inline).await.unwrap();
    let refused = model.order_rebuild("inline").await;
    assert!(matches!(refused, Err(RebuildError::Inline { .. })), "{refused:?}");
    assert_eq!(model.begin("inline").await.unwrap().1, inline);
}
