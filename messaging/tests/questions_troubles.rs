//! Questions with odd limits, hostile addresses, slow stores and askers that leave, over the in-process broker in its
//! profiles. Time is virtual.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

mod common;

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use common::live;
use futures_util::StreamExt;
use recount_core::{BoxError, Consumers, Event, Recount, Store};
use recount_messaging::{
    AskError, Asked, Asker, Broker, BrokerError, InProcess, Message, MessageId, Plan, Profile, Question,
    QuestionHandler, ReplySender, Responder, Service, Topic,
};
use recount_store_memory::MemoryStore;
use recount_testing::{Fault, FaultyStore, Operation};
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// The brokers that carry questions themselves, and those where questions go through topics.
const NATIVE: [Profile; 3] = [Profile::Own, Profile::RabbitMq, Profile::Nats];
const EMULATED: [Profile; 4] = [Profile::Kafka, Profile::Pulsar, Profile::Fifo, Profile::PubSub];

fn in_profiles(profiles: &[Profile], test: impl AsyncFn(InProcess)) {
    for profile in profiles {
        println!("{profile:?}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let run = test(InProcess::with_profile(*profile));
            timeout(24 * HOUR, run).await.unwrap_or_else(|_| panic!("{profile:?} is stuck"));
        });
    }
}

#[derive(Event, Clone, Debug)]
#[event(name = "quiz", published, unlocked)]
enum Quiz {
    /// Is answered by this number.
    Echo { n: u32 },
    /// Is answered by the numbers below this one.
    Count { replies: u32 },
    /// Is answered by 0 after this time.
    Slow { millis: u64 },
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "quiz_reply", published, unlocked)]
enum QuizReply {
    Number { n: u32 },
}

impl Question for Quiz {
    type Reply = QuizReply;
}

/// The calls of the handler.
#[derive(Clone, Default)]
struct Calls {
    begun: Arc<AtomicUsize>,
    running: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
}

impl Calls {
    fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }
    fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }
    fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }
}

/// Counts a running call.
struct Running<'c>(&'c Calls);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Quizmaster(Calls);

impl QuestionHandler for Quizmaster {
    type Question = Quiz;

    async fn answer(
        &self,
        quiz: &Quiz,
        _: &Asked<'_>,
        replies: &mut ReplySender<'_, QuizReply>,
    ) -> Result<(), BoxError> {
        self.0.begun.fetch_add(1, Ordering::SeqCst);
        self.0.running.fetch_add(1, Ordering::SeqCst);
        let _running = Running(&self.0);
        match quiz {
            Quiz::Echo { n } => replies.send(&QuizReply::Number { n: *n }).await?,
            Quiz::Count { replies: count } => {
                for n in 0..*count {
                    replies.send(&QuizReply::Number { n }).await?;
                    self.0.sent.fetch_add(1, Ordering::SeqCst);
                }
            }
            Quiz::Slow { millis } => {
                sleep(Duration::from_millis(*millis)).await;
                replies.send(&QuizReply::Number { n: 0 }).await?;
            }
        }
        Ok(())
    }
}

fn topic() -> Topic {
    Topic::new("quiz").unwrap()
}

fn responder(calls: &Calls) -> Responder {
    Responder::new(topic()).answer(Quizmaster(calls.clone())).unwrap()
}

async fn responds(broker: &InProcess, responder: Responder) -> Consumers {
    let recount = Recount::new(MemoryStore::new());
    let service = Service::new(recount, Arc::new(broker.connect()), "quizzes").unwrap().unannounced();
    let running = service.respond(responder).start();
    live(&running).await;
    running
}

async fn asks(broker: &InProcess) -> (Consumers, Asker) {
    asks_with(broker, Arc::new(MemoryStore::new())).await
}

async fn asks_with(broker: &InProcess, store: Arc<dyn Store>) -> (Consumers, Asker) {
    let service = Service::new(Recount::new(store), Arc::new(broker.connect()), "askers").unwrap();
    let (service, asker) = service.unannounced().asker(None).unwrap();
    let running = service.start();
    live(&running).await;
    (running, asker)
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..36_000 {
        if holds() {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("it never became so: {what}");
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
                Ok(QuizReply::Number { n }) => assert_eq!(n, count),
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

/// A reply, the end of replies and the order that lets more come are sent again while the broker is away.
#[test]
fn replies_wait_for_a_broker_that_is_away() {
    in_profiles(&NATIVE, async |broker| {
        let answering = responds(&broker, responder(&Calls::default()).time_limit(HOUR)).await;
        let (asking, asker) = asks(&broker).await;
        let topic = topic();
        let outage = async {
            sleep(SECOND / 2).await;
            broker.faults().kill();
            sleep(20 * SECOND).await;
            broker.faults().start();
        };
        let (start, slow) = (Instant::now(), Quiz::Slow { millis: 1000 });
        let (reply, ()) = tokio::join!(asker.ask(&topic, &slow, MINUTE), outage);
        assert_eq!(reply.unwrap(), QuizReply::Number { n: 0 });
        assert!(start.elapsed() < 23 * SECOND, "{:?}", start.elapsed());

        let failing = async {
            let replies = asker.ask_many(&topic, &slow, MINUTE).await.unwrap();
            replies.collect::<Vec<_>>().await
        };
        let (replies, ()) = tokio::join!(failing, async {
            sleep(SECOND / 2).await;
            broker.faults().freeze();
            sleep(15 * SECOND).await;
            broker.faults().thaw();
        });
        assert!(matches!(replies[..], [Ok(QuizReply::Number { n: 0 })]), "{replies:?}");

        // The responder waits for the order that lets more replies come.
        let mut replies = asker.ask_many(&topic, &Quiz::Count { replies: 100 }, MINUTE).await.unwrap();
        sleep(SECOND).await;
        broker.faults().kill();
        let mut count = 0;
        while let Some(reply) = replies.next().await {
            assert_eq!(reply.unwrap(), QuizReply::Number { n: count });
            count += 1;
            if count == 64 {
                sleep(3 * SECOND).await;
                broker.faults().start();
            }
        }
        assert_eq!(count, 100);
        drop((answering, asking));
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
