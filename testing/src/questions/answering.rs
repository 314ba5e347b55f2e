//! One reply, many replies, several responders.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt;
use recount_messaging::{Asker, Broker, Message, MessageId, Outgoing, Plan, RequestReply, Room, Settle, Signal, Topic};
use tokio::time::{sleep, timeout};

use super::world::{LONG, Probe, ProbeReply, World, until};
use super::{Carrier, declared};

/// Each question has its own reply, and its handler sees the time left.
pub async fn a_question_has_its_reply(carrier: &dyn Carrier) {
    let world = World::new(carrier);
    let (responder, (asking, asker)) = (world.responder("a").await, world.asker().await);
    for _ in 0..3 {
        assert_eq!(world.echo(&asker, LONG).await.unwrap(), ("hello".to_owned(), "a".to_owned()));
    }
    let left = world.calls.left().unwrap();
    assert!(left > LONG / 2 && left <= LONG, "{left:?}");
    assert_eq!(asker.late_replies(), 0);
    drop((responder, asking));
}

/// No reply, one, and more than are under way at once: all come in the order of sending, and then the end.
pub async fn many_replies_come_in_order_and_end(carrier: &dyn Carrier) {
    let world = World::new(carrier);
    let (responder, (asking, asker)) = (world.responder("a").await, world.asker().await);
    for count in [0, 1, 300] {
        let replies = asker.ask_many(&world.topic, &Probe::Count { replies: count }, LONG).await.unwrap();
        let replies: Vec<_> = replies.map(|reply| reply.unwrap()).collect().await;
        let expected: Vec<_> = (0..count).map(|number| ProbeReply::Number { number }).collect();
        assert_eq!(replies, expected);
    }
    assert_eq!(asker.late_replies(), 0);
    drop((responder, asking));
}

/// A responder sends no more replies than its asker has room for, and goes on when they are taken.
pub async fn a_slow_asker_holds_its_responder_up(carrier: &dyn Carrier) {
    let world = World::new(carrier);
    if !declared(world.is_native().await, "back-pressure of replies") {
        return;
    }
    let (responder, (asking, asker)) = (world.responder("a").await, world.asker().await);
    let mut replies = asker.ask_many(&world.topic, &Probe::Count { replies: 300 }, LONG).await.unwrap();
    until("a window of replies is sent", || world.calls.replies() == 64).await;
    sleep(Duration::from_millis(500)).await;
    assert_eq!(world.calls.replies(), 64, "no more are sent than the asker has room for");
    let mut count = 0;
    while let Some(reply) = replies.next().await {
        assert_eq!(reply.unwrap(), ProbeReply::Number { number: count });
        count += 1;
    }
    assert_eq!(count, 300);
    drop((responder, asking));
}

/// An asker that has enough replies takes no more.
pub async fn a_count_ends_the_replies(carrier: &dyn Carrier) {
    let world = World::new(carrier);
    let (responder, (asking, asker)) = (world.responder("a").await, world.asker().await);
    let replies = asker.ask_many(&world.topic, &Probe::Count { replies: 5 }, LONG).await.unwrap();
    let replies: Vec<_> = replies.take(2).map(|reply| reply.unwrap()).collect().await;
    assert_eq!(replies, [ProbeReply::Number { number: 0 }, ProbeReply::Number { number: 1 }]);
    assert_eq!(world.echo(&asker, LONG).await.unwrap().0, "hello");
    drop((responder, asking));
}

/// The instances of a service share its questions: each question goes to one of them.
pub async fn two_responders_share_the_questions(carrier: &dyn Carrier) {
    let world = World::new(carrier);
    let (a, b, (asking, asker)) = (world.responder("a").await, world.responder("b").await, world.asker().await);
    let mut responders = BTreeSet::new();
    let asked = 60;
    for _ in 0..asked {
        responders.insert(world.echo(&asker, LONG).await.unwrap().1);
    }
    // A topic may give all messages to one member while that keeps up.
    if declared(world.is_native().await, "questions one by one go to each instance in turn") {
        assert_eq!(responders, BTreeSet::from(["a".to_owned(), "b".to_owned()]));
    }
    let echo = Probe::Echo { text: "hello".to_owned() };
    assert_eq!(world.calls.begun(&echo), asked, "each question goes to one of them");
    drop((a, b, asking));
}

