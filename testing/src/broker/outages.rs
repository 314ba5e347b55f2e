//! Servers that end, freeze or cut connections: nothing that is stored is lost, and every call returns.

use std::time::Duration;

use recount_messaging::{AckSupport, Binding, Broker, BrokerError, Dedupe, Fate, Message, Order, Room, Settle};
use tokio::time::{Instant, sleep};

use super::harness::declared;
use super::support::{
    CALL, assert_complete, assert_order_per_key, bound, bounded, consumed, fates, message, messages, publish, relay,
    scaled,
};
use super::{Harness, Reader};

/// How long a consumer may need behind an outage.
const CATCH_UP: Duration = Duration::from_secs(120);

/// Whether the server can be ended, and keeps its stored messages; if not, says so.
async fn can_restart(h: &dyn Harness) -> bool {
    declared(h.abilities().kill, "the end of the server")
        && declared(h.broker().await.capabilities(&super::support::unique()).durable, "durable messages")
}

/// Messages stored before the sudden end of the server arrive after it.
pub async fn stored_messages_survive_a_restart(h: &dyn Harness) {
    if !can_restart(h).await {
        return;
    }
    let (broker, binding) = bound(h, Order::PerKey).await;
    let published = messages(100, 10);
    publish(&*broker, &binding.topic, &published).await;
    h.restart().await;
    let mut arrived = Vec::new();
    let mut reader = Reader::new(&broker, &binding).await;
    reader.consume_until(&mut arrived, CATCH_UP, |seen| seen.len() >= 100).await;
    assert_complete(&arrived, &published);
    assert_order_per_key(&arrived);
}

/// The server ends at a third and at the half of many messages, under a publisher and a consumer: none is lost, and each
/// key keeps its order.
pub async fn a_server_that_restarts_twice_under_load_loses_nothing(h: &dyn Harness) {
    if !can_restart(h).await {
        return;
    }
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    let published = messages(scaled(h, 2000), 50);
    let parts: Vec<_> = published.chunks(published.len().div_ceil(12)).collect();
    let publishing = async {
        for (number, part) in parts.iter().enumerate() {
            if number == 4 || number == 6 {
                tokio::join!(relay(&*broker, &binding.topic, part), h.restart());
            } else {
                relay(&*broker, &binding.topic, part).await;
            }
        }
    };
    let mut arrived = Vec::new();
    let consuming = reader.consume_until(&mut arrived, CATCH_UP, |seen| seen.len() >= published.len());
    tokio::join!(publishing, consuming);
    assert_complete(&arrived, &published);
    assert_order_per_key(&arrived);
}

/// Confirmed acknowledgements survive the sudden end of the server where they are declared durable.
pub async fn durable_acknowledgements_survive_a_restart(h: &dyn Harness) {
    let (broker, binding) = bound(h, Order::PerKey).await;
    let ack = broker.capabilities(&binding).ack;
    let durable = matches!(ack, AckSupport::PerMessage { durable: true, .. } | AckSupport::Cumulative);
    if !declared(durable, "durable acknowledgements") || !can_restart(h).await {
        return;
    }
    publish(&*broker, &binding.topic, &messages(50, 10)).await;
    let mut reader = Reader::new(&broker, &binding).await;
    reader.consume(50).await;
    reader.drain().await;
    h.restart().await;
    let mut next = Reader::new(&broker, &binding).await;
    let again = next.arrivals(0, Duration::from_secs(3)).await;
    assert!(again.is_empty(), "{} acknowledged messages came again", again.len());
}

/// While the server is down every call returns in time, nothing is reported as stored, and afterwards the same connection
/// works again.
pub async fn calls_return_while_the_server_is_down(h: &dyn Harness) {
    if !declared(h.abilities().kill, "the end of the server") {
        return;
    }
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    let before = messages(10, 5);
    publish(&*broker, &binding.topic, &before).await;
    let held = reader.take_up_to(2).await;
    h.kill().await;
    let during = publish_in_vain(&*broker, &binding).await;
    assert!(bounded(broker.subscribe(&binding)).await.is_err());
    reader.settle(held.into_iter().map(|delivery| (delivery.ticket, Settle::Ack)).collect()).await;
    let _ = reader.news(&Room::of(10)).await;
    h.start().await;
    catch_up(&*broker, &binding, &mut reader, &during).await;
}

/// While the server is frozen every call returns in time, unconfirmed messages are unknown, and after the thaw nothing
/// is lost.
pub async fn calls_return_while_the_server_is_frozen(h: &dyn Harness) {
    if !declared(h.abilities().freeze, "a frozen server") {
        return;
    }
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    publish(&*broker, &binding.topic, &messages(4, 4)).await;
    let held = reader.take_up_to(2).await;
    h.freeze().await;
    let during = publish_in_vain(&*broker, &binding).await;
    let tickets: Vec<_> = held.into_iter().map(|delivery| delivery.ticket).collect();
    reader.extend(&tickets, Duration::from_secs(5)).await;
    reader.settle(tickets.into_iter().map(|ticket| (ticket, Settle::Ack)).collect()).await;
    let _ = reader.news(&Room::of(10)).await;
    h.thaw().await;
    catch_up(&*broker, &binding, &mut reader, &during).await;
}

/// Publishes to a server that does not answer: no message is reported as stored. Returns the messages.
async fn publish_in_vain(broker: &dyn Broker, binding: &Binding) -> Vec<Message> {
    let during = messages(10, 5);
    let told = fates(broker, &binding.topic, &during).await;
    assert!(told.iter().all(|fate| matches!(fate, Fate::NotSent(_) | Fate::Unknown(_))), "{told:?}");
    assert!(bounded(broker.health()).await.is_err());
    during
}

