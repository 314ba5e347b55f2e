//! The limits of the in-process broker, its faults, and reading again.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

mod in_process_common;

use std::time::Duration;

use in_process_common::*;
use recount_messaging::*;
use tokio::time::{Instant, sleep};

#[tokio::test(start_paused = true)]
async fn a_topic_refuses_more_than_it_may_keep_and_takes_it_once_there_is_room() {
    let broker = InProcess::with_settings(Settings::new(Profile::Own).retain(3, 1_000_000));
    ensured(&broker, &binding()).await;
    let fates = publish(&broker, "k", 0..5).await;
    assert!(fates[..3].iter().all(Fate::is_stored) && !fates[3].is_stored(), "{fates:?}");
    let Fate::NotSent(Some(error)) = &fates[3] else { panic!("{fates:?}") };
    assert!(error.is_transient());
    let mut consumer = broker.subscribe(&binding()).await.unwrap();
    let first = one(&mut *consumer).await;
    settle(&mut *consumer, first, Settle::Ack).await;
    assert!(publish(&broker, "k", 3..4).await[0].is_stored());
}

#[tokio::test(start_paused = true)]
async fn history_is_bounded_by_number_and_time() {
    let broker = InProcess::with_settings(Settings::new(Profile::Own).retain(10, 1_000_000));
    broker.ensure(&Plan { topics: vec![binding().topic], bindings: Vec::new() }, false).await.unwrap();
    publish(&broker, "k", 0..25).await;
    ensured(&broker, &binding()).await;
    assert_eq!(broker.faults().backlog(&binding()).unwrap(), 10, "the last ten");
    sleep(Duration::from_secs(61 * 60)).await;
    let mut late = binding();
    late.group = Group::new("late").unwrap();
    ensured(&broker, &late).await;
    assert_eq!(broker.faults().backlog(&late).unwrap(), 0, "an hour is over");
}

#[tokio::test(start_paused = true)]
async fn the_faults_of_publishing_are_what_they_say() {
    let (broker, mut consumer) = bound(Profile::Pulsar, &binding()).await;
    for (key, fault) in [
        ("stored", PublishFault::StoredUnknown),
        ("lost", PublishFault::LostUnknown),
        ("unsent", PublishFault::NotSent),
        ("refused", PublishFault::Refused),
    ] {
        broker.faults().publishes(1, fault);
        let fates = publish(&broker, key, 0..2).await;
        let as_ordered = match fault {
            PublishFault::StoredUnknown | PublishFault::LostUnknown => matches!(fates[0], Fate::Unknown(_)),
            PublishFault::NotSent => matches!(fates[0], Fate::NotSent(Some(_))),
            _ => matches!(fates[0], Fate::Refused(_)),
        };
        assert!(as_ordered && matches!(fates[1], Fate::NotSent(None)), "{fault:?}: {fates:?}");
    }
    assert_eq!(broker.faults().cancel_publishes(), 0);
    let arrived = deliveries(&mut *consumer, 10).await;
    assert_eq!(arrived.len(), 1);
    assert_eq!(arrived[0].message.as_ref().unwrap().key.as_deref(), Some("stored"));
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_to_a_frozen_server_is_stored_at_the_thaw() {
    let (broker, mut consumer) = bound(Profile::Nats, &binding()).await;
    broker.faults().freeze();
    let start = Instant::now();
    let fates = publish(&broker, "k", 0..1).await;
    assert!(matches!(fates[0], Fate::Unknown(BrokerError::TimedOut { .. })), "{fates:?}");
    assert_eq!(start.elapsed(), Duration::from_secs(10));
    broker.faults().thaw();
    assert!(matches!(publish(&broker, "k", 0..1).await[0], Fate::Duplicate));
    assert_eq!(number(&one(&mut *consumer).await), 0);
}

#[tokio::test(start_paused = true)]
async fn a_group_can_read_again_from_where_the_profile_allows() {
    let (broker, mut consumer) = bound(Profile::Nats, &binding()).await;
    publish(&broker, "k", 0..2).await;
    let held = one(&mut *consumer).await;
    let (lane, position) = (held.lane(), held.position.unwrap());
    consumer.seek(Seek::After(lane, position)).await.unwrap();
    assert!(matches!(settle(&mut *consumer, held, Settle::Ack).await, Settled::Stale));
    let second = one(&mut *consumer).await;
    assert_eq!(number(&second), 1);
    settle(&mut *consumer, second, Settle::Ack).await;
    consumer.seek(Seek::Start).await.unwrap();
    let again = one(&mut *consumer).await;
    assert_eq!(number(&again), 0);
    settle(&mut *consumer, again, Settle::Ack).await;
    consumer.seek(Seek::End).await.unwrap();
    assert!(matches!(consumer.next(&Room::of(1)).await, Ok(Signal::Idle)));
    let (_, mut fifo) = bound(Profile::Fifo, &binding()).await;
    assert!(matches!(fifo.seek(Seek::Start).await, Err(BrokerError::Unsupported { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_broker_without_durable_messages_starts_empty_after_a_restart() {
    let (broker, mut consumer) = bound(Profile::Own, &binding()).await;
    publish(&broker, "k", 0..3).await;
    broker.faults().restart();
    assert!(consumer.next(&Room::of(1)).await.is_err());
    assert!(matches!(consumer.next(&Room::of(1)).await, Ok(Signal::Idle)));
    assert_eq!(broker.faults().backlog(&binding()).unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn times_that_no_clock_holds_are_taken() {
    let (broker, mut consumer) = bound(Profile::Own, &binding()).await;
    publish(&broker, "k", 0..1).await;
    let held = [one(&mut *consumer).await.ticket];
    assert!(consumer.extend(&held, Duration::MAX).await[0].is_done());
    let [ticket] = held;
    let settled = consumer.settle(vec![(ticket, Settle::Retry { after: Duration::MAX })]).await.remove(0);
    assert!(matches!(settled, Settled::Unsupported), "{settled:?}");
}

#[tokio::test(start_paused = true)]
async fn latency_delays_every_call() {
    let (broker, _consumer) = bound(Profile::Own, &binding()).await;
    broker.faults().set_latency(Duration::from_millis(70));
    let start = Instant::now();
    broker.health().await.unwrap();
    publish(&broker, "k", 0..1).await;
    assert_eq!(start.elapsed(), Duration::from_millis(140));
}

#[tokio::test(start_paused = true)]
async fn one_seed_gives_one_run() {
    let run = async |seed| {
        let broker = InProcess::with_settings(Settings::new(Profile::Fifo).seed(seed));
        ensured(&broker, &binding()).await;
        let mut consumer = broker.subscribe(&binding()).await.unwrap();
        publish(&broker, "k", 0..1).await;
        let mut counts = Vec::new();
        for _ in 0..40 {
            let delivery = one(&mut *consumer).await;
            counts.push(delivery.attempts);
            settle(&mut *consumer, delivery, Settle::Release).await;
        }
        counts
    };
    assert_eq!(run(1).await, run(1).await);
    assert_ne!(run(1).await, run(2).await, "approximate counts come from the seed");
}