/// The second delivery of a question repeats the recorded replies, and calls no handler.
pub async fn a_question_that_is_delivered_again_has_equal_replies(carrier: &dyn Carrier) {
    let world = World::new(carrier);
    if !declared(!world.is_native().await, "questions are not delivered twice: recorded replies") {
        return;
    }
    let responder = world.responder("a").await;
    let broker = carrier.broker().await;
    let address = format!("answers-{}", &world.topic.name()[20..]);
    let mut replies = world.binding();
    replies.topic = Topic::new(&address).unwrap().with_lanes(1.try_into().unwrap());
    broker.ensure(&Plan { topics: Vec::new(), bindings: vec![replies.clone()] }, false).await.unwrap();
    let probe = Probe::Count { replies: 3 };
    for copy in 0..2 {
        let id = MessageId::new(format!("{}-{copy}", world.topic)).unwrap();
        let mut question = Message::new(id, "askers", "probe.count", r#"{"replies":3}"#);
        question.idempotency_key = Some("the same".into());
        question.reply_to = Some(address.as_str().into());
        assert!(broker.publish(&world.topic, vec![Outgoing::new(question)]).await[0].is_stored());
    }
    let messages = take(&*broker, &replies, 8).await;
    let of = |number: usize| -> Vec<&Message> {
        let number = number.to_string();
        let is = |message: &&Message| message.metadata.headers.get("replynumber") == Some(&number);
        messages.iter().filter(is).collect()
    };
    for number in 0..3 {
        let copies = of(number);
        assert_eq!(copies.len(), 2, "reply {number}");
        assert_eq!(copies[0].data, copies[1].data);
    }
    assert_eq!(world.calls.begun(&probe), 1, "the second delivery repeats the recorded replies");
    drop(responder);
}

/// Takes so many messages of a binding.
async fn take(broker: &dyn Broker, binding: &recount_messaging::Binding, count: usize) -> Vec<Message> {
    let mut consumer = broker.subscribe(binding).await.unwrap();
    let mut messages = Vec::new();
    let taking = async {
        while messages.len() < count {
            if let Ok(Signal::Deliveries(deliveries)) = consumer.next(&Room::of(10)).await {
                let mut marks = Vec::new();
                for delivery in deliveries {
                    messages.push(delivery.message.unwrap());
                    marks.push((delivery.ticket, Settle::Ack));
                }
                consumer.settle(marks).await;
            }
        }
    };
    timeout(LONG, taking).await.expect("all replies come");
    messages
}

/// Replies that are too many to be recorded come in order all the same.
pub async fn replies_over_the_limit_of_a_record_come_all_the_same(carrier: &dyn Carrier) {
    let world = World::new(carrier);
    let (responder, (asking, asker)) = (world.responder("a").await, world.asker().await);
    let probe = Probe::Blocks { replies: 8, bytes: 50_000 };
    let replies = asker.ask_many(&world.topic, &probe, LONG).await.unwrap();
    let replies: Vec<_> = replies.map(|reply| reply.unwrap()).collect().await;
    let numbers: Vec<_> = replies
        .iter()
        .map(|reply| match reply {
            ProbeReply::Text { responder, .. } => responder.clone(),
            ProbeReply::Number { .. } => panic!("{reply:?}"),
        })
        .collect();
    assert_eq!(numbers, (0..8).map(|number| number.to_string()).collect::<Vec<_>>());
    drop((responder, asking));
}

/// After all connections were cut, questions are answered again.
pub async fn an_asker_goes_on_after_its_connection_was_cut(carrier: &dyn Carrier) {
    let world = World::new(carrier);
    let (responder, (asking, asker)) = (world.responder("a").await, world.asker().await);
    for _ in 0..3 {
        assert_eq!(world.echo(&asker, LONG).await.unwrap().0, "hello");
        carrier.cut_connections().await;
        again(&world, &asker).await;
    }
    drop((responder, asking));
}

/// Asks until a question is answered. It has no effect, so it may be asked again.
async fn again(world: &World<'_>, asker: &Asker) {
    for _ in 0..40 {
        if world.echo(asker, Duration::from_secs(1)).await.is_ok() {
            return;
        }
        sleep(Duration::from_millis(200)).await;
    }
    panic!("no question is answered any more");
}

/// A reply that is under way when the connections are cut comes all the same, where the broker carries it and keeps it for its
/// asker. A topic may give it again only after its lease.
pub async fn a_reply_comes_though_its_connection_was_cut(carrier: &dyn Carrier) {
    let world = World::new(carrier);
    let carried = world.capabilities(&*carrier.broker().await).request_reply;
    if !declared(carried == RequestReply::Native { buffered: true }, "replies are kept for an asker that reconnects") {
        return;
    }
    let (responder, (asking, asker)) = (world.responder("a").await, world.asker().await);
    for round in 0..10 {
        let probe = Probe::Slow { millis: 300 + round };
        let cut = async {
            until("the question is being answered", || world.calls.begun(&probe) == 1).await;
            sleep(Duration::from_millis(270 + 4 * round)).await;
            carrier.cut_connections().await;
        };
        let (reply, ()) = tokio::join!(asker.ask(&world.topic, &probe, LONG), cut);
        assert_eq!(reply.unwrap(), ProbeReply::Number { number: 0 }, "round {round}");
        again(&world, &asker).await;
    }
    drop((responder, asking));
}
