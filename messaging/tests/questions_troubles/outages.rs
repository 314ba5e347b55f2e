//! Outages of the broker while questions are open.

use futures_util::StreamExt;
use futures_util::future::join_all;
use recount_core::{Consumers, Status};
use recount_messaging::{AskError, InProcess, Profile, Replies};
use tokio::time::{Instant, sleep};

use crate::quiz::{
    Calls, HOUR, MINUTE, NATIVE, Quiz, QuizReply, SECOND, asks, in_profiles, responder, responds, topic, until,
};

/// An outage of so many seconds, once the questions are taken.
async fn outage(broker: &InProcess, seconds: u32, frozen: bool) {
    let faults = broker.faults();
    sleep(SECOND / 10).await;
    if frozen {
        faults.freeze()
    } else {
        faults.kill()
    }
    sleep(SECOND * seconds).await;
    if frozen { faults.thaw() } else { faults.start() }
}

async fn collect(replies: Replies<QuizReply>) -> Vec<QuizReply> {
    replies.map(|reply| reply.unwrap()).collect().await
}

/// Tests outages of a moment and longer ones, of dead and frozen brokers.
fn in_outages(test: impl AsyncFn(&InProcess, u32, bool)) {
    in_profiles(&NATIVE, async |broker| {
        for (seconds, frozen) in [(1, false), (1, true), (20, false), (20, true), (50, false), (50, true)] {
            println!("{seconds} s, frozen: {frozen}");
            test(&broker, seconds, frozen).await;
        }
    });
}

#[test]
fn replies_and_their_end_wait_for_a_broker_that_is_away() {
    in_outages(async |broker, seconds, frozen| {
        let answering = responds(broker, responder(&Calls::default()).time_limit(HOUR)).await;
        let (asking, asker) = asks(broker).await;
        let (topic, start) = (topic(), Instant::now());
        let slow = asker.ask_many(&topic, &Quiz::Slow { millis: 500 }, HOUR).await.unwrap();
        let (replies, ()) = tokio::join!(collect(slow), outage(broker, seconds, frozen));
        assert_eq!(replies, [QuizReply::Number { n: 0 }]);
        // The service that asks connects again after five seconds at most.
        assert!(start.elapsed() < SECOND * (seconds + 20), "{:?}", start.elapsed());
        assert_eq!(asker.ask(&topic, &Quiz::Echo { n: 7 }, MINUTE).await.unwrap(), QuizReply::Number { n: 7 });
        drop((answering, asking));
    });
}

/// The responder has no more room before it hears that the asker has taken replies.
#[test]
fn replies_go_on_after_an_outage_while_they_were_taken() {
    in_outages(async |broker, seconds, frozen| {
        let answering = responds(broker, responder(&Calls::default()).time_limit(HOUR)).await;
        let (asking, asker) = asks(broker).await;
        let replies = asker.ask_many(&topic(), &Quiz::Count { replies: 300 }, HOUR).await.unwrap();
        sleep(SECOND).await;
        let (replies, ()) = tokio::join!(collect(replies), outage(broker, seconds, frozen));
        assert_eq!(replies, (0..300).map(|n| QuizReply::Number { n }).collect::<Vec<_>>());
        drop((answering, asking));
    });
}

#[test]
fn a_stream_that_is_dropped_in_an_outage_stops_its_handler() {
    in_outages(async |broker, seconds, frozen| {
        let calls = Calls::default();
        let answering = responds(broker, responder(&calls).time_limit(HOUR)).await;
        let (asking, asker) = asks(broker).await;
        let replies = asker.ask_many(&topic(), &Quiz::Count { replies: 100 }, HOUR).await.unwrap();
        until("64 replies have come", || calls.sent() == 64).await;
        let dropping = async {
            sleep(SECOND / 2).await;
            drop(replies);
        };
        tokio::join!(dropping, outage(broker, seconds, frozen));
        sleep(20 * SECOND).await;
        assert_eq!(calls.running(), 0);
        drop((answering, asking));
    });
}

