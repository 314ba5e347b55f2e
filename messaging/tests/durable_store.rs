//! The in-process broker and its store: claims, failures of the store, and the state that a reopened broker has. Time is
//! virtual.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod in_process_common;

use std::sync::Arc;
use std::time::Duration;

use in_process_common::{binding, deliveries, ensured, message, number, numbers, one, publish, settle};
use recount_core::{Namespace, StateStore};
use recount_messaging::{
    Attempts, Binding, Broker, BrokerConsumer, BrokerError, Fate, Group, InProcess, Order, Profile, Rejection, Room,
    Seek, Settings, Settle, Settled, Signal, StartFrom,
};
use recount_store_memory::MemoryStore;
use recount_testing::{Fault, FaultyStore, Operation};
use tokio::time::{Instant, sleep, timeout};

type Shared = Arc<MemoryStore>;

async fn open(store: &Shared) -> InProcess {
    InProcess::durable(store.clone()).await.unwrap()
}

/// A broker with a group, and its consumer.
async fn opened(store: &Shared, binding: &Binding) -> (InProcess, Box<dyn BrokerConsumer>) {
    let broker = open(store).await;
    ensured(&broker, binding).await;
    let consumer = broker.subscribe(binding).await.unwrap();
    (broker, consumer)
}

/// Ends a program in order, and starts it again.
async fn again(
    broker: InProcess,
    consumer: Box<dyn BrokerConsumer>,
    store: &Shared,
) -> (InProcess, Box<dyn BrokerConsumer>) {
    drop(consumer);
    broker.close(Duration::from_secs(5)).await;
    drop(broker);
    let broker = open(store).await;
    let consumer = broker.subscribe(&binding()).await.unwrap();
    (broker, consumer)
}

async fn is_quiet(consumer: &mut dyn BrokerConsumer) -> bool {
    !matches!(consumer.next(&Room::of(10)).await.unwrap(), Signal::Deliveries(_))
}

