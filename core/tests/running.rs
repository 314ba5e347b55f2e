//! What runs is known: status, health, and the shutdown of everything.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

mod common;

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::saving::*;
use common::script::Unplaced;
use common::*;
use futures_util::FutureExt;
use recount_core::{
    BoxError, Check, Commands, Condition, EventStore, InMemory, Projection, Reaction, RecordedEvent, Recount,
    RetryBudget, Sink, Status, TransientError,
};
use recount_store_memory::MemoryStore;
use recount_testing::{Fault, FaultyReadModel, FaultyStore, Operation};
use tokio::time::Instant;

const WELL: u8 = 0;
const FAILS: u8 = 1;
const HANGS: u8 = 2;
const PANICS: u8 = 3;
const SLOW: u8 = 4;

/// A projection that does as it is told.
#[derive(Default)]
struct Told {
    mode: AtomicU8,
    taken: AtomicU64,
}

impl Told {
    fn set(&self, mode: u8) {
        self.mode.store(mode, Ordering::SeqCst);
    }
}

impl Projection for Told {
    type Event = AccountEvent;
    type ReadModel = FaultyReadModel<InMemory>;

    fn name(&self) -> &str {
        "told"
    }

    async fn on(&self, _: &AccountEvent, _: &RecordedEvent, (): &mut ()) -> Result<(), BoxError> {
        match self.mode.load(Ordering::SeqCst) {
            FAILS => return Err("secret words".into()),
            HANGS => std::future::pending().await,
            PANICS => panic!("secret panic"),
            SLOW => tokio::time::sleep(Duration::from_millis(200)).await,
            _ => {}
        }
        self.taken.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

fn model() -> FaultyReadModel<InMemory> {
    FaultyReadModel::new(InMemory::new()).with_time_limit(Duration::from_secs(1000))
}

struct Drain;

impl Sink for Drain {
    type Item = u64;

    async fn take(&self, _: &u64) -> Result<(), BoxError> {
        Ok(())
    }
}

async fn earn(recount: &Recount, times: u64) {
    for _ in 0..times {
        let _ = recount.dispatch(deposit("a", 1)).await.unwrap();
    }
}

/// The check of the projection, once it has this status.
async fn check(recount: &Recount, wanted: Condition) -> Check {
    let reached = async {
        loop {
            let health = recount.health().await;
            let check = health.checks.into_iter().find(|check| check.name == "projection:told").unwrap();
            if check.status == wanted {
                assert_eq!(health.status, wanted);
                return check;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let check = tokio::time::timeout(Duration::from_secs(600), reached).await.expect("in time");
    assert!(!check.message.as_ref().is_some_and(|message| message.contains("secret")), "{check:?}");
    check
}

#[tokio::test]
async fn the_status_tells_what_runs_and_how_far_it_is() {
    let (recount, _) = bank();
    assert!(recount.status().await.consumers.is_empty());
    earn(&recount, 3).await;
    let told = Arc::new(Told::default());
    let running = recount
        .consumers()
        .projection(Arc::clone(&told), model())
        .reaction(Saving::default())
        .consumer("drain", Unplaced, Drain)
        .start();
    settled_but_sinks(&running, &recount).await;
    told.set(HANGS);
    earn(&recount, 2).await;
    let head = recount.store().head().await.unwrap();
    running.wait_for_one("saving", head).await.unwrap();
    let status = recount.status().await;
    assert_eq!((status.store.kind, status.store.head.is_some()), ("memory", true));
    let names: Vec<_> =
        status.consumers.iter().map(|it| format!("{}:{}", it.progress.kind, it.progress.name)).collect();
    assert_eq!(names, ["projection:told", "reaction:saving", "sink:drain"]);
    let [told_status, saving, drain] = &status.consumers[..] else { panic!("{status:?}") };
    let behind = status.store.head.unwrap().get() - told_status.progress.position.get();
    assert!(behind >= 2 && told_status.lag == Some(behind), "{told_status:?}");
    assert!(saving.lag.is_some() && saving.progress.status == Status::Live);
    assert_eq!(drain.lag, None, "its positions are not those of the store");
    let json = serde_json::to_value(&status).unwrap();
    assert_eq!(json["consumers"][1]["status"]["state"], "live");
    assert_eq!(json["consumers"][0]["lag"], behind);
    assert_eq!(json["consumers"][0]["kind"], "projection");

    drop(running);
    assert!(recount.status().await.consumers.is_empty(), "dropped consumers are forgotten");
    told.set(WELL);
    let running = recount.consumers().projection(Arc::clone(&told), model()).start();
    assert_eq!(recount.status().await.consumers.len(), 1);
    running.shutdown().await;
    assert!(recount.status().await.consumers.is_empty());
}

/// The positions of a foreign sink are none of the store's.
async fn settled_but_sinks(running: &recount_core::Consumers, recount: &Recount) {
    loop {
        let head = recount.store().head().await.unwrap();
        running.wait_for_one("told", head).await.unwrap();
        running.wait_for_one("saving", head).await.unwrap();
        if recount.store().head().await.unwrap() == head {
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_gave_up_stays_with_its_reason_and_fails_the_health() {
    for (mode, reason) in [(FAILS, "secret words"), (PANICS, "secret panic")] {
        let (recount, _) = bank();
        earn(&recount, 1).await;
        let told = Arc::new(Told::default());
        told.set(mode);
        let start = || recount.consumers().projection(Arc::clone(&told), model()).retry(soon()).start();
        let running = start();
        let failing = check(&recount, Condition::Failing).await;
        assert!(failing.message.unwrap().contains("gave up"));
        let status = recount.status().await;
        let Status::Stopped { error } = &status.consumers[0].progress.status else { panic!("{status:?}") };
        assert!(error.contains(reason), "{error}");
        assert_eq!(failing.since, status.consumers[0].progress.since);
        drop(running);
        assert_eq!(recount.health().await.status, Condition::Ok, "it is forgotten with its owner");
        told.set(WELL);
        let _running = start();
        assert_eq!(check(&recount, Condition::Ok).await.message, None);
    }
}

/// A second consumer of the same name is refused, and that is not overlooked.
#[tokio::test]
async fn a_consumer_that_was_refused_fails_the_health() {
    let (recount, _) = bank();
    let _running = recount.consumers().reaction(Saving::default()).start();
    let _second = recount.consumers().reaction(Saving::default()).start();
    let health = recount.health().await;
    assert_eq!(health.status, Condition::Failing, "{health:?}");
    assert_eq!(health.checks.iter().filter(|check| check.status == Condition::Failing).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_retried_degrades_the_health_until_it_recovers() {
    let budget = RetryBudget { time: Duration::from_secs(600), ..RetryBudget::default() };
    for mode in [FAILS, PANICS] {
        let (recount, _) = bank();
        let told = Arc::new(Told::default());
        let _running = recount.consumers().projection(Arc::clone(&told), model()).retry(budget).start();
        earn(&recount, 1).await;
        check(&recount, Condition::Ok).await;
        told.set(mode);
        earn(&recount, 1).await;
        let degraded = check(&recount, Condition::Degraded).await;
        assert!(degraded.message.as_ref().unwrap().contains("an event fails"), "{degraded:?}");
        told.set(WELL);
        let ok = check(&recount, Condition::Ok).await;
        assert!(ok.since >= degraded.since && ok.message.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_model_that_is_down_degrades_the_health_then_fails_it_and_back() {
    let (recount, _) = bank();
    let (told, model) = (Arc::new(Told::default()), model());
    let _running = recount.consumers().projection(Arc::clone(&told), model.clone()).start();
    earn(&recount, 1).await;
    check(&recount, Condition::Ok).await;
    model.fail_always(Fault::Before);
    earn(&recount, 1).await;
    let degraded = check(&recount, Condition::Degraded).await;
    assert!(degraded.message.unwrap().contains("can't be reached"));
    let failing = check(&recount, Condition::Failing).await;
    assert!(failing.message.unwrap().contains("not moved for 30 seconds"));
    model.heal();
    check(&recount, Condition::Ok).await;
}

/// A store that takes events but gives none: its consumers wait.
#[tokio::test(start_paused = true)]
async fn a_store_that_can_not_be_read_degrades_the_health_until_it_recovers() {
    let store = FaultyStore::new(MemoryStore::new());
    let recount = Recount::new(store.clone());
    let _running = recount.consumers().projection(Arc::new(Told::default()), model()).start();
    earn(&recount, 1).await;
    check(&recount, Condition::Ok).await;
    store.fail_always(Operation::ReadAll, Fault::Before);
    earn(&recount, 1).await;
    check(&recount, Condition::Degraded).await;
    store.heal();
    check(&recount, Condition::Ok).await;
}

/// It neither fails nor waits: nothing but its position tells that it is stuck.
#[tokio::test(start_paused = true)]
async fn a_consumer_that_is_stuck_fails_the_health_until_it_moves() {
    let (recount, _) = bank();
    let told = Arc::new(Told::default());
    let model = FaultyReadModel::new(InMemory::new()).with_time_limit(Duration::from_secs(45));
    let _running = recount.consumers().projection(Arc::clone(&told), model).start();
    earn(&recount, 1).await;
    check(&recount, Condition::Ok).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    told.set(HANGS);
    earn(&recount, 1).await;
    let begun = Instant::now();
    assert_eq!(recount.health().await.status, Condition::Ok);
    let failing = check(&recount, Condition::Failing).await;
    assert_eq!(recount.status().await.consumers[0].progress.status, Status::Live);
    assert!((30..32).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert!(failing.message.unwrap().contains("not moved"));
    told.set(WELL);
    check(&recount, Condition::Ok).await;
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_is_waited_for_is_starting_until_it_has_caught_up() {
    let (recount, _) = bank();
    earn(&recount, 3).await;
    let told = Arc::new(Told::default());
    told.set(SLOW);
    let running = recount.consumers().projection(Arc::clone(&told), model()).wait_at_start().start();
    let starting = check(&recount, Condition::Starting).await;
    assert!(starting.message.unwrap().contains("caught up"));
    check(&recount, Condition::Ok).await;
    // Only once: later it is behind like others.
    told.set(FAILS);
    earn(&recount, 1).await;
    check(&recount, Condition::Degraded).await;
    running.shutdown().await;
}

#[tokio::test]
async fn a_shutdown_lets_consumers_finish_and_then_closes_the_store() {
    let (recount, store) = bank();
    let told = Arc::new(Told::default());
    told.set(SLOW);
    let running = recount.consumers().projection(Arc::clone(&told), model()).reaction(Saving::default()).start();
    earn(&recount, 1).await;
    while recount.status().await.consumers[1].lag != Some(0) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    recount.shutdown(Duration::from_secs(20)).await.unwrap();
    assert!(told.taken.load(Ordering::SeqCst) >= 1, "what was begun was finished");
    for progress in running.progress() {
        assert_eq!(progress.status, Status::ShutDown, "{progress:?}");
    }
    assert!(recount.status().await.consumers.is_empty());
    assert!(store.head().await.is_err(), "closed");
    recount.shutdown(Duration::from_secs(1)).await.expect("again is harmless");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_hangs_is_named_and_stopped_at_the_deadline() {
    let (recount, store) = bank();
    let told = Arc::new(Told::default());
    told.set(HANGS);
    let running = recount.consumers().projection(Arc::clone(&told), model()).reaction(Saving::default()).start();
    earn(&recount, 1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let started = Instant::now();
    let unfinished = recount.shutdown(Duration::from_millis(800)).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_millis(1500), "{:?}", started.elapsed());
    assert_eq!(unfinished.parts, ["projection told"]);
    assert!(unfinished.to_string().contains("projection told"), "{unfinished}");
    assert!(matches!(running.progress()[0].status, Status::Stopped { .. }));
    assert_eq!(running.progress()[1].status, Status::ShutDown);
    assert_eq!(Arc::strong_count(&told), 1, "its task is gone");
    assert!(store.head().await.is_err(), "closed all the same");
}

/// An event that fails again and again is left for the next start.
#[tokio::test(start_paused = true)]
async fn a_consumer_that_only_retries_holds_up_no_shutdown() {
    for (transient, whole) in [(false, false), (true, false), (false, true), (true, true)] {
        let (recount, _) = bank();
        let failing = Retrying { transient, ..Retrying::default() };
        let heard = Arc::clone(&failing.heard);
        let running = recount.consumers().reaction(failing).start();
        let _ = recount.dispatch(deposit("a", 1)).await.unwrap();
        let last = recount.dispatch(deposit("a", 2)).await.unwrap().position.unwrap();
        while heard.lock().unwrap().len() < 5 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let started = Instant::now();
        if whole {
            recount.shutdown(Duration::from_secs(4)).await.unwrap();
            assert_eq!(running.progress()[0].status, Status::ShutDown);
        } else {
            running.shutdown().await;
        }
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
        assert!(heard.lock().unwrap().iter().all(|cents| *cents == 1), "the next of the stream was not handled");
        if !whole {
            let well = Retrying { well: true, ..Retrying::default() };
            let heard = Arc::clone(&well.heard);
            recount.consumers().reaction(well).start().wait_for(last).await.unwrap();
            assert_eq!(*heard.lock().unwrap(), [1, 2]);
        }
    }
}

/// A reaction that fails unless it is well.
#[derive(Default)]
struct Retrying {
    well: bool,
    transient: bool,
    heard: Arc<Mutex<Vec<u64>>>,
}

impl Reaction for Retrying {
    type Event = AccountEvent;

    fn name(&self) -> &str {
        "retrying"
    }

    async fn on(&self, event: &AccountEvent, _: &RecordedEvent) -> Result<Commands, BoxError> {
        let AccountEvent::Deposited { cents } = event else { return Ok(Commands::none()) };
        self.heard.lock().unwrap().push(*cents);
        match (self.well, self.transient) {
            (true, _) => Ok(Commands::none()),
            (false, true) => Err(TransientError::new("not now").into()),
            (false, false) => Err("no".into()),
        }
    }
}

/// It takes neither the others along, nor the caller that asks for the health.
#[tokio::test]
async fn a_check_that_panics_fails_alone() {
    let (recount, _) = bank();
    let (panicking, told) = (Arc::new(AtomicU8::new(PANICS)), Arc::new(Told::default()));
    let mode = Arc::clone(&panicking);
    let asked = recount.clone();
    let ok = move || {
        // It asks what runs, too.
        assert_eq!(asked.status().now_or_never().expect("at once").consumers.len(), 1);
        Check { name: "fine".into(), status: Condition::Ok, since: recount_core::Timestamp::now(), message: None }
    };
    let same = ok.clone();
    let running = recount.consumers().projection(told, model()).check(move || {
        assert!(mode.load(Ordering::SeqCst) != PANICS, "secret panic");
        same()
    });
    let _running = running.check(ok).start();
    for _ in 0..2 {
        let health = recount.health().await;
        assert_eq!(health.status, Condition::Failing);
        let failing: Vec<_> = health.checks.iter().filter(|check| check.status == Condition::Failing).collect();
        assert_eq!(failing.len(), 1, "{health:?}");
        assert_eq!(failing[0].message.as_deref(), Some("a health check panicked; see the program's log"));
        assert!(health.checks.iter().any(|check| check.name == "fine"));
    }
    panicking.store(WELL, Ordering::SeqCst);
    assert!(recount.health().await.checks.iter().all(|check| check.status != Condition::Failing));
}

/// It may ask for the health itself, start consumers, and take long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_may_do_anything() {
    let (recount, _) = bank();
    let fine =
        || Check { name: "fine".into(), status: Condition::Ok, since: recount_core::Timestamp::now(), message: None };
    let (asked, slow) = (recount.clone(), Arc::new(AtomicU8::new(SLOW)));
    let (mode, is_asked) = (Arc::clone(&slow), Arc::new(AtomicU8::new(0)));
    let asking = Arc::clone(&is_asked);
    let _running = recount
        .consumers()
        .check(move || {
            if is_asked.fetch_add(1, Ordering::SeqCst) == 0 {
                // The health of the health.
                let _ = asked.health().now_or_never();
                drop(asked.consumers().check(fine).start());
            }
            while mode.load(Ordering::SeqCst) == SLOW {
                std::thread::sleep(Duration::from_millis(1));
            }
            fine()
        })
        .start();
    let asked = recount.clone();
    let health = tokio::spawn(async move { asked.health().await });
    while asking.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // While the check takes its time, others start.
    let (done, started) = std::sync::mpsc::channel();
    let other = recount.clone();
    tokio::task::spawn_blocking(move || done.send(other.consumers().check(fine).start()));
    let started = tokio::task::block_in_place(|| started.recv_timeout(Duration::from_secs(30)));
    slow.store(WELL, Ordering::SeqCst);
    assert!(started.is_ok(), "a start waits for a check");
    let health = tokio::time::timeout(Duration::from_secs(30), health).await.expect("it ends").unwrap();
    assert_eq!(health.status, Condition::Ok);
}

/// The task that appends for several callers is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_share_an_append_end_before_the_store_closes() {
    for close in [true, false] {
        let store = FaultyStore::new(MemoryStore::new());
        let recount = Recount::new(store.clone());
        earn(&recount, 1).await;
        store.fail(Operation::Append, 1, Fault::Delay(Duration::from_millis(200)));
        let callers: Vec<_> = (0..4)
            .map(|_| {
                let recount = recount.clone();
                tokio::spawn(async move { recount.dispatch(deposit("a", 1)).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(100)).await;
        store.fail(Operation::Append, 1, Fault::Delay(Duration::from_millis(300)));
        while recount.status().await.background == 0 {
            assert!(!callers.iter().all(tokio::task::JoinHandle::is_finished), "no task was counted");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        match close {
            true => recount.close().await,
            false => recount.shutdown(Duration::from_secs(10)).await.unwrap(),
        }
        assert_eq!(recount.status().await.background, 0);
        for caller in callers {
            let _ = caller.await.unwrap().unwrap();
        }
    }
}

/// It is named if it does not end in time.
#[tokio::test]
async fn an_append_that_takes_too_long_is_named() {
    let store = FaultyStore::new(MemoryStore::new());
    let recount = Recount::new(store.clone());
    earn(&recount, 1).await;
    store.fail(Operation::Append, 1, Fault::Delay(Duration::from_millis(50)));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let recount = recount.clone();
            tokio::spawn(async move { recount.dispatch(deposit("a", 1)).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(20)).await;
    store.fail(Operation::Append, 1, Fault::Delay(Duration::from_secs(60)));
    let counted = async {
        while recount.status().await.background == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), counted).await.expect("no task was counted");
    let unfinished = recount.shutdown(Duration::from_millis(300)).await.unwrap_err();
    assert_eq!(unfinished.parts, ["commands that share an append"]);
    callers.iter().for_each(tokio::task::JoinHandle::abort);
}
