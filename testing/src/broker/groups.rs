//! Each group gets every message, and its members share them.

use std::time::Duration;

use recount_messaging::{Order, Room, Settle};

use super::harness::declared;
use super::support::{assert_complete, assert_order_per_key, bound, bounded, consumed, messages, publish};
use super::{Harness, Reader};

/// Unordered groups get everything once too.
pub async fn an_unordered_group_gets_everything(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::Unordered).await;
    let published = messages(100, 5);
    publish(&*broker, &binding.topic, &published).await;
    let arrived = reader.consume(100).await;
    assert_complete(&arrived, &published);
    reader.assert_once(&arrived, &published);
}

/// Two groups each get everything, and the settlements of one do not concern the other.
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
