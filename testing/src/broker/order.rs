//! Messages of a key come in the order of publishing, also when they come again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use recount_messaging::{Broker, Message, Order, OrderSupport, Room, Settle, Topic};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::harness::{can_wait, capabilities, declared};
use super::support::{
    assert_complete, assert_order_per_key, bound, consumed, message, messages, number, publish, scaled,
};
use super::{Harness, Reader};

/// Whether the broker keeps the order of a key; if not, says so.
fn ordered(broker: &dyn recount_messaging::Broker) -> bool {
    declared(capabilities(broker, Order::PerKey).order != OrderSupport::None, "order per key")
}

/// A thousand messages with twenty keys, published in batches of several of a key, come in order.
pub async fn a_thousand_messages_keep_the_order_of_each_key(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    if !ordered(&*broker) {
        return;
    }
    let published = messages(1000, 20);
    for batch in published.chunks(100) {
        publish(&*broker, &binding.topic, batch).await;
    }
    let arrived = reader.consume(1000).await;
    assert_complete(&arrived, &published);
    assert_order_per_key(&arrived);
}

/// A release does not let later messages of the key pass for good: first handled in order, with every fourth delivery
/// released once.
pub async fn order_survives_redelivery(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    if !ordered(&*broker) {
        return;
    }
    let published = messages(60, 6);
    publish(&*broker, &binding.topic, &published).await;
    let (mut handled, mut released) = (Vec::new(), std::collections::BTreeSet::new());
    while handled.len() < published.len() {
        let delivery = reader.one().await;
        let id = delivery.message.as_ref().unwrap().id.clone();
        let release = number(delivery.message.as_ref().unwrap()) % 4 == 1 && released.insert(id);
        let message = reader.mark(delivery, if release { Settle::Release } else { Settle::Ack }).await;
        if !release {
            handled.push(message);
        }
    }
    assert_complete(&handled, &published);
    assert_order_per_key(&handled);
}

/// Where a key or lane is withheld, no second message of it is out before the first is settled.
pub async fn a_withheld_key_has_one_message_out(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    let order = broker.capabilities(&binding).order;
    let withheld = matches!(order, OrderSupport::Lane { withheld: true, .. } | OrderSupport::Key { withheld: true });
    if !declared(withheld, "a key or lane is withheld while one of its messages is out") {
        return;
    }
    publish(&*broker, &binding.topic, &messages(5, 1)).await;
    let mut second = Reader::new(&h.broker().await, &binding).await;
    for expected in 0..5 {
        let held = loop {
            if let Some(held) = reader.poll(&Room::of(10)).await.pop() {
                break held;
            }
        };
        assert_eq!(number(held.message.as_ref().unwrap()), expected);
        for other in [reader.poll_briefly(Duration::from_millis(300)).await, {
            second.poll_briefly(Duration::from_millis(300)).await
        }] {
            assert!(other.is_empty(), "message {expected} is out, but {other:?}");
        }
        reader.mark(held, Settle::Ack).await;
    }
}

/// Where nothing is withheld, several messages of a key are out at once, in order.
pub async fn messages_of_a_key_are_out_together_unless_withheld(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    let order = broker.capabilities(&binding).order;
    let open = matches!(order, OrderSupport::Lane { withheld: false, .. } | OrderSupport::Key { withheld: false });
    if !declared(open && h.abilities().together, "several messages of a key are out at once") {
        return;
    }
    publish(&*broker, &binding.topic, &messages(5, 1)).await;
    let held = reader.take(5).await;
    let numbers: Vec<_> = held.iter().map(|delivery| number(delivery.message.as_ref().unwrap())).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4]);
}

/// The lanes of a member that leaves go to another one, in order: its unacknowledged messages come first.
pub async fn a_member_that_leaves_hands_its_lanes_over_in_order(h: &dyn Harness) {
    let (broker, binding, one) = consumed(h, Order::PerKey).await;
    if !ordered(&*broker) {
        return;
    }
    hand_over(h, &broker, &binding, one, true).await;
}

