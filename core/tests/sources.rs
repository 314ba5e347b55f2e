//! Sources that fail, hang, or can't be resumed, and marks that can't be stored.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

mod common;

use std::time::Duration;

use common::saving::*;
use common::script::*;
use common::*;
use recount_core::{ExpectedRevision, Namespace, Progress, Recount, RetryBudget, StateStore, Status};
use recount_store_memory::MemoryStore;
use recount_testing::{Fault, FaultyStore, Operation};

fn stopped(progress: &Progress) -> String {
    let Status::Stopped { error } = &progress.status else { panic!("{progress:?}") };
    error.to_string()
}

/// Pauses that are long enough to see the status of a consumer that waits.
fn long_pauses() -> RetryBudget {
    let pause = Duration::from_secs(20);
    RetryBudget { first_pause: pause, longest_pause: pause, ..RetryBudget::default() }
}

async fn stored(store: &MemoryStore) -> serde_json::Value {
    let entry = store.get(&Namespace::CONSUMER.key("sink/numbers").unwrap()).await.unwrap().unwrap();
    serde_json::from_slice(&entry.value).unwrap()
}

/// The items before the failure are handled and stored; the failure uses up the budget, also if items were delivered before it.
#[tokio::test(start_paused = true)]
async fn a_source_that_fails_for_good_stops_it_when_the_budget_is_used_up() {
    for resumes in [Resumes::ByMark, Resumes::BySettling] {
        for takes in [Duration::ZERO, Duration::from_millis(700)] {
            let (recount, store) = bank();
            let (script, numbers) = (Script::new(resumes, 20), Numbers { takes, ..Numbers::default() });
            script.state().fails_at = Some(6);
            let running = recount.consumers().consumer("numbers", script.clone(), numbers.clone()).start();
            let started = tokio::time::Instant::now();
            let over = until(&running, Progress::is_over).await;
            assert!((29..45).contains(&started.elapsed().as_secs()), "{resumes:?}: {:?}", started.elapsed());
            assert!(stopped(&over).contains("the line is broken"), "{over:?}");
            let mut taken = numbers.taken();
            taken.sort_unstable();
            assert_eq!(taken, [1, 2, 3, 4, 5], "{resumes:?}");
            if resumes == Resumes::ByMark {
                assert_eq!(stored(&store).await["mark"], 5);
            }
        }
    }
}

