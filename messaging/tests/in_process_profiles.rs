//! What each profile of the in-process broker does beyond the promises of all brokers.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

mod in_process_common;

use std::time::Duration;

use in_process_common::*;
use recount_messaging::*;
use tokio::time::{Instant, sleep};

/// The signals about lanes, until the consumer is idle.
async fn news(consumer: &mut dyn BrokerConsumer) -> Vec<Signal> {
    let mut news = Vec::new();
    loop {
        match consumer.next(&Room::of(1)).await.unwrap() {
            Signal::Idle => return news,
            Signal::Deliveries(deliveries) => panic!("{deliveries:?}"),
            signal => news.push(signal),
        }
    }
}

fn gained(news: &[Signal]) -> Vec<u32> {
    news.iter()
        .filter_map(|signal| if let Signal::Gained(LaneId(lane)) = signal { Some(*lane) } else { None })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn kafka_tells_members_what_they_gain_will_lose_and_have_lost() {
    let (broker, mut one) = bound(Profile::Kafka, &binding()).await;
    assert_eq!(gained(&news(&mut *one).await), [0, 1, 2, 3]);
    publish(&broker, "k", 0..2).await;
    let mut held = deliveries(&mut *one, 2).await;
    let lane = held[0].lane();
    let mut two = broker.subscribe(&binding()).await.unwrap();
    let told = news(&mut *one).await;
    let losing = told.iter().filter(|signal| matches!(signal, Signal::Losing(..))).count();
    assert_eq!(losing, 2, "{told:?}");
    broker.faults().move_lanes();
    // The lane with an open delivery stays until the notice is over, or it is settled.
    let first = held.remove(0);
    assert!(matches!(settle(&mut *one, first, Settle::Ack).await, Settled::Confirmed));
    sleep(Duration::from_secs(4)).await;
    let told = news(&mut *one).await;
    assert!(told.iter().any(|signal| matches!(signal, Signal::Lost(lost) if *lost == lane)), "{told:?}");
    // What was not settled in time comes again at the new member, and the old ticket is stale.
    let again = deliveries(&mut *two, 10).await;
    assert_eq!(numbers(&again), [1]);
    let late = held.remove(0);
    assert!(matches!(settle(&mut *one, late, Settle::Ack).await, Settled::Stale));
}

#[tokio::test(start_paused = true)]
async fn kafka_commits_only_below_the_first_open_message() {
    let (broker, mut consumer) = bound(Profile::Kafka, &binding()).await;
    publish(&broker, "k", 0..4).await;
    let mut held = deliveries(&mut *consumer, 4).await;
    let third = held.remove(2);
    assert!(matches!(settle(&mut *consumer, third, Settle::Ack).await, Settled::Sent), "it is behind an open one");
    let first = held.remove(0);
    assert!(matches!(settle(&mut *consumer, first, Settle::Ack).await, Settled::Confirmed));
    broker.faults().cut_connections();
    assert!(consumer.next(&Room::of(10)).await.is_err());
    assert_eq!(numbers(&deliveries(&mut *consumer, 10).await), [1, 2, 3], "what was not committed comes again");
}

#[tokio::test(start_paused = true)]
async fn kafka_removes_a_member_that_does_not_ask_for_messages() {
    let (broker, mut one_) = bound(Profile::Kafka, &binding()).await;
    publish(&broker, "k", 0..1).await;
    let held = one(&mut *one_).await;
    sleep(Duration::from_secs(301)).await;
    assert!(matches!(settle(&mut *one_, held, Settle::Ack).await, Settled::Stale));
    let lost = |signal: &Result<Signal, BrokerError>| matches!(signal, Ok(Signal::Lost(_)));
    assert!(one_.next(&Room::of(1)).await.is_err());
    assert!(lost(&one_.next(&Room::of(1)).await), "it is told that its lanes are gone");
    assert_eq!(number(&one(&mut *one_).await), 0);
}

#[tokio::test(start_paused = true)]
async fn pulsar_rewinds_the_lane_at_a_release() {
    let (broker, mut consumer) = bound(Profile::Pulsar, &binding()).await;
    publish(&broker, "k", 0..4).await;
    let mut held = deliveries(&mut *consumer, 4).await;
    let second = held.remove(1);
    settle(&mut *consumer, second, Settle::Release).await;
    let first = held.remove(0);
    assert!(settle(&mut *consumer, first, Settle::Ack).await.is_done(), "what is before it stays out");
    assert!(matches!(settle(&mut *consumer, held.remove(0), Settle::Ack).await, Settled::Stale));
    assert_eq!(numbers(&deliveries(&mut *consumer, 10).await), [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn pulsar_forgets_young_acknowledgements_and_counts_at_a_restart() {
    let (broker, mut consumer) = bound(Profile::Pulsar, &binding()).await;
    publish(&broker, "k", 0..2).await;
    let first = one(&mut *consumer).await;
    assert!(matches!(settle(&mut *consumer, first, Settle::Ack).await, Settled::Sent));
    sleep(Duration::from_secs(2)).await;
    let second = one(&mut *consumer).await;
    settle(&mut *consumer, second, Settle::Ack).await;
    broker.faults().restart();
    let again = deliveries(&mut *consumer, 10).await;
    assert_eq!(numbers(&again), [1], "the old acknowledgement is kept, the young one is not");
    assert_eq!(again[0].attempts, Attempts::AtLeast(0));
}

#[tokio::test(start_paused = true)]
async fn pulsar_forgets_counts_at_a_reconnect_and_everything_open_comes_again() {
    let (broker, mut consumer) = bound(Profile::Pulsar, &binding()).await;
    publish(&broker, "k", 0..3).await;
    for count in 0..2 {
        let first = one(&mut *consumer).await;
        assert_eq!(first.attempts, Attempts::AtLeast(count));
        settle(&mut *consumer, first, Settle::Release).await;
    }
    let _held = deliveries(&mut *consumer, 2).await;
    broker.faults().cut_connections();
    let again = deliveries(&mut *consumer, 10).await;
    assert_eq!(numbers(&again), [0, 1, 2]);
    assert_eq!(again[0].attempts, Attempts::AtLeast(0));
}

#[tokio::test(start_paused = true)]
async fn rabbitmq_counts_lost_connections_and_sets_messages_aside_at_the_limit() {
    let (broker, mut consumer) = bound(Profile::RabbitMq, &binding()).await;
    publish(&broker, "k", 0..2).await;
    for count in 0..20 {
        let held = deliveries(&mut *consumer, 2).await;
        assert_eq!((held.len(), held[1].attempts), (2, Attempts::Exact(count)), "what was only received counts too");
        broker.faults().cut_connections();
    }
    assert!(matches!(consumer.next(&Room::of(1)).await, Err(BrokerError::Unavailable { .. })));
    assert!(matches!(consumer.next(&Room::of(1)).await, Ok(Signal::Idle)));
    assert_eq!(broker.faults().dead_letters(&binding()).unwrap().len(), 2);
    assert_eq!(broker.faults().backlog(&binding()).unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn rabbitmq_closes_the_connection_of_a_consumer_whose_delivery_is_out_too_long() {
    let (broker, mut consumer) = bound(Profile::RabbitMq, &binding()).await;
    publish(&broker, "k", 0..2).await;
    let first = one(&mut *consumer).await;
    sleep(Duration::from_secs(20 * 60)).await;
    let second = one(&mut *consumer).await;
    sleep(Duration::from_secs(11 * 60)).await;
    assert!(matches!(settle(&mut *consumer, second, Settle::Ack).await, Settled::Stale), "it went with the connection");
    assert!(matches!(settle(&mut *consumer, first, Settle::Ack).await, Settled::Stale));
    assert!(consumer.next(&Room::of(1)).await.is_err());
    assert_eq!(numbers(&deliveries(&mut *consumer, 10).await), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn rabbitmq_keeps_the_lanes_of_the_first_member_until_it_leaves() {
    let (broker, mut first) = bound(Profile::RabbitMq, &binding()).await;
    let mut second = broker.subscribe(&binding()).await.unwrap();
    publish(&broker, "k", 0..3).await;
    assert!(matches!(second.next(&Room::of(10)).await, Ok(Signal::Idle)));
    let _held = one(&mut *first).await;
    first.drain(Duration::from_secs(1)).await;
    assert_eq!(numbers(&deliveries(&mut *second, 10).await), [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn rabbitmq_refuses_what_no_group_is_bound_to() {
    let broker = InProcess::with_profile(Profile::RabbitMq);
    broker.ensure(&Plan { topics: vec![binding().topic], bindings: Vec::new() }, false).await.unwrap();
    let fates = publish(&broker, "k", 0..1).await;
    assert!(matches!(&fates[0], Fate::Refused(refusal) if refusal.to_string().contains("orders")), "{fates:?}");
}

#[tokio::test(start_paused = true)]
async fn nats_stops_at_its_window_which_delayed_messages_fill_too() {
    let (broker, mut consumer) = bound(Profile::Nats, &binding().order(Order::Unordered)).await;
    publish(&broker, "k", 0..1200).await;
    let held = deliveries(&mut *consumer, 2000).await;
    assert_eq!(held.len(), 1000);
    let delayed = held.into_iter().map(|held| (held.ticket, Settle::Retry { after: Duration::from_secs(60) }));
    consumer.settle(delayed.collect()).await;
    assert!(matches!(consumer.next(&Room::of(10)).await, Ok(Signal::Idle)), "delayed ones fill the window");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(deliveries(&mut *consumer, 2000).await.len(), 1000);
}

#[tokio::test(start_paused = true)]
async fn nats_keeps_deliveries_out_over_a_lost_connection() {
    let (broker, mut consumer) = bound(Profile::Nats, &binding()).await;
    publish(&broker, "k", 0..1).await;
    let held = one(&mut *consumer).await;
    let start = Instant::now();
    broker.faults().cut_connections();
    assert!(consumer.next(&Room::of(1)).await.is_err());
    assert_eq!(one(&mut *consumer).await.attempts, Attempts::Exact(1));
    assert_eq!(start.elapsed(), Duration::from_secs(30), "its lease");
    assert!(matches!(settle(&mut *consumer, held, Settle::Ack).await, Settled::Stale));
}

#[tokio::test(start_paused = true)]
async fn fifo_extends_no_lease_beyond_twelve_hours() {
    let (broker, mut consumer) = bound(Profile::Fifo, &binding()).await;
    publish(&broker, "k", 0..1).await;
    let hour = Duration::from_secs(60 * 60);
    let held = [one(&mut *consumer).await.ticket];
    assert!(consumer.extend(&held, 11 * hour).await[0].is_done());
    sleep(10 * hour).await;
    assert!(matches!(consumer.extend(&held, 3 * hour).await[0], Settled::Unsupported));
    assert!(consumer.extend(&held, 2 * hour).await[0].is_done());
    let [ticket] = held;
    let retried = consumer.settle(vec![(ticket, Settle::Retry { after: 3 * hour })]).await.pop().unwrap();
    assert!(matches!(retried, Settled::Unsupported), "{retried:?}");
}

#[tokio::test(start_paused = true)]
async fn fifo_gives_out_ten_messages_at_most_one_of_a_key() {
    let (broker, mut consumer) = bound(Profile::Fifo, &binding()).await;
    for key in 0..12 {
        publish(&broker, &format!("k{key}"), 0..2).await;
    }
    let held = deliveries(&mut *consumer, 100).await;
    let rest = deliveries(&mut *consumer, 100).await;
    assert_eq!((numbers(&held), numbers(&rest)), (vec![0; 10], vec![0; 2]));
}

#[tokio::test(start_paused = true)]
async fn pubsub_requests_of_a_key_fail_as_a_whole_and_other_keys_go_on() {
    let (broker, mut consumer) = bound(Profile::PubSub, &binding()).await;
    broker.faults().publishes(1, PublishFault::LostUnknown);
    let batch = [("a", 0), ("b", 0), ("a", 1), ("b", 1)].map(|(key, number)| message(key, number).into());
    let fates = broker.publish(&binding().topic, batch.into()).await;
    assert!(matches!(fates[..], [Fate::Unknown(_), Fate::Stored(_), Fate::Unknown(_), Fate::Stored(_)]), "{fates:?}");
    let arrived = deliveries(&mut *consumer, 10).await;
    assert!(arrived.iter().all(|delivery| delivery.message.as_ref().unwrap().key.as_deref() == Some("b")));
}

#[tokio::test(start_paused = true)]
async fn pubsub_gives_a_key_to_one_member_and_the_later_ones_come_again_with_a_released_one() {
    let (broker, mut one_) = bound(Profile::PubSub, &binding()).await;
    let mut two = broker.subscribe(&binding()).await.unwrap();
    publish(&broker, "k", 0..4).await;
    let mut held = deliveries(&mut *one_, 3).await;
    assert!(matches!(two.next(&Room::of(10)).await, Ok(Signal::Idle)), "the key is at the first member");
    settle(&mut *one_, held.remove(1), Settle::Release).await;
    assert!(matches!(settle(&mut *one_, held.remove(1), Settle::Ack).await, Settled::Stale));
    assert_eq!(numbers(&deliveries(&mut *one_, 10).await), [1, 2, 3]);
    drop(one_);
    let start = Instant::now();
    assert_eq!(numbers(&deliveries(&mut *two, 10).await), [0, 1, 2, 3]);
    assert_eq!(start.elapsed(), Duration::from_secs(10), "the client no longer extends the leases");
}