/// Publishes the messages again, and takes all of them from a server that answers again. Deliveries that were settled
/// before may or may not come again.
async fn catch_up(broker: &dyn Broker, binding: &Binding, reader: &mut Reader, during: &[Message]) {
    relay(broker, &binding.topic, during).await;
    let mut arrived = Vec::new();
    reader.consume_until(&mut arrived, CATCH_UP, |seen| during.iter().all(|message| seen.contains(&message.id))).await;
    bounded(broker.health()).await.unwrap();
}

/// A consumer and a connection of a frozen server end in time.
pub async fn drain_and_close_return_while_the_server_is_frozen(h: &dyn Harness) {
    if !declared(h.abilities().freeze, "a frozen server") {
        return;
    }
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    publish(&*broker, &binding.topic, &messages(4, 4)).await;
    let held = reader.take_up_to(2).await;
    h.freeze().await;
    end_in_time(&*broker, reader).await;
    drop(held);
    h.thaw().await;
}

/// A consumer and a connection of a server that is down end in time.
pub async fn drain_and_close_return_while_the_server_is_down(h: &dyn Harness) {
    if !declared(h.abilities().kill, "the end of the server") {
        return;
    }
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    publish(&*broker, &binding.topic, &messages(4, 4)).await;
    let held = reader.take_up_to(2).await;
    h.kill().await;
    end_in_time(&*broker, reader).await;
    drop(held);
    h.start().await;
}

async fn end_in_time(broker: &dyn Broker, reader: Reader) {
    let within = Duration::from_secs(2);
    let start = tokio::time::Instant::now();
    bounded(reader.into_inner().drain(within)).await;
    bounded(broker.close(within)).await;
    assert!(start.elapsed() < within * 2 + CALL / 4, "they took {:?}", start.elapsed());
}

/// Connections that are cut while messages are published lose none, and with dedupe store none twice.
pub async fn cut_connections_lose_no_message(h: &dyn Harness) {
    if !declared(h.abilities().cut, "connections are cut") {
        return;
    }
    let (broker, binding) = bound(h, Order::PerKey).await;
    let published = messages(scaled(h, 600), 30);
    for part in published.chunks(published.len().div_ceil(6)) {
        let cut = async {
            sleep(Duration::from_millis(2)).await;
            h.cut_connections().await;
        };
        tokio::join!(relay(&*broker, &binding.topic, part), cut);
    }
    let mut reader = Reader::new(&broker, &binding).await;
    let mut arrived = Vec::new();
    reader.consume_until(&mut arrived, CATCH_UP, |seen| seen.len() >= published.len()).await;
    assert_complete(&arrived, &published);
    assert_order_per_key(&arrived);
    if matches!(broker.capabilities(&binding).dedupe, Dedupe::Window(_) | Dedupe::Silent(_)) {
        arrived.extend(reader.arrivals(0, Duration::from_secs(1)).await);
        assert_eq!(arrived.len(), published.len(), "what was published again is stored once");
    }
}

/// A consumer with a cut connection says so, and goes on by the next calls: its open deliveries come again.
pub async fn a_consumer_goes_on_after_its_connection_was_cut(h: &dyn Harness) {
    if !declared(h.abilities().cut, "connections are cut") {
        return;
    }
    let (broker, mut binding) = bound(h, Order::PerKey).await;
    binding.lease = h.short_lease();
    let mut reader = Reader::new(&broker, &binding).await;
    let published = messages(60, 10);
    publish(&*broker, &binding.topic, &published[..10]).await;
    let mut arrived = reader.consume(10).await;
    publish(&*broker, &binding.topic, &published[10..30]).await;
    let held = reader.take_up_to(3).await;
    h.cut_connections().await;
    let held = h.abilities().cut_releases.then_some(held);
    relay(&*broker, &binding.topic, &published[30..]).await;
    reader.consume_until(&mut arrived, CATCH_UP, |seen| seen.len() >= published.len()).await;
    assert_complete(&arrived, &published);
    drop(held);
}

/// A consumer connects again though each of its calls is dropped after some milliseconds, as by a caller with other work.
pub async fn a_consumer_connects_again_though_its_calls_are_dropped(h: &dyn Harness) {
    if !declared(h.abilities().cut, "connections are cut") {
        return;
    }
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    let published = messages(2, 1);
    publish(&*broker, &binding.topic, &published[..1]).await;
    let mut arrived = reader.consume(1).await;
    h.cut_connections().await;
    relay(&*broker, &binding.topic, &published[1..]).await;
    let deadline = Instant::now() + CATCH_UP;
    while arrived.last() != published.last() {
        assert!(Instant::now() < deadline, "no message came within {CATCH_UP:?}");
        for delivery in reader.poll_briefly(Duration::from_millis(10)).await {
            arrived.push(reader.mark(delivery, Settle::Ack).await);
        }
    }
}

/// A server that ends says so: `health` fails with a transient error, and succeeds when it is back.
pub async fn health_follows_the_server(h: &dyn Harness) {
    if !declared(h.abilities().kill, "the end of the server") {
        return;
    }
    let broker = h.broker().await;
    bounded(broker.health()).await.unwrap();
    h.kill().await;
    let error: BrokerError = bounded(broker.health()).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    h.start().await;
    let mut healthy = false;
    for _ in 0..100 {
        healthy = healthy || bounded(broker.health()).await.is_ok();
        sleep(Duration::from_millis(if healthy { 0 } else { 200 })).await;
    }
    assert!(healthy, "the server is back");
    // A publish works again by itself.
    let binding = super::support::unique();
    super::support::ensure(&*broker, &[&binding]).await;
    publish(&*broker, &binding.topic, &[message("k", 1)]).await;
}