/// Replies that were given up or refused leave the room for replies as it was.
#[test]
fn replies_that_were_not_sent_take_no_room() {
    in_profiles(&NATIVE, async |broker| {
        let answering = responds(&broker, responder(&Calls::default()).time_limit(HOUR)).await;
        let (asking, asker) = asks(&broker).await;
        let topic = topic();
        let hasty = asker.ask_many(&topic, &Quiz::Hasty {}, HOUR).await.unwrap();
        let (replies, ()) = tokio::join!(collect(hasty), outage(&broker, 9, false));
        assert_eq!(replies, [QuizReply::Number { n: 0 }]);
        drop((answering, asking));
    });
    // The smallest limit of the profiles.
    in_profiles(&[Profile::Nats], async |broker| {
        let answering = responds(&broker, responder(&Calls::default()).time_limit(HOUR)).await;
        let (asking, asker) = asks(&broker).await;
        let loud = asker.ask_many(&topic(), &Quiz::Loud {}, HOUR).await.unwrap();
        assert_eq!(collect(loud).await, [QuizReply::Number { n: 0 }]);
        drop((answering, asking));
    });
}

/// An inbox hears nothing both of a dead broker and of one without news.
#[test]
fn a_service_of_a_broker_that_is_away_is_not_live() {
    in_outages(async |broker, seconds, frozen| {
        let answering = responds(broker, responder(&Calls::default())).await;
        let (asking, asker) = asks(broker).await;
        let is_live = |service: &Consumers| service.progress().iter().all(|inbox| inbox.status == Status::Live);
        sleep(MINUTE).await;
        assert!(is_live(&answering) && is_live(&asking), "live without questions");
        let watching = async {
            // The broker is asked each five seconds, and has ten seconds to answer.
            sleep(16 * SECOND).await;
            for _ in 16..seconds {
                assert!(!is_live(&answering) && !is_live(&asking), "{:?}", answering.progress());
                sleep(SECOND).await;
            }
        };
        tokio::join!(watching, outage(broker, seconds, frozen));
        sleep(20 * SECOND).await;
        assert!(is_live(&answering) && is_live(&asking), "live again");
        assert_eq!(asker.ask(&topic(), &Quiz::Echo { n: 7 }, SECOND).await.unwrap(), QuizReply::Number { n: 7 });
        drop((answering, asking));
    });
}

/// The askers of questions that the responder has not taken yet hear of it, too.
#[test]
fn askers_of_a_responder_with_a_backlog_hear_of_its_shutdown() {
    in_profiles(&NATIVE, async |broker| {
        let answering = responds(&broker, responder(&Calls::default()).at_once(8).time_limit(HOUR)).await;
        let (asking, asker) = asks(&broker).await;
        let (topic, slow) = (topic(), Quiz::Slow { millis: 3_000_000 });
        let asked = join_all((0..1500).map(|_| asker.ask(&topic, &slow, HOUR)));
        let (replies, ()) = tokio::join!(asked, async {
            sleep(SECOND).await;
            answering.shutdown().await;
        });
        let told =
            replies.iter().filter(|reply| matches!(reply, Err(AskError::Failed { transient: true, .. }))).count();
        assert_eq!(told, 1500);
        drop(asking);
    });
}

/// The deadline of a question ends the attempts to reach its asker.
#[test]
fn a_reply_to_a_broker_that_stays_away_ends_with_the_question() {
    in_profiles(&NATIVE, async |broker| {
        let calls = Calls::default();
        let answering = responds(&broker, responder(&calls).time_limit(HOUR)).await;
        let (asking, asker) = asks(&broker).await;
        let (topic, slow) = (topic(), Quiz::Slow { millis: 1000 });
        let (reply, ()) = tokio::join!(asker.ask(&topic, &slow, MINUTE), async {
            sleep(SECOND / 2).await;
            broker.faults().kill();
        });
        assert!(matches!(reply, Err(AskError::TimedOut { .. })), "{reply:?}");
        sleep(SECOND).await;
        assert_eq!(calls.running(), 0);
        drop((answering, asking));
    });
}
