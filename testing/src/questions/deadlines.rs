//! Deadlines, askers that stop, and responders that end.

use std::time::Duration;

use futures_util::StreamExt;
use recount_messaging::AskError;
use tokio::time::{Instant, sleep, timeout};

use super::world::{LONG, Probe, ProbeReply, World, until};
use super::{Carrier, declared};

/// A question that reaches its handler after its deadline is dropped.
pub async fn an_expired_question_is_not_answered(carrier: &dyn Carrier) {
    let world = World::new(carrier);
    let responder = world.responder_with("a", |responder| responder.at_once(1)).await;
    let (asking, asker) = world.asker().await;
    // It holds the only place for longer than the second question lasts.
    let slow = Probe::Slow { millis: 2500 };
    let first = asker.ask(&world.topic, &slow, LONG);
    let second = async {
        until("the first is being answered", || world.calls.begun(&slow) == 1).await;
        let limit = Duration::from_secs(1);
        let error = world.echo(&asker, limit).await.unwrap_err();
        assert!(matches!(error, AskError::TimedOut { limit: told, replies: 0, .. } if told == limit), "{error}");
        assert!(error.to_string().contains(world.topic.name()), "{error}");
    };
    let (first, ()) = tokio::join!(first, second);
    assert_eq!(first.unwrap(), ProbeReply::Number { number: 0 });
    assert_eq!(asker.ask(&world.topic, &Probe::Slow { millis: 1 }, LONG).await.unwrap(), first_number());
    let echo = Probe::Echo { text: "hello".to_owned() };
    assert_eq!(world.calls.begun(&echo), 0, "no handler is called for a question that has expired");
    drop((responder, asking));
}

fn first_number() -> ProbeReply {
    ProbeReply::Number { number: 0 }
}

/// A handler runs until the deadline of its question at most, and sends nothing later.
pub async fn a_handler_is_dropped_at_the_deadline(carrier: &dyn Carrier) {
    let world = World::new(carrier);
    let (responder, (asking, asker)) = (world.responder("a").await, world.asker().await);
    let (started, limit) = (Instant::now(), Duration::from_secs(2));
    let error = asker.ask(&world.topic, &Probe::Slow { millis: 60_000 }, limit).await.unwrap_err();
    assert!(matches!(error, AskError::TimedOut { .. }) && error.is_transient(), "{error}");
    assert!(started.elapsed() < limit * 3, "{:?}", started.elapsed());
    until("the handler is dropped", || world.calls.dropped() == 1).await;
    assert!(started.elapsed() < limit * 4, "it is dropped at the deadline");
    assert_eq!(asker.late_replies(), 0, "nothing is sent after the deadline");
    drop((responder, asking));
}

/// A reply to a dropped call is counted, once.
pub async fn a_late_reply_is_counted(carrier: &dyn Carrier) {
    let world = World::new(carrier);
    let (responder, (asking, asker)) = (world.responder("a").await, world.asker().await);
    let slow = Probe::Slow { millis: 1500 };
    let asked = asker.ask(&world.topic, &slow, LONG);
    assert!(timeout(Duration::from_secs(1), asked).await.is_err(), "the asker goes away first");
    until("the reply has come", || asker.late_replies() == 1).await;
    assert_eq!(world.echo(&asker, LONG).await.unwrap().0, "hello");
    assert_eq!(asker.late_replies(), 1);
    drop((responder, asking));
}

/// Dropping the replies stops the handler that sends them.
pub async fn a_dropped_stream_stops_its_handler(carrier: &dyn Carrier) {
    let world = World::new(carrier);
    if !declared(world.is_native().await, "stopping a handler") {
        return;
    }
    let (responder, (asking, asker)) = (world.responder("a").await, world.asker().await);
    let mut replies = asker.ask_many(&world.topic, &Probe::Endless {}, LONG).await.unwrap();
    assert_eq!(replies.next().await.unwrap().unwrap(), first_number());
    assert_eq!(world.calls.dropped(), 0);
    drop(replies);
    until("the handler is stopped", || world.calls.dropped() == 1).await;
    drop((responder, asking));
}

/// When a responder ends, its asker has a time-out, and another instance answers the next question.
pub async fn a_responder_that_ends_in_the_middle_is_replaced(carrier: &dyn Carrier) {
    let world = World::new(carrier);
    let (first, (asking, asker)) = (world.responder("a").await, world.asker().await);
    let slow = Probe::Slow { millis: 60_000 };
    let asked = asker.ask(&world.topic, &slow, Duration::from_secs(5));
    let ending = async {
        until("it is being answered", || world.calls.begun(&slow) == 1).await;
        // As a program that dies: its tasks end.
        drop(first);
        sleep(Duration::from_millis(100)).await;
        world.responder("b").await
    };
    let (asked, second) = tokio::join!(asked, ending);
    let error = asked.unwrap_err();
    assert!(matches!(error, AskError::TimedOut { .. }), "{error}");
    assert_eq!(world.echo(&asker, LONG).await.unwrap().1, "b");
    drop((second, asking));
}