/// The same when the member's program ends without a drain.
pub async fn a_member_that_dies_hands_its_lanes_over_in_order(h: &dyn Harness) {
    let (broker, mut binding) = (h.broker().await, super::support::unique());
    binding.lease = h.short_lease();
    let lease = broker.capabilities(&binding).lease.map_or(Duration::ZERO, |lease| lease.default);
    if !ordered(&*broker) || !(lease > Duration::from_secs(60) || can_wait(h, lease, "a lease")) {
        return;
    }
    super::support::ensure(&*broker, &[&binding]).await;
    let one = Reader::new(&broker, &binding).await;
    hand_over(h, &broker, &binding, one, false).await;
}

async fn hand_over(
    h: &dyn Harness,
    broker: &std::sync::Arc<dyn recount_messaging::Broker>,
    binding: &recount_messaging::Binding,
    mut one: Reader,
    drained: bool,
) {
    let published = messages(scaled(h, 120), 12);
    publish(&**broker, &binding.topic, &published).await;
    let other = h.broker().await;
    let mut two = Reader::new(&other, binding).await;
    let (mut handled, mut held) = (Vec::<Message>::new(), Vec::new());
    for delivery in one.take_up_to(8).await {
        // Every second one stays open.
        if held.len() * 2 < handled.len() {
            held.push(delivery)
        } else {
            handled.push(one.mark(delivery, Settle::Ack).await)
        }
    }
    if drained {
        one.drain().await;
    } else {
        drop(one);
    }
    let limit = Duration::from_secs(60) + h.patience();
    two.consume_until(&mut handled, limit, |seen| seen.len() >= published.len()).await;
    assert_complete(&handled, &published);
    // The messages that the first one left open, among those of the second: no later message of a key came before.
    assert_order_per_key(&handled[handled.len().min(8 - held.len())..]);
}

/// Unacknowledged messages of a key come again in their order after the connection was cut.
pub async fn order_survives_a_cut_connection(h: &dyn Harness) {
    if !declared(h.abilities().cut, "connections are cut") {
        return;
    }
    let (broker, mut binding) = bound(h, Order::PerKey).await;
    binding.lease = h.short_lease();
    let mut reader = Reader::new(&broker, &binding).await;
    if !ordered(&*broker) {
        return;
    }
    let published = messages(40, 4);
    publish(&*broker, &binding.topic, &published).await;
    let held = reader.take_up_to(4).await;
    h.cut_connections().await;
    drop(held);
    let mut handled = Vec::new();
    let limit = Duration::from_secs(60) + h.patience();
    reader.consume_until(&mut handled, limit, |seen| seen.len() >= published.len()).await;
    assert_complete(&handled, &published);
    assert_order_per_key(&handled);
}

/// Members that join, leave and die at random moments, while messages are published and deliveries are acknowledged,
/// released or held: nothing is lost, and the first arrivals of each key are in order.
pub async fn members_that_come_and_go_lose_nothing_and_keep_the_order(h: &dyn Harness) {
    let (broker, mut binding) = (h.broker().await, super::support::unique());
    binding.lease = h.short_lease();
    super::support::ensure(&*broker, &[&binding]).await;
    if !ordered(&*broker) {
        return;
    }
    let mut random = crate::store::support::random();
    let published = messages(scaled(h, 300), 20);
    let mut unsent = published.chunks(10);
    let mut members: Vec<Reader> = Vec::new();
    let (mut arrived, mut held, mut acknowledged) = (Vec::new(), Vec::new(), std::collections::BTreeSet::new());
    let start = tokio::time::Instant::now();
    while acknowledged.len() < published.len() {
        let limit = Duration::from_secs(120) + h.patience();
        assert!(start.elapsed() < limit, "{} of {} in {limit:?}", acknowledged.len(), published.len());
        if let Some(batch) = unsent.next() {
            publish(&*broker, &binding.topic, batch).await;
        }
        // Towards the end nothing changes any more. On a busy machine members may change faster than lanes can move.
        let restless = arrived.len() < published.len() * 2 && start.elapsed() < limit / 2;
        match random.u8(0..10) {
            0 if restless && members.len() < 3 => members.push(Reader::new(&broker, &binding).await),
            1 if restless && !members.is_empty() => members.swap_remove(random.usize(..members.len())).drain().await,
            2 if restless && !members.is_empty() => drop(members.swap_remove(random.usize(..members.len()))),
            3 => held.clear(),
            _ => {}
        }
        if members.is_empty() {
            members.push(Reader::new(&broker, &binding).await);
        }
        for member in &mut members {
            for delivery in member.poll_briefly(Duration::from_millis(50)).await {
                let message = delivery.message.as_ref().unwrap().clone();
                arrived.push(message.clone());
                match random.u8(0..10) {
                    0 if restless => held.push(delivery),
                    1 if restless => drop(member.settle(vec![(delivery.ticket, Settle::Release)]).await),
                    _ => {
                        let outcome = member.settle(vec![(delivery.ticket, Settle::Ack)]).await.remove(0);
                        if outcome.is_done() {
                            acknowledged.insert(message.id);
                        }
                    }
                }
            }
        }
    }
    assert_complete(&arrived, &published);
    assert_order_per_key(&arrived);
}

