//! Questions with odd limits, hostile addresses, slow stores and askers that leave, over the in-process broker in its
//! profiles. Time is virtual.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

#[path = "../common/mod.rs"]
mod common;
mod outages;
mod quiz;

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt;
use quiz::{
    Calls, EMULATED, HOUR, MINUTE, NATIVE, Quiz, QuizReply, SECOND, asks, asks_with, in_profiles, responder, responds,
    topic, until,
};
use recount_messaging::{AskError, Broker, BrokerError, Message, MessageId, Plan, Profile};
use recount_store_memory::MemoryStore;
use recount_testing::{Fault, FaultyStore, Operation};
use tokio::time::{Instant, sleep};

#[test]
fn an_error_that_panics_when_it_is_shown_is_a_failure_that_is_told() {
    in_profiles(&Profile::ALL, async |broker| {
        let (answering, (asking, asker)) = (responds(&broker, responder(&Calls::default())).await, asks(&broker).await);
        let error = asker.ask(&topic(), &Quiz::Shy {}, MINUTE).await.unwrap_err();
        assert!(matches!(error, AskError::Failed { transient: false, .. }), "{error:?}");
        assert_eq!(asker.ask(&topic(), &Quiz::Echo { n: 7 }, MINUTE).await.unwrap(), QuizReply::Number { n: 7 });
        drop((answering, asking));
    });
}

#[test]
fn a_responder_without_a_time_limit_answers() {
    in_profiles(&Profile::ALL, async |broker| {
        let answering = responds(&broker, responder(&Calls::default()).time_limit(Duration::MAX)).await;
        let (asking, asker) = asks(&broker).await;
        let reply = asker.ask(&topic(), &Quiz::Echo { n: 7 }, MINUTE).await;
        assert_eq!(reply.unwrap(), QuizReply::Number { n: 7 });
        drop((answering, asking));
    });
}

#[test]
fn a_question_that_was_not_sent_says_what_helps() {
    in_profiles(&EMULATED, async |broker| {
        let (asking, asker) = asks(&broker).await;
        let undeclared = asker.ask(&topic(), &Quiz::Echo { n: 7 }, MINUTE).await.unwrap_err();
        let (text, cure) = (undeclared.to_string(), "start the service that responds to the topic");
        assert!(text.contains(cure) && !undeclared.is_transient(), "{text}");
        drop(asking);
    });
    let away = BrokerError::TimedOut { operation: "publish", limit: SECOND };
    for (source, cure) in [(away, "when the broker can be reached"), (BrokerError::Closed, "will fail alike")] {
        let error = AskError::Broker { question: "a question".to_owned(), source };
        assert!(error.to_string().contains(cure), "{error}");
    }
}

