//! A topic of four lanes, a group, numbered messages, and deliveries of the in-process broker.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, reason = "not every test needs all of it")]

pub(crate) mod harness;

use std::num::NonZeroU16;

use recount_messaging::{
    Binding, Broker, BrokerConsumer, Delivery, Fate, Group, InProcess, Message, MessageId, Plan, Profile, Room, Settle,
    Settled, Signal, Topic,
};

pub(crate) fn binding() -> Binding {
    let topic = Topic::new("orders").unwrap().with_lanes(NonZeroU16::new(4).unwrap());
    Binding::new(topic, Group::new("mail").unwrap())
}

pub(crate) async fn ensured(broker: &InProcess, binding: &Binding) {
    broker.ensure(&Plan { topics: Vec::new(), bindings: vec![binding.clone()] }, false).await.unwrap();
}

pub(crate) async fn bound(profile: Profile, binding: &Binding) -> (InProcess, Box<dyn BrokerConsumer>) {
    let broker = InProcess::with_profile(profile);
    ensured(&broker, binding).await;
    let consumer = broker.subscribe(binding).await.unwrap();
    (broker, consumer)
}

pub(crate) fn message(key: &str, number: usize) -> Message {
    let id = MessageId::new(format!("{key}-{number}")).unwrap();
    Message::new(id, "shop", "orders.placed", number.to_string()).with_key(key)
}

pub(crate) async fn publish(broker: &InProcess, key: &str, numbers: std::ops::Range<usize>) -> Vec<Fate> {
    broker.publish(&binding().topic, numbers.map(|number| message(key, number).into()).collect()).await
}

/// The deliveries of the next call that has some.
pub(crate) async fn deliveries(consumer: &mut dyn BrokerConsumer, room: usize) -> Vec<Delivery> {
    for _ in 0..100 {
        if let Ok(Signal::Deliveries(deliveries)) = consumer.next(&Room::of(room)).await {
            return deliveries;
        }
    }
    panic!("nothing came");
}

pub(crate) async fn one(consumer: &mut dyn BrokerConsumer) -> Delivery {
    deliveries(consumer, 1).await.pop().unwrap()
}

pub(crate) async fn settle(consumer: &mut dyn BrokerConsumer, delivery: Delivery, settle: Settle) -> Settled {
    consumer.settle(vec![(delivery.ticket, settle)]).await.pop().unwrap()
}

pub(crate) fn number(delivery: &Delivery) -> usize {
    std::str::from_utf8(&delivery.message.as_ref().unwrap().data).unwrap().parse().unwrap()
}

pub(crate) fn numbers(deliveries: &[Delivery]) -> Vec<usize> {
    deliveries.iter().map(number).collect()
}