/// The same for a source that can't be resumed.
#[tokio::test(start_paused = true)]
async fn a_source_that_is_not_resumed_and_fails_for_good_stops_it() {
    let (recount, _) = bank();
    let running = recount.consumers().consumer("numbers", Forgetful(0), Numbers::default()).start();
    let started = tokio::time::Instant::now();
    let over = until(&running, Progress::is_over).await;
    assert!((29..45).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    assert!(stopped(&over).contains("the line is broken"), "{over:?}");
}

/// The answer to a stored mark is lost: that is no other runner, and nothing is repeated.
#[tokio::test(start_paused = true)]
async fn a_mark_whose_answer_is_lost_is_its_own() {
    let store = FaultyStore::new(MemoryStore::new());
    let recount = Recount::new(store.clone());
    let (script, numbers) = (Script::new(Resumes::ByMark, 5), Numbers::default());
    store.fail(Operation::Put, 1, Fault::After);
    store.fail(Operation::Put, 3, Fault::After);
    let running = recount.consumers().retry(long_pauses()).consumer("numbers", script.clone(), numbers.clone()).start();
    until(&running, |now| matches!(now.status, Status::Waiting { .. })).await;
    script.state().last = 10;
    until(&running, |now| now.events == 10 && now.status == Status::Live).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    script.state().last = 15;
    until(&running, |now| now.events == 15 && now.status == Status::Live).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((numbers.taken(), script.state().opened), ((1..=15).collect::<Vec<_>>(), 1));
    assert_eq!(stored(store.inner()).await["mark"], 15);
}

/// A source that says that it has delivered everything, and then fails, is given up as well.
#[tokio::test(start_paused = true)]
async fn a_source_that_fails_for_good_behind_its_end_stops_it() {
    for resumes in [Resumes::ByMark, Resumes::BySettling] {
        let (recount, _) = bank();
        let (script, numbers) = (Script::new(resumes, 5), Numbers::default());
        let running = recount.consumers().consumer("numbers", script.clone(), numbers.clone()).start();
        until(&running, |now| now.status == Status::Live).await;
        script.state().fails_at = Some(6);
        let started = tokio::time::Instant::now();
        until(&running, Progress::is_over).await;
        assert!((29..45).contains(&started.elapsed().as_secs()), "{resumes:?}: {:?}", started.elapsed());
        assert_eq!(numbers.taken(), [1, 2, 3, 4, 5], "{resumes:?}");
    }
}

/// A source that fails again and again, but gets further each time, is not given up.
#[tokio::test(start_paused = true)]
async fn a_source_that_gets_further_each_time_uses_up_no_budget() {
    for resumes in [Resumes::ByMark, Resumes::BySettling] {
        let (recount, _) = bank();
        let (script, numbers) = (Script::new(resumes, 50), Numbers::default());
        script.state().falters = Duration::from_millis(600);
        let budget = RetryBudget { time: Duration::from_secs(2), ..RetryBudget::default() };
        let running = recount.consumers().retry(budget).consumer("numbers", script.clone(), numbers.clone()).start();
        let reached = until(&running, |now| now.is_over() || now.events == 50).await;
        assert!(!reached.is_over(), "{resumes:?}: {reached:?}");
        until(&running, |now| now.status == Status::Live).await;
        assert_eq!(numbers.taken(), (1..=50).collect::<Vec<_>>(), "{resumes:?}");
        // It has been well for long: the next failure has the whole budget.
        tokio::time::sleep(Duration::from_secs(3600)).await;
        script.state().last = 51;
        let reached = until(&running, |now| now.is_over() || now.events == 51).await;
        assert!(!reached.is_over(), "{resumes:?}: {reached:?}");
    }
}

/// A mark that can't be stored is tried again in place: no item is repeated, and the consumer gives up in the end.
#[tokio::test(start_paused = true)]
async fn a_mark_that_is_never_stored_stops_it_when_the_budget_is_used_up() {
    let (recount, _) = bank();
    let (script, numbers) = (Script::new(Resumes::ByMark, 5), Numbers::default());
    script.state().fails = Some(Call::Complete);
    let running = recount.consumers().consumer("numbers", script.clone(), numbers.clone()).start();
    let retrying = until(&running, |now| matches!(now.status, Status::Retrying { .. })).await;
    assert_eq!(retrying.position.get(), 5);
    let started = tokio::time::Instant::now();
    script.state().last = 10;
    let over = until(&running, Progress::is_over).await;
    assert!((29..40).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    let error = stopped(&over);
    assert!(error.contains("checkpoint of sink numbers") && error.contains("the line is broken"), "{error}");
    assert_eq!((numbers.taken(), script.state().opened), ((1..=10).collect::<Vec<_>>(), 1));
}

/// A mark that can't be stored for a while is stored later, and the status says so meanwhile.
#[tokio::test(start_paused = true)]
async fn a_mark_that_is_not_stored_for_a_while_stops_nothing() {
    let (recount, store) = bank();
    let (script, numbers) = (Script::new(Resumes::ByMark, 5), Numbers::default());
    (script.state().fails, script.state().transient) = (Some(Call::Complete), true);
    let running = recount.consumers().consumer("numbers", script.clone(), numbers.clone()).start();
    until(&running, |now| matches!(now.status, Status::Waiting { .. })).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(matches!(running.progress()[0].status, Status::Waiting { .. }));
    script.state().fails = None;
    until(&running, |now| now.status == Status::Live).await;
    assert_eq!((numbers.taken(), script.state().opened), ((1..=5).collect::<Vec<_>>(), 1));
    assert_eq!(stored(&store).await["mark"], 5);
}

/// A call of a source that doesn't return is ended after the time limit. The status says so, and it goes on by itself.
#[tokio::test(start_paused = true)]
async fn a_source_that_hangs_is_ended_and_opened_again() {
    for call in [Call::Open, Call::Settle, Call::Complete] {
        let (recount, _) = bank();
        let (script, numbers) = (Script::new(Resumes::ByMark, 5), Numbers::default());
        script.state().hangs = Some(call);
        let running =
            recount.consumers().retry(long_pauses()).consumer("numbers", script.clone(), numbers.clone()).start();
        let waiting = until(&running, |now| matches!(now.status, Status::Waiting { .. })).await;
        let Status::Waiting { error, .. } = &waiting.status else { panic!("{waiting:?}") };
        assert!(error.contains("has not returned within 30s"), "{call:?}: {error}");
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert!(!running.progress()[0].is_over());
        script.state().hangs = None;
        until(&running, |now| now.status == Status::Live).await;
        assert!((1..=5).all(|number| numbers.taken().contains(&number)), "{call:?}: {:?}", numbers.taken());
        // Neither does it hold up a shutdown for longer.
        script.state().hangs = Some(call);
        script.state().last = 6;
        until(&running, |now| now.events >= 6 || numbers.taken().contains(&6)).await;
        tokio::time::timeout(Duration::from_secs(100), running.shutdown()).await.expect("it holds up the shutdown");
    }
}

/// While another runner moves the checkpoint again and again, it is read again about once a second, and the status is
/// `Waiting` until an own mark was stored.
#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_another_runner_moves_is_read_again_with_long_pauses() {
    let (recount, store) = bank();
    let (script, numbers) = (Script::new(Resumes::ByMark, 5), Numbers::default());
    let running = recount.consumers().consumer("numbers", script.clone(), numbers.clone()).start();
    until(&running, |now| now.status == Status::Live).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let key = Namespace::CONSUMER.key("sink/numbers").unwrap();
    let moved = async || {
        let entry = store.get(&key).await.unwrap().unwrap();
        store.put(&key, entry.value, ExpectedRevision::Any, None).await.unwrap();
    };
    for round in 0..2000 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        moved().await;
        script.state().last = 6 + round;
    }
    let opened = script.state().opened;
    assert!((3..=20).contains(&opened), "opened {opened} times in 20 seconds");
    // It is opened again, and has not stored anything yet.
    until(&running, |now| now.status == Status::Live).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    moved().await;
    script.state().last += 1;
    until(&running, |now| matches!(now.status, Status::Waiting { .. })).await;
    script.state().hangs = Some(Call::Complete);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(script.state().opened > opened);
    let now = running.progress().remove(0);
    let Status::Waiting { error, .. } = &now.status else { panic!("{now:?}") };
    assert!(error.contains("moved by another runner"), "{error}");
    script.state().hangs = None;
    until(&running, |now| now.status == Status::Live).await;
    // It is live as soon as it has stored a mark; the last one follows.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(stored(&store).await["mark"], 2006);
}