/// The address of replies is chosen by the sender of a question, who may not publish to that topic.
#[test]
fn a_question_whose_replies_shall_go_to_another_topic_is_refused() {
    in_profiles(&EMULATED, async |broker| {
        let calls = Calls::default();
        let orders = common::binding();
        broker.ensure(&Plan { topics: vec![], bindings: vec![orders.clone()] }, false).await.unwrap();
        let answering = responds(&broker, responder(&calls)).await;
        for address in [orders.topic.name(), "replies-orders", "answers-../x"] {
            let id = MessageId::new(format!("to-{}", address.len())).unwrap();
            let mut question = Message::new(id, "stranger", "quiz.count", r#"{"replies":3}"#);
            question.reply_to = Some(address.into());
            assert!(broker.publish(&topic(), vec![question.into()]).await[0].is_stored());
        }
        sleep(MINUTE).await;
        assert_eq!(broker.faults().backlog(&orders).unwrap(), 0, "messages in the topic of orders");
        assert_eq!(calls.begun(), 0);
        // They are handled, and hold up no question of an asker.
        let (asking, asker) = asks(&broker).await;
        assert_eq!(asker.ask(&topic(), &Quiz::Echo { n: 7 }, MINUTE).await.unwrap(), QuizReply::Number { n: 7 });
        drop((answering, asking));
    });
}

/// Replies that an asker does not take are kept up to a limit; asking again ends alike.
#[test]
fn replies_that_are_taken_too_slowly_end_in_an_error_that_names_the_cure() {
    in_profiles(&EMULATED, async |broker| {
        let (answering, (asking, asker)) = (responds(&broker, responder(&Calls::default())).await, asks(&broker).await);
        let mut replies = asker.ask_many(&topic(), &Quiz::Count { replies: 3000 }, HOUR).await.unwrap();
        sleep(MINUTE).await;
        let mut count = 0;
        let error = loop {
            match replies.next().await.expect("an error ends the replies") {
                Ok(reply) => assert_eq!(reply, QuizReply::Number { n: count }),
                Err(error) => break error,
            }
            count += 1;
        };
        assert!(matches!(error, AskError::Overflow { .. }) && !error.is_transient(), "{error}");
        assert!(error.to_string().contains("take each reply as soon as it comes, or ask for fewer"), "{error}");
        drop((answering, asking));
    });
}

#[test]
fn a_stream_that_is_dropped_before_a_reply_was_taken_stops_its_handler() {
    in_profiles(&NATIVE, async |broker| {
        let calls = Calls::default();
        let answering = responds(&broker, responder(&calls).time_limit(12 * HOUR)).await;
        let (asking, asker) = asks(&broker).await;
        let replies = asker.ask_many(&topic(), &Quiz::Count { replies: 100 }, 10 * HOUR).await.unwrap();
        // The handler then waits for room, so it sends no reply that comes late.
        until("64 replies have come", || calls.sent() == 64).await;
        drop(replies);
        sleep(SECOND).await;
        assert_eq!(calls.running(), 0);
        drop((answering, asking));
    });
}

#[test]
fn an_asker_of_one_reply_stops_a_handler_that_sends_many() {
    in_profiles(&NATIVE, async |broker| {
        let calls = Calls::default();
        let answering = responds(&broker, responder(&calls).time_limit(12 * HOUR)).await;
        let (asking, asker) = asks(&broker).await;
        let topic = topic();
        let question = Quiz::Count { replies: 100 };
        {
            let mut asked = pin!(asker.ask(&topic, &question, 10 * HOUR));
            assert!(poll_once(asked.as_mut()).await.is_none(), "the question is sent");
            until("64 replies have come", || calls.sent() == 64).await;
            assert_eq!(asked.await.unwrap(), QuizReply::Number { n: 0 });
        }
        sleep(SECOND).await;
        assert_eq!(calls.running(), 0);
        drop((answering, asking));
    });
}

/// Polls a future once.
async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

#[test]
fn a_store_that_hangs_makes_no_question_outlast_its_deadline() {
    in_profiles(&Profile::ALL, async |broker| {
        let calls = Calls::default();
        let answering = responds(&broker, responder(&calls)).await;
        let store = Arc::new(FaultyStore::new(MemoryStore::new()));
        let (asking, asker) = asks_with(&broker, store.clone()).await;
        store.fail_always(Operation::Now, Fault::Delay(HOUR));
        let start = Instant::now();
        let error = asker.ask(&topic(), &Quiz::Slow { millis: 600 }, SECOND / 2).await.unwrap_err();
        assert!(matches!(error, AskError::TimedOut { replies: 0, .. }), "{error}");
        assert!(start.elapsed() < SECOND, "{:?}", start.elapsed());
        sleep(MINUTE).await;
        assert_eq!(calls.begun(), 0, "a question that timed out before it was sent is not sent later");
        drop((answering, asking));
    });
}

#[test]
fn an_asker_whose_service_was_shut_down_fails_at_once() {
    in_profiles(&Profile::ALL, async |broker| {
        let answering = responds(&broker, responder(&Calls::default())).await;
        let (running, asker) = asks(&broker).await;
        let topic = topic();
        let question = Quiz::Slow { millis: 20_000 };
        let open = asker.ask(&topic, &question, HOUR);
        let shut_down = async {
            sleep(SECOND).await;
            running.shutdown().await;
        };
        let start = Instant::now();
        let (open, ()) = tokio::join!(open, shut_down);
        let later = asker.ask(&topic, &Quiz::Echo { n: 1 }, HOUR).await;
        assert!(start.elapsed() < MINUTE, "{:?}", start.elapsed());
        for reply in [open, later] {
            assert!(matches!(reply, Err(AskError::NotRunning { .. })), "{reply:?}");
        }
        drop(answering);
    });
}

/// Through topics another instance answers the question instead.
#[test]
fn askers_of_questions_that_a_shutdown_interrupts_hear_so() {
    in_profiles(&NATIVE, async |broker| {
        let calls = Calls::default();
        // The second question waits for the only place.
        let answering = responds(&broker, responder(&calls).at_once(1).time_limit(HOUR)).await;
        let (asking, asker) = asks(&broker).await;
        let (topic, slow) = (topic(), Quiz::Slow { millis: 3_000_000 });
        let shut_down = async {
            sleep(SECOND).await;
            assert_eq!(calls.begun(), 1);
            answering.shutdown().await;
        };
        let start = Instant::now();
        let ask = || asker.ask(&topic, &slow, HOUR);
        let (first, second, ()) = tokio::join!(ask(), ask(), shut_down);
        assert!(start.elapsed() < MINUTE, "{:?}", start.elapsed());
        for reply in [first, second] {
            let error = reply.unwrap_err();
            assert!(error.is_transient() && error.to_string().contains("the responder was shut down"), "{error}");
        }
        assert_eq!(calls.running(), 0);
        drop(asking);
    });
}
