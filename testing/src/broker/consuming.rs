//! Deliveries come by `next` only, none is hidden, and unacknowledged ones come again.

use std::time::Duration;

use recount_messaging::{Order, Room, Settle, Signal};

use super::support::{
    assert_complete, assert_order_per_key, bound, bounded, consumed, message, messages, publish, relay, scaled,
};
use super::{Harness, Reader};

/// No message counts as handled before it is acknowledged: all messages with a released first delivery arrive again.
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

/// Acknowledged messages do not come again, also not to the next consumer.
pub async fn what_is_acknowledged_does_not_come_again(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    publish(&*broker, &binding.topic, &messages(20, 5)).await;
    assert_eq!(reader.consume(20).await.len(), 20);
    reader.drain().await;
    let mut next = Reader::new(&broker, &binding).await;
    next.stays_quiet(Duration::from_secs(1)).await;
}

/// Without an acknowledgement nothing counts as handled: messages that were only taken come again to the next consumer.
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

/// A message that was not handled comes again, even if later ones were acknowledged before the consumer left.
pub async fn an_open_message_comes_again_though_later_ones_were_acknowledged(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::Unordered).await;
    publish(&*broker, &binding.topic, &messages(4, 1)).await;
    let mut held = reader.take(4).await;
    let open = held.remove(0);
    for delivery in held {
        reader.mark(delivery, Settle::Ack).await;
    }
    reader.drain().await;
    let first = super::support::number(open.message.as_ref().unwrap());
    let again = Reader::new(&broker, &binding).await.arrivals(1, Duration::from_secs(2)).await;
    assert!(again.iter().any(|message| super::support::number(message) == first), "{first} is lost: {again:?}");
    drop(open);
}

/// `drain` releases open deliveries at once: the next consumer does not wait for a lease.
pub async fn a_drain_releases_what_is_open(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    publish(&*broker, &binding.topic, &messages(4, 4)).await;
    // None is on its way any more: it would come again after its lease.
    let _held = reader.take_up_to(4).await;
    let drained = bounded(reader.into_inner().drain(Duration::MAX)).await;
    assert!(drained.error.is_none(), "{drained:?}");
    let mut next = Reader::new(&broker, &binding).await;
    // Well before the lease ends.
    let soon = Duration::from_secs(15);
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
    let first = reader.one().await;
    let mut arrived = vec![reader.mark(first, Settle::Ack).await];
    let held = reader.one().await;
    drop((reader, held));
    let mut next = Reader::new(&broker, &binding).await;
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
    reader.assert_once(&arrived, &published);
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
    let mut start = tokio::time::Instant::now();
    let mut idle = 0;
    while idle < 3 {
        match reader.news(&Room::of(10)).await {
            Some(Signal::Idle) => idle += 1,
            Some(Signal::Deliveries(deliveries)) => panic!("{deliveries:?}"),
            Some(_) => {}
            // On a busy machine a connection may end, and with it the measurement.
            None => (start, idle) = (tokio::time::Instant::now(), 0),
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{idle} idle signals after {:?}", start.elapsed());
    }
    assert!(start.elapsed() > Duration::from_secs(1), "three in {:?}", start.elapsed());
}

/// A rejected message does not come again, and those behind it do.
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