/// A rolling deploy: again and again a member joins, and the one before it leaves a moment later. Messages are published
/// all the time: nothing is lost, and the first arrivals of each key are in order.
pub async fn a_rolling_deploy_under_load_loses_nothing_and_keeps_the_order(h: &dyn Harness) {
    let (broker, binding) = bound(h, Order::PerKey).await;
    if !ordered(&*broker) {
        return;
    }
    let arrived = Arc::default();
    let join = async || {
        let member = Reader::new(&h.broker().await, &binding).await;
        let (leave, left) = oneshot::channel();
        (leave, tokio::spawn(handle_until(member, Arc::clone(&arrived), left)))
    };
    let (finish, finished) = oneshot::channel();
    let mut member = join().await;
    let publishing = tokio::spawn(publish_until(Arc::clone(&broker), binding.topic.clone(), finished));
    for _ in 0..scaled(h, 5) {
        let next = join().await;
        sleep(Duration::from_millis(300)).await;
        leave(std::mem::replace(&mut member, next)).await;
        sleep(Duration::from_millis(1500)).await;
    }
    drop(finish);
    let published = publishing.await.unwrap();
    let until = Instant::now() + Duration::from_secs(60) + h.patience();
    let count = || arrived.lock().unwrap().iter().map(|message: &Message| &message.id).collect::<BTreeSet<_>>().len();
    while count() < published.len() && Instant::now() < until {
        sleep(Duration::from_millis(200)).await;
    }
    leave(member).await;
    let arrived = std::mem::take(&mut *arrived.lock().unwrap());
    assert_complete(&arrived, &published);
    assert_order_per_key(&arrived);
}

/// Lets a member leave.
async fn leave((leave, left): (oneshot::Sender<()>, tokio::task::JoinHandle<()>)) {
    drop(leave);
    left.await.unwrap();
}

/// Acknowledges everything that comes, until the other half of the channel is dropped.
async fn handle_until(mut member: Reader, arrived: Arc<Mutex<Vec<Message>>>, mut left: oneshot::Receiver<()>) {
    while left.try_recv() == Err(oneshot::error::TryRecvError::Empty) {
        let deliveries = member.poll(&Room::of(100)).await;
        arrived
            .lock()
            .unwrap()
            .extend(deliveries.iter().filter_map(|delivery| delivery.message.as_ref().ok().cloned()));
        let marks = deliveries.into_iter().map(|delivery| (delivery.ticket, Settle::Ack));
        member.settle(marks.collect()).await;
    }
    member.drain().await;
}

/// Publishes two messages of each of twenty keys, again and again, until the other half of the channel is dropped.
async fn publish_until(broker: Arc<dyn Broker>, topic: Topic, mut finished: oneshot::Receiver<()>) -> Vec<Message> {
    let mut published = Vec::new();
    while finished.try_recv() == Err(oneshot::error::TryRecvError::Empty) {
        let start = published.len();
        let batch: Vec<_> =
            (start..start + 40).map(|number| message(&format!("key-{}", number % 20), number)).collect();
        publish(&*broker, &topic, &batch).await;
        published.extend(batch);
        sleep(Duration::from_millis(25)).await;
    }
    published
}
