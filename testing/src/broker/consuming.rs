//! Deliveries come by `next` only, none is hidden, and what is not acknowledged comes again.

use std::time::Duration;

use recount_messaging::{Order, Room, Settle, Signal};

use super::harness::declared;
use super::support::{
    assert_complete, assert_order_per_key, bound, bounded, consumed, message, messages, publish, relay, scaled,
};
use super::{Harness, Reader};

/// Nothing is delivered before it was acknowledged as handled only once: all messages whose first delivery is released
/// arrive again.
pub async fn what_is_released_comes_again(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    let published = messages(30, 5);
    publish(&*broker, &binding.topic, &published).await;
    let mut released = std::collections::BTreeSet::new();
    let mut acked = Vec::new();
    while acked.len() < published.len() {
        let delivery = reader.one().await;
        let id = delivery.message.as_ref().unwrap().id.clone();
        if released.insert(id) {
            reader.mark(delivery, Settle::Release).await;
        } else {
            acked.push(reader.mark(delivery, Settle::Ack).await);
        }
    }
    assert_complete(&acked, &published);
    reader.stays_quiet(Duration::from_secs(1)).await;
}

/// Consumers that release everything and leave take nothing away from the next one.
pub async fn consumers_that_only_release_lose_nothing(h: &dyn Harness) {
    let (broker, binding) = bound(h, Order::PerKey).await;
    let published = messages(20, 20);
    publish(&*broker, &binding.topic, &published).await;
    for _ in 0..3 {
        let mut reader = Reader::new(&broker, &binding).await;
        for _ in 0..2 {
            let delivery = reader.one().await;
            reader.mark(delivery, Settle::Release).await;
        }
        reader.drain().await;
    }
    assert_complete(&Reader::new(&broker, &binding).await.consume(20).await, &published);
}

/// What is acknowledged does not come again, also not to the next consumer.
pub async fn what_is_acknowledged_does_not_come_again(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    publish(&*broker, &binding.topic, &messages(20, 5)).await;
    assert_eq!(reader.consume(20).await.len(), 20);
    reader.drain().await;
    let mut next = Reader::new(&broker, &binding).await;
    next.stays_quiet(Duration::from_secs(1)).await;
}

/// Without an acknowledgement nothing counts as handled: what was only taken comes again to the next consumer.
pub async fn what_is_only_taken_comes_again_after_a_drain(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    let published = messages(12, 12);
    publish(&*broker, &binding.topic, &published).await;
    let held = reader.one().await;
    reader.drain().await;
    let arrived = Reader::new(&broker, &binding).await.consume(12).await;
    assert_complete(&arrived, &published);
    drop(held);
}

/// `drain` releases what is open at once: the next consumer does not wait for a lease.
pub async fn a_drain_releases_what_is_open(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    publish(&*broker, &binding.topic, &messages(4, 4)).await;
    let _held = reader.one().await;
    let drained = bounded(reader.into_inner().drain(Duration::from_secs(5))).await;
    assert!(drained.error.is_none(), "{drained:?}");
    let mut next = Reader::new(&broker, &binding).await;
    let soon = Duration::from_secs(5);
    for _ in 0..4 {
        let delivery = next.one_within(soon).await;
        next.mark(delivery, Settle::Ack).await;
    }
}

/// Consumers that come and go in the middle of a stream: together they get everything.
pub async fn closing_and_reopening_loses_nothing(h: &dyn Harness) {
    let (broker, binding) = bound(h, Order::PerKey).await;
    let published = messages(scaled(h, 200), 10);
    relay(&*broker, &binding.topic, &published).await;
    let mut arrived = Vec::new();
    for part in 1..=4 {
        let mut reader = Reader::new(&broker, &binding).await;
        let enough = published.len() * part / 4;
        reader.consume_until(&mut arrived, Duration::from_secs(60), |seen| seen.len() >= enough).await;
        reader.drain().await;
    }
    assert_complete(&arrived, &published);
    assert_order_per_key(&arrived);
}