async fn entries(store: &Shared, prefix: &str) -> Vec<String> {
    let found = store.list(Namespace::BROKER, prefix, None, 100_000).await.unwrap();
    found.into_iter().map(|(key, _)| key.name().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_reopened_broker_delivers_the_unsettled_messages_in_order() {
    let store = Shared::default();
    let (broker, mut consumer) = opened(&store, &binding()).await;
    assert!(publish(&broker, "a", 0..5).await.iter().all(Fate::is_stored));
    assert!(publish(&broker, "b", 0..2).await.iter().all(Fate::is_stored));
    for expected in 0..2 {
        let delivery = loop {
            let next = one(&mut *consumer).await;
            if next.message.as_ref().unwrap().key.as_deref() == Some("a") {
                break next;
            }
        };
        assert_eq!(number(&delivery), expected);
        assert!(matches!(settle(&mut *consumer, delivery, Settle::Ack).await, Settled::Confirmed));
    }
    let (_broker, mut consumer) = again(broker, consumer, &store).await;
    let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
    while of_a.len() + of_b.len() < 5 {
        let delivery = one(&mut *consumer).await;
        let is_a = delivery.message.as_ref().unwrap().key.as_deref() == Some("a");
        if is_a { &mut of_a } else { &mut of_b }.push(number(&delivery));
        assert!(settle(&mut *consumer, delivery, Settle::Ack).await.is_done());
    }
    assert_eq!((of_a, of_b), (vec![2, 3, 4], vec![0, 1]));
    assert!(is_quiet(&mut *consumer).await);
}

#[tokio::test(start_paused = true)]
async fn the_count_of_deliveries_is_unknown_after_a_reopen_and_exact_before() {
    let store = Shared::default();
    let (broker, mut consumer) = opened(&store, &binding()).await;
    publish(&broker, "a", 0..1).await;
    assert_eq!(one(&mut *consumer).await.attempts, Attempts::Exact(0));
    let (_broker, mut consumer) = again(broker, consumer, &store).await;
    assert_eq!(one(&mut *consumer).await.attempts, Attempts::Unknown);
}

#[tokio::test(start_paused = true)]
async fn an_id_is_recognised_after_a_reopen_within_the_window() {
    let store = Shared::default();
    let (broker, mut consumer) = opened(&store, &binding()).await;
    publish(&broker, "a", 0..1).await;
    let delivery = one(&mut *consumer).await;
    settle(&mut *consumer, delivery, Settle::Ack).await;
    let (broker, consumer) = again(broker, consumer, &store).await;
    assert!(matches!(publish(&broker, "a", 0..1).await[..], [Fate::Duplicate]));
    sleep(Duration::from_secs(121)).await;
    let (broker, mut consumer) = again(broker, consumer, &store).await;
    assert!(matches!(publish(&broker, "a", 0..1).await[..], [Fate::Stored(_)]));
    assert_eq!(number(&one(&mut *consumer).await), 0);
}

#[tokio::test(start_paused = true)]
async fn a_delay_and_a_dead_letter_survive_a_reopen() {
    let store = Shared::default();
    let (broker, mut consumer) = opened(&store, &binding()).await;
    publish(&broker, "a", 0..1).await;
    publish(&broker, "b", 1..2).await;
    let start = Instant::now();
    for delivery in deliveries(&mut *consumer, 2).await {
        let mark = match number(&delivery) {
            0 => Settle::Retry { after: Duration::from_secs(60) },
            _ => Settle::Reject(Rejection { reason: "a test".to_owned() }),
        };
        assert!(settle(&mut *consumer, delivery, mark).await.is_done());
    }
    // Longer than the history: only the dead letter itself keeps its message.
    let (broker, mut consumer) = again(broker, consumer, &store).await;
    assert_eq!(numbers(&deliveries(&mut *consumer, 2).await), [0]);
    let waited = start.elapsed();
    assert!(waited >= Duration::from_secs(59) && waited < Duration::from_secs(70), "{waited:?}");
    sleep(Duration::from_secs(2 * 60 * 60)).await;
    let (broker, _consumer) = again(broker, consumer, &store).await;
    assert_eq!(broker.faults().dead_letters(&binding()).unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn groups_and_their_starts_survive_a_reopen() {
    let store = Shared::default();
    let (broker, consumer) = opened(&store, &binding()).await;
    publish(&broker, "a", 0..2).await;
    let group = |name: &str| Binding::new(binding().topic, Group::new(name).unwrap());
    let late = group("late").start(StartFrom::Latest).order(Order::Unordered).lease(Duration::from_secs(7));
    let early = group("early");
    ensured(&broker, &late).await;
    ensured(&broker, &early).await;
    publish(&broker, "a", 2..3).await;
    let (broker, _consumer) = again(broker, consumer, &store).await;
    // The same settings are no change, others a mismatch.
    ensured(&broker, &late).await;
    let other = recount_messaging::Plan { topics: Vec::new(), bindings: vec![late.clone().order(Order::PerKey)] };
    assert!(matches!(broker.ensure(&other, false).await, Err(BrokerError::Mismatch { .. })));
    assert_eq!(numbers(&deliveries(&mut *broker.subscribe(&late).await.unwrap(), 10).await), [2]);
    let mut consumer = broker.subscribe(&early).await.unwrap();
    for expected in 0..3 {
        let delivery = one(&mut *consumer).await;
        assert_eq!(number(&delivery), expected);
        settle(&mut *consumer, delivery, Settle::Ack).await;
    }
}

#[tokio::test(start_paused = true)]
async fn messages_that_are_read_again_are_open_after_a_reopen() {
    let store = Shared::default();
    let (broker, mut consumer) = opened(&store, &binding()).await;
    publish(&broker, "a", 0..3).await;
    for _ in 0..3 {
        let delivery = one(&mut *consumer).await;
        settle(&mut *consumer, delivery, Settle::Ack).await;
    }
    consumer.seek(Seek::Start).await.unwrap();
    let (broker, mut consumer) = again(broker, consumer, &store).await;
    assert_eq!(number(&one(&mut *consumer).await), 0);
    consumer.seek(Seek::End).await.unwrap();
    let (_broker, mut consumer) = again(broker, consumer, &store).await;
    assert!(is_quiet(&mut *consumer).await);
}

#[tokio::test(start_paused = true)]
async fn settled_messages_leave_the_store_behind_the_history() {
    let store = Shared::default();
    let (broker, mut consumer) = opened(&store, &binding()).await;
    for round in 0..30 {
        publish(&broker, "a", round * 100..(round + 1) * 100).await;
        for _ in 0..100 {
            let delivery = one(&mut *consumer).await;
            settle(&mut *consumer, delivery, Settle::Ack).await;
        }
    }
    sleep(Duration::from_secs(4)).await;
    assert_eq!(entries(&store, "message/").await.len(), 3000);
    assert!(entries(&store, "settled/").await.len() <= 2, "full parts of the progress are a number");
    publish(&broker, "a", 3000..3001).await;
    sleep(Duration::from_secs(60 * 60 + 10)).await;
    assert_eq!(entries(&store, "message/").await.len(), 1, "the message that is open");
    // The numbers of deleted messages are not given again.
    let (broker, mut consumer) = again(broker, consumer, &store).await;
    let delivery = one(&mut *consumer).await;
    assert_eq!((number(&delivery), delivery.position.unwrap().0), (3000, 3001));
    settle(&mut *consumer, delivery, Settle::Ack).await;
    sleep(Duration::from_secs(60 * 60 + 10)).await;
    assert_eq!(entries(&store, "message/").await.len(), 0);
    let (broker, mut consumer) = again(broker, consumer, &store).await;
    publish(&broker, "a", 3001..3002).await;
    let delivery = one(&mut *consumer).await;
    assert_eq!((number(&delivery), delivery.position.unwrap().0), (3001, 3002));
}

#[tokio::test(start_paused = true)]
async fn a_batch_and_a_call_of_settlements_are_one_write_each() {
    let store = Arc::new(FaultyStore::new(MemoryStore::new()));
    let broker = InProcess::durable(store.clone()).await.unwrap();
    ensured(&broker, &binding()).await;
    let mut consumer = broker.subscribe(&binding()).await.unwrap();
    store.reset_calls();
    let batch = (0..100).map(|key| message(&format!("k{key}"), 1).into()).collect();
    assert!(broker.publish(&binding().topic, batch).await.iter().all(Fate::is_stored));
    assert_eq!(store.calls(Operation::PutMany), 1);
    let marks = deliveries(&mut *consumer, 100).await.into_iter().map(|delivery| (delivery.ticket, Settle::Ack));
    assert_eq!(consumer.settle(marks.collect()).await.len(), 100);
    assert_eq!(store.calls(Operation::PutMany), 2);
    let publishes = (0..50).map(|key| {
        let broker = broker.clone();
        async move { publish(&broker, &format!("many{key}"), 0..1).await }
    });
    for fates in futures_util::future::join_all(publishes).await {
        assert!(fates[0].is_stored());
    }
    assert!(store.calls(Operation::PutMany) <= 4, "concurrent calls share a write");
}

#[tokio::test(start_paused = true)]
async fn a_second_program_is_told_who_has_the_broker() {
    let store = Shared::default();
    let first = open(&store).await;
    let start = Instant::now();
    let Err(error) = InProcess::durable(store.clone()).await else { panic!("it is open twice") };
    assert!(start.elapsed() < Duration::from_secs(5), "the holder renews its claim: there is no need to wait longer");
    let text = recount_core::error_chain(&error);
    assert!(error.is_transient() && text.contains(&format!("process {}", std::process::id())), "{text}");
    // Its connections are one: it is free after the last one.
    let other = first.connect();
    first.close(Duration::from_secs(1)).await;
    assert!(InProcess::durable(store.clone()).await.is_err());
    other.close(Duration::from_secs(1)).await;
    open(&store).await;
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_the_next_program_takes_over_within_ten_seconds() {
    let store = Shared::default();
    let broker = open(&store).await;
    ensured(&broker, &binding()).await;
    publish(&broker, "a", 0..1).await;
    sleep(Duration::from_secs(60)).await;
    // Without `close`: it never says goodbye.
    drop(broker);
    let start = Instant::now();
    let broker = open(&store).await;
    assert!(start.elapsed() <= Duration::from_secs(11), "{:?}", start.elapsed());
    assert_eq!(number(&one(&mut *broker.subscribe(&binding()).await.unwrap()).await), 0);
}

#[tokio::test(start_paused = true)]
async fn a_program_that_was_paused_writes_nothing_after_another_has_taken_over() {
    let memory = Arc::new(MemoryStore::new());
    let paused = Arc::new(FaultyStore::new(memory.clone()));
    let broker = InProcess::durable(paused.clone()).await.unwrap();
    ensured(&broker, &binding()).await;
    paused.fail_where(Fault::PauseBefore, |call| call.operation == Operation::PutMany);
    let publishing = tokio::spawn({
        let broker = broker.clone();
        async move { publish(&broker, "a", 0..1).await }
    });
    paused.paused().await;
    let next = InProcess::durable(memory.clone()).await.unwrap();
    publish(&next, "a", 0..1).await;
    paused.heal();
    paused.release();
    let fates = publishing.await.unwrap();
    assert!(matches!(fates[..], [Fate::Unknown(_)]), "{fates:?}");
    sleep(Duration::from_secs(1)).await;
    let error = broker.health().await.unwrap_err();
    assert!(recount_core::error_chain(&error).contains("another broker has taken over"), "{error:?}");
    assert!(matches!(publish(&broker, "b", 0..1).await[..], [Fate::NotSent(Some(_))]));
    let mut consumer = next.subscribe(&binding()).await.unwrap();
    let delivery = one(&mut *consumer).await;
    settle(&mut *consumer, delivery, Settle::Ack).await;
    assert!(is_quiet(&mut *consumer).await);
}

#[tokio::test(start_paused = true)]
async fn a_failing_store_is_told_and_the_broker_goes_on_afterwards() {
    for fault in [Fault::Before, Fault::After] {
        let store = Arc::new(FaultyStore::new(MemoryStore::new()));
        let broker = InProcess::durable(store.clone()).await.unwrap();
        ensured(&broker, &binding()).await;
        let mut consumer = broker.subscribe(&binding()).await.unwrap();
        publish(&broker, "b", 0..1).await;
        let held = one(&mut *consumer).await;
        store.fail_always(Operation::PutMany, fault);
        let settling = settle(&mut *consumer, held, Settle::Ack);
        let (settled, fates) = tokio::join!(settling, publish(&broker, "a", 0..3));
        assert!(matches!(settled, Settled::Failed(BrokerError::Unavailable { .. })), "{settled:?}");
        let expected = |fate: &Fate| matches!(fate, Fate::Unknown(BrokerError::Unavailable { .. }));
        assert!(fates.iter().all(expected), "{fault:?}: {fates:?}");
        let fates = publish(&broker, "c", 0..1).await;
        assert!(matches!(fates[..], [Fate::NotSent(Some(BrokerError::Unavailable { .. }))]), "{fates:?}");
        assert!(broker.health().await.unwrap_err().is_transient());
        // Longer than the claim, which no other program has taken.
        sleep(Duration::from_secs(60)).await;
        store.heal();
        sleep(Duration::from_secs(1)).await;
        broker.health().await.unwrap();
        assert!(publish(&broker, "a", 0..4).await.iter().all(Fate::is_stored));
        for expected in 0..4 {
            let delivery = one(&mut *consumer).await;
            assert_eq!(number(&delivery), expected, "{fault:?}");
            assert!(settle(&mut *consumer, delivery, Settle::Ack).await.is_done());
        }
        assert!(is_quiet(&mut *consumer).await, "{fault:?}: nothing is stored twice");
    }
}

#[tokio::test(start_paused = true)]
async fn calls_return_while_the_store_does_not_answer() {
    let store = Arc::new(FaultyStore::new(MemoryStore::new()));
    let broker = InProcess::durable(store.clone()).await.unwrap();
    ensured(&broker, &binding()).await;
    store.fail_where(Fault::PauseBefore, |call| call.operation == Operation::PutMany);
    let call = Duration::from_secs(11);
    assert!(timeout(call, broker.health()).await.unwrap().is_ok(), "nothing is written yet");
    let fates = timeout(call, publish(&broker, "a", 0..2)).await.unwrap();
    assert!(matches!(fates[..], [Fate::Unknown(_), Fate::Unknown(_)]), "{fates:?}");
    assert!(matches!(timeout(call, broker.health()).await.unwrap(), Err(BrokerError::TimedOut { .. })));
    timeout(Duration::from_secs(3), broker.close(Duration::from_secs(2))).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_profile_of_another_broker_is_refused() {
    let settings = Settings::new(Profile::Kafka);
    let Err(error) = InProcess::durable_with(Arc::new(MemoryStore::new()), settings).await else {
        panic!("it is open")
    };
    assert!(error.to_string().contains("Profile::Own"), "{error}");
}
