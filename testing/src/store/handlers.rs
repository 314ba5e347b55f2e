//! Handlers that use their own store get an answer or an error in time, and block no other caller for longer.

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use recount_core::{ExpectedRevision, ExpectedVersion, Recount, Store};
use tokio::time::timeout;

use super::Harness;
use super::probe::Probe;
use super::support::*;

/// The time limit of each call in these tests. A store's own timeout is its patience.
const IN_TIME: Duration = Duration::from_secs(15);

/// A call by a handler to the store of its event.
#[derive(Clone, Copy, Debug)]
enum Use {
    Append,
    Put,
    Delete,
    Archive,
    Erase,
    Health,
    Read,
}

const ALL: [Use; 7] = [Use::Append, Use::Put, Use::Delete, Use::Archive, Use::Erase, Use::Health, Use::Read];

fn causes(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

async fn ask(store: &dyn Store, what: Use) -> Result<(), String> {
    let key = state_key("k");
    match what {
        Use::Append => {
            let appended = append(store, &stream("from a handler"), ExpectedVersion::Any, vec![typed("made")]).await;
            appended.map(drop).map_err(|error| causes(&error))
        }
        Use::Put => {
            let put = store.put(&key, "v".into(), ExpectedRevision::Any, None).await;
            put.map(drop).map_err(|error| causes(&error))
        }
        Use::Delete => store.delete(&key, ExpectedRevision::Any).await.map_err(|error| causes(&error)),
        Use::Archive => store.archive(&stream("archived")).await.map_err(|error| causes(&error)),
        Use::Erase => store.erase(&stream("erased")).await.map_err(|error| causes(&error)),
        Use::Health => store.health().await.map_err(|error| causes(&error)),
        Use::Read => match read(store, &stream("s")).await.len() {
            0 => Err("the events are not there".to_owned()),
            _ => store.get(&key).await.map(drop).map_err(|error| causes(&error)),
        },
    }
}

/// Makes the call directly, and then in a spawned task that it awaits.
async fn ask_both_ways(store: Arc<dyn Store>, what: Use) -> Vec<String> {
    let directly = timeout(IN_TIME, ask(&*store, what)).await;
    let spawned = tokio::spawn(async move { ask(&*store, what).await });
    let spawned = timeout(IN_TIME, spawned).await.map(|joined| joined.expect("the task doesn't panic"));
    let told = |how, answer| match answer {
        Ok(answer) => format!("{what:?} {how}: {answer:?}"),
        Err(_) => format!("{what:?} {how}: stuck"),
    };
    vec![told("directly", directly), told("spawned", spawned)]
}

/// Every write of a handler to its own store succeeds or fails in time, from its own task and from a spawned one, on
/// every read model. Reads succeed. The store works afterwards.
pub async fn a_handler_that_uses_its_own_store_is_answered_in_time(h: &dyn Harness) {
    let (store, targets) = h.open_with_read_models().await;
    let recount = Recount::new(Arc::clone(&store));
    for name in ["archived", "erased", "s"] {
        append(&*store, &stream(name), exact(0), vec![typed("other")]).await.unwrap();
    }
    let last = add(&*store, &stream("s"), event()).await.position;
    for target in &targets {
        let (answers, asked) = (Arc::new(Mutex::new(Vec::new())), Arc::clone(&store));
        let told = Arc::clone(&answers);
        let probe = Probe::with(move |_| {
            let (store, told) = (Arc::clone(&asked), Arc::clone(&told));
            async move {
                for what in ALL {
                    let answered = ask_both_ways(Arc::clone(&store), what).await;
                    told.lock().unwrap().extend(answered);
                }
                Ok(())
            }
        });
        let projections = target.start(&recount, Arc::clone(&probe));
        timeout(IN_TIME * 7, projections.wait_for(last)).await.expect("the handler returns").unwrap();
        let answers = answers.lock().unwrap().clone();
        assert_eq!((answers.len(), probe.taken().len()), (ALL.len() * 2, 1), "{}: {answers:?}", target.place());
        for answer in answers {
            assert!(!answer.contains("stuck"), "{}: {answer}", target.place());
            // Calls that need no lock of the handler's transaction must succeed.
            let free = answer.starts_with("Read") || target.is_elsewhere();
            assert!(!free || answer.ends_with("Ok(())"), "{}: {answer}", target.place());
        }
        projections.shutdown().await;
        timeout(IN_TIME, store.health()).await.expect("the store is not held up").unwrap();
        timeout(IN_TIME, add(&*store, &stream("after"), typed("other"))).await.expect("nor are appends");
    }
}

/// While a handler does not return, other calls succeed, or fail with an error that names its projection. They
/// succeed again once the handler has ended.
pub async fn waiting_calls_name_the_handler_that_does_not_return(h: &dyn Harness) {
    let (store, targets) = h.open_with_read_models().await;
    let recount = Recount::new(Arc::clone(&store));
    for name in ["archived", "s"] {
        append(&*store, &stream(name), exact(0), vec![typed("other")]).await.unwrap();
    }
    add(&*store, &stream("s"), event()).await;
    for target in &targets {
        let (entered, mut inside) = tokio::sync::watch::channel(false);
        let probe = Probe::with(move |_| {
            entered.send_replace(true);
            std::future::pending()
        });
        let projections = target.start(&recount, probe);
        timeout(IN_TIME, inside.wait_for(|inside| *inside)).await.expect("in time").unwrap();
        for what in [Use::Append, Use::Put, Use::Health, Use::Archive, Use::Read] {
            let answer = timeout(IN_TIME, ask(&*store, what)).await.expect("nobody waits for ever");
            let named = |error: &String| error.contains("by projection probe");
            assert!(answer.as_ref().err().is_none_or(named), "{} {what:?}: {answer:?}", target.place());
        }
        // Dropping the projections drops the handler and its transaction.
        drop(projections);
        timeout(IN_TIME, add(&*store, &stream("after"), typed("other"))).await.expect("appends go on");
        timeout(IN_TIME, store.health()).await.expect("health is told").unwrap();
    }
}