/// A consumer that was dropped, without a drain, loses nothing.
pub async fn a_dropped_consumer_loses_nothing(h: &dyn Harness) {
    let (mut binding, broker) = (super::support::unique(), h.broker().await);
    binding.lease = h.short_lease();
    super::support::ensure(&*broker, &[&binding]).await;
    let lease = broker.capabilities(&binding).lease.map_or(Duration::ZERO, |lease| lease.default);
    let mut reader = Reader::new(&broker, &binding).await;
    let published = messages(12, 12);
    publish(&*broker, &binding.topic, &published).await;
    let held = reader.one().await;
    drop((reader, held));
    let mut next = Reader::new(&broker, &binding).await;
    let mut arrived = Vec::new();
    let limit = Duration::from_secs(60) + lease.min(h.patience());
    next.consume_until(&mut arrived, limit, |seen| seen.len() >= 12).await;
    assert_complete(&arrived, &published);
}

/// Calls of `next` that are dropped while messages arrive hide none of them.
pub async fn a_dropped_next_hides_no_message(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    let published = messages(scaled(h, 100), 20);
    let publishing = {
        let (broker, topic, published) = (broker.clone(), binding.topic.clone(), published.clone());
        tokio::spawn(async move {
            for part in published.chunks(5) {
                relay(&*broker, &topic, part).await;
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        })
    };
    let mut arrived = Vec::new();
    for round in 0..200 {
        for delivery in reader.poll_briefly(Duration::from_micros(50 * (round % 40))).await {
            arrived.push(reader.mark(delivery, Settle::Ack).await);
        }
    }
    publishing.await.unwrap();
    let limit = Duration::from_secs(20);
    reader.consume_until(&mut arrived, limit, |seen| seen.len() >= published.len()).await;
    assert_complete(&arrived, &published);
    assert_eq!(arrived.len(), published.len(), "none comes twice");
}

/// A ticket that is dropped is released: the delivery comes again, at once, and is never acknowledged.
pub async fn a_dropped_ticket_comes_again(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    publish(&*broker, &binding.topic, &[message("k", 7)]).await;
    for _ in 0..3 {
        let delivery = reader.one_within(Duration::from_secs(10)).await;
        assert_eq!(super::support::number(delivery.message.as_ref().unwrap()), 7);
        drop(delivery);
    }
    let delivery = reader.one_within(Duration::from_secs(10)).await;
    reader.mark(delivery, Settle::Ack).await;
}

/// `next` gives no more messages than there is room for, and none of a lane that is full.
pub async fn a_delivery_needs_room(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    let published = messages(40, 40);
    publish(&*broker, &binding.topic, &published).await;
    let mut held = reader.take(3).await;
    assert_eq!(held.len(), 3, "no more than the room");
    let full: Vec<_> = (0..u32::from(binding.topic.lanes().get())).map(recount_messaging::LaneId).collect();
    let room = Room { full, ..Room::of(10) };
    for _ in 0..3 {
        let deliveries = reader.poll(&room).await;
        assert!(deliveries.is_empty(), "every lane is full, but {deliveries:?}");
    }
    let mut arrived = Vec::new();
    for delivery in held.drain(..) {
        arrived.push(reader.mark(delivery, Settle::Ack).await);
    }
    arrived.extend(reader.consume(37).await);
    assert_complete(&arrived, &published);
}

/// The room in bytes is kept, but a single message may be larger.
pub async fn the_room_in_bytes_is_kept(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    let mut published = messages(6, 6);
    for message in &mut published {
        message.data = vec![b'1'; 5000].into();
    }
    publish(&*broker, &binding.topic, &published).await;
    let (mut arrived, room) = (Vec::new(), Room { bytes: 1, ..Room::of(10) });
    while arrived.len() < 6 {
        let deliveries = reader.poll(&room).await;
        assert!(deliveries.len() <= 1, "{} messages in a room of one byte", deliveries.len());
        for delivery in deliveries {
            arrived.push(reader.mark(delivery, Settle::Ack).await);
        }
    }
    assert_complete(&arrived, &published);
}

/// A consumer without news says so about once a second.
pub async fn a_quiet_consumer_is_idle(h: &dyn Harness) {
    let (_broker, _binding, mut reader) = consumed(h, Order::PerKey).await;
    let start = tokio::time::Instant::now();
    let mut idle = 0;
    while idle < 3 {
        match reader.signal(&Room::of(10)).await.unwrap() {
            Signal::Idle => idle += 1,
            Signal::Deliveries(deliveries) => panic!("{deliveries:?}"),
            _ => {}
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{idle} idle signals after {:?}", start.elapsed());
    }
    assert!(start.elapsed() > Duration::from_secs(1), "three in {:?}", start.elapsed());
}

/// What is rejected does not come again, and those behind it do.
pub async fn what_is_rejected_does_not_come_again(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    publish(&*broker, &binding.topic, &[message("k", 0), message("k", 1)]).await;
    let rejection = recount_messaging::Rejection { reason: "the suite says so".to_owned() };
    let first = reader.one().await;
    assert_eq!(super::support::number(&reader.mark(first, Settle::Reject(rejection)).await), 0);
    let second = reader.one().await;
    assert_eq!(super::support::number(&reader.mark(second, Settle::Ack).await), 1);
    reader.stays_quiet(Duration::from_secs(1)).await;
}

/// Unordered groups get everything once too.
pub async fn an_unordered_group_gets_everything(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::Unordered).await;
    let published = messages(100, 5);
    publish(&*broker, &binding.topic, &published).await;
    let arrived = reader.consume(100).await;
    assert_complete(&arrived, &published);
    assert_eq!(arrived.len(), 100, "none comes twice");
}

/// Two groups each get everything, and what one acknowledges or releases does not concern the other.
pub async fn two_groups_each_get_everything(h: &dyn Harness) {
    let (broker, one, mut first) = consumed(h, Order::PerKey).await;
    let two = super::support::other_group(&one);
    super::support::ensure(&*broker, &[&two]).await;
    let published = messages(50, 5);
    publish(&*broker, &one.topic, &published).await;
    assert_complete(&first.consume(50).await, &published);
    let mut second = Reader::new(&h.broker().await, &two).await;
    let delivery = second.one().await;
    second.mark(delivery, Settle::Release).await;
    assert_complete(&second.consume(50).await, &published);
    first.stays_quiet(Duration::from_secs(1)).await;
}

/// The members of a group share its messages: together they get each once.
pub async fn members_share_the_messages_of_a_group(h: &dyn Harness) {
    let (broker, binding) = bound(h, Order::PerKey).await;
    let other = h.broker().await;
    let (mut one, mut two) = (Reader::new(&broker, &binding).await, Reader::new(&other, &binding).await);
    // News about lanes is taken before messages come, so that none is moved while it is out.
    for _ in 0..6 {
        one.poll_briefly(Duration::from_millis(500)).await;
        two.poll_briefly(Duration::from_millis(500)).await;
    }
    let published = messages(200, 50);
    publish(&*broker, &binding.topic, &published).await;
    let (mut of_one, mut of_two) = (Vec::new(), Vec::new());
    let start = tokio::time::Instant::now();
    while of_one.len() + of_two.len() < published.len() {
        for (reader, arrived) in [(&mut one, &mut of_one), (&mut two, &mut of_two)] {
            for delivery in reader.poll(&Room::of(5)).await {
                arrived.push(reader.mark(delivery, Settle::Ack).await);
            }
        }
        assert!(start.elapsed() < Duration::from_secs(120), "{} and {} came", of_one.len(), of_two.len());
    }
    assert_order_per_key(&of_one);
    assert_order_per_key(&of_two);
    if declared(h.abilities().spreads, "a second member gets a part of the messages") {
        assert!(!of_one.is_empty() && !of_two.is_empty(), "{} and {}", of_one.len(), of_two.len());
    }
    of_one.extend(of_two);
    assert_complete(&of_one, &published);
    assert_eq!(of_one.len(), published.len(), "no message goes to both");
}

/// A consumer of one connection is not disturbed by the end of another connection.
pub async fn the_end_of_one_connection_disturbs_no_other(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    let other = h.broker().await;
    let published = messages(10, 5);
    publish(&*other, &binding.topic, &published).await;
    bounded(other.close(Duration::from_secs(5))).await;
    assert_complete(&reader.consume(10).await, &published);
    bounded(broker.health()).await.unwrap();
}
