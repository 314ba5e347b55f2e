//! Many commands at once for one aggregate, in many interleavings: nothing is lost, doubled or mixed up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::*;
use futures_util::{StreamExt, TryStreamExt};
use recount_core::{
    Aggregate, Apply, Command, DispatchError, Event, EventStore, Handle, Id, IdempotencyKey, ReadStream, Receipt,
    RecordedEvent, Recount, StreamId,
};
use recount_store_memory::MemoryStore;
use recount_testing::{Fault, FaultyStore, Operation};

async fn log(store: &MemoryStore) -> Vec<RecordedEvent> {
    store.read_stream(ReadStream::new(StreamId::new("account", "ada").unwrap())).try_collect().await.unwrap()
}

/// A slow store with an account of 100 cents, and handles on it.
async fn processes(count: usize, delay: Duration) -> (Vec<Recount>, FaultyStore<MemoryStore>) {
    let store = FaultyStore::new(MemoryStore::new());
    let processes: Vec<_> = (0..count).map(|_| Recount::new(store.clone())).collect();
    let _ = processes[0].dispatch(deposit("ada", 100)).await.unwrap();
    store.fail_always(Operation::Append, Fault::Delay(delay));
    store.reset_calls();
    (processes, store)
}

/// One client: commands one after the other, by chance of each kind; what it was told, with the name it gave itself.
async fn client(recount: Recount, name: String, seed: u64) -> Vec<(String, Receipt<AccountEvent>)> {
    let (mut random, mut receipts) = (fastrand::Rng::with_seed(seed), Vec::new());
    for number in 0..20 {
        let actor = format!("{name}-{number}");
        let cents = random.u64(1..20);
        let (outcome, wanted) = match random.u8(0..10) {
            0..4 => (recount.dispatch(deposit("ada", cents)).actor(&actor).and_load().await, 1),
            4..7 => (recount.dispatch(withdraw("ada", cents)).actor(&actor).and_load().await, 1),
            7 => (recount.dispatch(Look { account: account("ada") }).actor(&actor).and_load().await, 0),
            8 => {
                let key = IdempotencyKey::new(&actor).unwrap();
                let twice = [1, 2].map(|_| {
                    let deposit = recount.dispatch(deposit("ada", cents)).actor(&actor);
                    deposit.idempotency_key(key.clone()).and_load()
                });
                let [first, second]: [_; 2] = futures_util::future::join_all(twice).await.try_into().unwrap();
                let (first, second) = (first.unwrap(), second.unwrap());
                assert_eq!(first.0.version, second.0.version);
                assert!(first.0.repeated || second.0.repeated, "one of the two only");
                (Ok(first), 1)
            }
            _ => {
                // Gives up at some point: done or not done.
                let pause = Duration::from_micros(random.u64(0..3_000));
                let given_up = recount.dispatch(deposit("ada", cents)).actor("nobody");
                drop(tokio::time::timeout(pause, async { given_up.await }).await);
                continue;
            }
        };
        match outcome {
            Ok((receipt, state)) => {
                assert_eq!(receipt.events.len(), wanted);
                let of_version = recount.load::<Account>(&account("ada")).at_version(receipt.version.get());
                let as_told = receipt.repeated || of_version.await.unwrap() == state;
                assert!(as_told, "seed {seed}: not the state after its own command");
                receipts.push((actor, receipt));
            }
            Err(DispatchError::Rejected(_)) => {}
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    receipts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn receipts_and_log_agree_whatever_happens_at_once() {
    for seed in 0..8 {
        let (recounts, store) = processes(1 + seed as usize % 3, Duration::from_micros(500)).await;
        let clients: Vec<_> = (0..12_u64)
            .map(|n| {
                tokio::spawn(client(recounts[n as usize % recounts.len()].clone(), format!("c{n}"), seed << 8 | n))
            })
            .collect();
        let log = {
            let mut receipts = BTreeMap::new();
            for client in clients {
                for (actor, receipt) in client.await.unwrap() {
                    if !receipt.events.is_empty() {
                        let version = receipt.version.get();
                        assert!(receipts.insert(version, (actor, receipt)).is_none(), "seed {seed}: {version} twice");
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
            let log = log(store.inner()).await;
            for (number, recorded) in (1..).zip(&log) {
                assert_eq!(recorded.version.get(), number);
                let actor = recorded.data.metadata.actor.as_deref().unwrap_or("nobody");
                let Some((told, receipt)) = receipts.remove(&number) else {
                    assert_eq!(actor, "nobody", "seed {seed}: {number} was recorded, but its caller not told");
                    continue;
                };
                assert_eq!(actor, told, "seed {seed}");
                assert_eq!(receipt.events, [AccountEvent::from_recorded(recorded).unwrap()]);
                assert!(receipt.position.unwrap() >= recorded.position);
            }
            assert!(receipts.is_empty(), "seed {seed}: told, but not recorded: {receipts:?}");
            log
        };
        let mut state = Account::default();
        for recorded in &log {
            state.apply(&AccountEvent::from_recorded(recorded).unwrap()); // overdrawn, it panics
        }
        for recount in &recounts {
            assert_eq!(recount.load::<Account>(&account("ada")).await.unwrap(), state, "seed {seed}");
        }
        assert_eq!(Recount::new(store.clone()).load::<Account>(&account("ada")).await.unwrap(), state, "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn far_fewer_appends_than_commands() {
    let (recounts, store) = processes(1, Duration::from_millis(5)).await;
    let clients: Vec<_> = (0..32)
        .map(|_| {
            let recount = recounts[0].clone();
            tokio::spawn(async move {
                for _ in 0..10 {
                    let _ = recount.dispatch(deposit("ada", 1)).await.unwrap();
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(log(store.inner()).await.len(), 321);
    let appends = store.calls(Operation::Append);
    assert!(appends < 60, "{appends} appends for 320 commands");
}

#[derive(Id, Clone, Debug, PartialEq, Eq, Hash)]
struct PageId(String);

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "page")]
enum PageEvent {
    Written { text: String },
}

#[derive(Debug)]
struct Never;

impl std::fmt::Display for Never {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("never")
    }
}

impl std::error::Error for Never {}

/// Writes a text; a text of `burn` is more than the handler can bear.
#[derive(Command, Clone, Debug)]
#[command(aggregate = Page)]
struct Write {
    #[command(id)]
    page: PageId,
    text: String,
}

#[derive(Aggregate, Clone, Debug, Default)]
#[aggregate(name = "page", id = PageId, event = PageEvent, error = Never, commands(Write))]
struct Page {
    texts: Vec<usize>,
}

impl Apply for Page {
    fn apply(&mut self, PageEvent::Written { text }: &PageEvent) {
        self.texts.push(text.len());
    }
}

impl Handle<Write> for Page {
    fn handle(&self, Write { text, .. }: Write) -> Result<Vec<PageEvent>, Never> {
        assert_ne!(text, "burn");
        Ok(vec![PageEvent::Written { text }])
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_guilty_fails() {
    let store = FaultyStore::new(MemoryStore::new());
    store.fail_always(Operation::Append, Fault::Delay(Duration::from_millis(20)));
    for guilty in ["burn".to_owned(), "x".repeat(17 << 20)] {
        let recount = Recount::new(store.clone());
        let page = PageId(format!("page of {}", guilty.len()));
        let texts = ["a".to_owned(), "bb".to_owned(), guilty, "ccc".to_owned(), "dddd".to_owned()];
        let tasks: Vec<_> = texts
            .into_iter()
            .map(|text| {
                let (recount, page) = (recount.clone(), page.clone());
                tokio::spawn(async move { recount.dispatch(Write { page, text }).await })
            })
            .collect();
        let outcomes: Vec<_> = futures_util::stream::iter(tasks).then(|task| task).collect().await;
        for (number, outcome) in (0..).zip(&outcomes) {
            let succeeded = matches!(outcome, Ok(Ok(_)));
            assert_eq!(succeeded, number != 2, "{number}: {outcome:?}");
        }
        let mut texts = recount.load::<Page>(&page).await.unwrap().texts;
        texts.sort_unstable();
        assert_eq!(texts, [1, 2, 3, 4]);
    }
}