/// An outage ends the status `Live`: until it has caught up, it is not live again.
#[tokio::test(start_paused = true)]
async fn it_is_not_live_between_an_outage_and_the_end_of_the_source() {
    let (recount, _) = bank();
    let (script, numbers) =
        (Script::new(Resumes::ByMark, 5), Numbers { takes: Duration::from_millis(100), ..Numbers::default() });
    let running = recount.consumers().consumer("numbers", script.clone(), numbers.clone()).start();
    until(&running, |now| now.status == Status::Live).await;
    script.state().transient = true;
    script.state().fails_at = Some(6);
    until(&running, |now| matches!(now.status, Status::Waiting { .. })).await;
    // The window of the consumer has fewer places.
    script.state().last = 5000;
    script.state().fails_at = None;
    loop {
        let now = running.progress().remove(0);
        if now.status == Status::Live {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let taken = numbers.taken().len();
    assert!(taken > 3000, "it was live after {taken} of 5000 items");
}

/// The number of programs does not change what is stored.
#[tokio::test(start_paused = true)]
async fn two_runners_of_a_sink_take_turns_of_a_second_at_least() {
    let (recount, store) = bank();
    let script = Script::new(Resumes::ByMark, 5);
    let other = Recount::new(store.clone());
    let start = |recount: &Recount| recount.consumers().consumer("numbers", script.clone(), Numbers::default()).start();
    let runners = [start(&recount), start(&other)];
    for last in 6..=1005 {
        script.state().last = last;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for runner in &runners {
        until(runner, |now| now.position.get() == 1005).await;
    }
    let opened = script.state().opened;
    assert!(opened <= 2 + 2 * 20, "opened {opened} times in 20 seconds");
}
